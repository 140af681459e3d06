"""What a scan is: symbologies, GS1, codes, and what is hostile."""

from __future__ import annotations

import json
import random
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.scanning.scan import MAX_TEXT_CHARS, MemberCode, parse_scan
from loyalty.identification import MAX_CODE_CHARS, IdentificationRule


def identified(raw: str) -> tuple[str, str] | None:
    identifier = parse_scan(raw).identifier
    return None if identifier is None else (identifier.kind, identifier.code)


@pytest.mark.parametrize(
    ("raw", "symbology", "text", "identifier"),
    [
        ("]E05901234123457", "ean13", "5901234123457", ("gtin", "5901234123457")),
        ("]E0012345678905", "upca", "012345678905", ("gtin", "012345678905")),
        ("]E00012345678905", "ean13", "0012345678905", ("gtin", "012345678905")),
        ("]E3590123412345712", "ean13", "590123412345712", ("gtin", "5901234123457")),
        ("]E496385074", "ean8", "96385074", ("gtin", "96385074")),
        ("]I115012345678907", "itf", "15012345678907", ("gtin", "15012345678907")),
        ("]I0123456", "itf", "123456", ("card", "123456")),
        ("]C0M-00 1234", "code128", "M-00 1234", ("card", "M001234")),
        ("]A0abc123", "code39", "abc123", ("card", "ABC123")),
        ("]Q1TS:7f3a", "qr", "TS:7f3a", ("card", "TS:7F3A")),
        ("]d1CARD77", "datamatrix", "CARD77", ("card", "CARD77")),
        ("]L0CARD77", "pdf417", "CARD77", ("card", "CARD77")),
        ("]F0A123B", "codabar", "A123B", ("card", "A123B")),
        ("]z0CARD77", "aztec", "CARD77", ("card", "CARD77")),
        ("]X0CARD77", "unknown", "CARD77", ("card", "CARD77")),
    ],
)
def test_an_aim_identifier_names_the_symbology(
    raw: str, symbology: str, text: str, identifier: tuple[str, str] | None
) -> None:
    scan = parse_scan(raw)

    assert (scan.symbology, scan.aim, scan.text) == (symbology, raw[:3], text)
    assert identified(raw) == identifier
    assert scan.problems == ()


@pytest.mark.parametrize(
    ("raw", "symbology", "identifier"),
    [
        ("5901234123457", "ean13", ("gtin", "5901234123457")),
        ("96385074", "ean8", ("gtin", "96385074")),
        ("012345678905", "upca", ("gtin", "012345678905")),
        ("5901234123456", "unknown", ("card", "5901234123456")),
        ("0109501101530003", "unknown", ("gtin", "9501101530003")),
        ("M001234", "unknown", ("card", "M001234")),
        ("]", "unknown", None),
        ("]?0123", "unknown", None),
        ("", "unknown", None),
    ],
)
def test_without_an_aim_identifier_only_what_is_sure_is_guessed(
    raw: str, symbology: str, identifier: tuple[str, str] | None
) -> None:
    assert parse_scan(raw).symbology == symbology
    assert identified(raw) == identifier


@pytest.mark.parametrize(
    ("aim", "symbology"),
    [("]C1", "gs1-128"), ("]Q3", "gs1-qr"), ("]d2", "gs1-datamatrix"), ("]J1", "gs1-dotcode"), ("]e0", "databar")],
)
@pytest.mark.parametrize("separator", ["\x1d", "<GS>", "{GS}", "^]"])
@pytest.mark.parametrize("leading", ["", "\x1d", "<GS>"])
def test_gs1_fields_are_read_however_the_scanner_writes_fnc1(
    aim: str, symbology: str, separator: str, leading: str
) -> None:
    scan = parse_scan(f"{aim}{leading}0109501101530003" + f"10AB-1{separator}21XYZ")

    assert scan.symbology == symbology
    assert scan.gs1 == {"01": "09501101530003", "10": "AB-1", "21": "XYZ"}
    assert scan.text == "010950110153000310AB-1\x1d21XYZ"
    assert scan.identifier is not None
    assert (scan.identifier.kind, scan.identifier.code) == ("gtin", "9501101530003")
    assert scan.problems == ()


def test_gs1_is_read_without_an_aim_identifier_too() -> None:
    scan = parse_scan("0109501101530003" + "2112<GS>10AB")

    assert scan.symbology == "unknown"
    assert scan.gs1 == {"01": "09501101530003", "21": "12", "10": "AB"}


def test_the_second_message_of_a_composite_names_nothing() -> None:
    scan = parse_scan("]e010LOT7\x1d21SERIAL")

    assert scan.gs1 == {"10": "LOT7", "21": "SERIAL"}
    assert scan.identifier is None
    assert scan.problems == ()


def test_a_service_relation_number_is_a_member_code() -> None:
    assert identified("]C18018" + "950110153000000014") == ("card", "950110153000000014")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("]E05901234123456", "check_digit_wrong"),
        ("]E496385070", "check_digit_wrong"),
        ("]E0123456", "length_wrong"),
        ("]E0ABCDEFGHIJKLM", "length_wrong"),
        ("]E1", "length_wrong"),
        ("]C10109501101530004", "check_digit_wrong"),
        ("]C1XXXX", "gs1_unparsable"),
        ("]d2", "gs1_unparsable"),
        ("]Q3шифра", "gs1_unparsable"),
    ],
)
def test_broken_goods_are_never_cards(raw: str, problem: str) -> None:
    scan = parse_scan(raw)

    assert scan.problems == (problem,)
    assert scan.identifier is None


@pytest.mark.parametrize(
    "raw",
    [
        "]Q1https://suf.purs.gov.rs/v/?vl=AzM0",
        "]Q1http://evil.example/1",
        "]C0" + "1" * (MAX_CODE_CHARS + 1),
        "]Q1BEGIN:VCARD;N:Doe",
        "12\x1d34",
        "картица",
    ],
)
def test_links_data_and_other_scripts_are_no_codes(raw: str) -> None:
    scan = parse_scan(raw)

    assert scan.identifier is None
    assert scan.member is None


def test_a_member_is_a_card_and_never_goods() -> None:
    assert parse_scan("]C0m-1").member == MemberCode(kind="card", code="M1", claimed=False)
    assert parse_scan("]E05901234123457").member is None


def test_the_json_is_that_of_the_contract() -> None:
    with_all = parse_scan("]C10109501101530003" + "21A").document()
    with_least = parse_scan("<b>").document()

    assert list(with_all) == ["symbology", "aim", "text", "gs1", "identifier", "problems"]
    assert with_least == {"symbology": "unknown", "text": "<b>", "identifier": None, "problems": []}


HOSTILE = [
    "<script>alert(1)</script>",
    "'; DROP TABLE members; --",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(1)",
    "../../etc/passwd",
    "\x1b[2J\x1b]0;owned\x07",
    "admin\u202egnp.exe",
    "a\u200bb\u2028c\ufeff",
    "\x00\x01\x02\x03\x04",
    "\x16\x03\x0d%%SETDEF",
    "\ud800\udfff",
    "\U000e0041\U000e0042",
    "${jndi:ldap://x}",
]


@pytest.mark.parametrize("raw", HOSTILE)
@pytest.mark.parametrize("aim", ["", "]Q1", "]C1", "]E0"])
def test_hostile_text_is_inert_and_no_member(raw: str, aim: str) -> None:
    scan = parse_scan(aim + raw)

    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in scan.text.replace("\x1d", ""))
    if not raw.isprintable():
        assert "control_characters_removed" in scan.problems
    assert json.loads(json.dumps(scan.document()))["text"] == scan.text
    if set(raw) & set("<'=+@\\${"):
        assert scan.identifier is None


def test_what_is_too_long_is_cut_and_names_nobody() -> None:
    scan = parse_scan("]C0" + "7" * 100_000)

    assert len(scan.text) <= MAX_TEXT_CHARS
    assert scan.problems == ("too_long",)
    assert scan.identifier is None


def test_bytes_that_are_not_utf_8_are_read_as_latin_1_and_said_so() -> None:
    scan = parse_scan(b"\xd6l 1")

    assert scan.text == "Öl 1"
    assert scan.problems == ("encoding_guessed",)


def test_the_scanners_own_line_ends_are_no_problem() -> None:
    assert parse_scan(b"]C0M1\r\n") == parse_scan("]C0M1")


@pytest.mark.parametrize(
    "raw",
    [
        "4111111111111111",
        "]Q14111 1111 1111 1111",
        "4111-1111-1111-1111",
        ";4111111111111111=25121010000012345678?",
        "%B4111111111111111^DOE/JANE^2512101?",
        "]C121" + "4111111111111111",
        "]C10109501101530003" + "21" + "4111111111111111",
        "0109501101530003" + "2199<GS>10" + "4111111111111111",
        "pay 4111 1111 1111 1111 now",
        "41111\u200b11111111111",
    ],
)
def test_of_a_payment_card_only_the_ends_are_kept(raw: str) -> None:
    scan = parse_scan(raw)

    assert scan.text == "411111******1111"
    assert "payment_card" in scan.problems
    assert scan.identifier is None
    assert scan.gs1 is None


def test_this_shops_cards_may_be_ean_13() -> None:
    card, goods = (
        parse_scan(raw, (IdentificationRule(name="cards", prefixes=("29",)),))
        for raw in ("]E02912345678906", "]E05901234123457")
    )

    assert card.member == MemberCode(kind="card", code="2912345678906", claimed=True)
    assert card.symbology == "ean13"
    assert goods.member is None


def test_this_shops_own_range_is_no_payment_card() -> None:
    assert parse_scan("6011000990139424").identifier is None

    scan = parse_scan("6011000990139424", (IdentificationRule(name="cards", prefixes=("9000", "601100")),))

    assert scan.member == MemberCode(kind="card", code="6011000990139424", claimed=True)


@given(raw=st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_anything_gives_a_scan(raw: bytes | str) -> None:
    scan = parse_scan(raw)

    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in scan.text.replace("\x1d", ""))
    msgspec.json.encode(scan.document())


AIMS = ["", "]C1", "]Q3", "]d2", "]e0", "]E0", "]E4", "]I1", "]C0"]
AIS = ["00", "01", "02", "10", "11", "17", "21", "3103", "3922", "3932", "410", "7003", "8008", "8018", "8110", "99"]


def test_mutated_gs1_messages_never_raise() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(3000):
        fields = (chance.choice(AIS) + str(chance.randrange(10 ** chance.randrange(1, 20))) for _ in range(4))
        characters = list(chance.choice(AIMS) + chance.choice(["", "\x1d", "<GS>"]).join(fields))
        for _ in range(chance.randrange(3)):
            characters[chance.randrange(len(characters))] = chance.choice("\x1d^]<9A٣é\x00 ")
        scan = parse_scan("".join(characters))
        assert scan.member is None or "4111111111111111" not in scan.text
