"""What a scan is: symbologies, GS1, codes, and what is hostile."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.scanning.scan import MAX_TEXT_CHARS, MemberCode, ScannedIdentifier, parse_scan
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
        ("04252614", "upce", ("gtin", "042100005264")),
        ("15012345678907", "itf", ("gtin", "15012345678907")),
        ("978030640615754999", "ean13", ("gtin", "9780306406157")),
        ("0109501101530004", "unknown", ("card", "0109501101530004")),
        ("8018950110153000000014", "unknown", ("card", "950110153000000014")),
        ("00006141411234567890", "unknown", None),
        ("(01)09501101530003(10)AB", "unknown", ("gtin", "9501101530003")),
        ("(01) 555 1234", "unknown", None),
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
@pytest.mark.parametrize("separator", ["\x1d", "<GS>", "{GS}", "^]", "<FNC1>", "{fnc1}", "[GS]", "\u241d"])
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
        ("]e0", "gs1_unparsable"),
        ("]E02112345678901", "check_digit_wrong"),
        ("]E012345678901234", "length_wrong"),
        ("]I115012345678908", "check_digit_wrong"),
        ("]Q1https://id.gs1.org/01/12312312312334", "check_digit_wrong"),
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
        "+381601234567",
        "tel:+381601234567",
        "TEL:+381601234567",
        "sms:+381601234567",
        "mailto:ana@shop.example",
        "ana@shop.example",
        "WIFI:S:shop;T:WPA;P:secret;;",
        "https%3A%2F%2Fshop.example%2Foffer",
        "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Doe\r\nEND:VCARD",
        "MECARD:N:Doe;;",
        "geo:44.81,20.46",
        "LPA:1$shop.example$ABC",
        "www.shop.example/join",
        "shop.example/join",
        "shop.example",
        "060/123-456",
        "12.10.2026",
        "HtTps://id.gs1.org/01/09520123456788",
        "]Q1https://id.gs1.org/ARFKk4XB0CDKWcnpq",
        "]E112",
        "]E254999",
        "]C18017" + "950110153000000014",
        "]C1" + "00006141411234567890",
        "]C1" + "4149520123456788",
        "]C1" + "2551231231231232" + "123456",
        "]C1" + "81100123456123456111",
    ],
)
def test_links_data_and_other_scripts_are_no_codes(raw: str) -> None:
    scan = parse_scan(raw)

    assert scan.identifier is None
    assert scan.member is None


@pytest.mark.parametrize(
    ("raw", "gs1", "code"),
    [
        # As the GS1 Barcode Syntax Engine's public tests have them.
        (
            "]Q3011231231231233310ABC123\x1d99TESTING",
            {"01": "12312312312333", "10": "ABC123", "99": "TESTING"},
            "12312312312333",
        ),
        (
            "]d2011231231231233310ABC123\x1d99TESTING",
            {"01": "12312312312333", "10": "ABC123", "99": "TESTING"},
            "12312312312333",
        ),
        (
            "]C1011231231231233310ABC123\x1d99TESTING",
            {"01": "12312312312333", "10": "ABC123", "99": "TESTING"},
            "12312312312333",
        ),
        (
            "]e0011231231231233310ABC123\x1d99TESTING\x1d98COMPOSITE\x1d97XYZ",
            {"01": "12312312312333", "10": "ABC123", "99": "TESTING", "98": "COMPOSITE", "97": "XYZ"},
            "12312312312333",
        ),
        (
            "]e0012401234567890599COMPOSITE\x1d98XYZ",
            {"01": "24012345678905", "99": "COMPOSITE", "98": "XYZ"},
            "24012345678905",
        ),
        (
            "]E02112345678900|]e099COMPOSITE\x1d98XYZ",
            {"01": "02112345678900", "99": "COMPOSITE", "98": "XYZ"},
            "2112345678900",
        ),
        ("]E00416000336108|]e099COMPOSITE", {"01": "00416000336108", "99": "COMPOSITE"}, "416000336108"),
        ("]E402345673|]e099COMPOSITE\x1d98XYZ", {"01": "00000002345673", "99": "COMPOSITE", "98": "XYZ"}, "02345673"),
        ("]Q1https://example.com/01/12312312312333?99=TEST", {"01": "12312312312333", "99": "TEST"}, "12312312312333"),
        ("]d1HTTPS://example.com/01/12312312312333?99=TEST", {"01": "12312312312333", "99": "TEST"}, "12312312312333"),
        # GS1 General Specifications sections 3.2 and 5.
        ("]J1010950110153000310LOT", {"01": "09501101530003", "10": "LOT"}, "9501101530003"),
        ("]C1" + "03095011015300031725123121A", {"03": "09501101530003", "17": "251231", "21": "A"}, "9501101530003"),
        ("]C1" + "8006095011015300030102", {"8006": "095011015300030102"}, "9501101530003"),
        ("]d5\\000026010950110153000310A", {"01": "09501101530003", "10": "A"}, "9501101530003"),
        # A label whose first FNC1 was left out.
        ("]d1" + "01095011015300031726123110A", {"01": "09501101530003", "17": "261231", "10": "A"}, "9501101530003"),
        ("]C0(01)09501101530003", {"01": "09501101530003"}, "9501101530003"),
        (
            "31030001890105412345000013<GS>10XYZ",
            {"3103": "000189", "01": "05412345000013", "10": "XYZ"},
            "5412345000013",
        ),
        (
            "01034531200000111719112510ABCD1234",
            {"01": "03453120000011", "17": "191125", "10": "ABCD1234"},
            "3453120000011",
        ),
    ],
)
def test_goods_of_the_standards_vectors(raw: str, gs1: dict[str, str], code: str) -> None:
    scan = parse_scan(raw)

    assert scan.gs1 == gs1
    assert identified(raw) == ("gtin", code)
    assert scan.problems == ()


@pytest.mark.parametrize(
    "raw", ["]C2" + "0109501101530003" + "10A", "]Q5" + "010950110153000310A", "]d3" + "010950110153000310A"]
)
def test_fnc1_in_the_second_position_is_no_gs1(raw: str) -> None:
    assert parse_scan(raw).gs1 is None


def test_a_card_that_begins_like_a_gtin_is_one_where_the_symbology_is_told() -> None:
    assert identified("]C00109501101530003") == ("card", "0109501101530003")


def test_under_the_eci_protocol_backslashes_are_doubled_and_character_sets_named() -> None:
    assert parse_scan(r"]Q2\000026TS:7\\8".replace("\\\\", "\\")).text == "TS:7\\8"
    assert parse_scan(r"]Q1\000026").text == r"\000026"


@pytest.mark.parametrize("between", ["\r\n", "\n", "\r", "|", "\r\n\r\n", ""])
def test_both_messages_of_a_composite_in_one_text_are_one_scan(between: str) -> None:
    scan = parse_scan(f"]E05901234123457{between}]e110LOT7\x1d21S7\r\n")

    assert (scan.symbology, scan.aim) == ("ean13", "]E0")
    assert scan.text == "5901234123457|]e110LOT7\x1d21S7"
    assert scan.gs1 == {"01": "05901234123457", "10": "LOT7", "21": "S7"}
    assert scan.identifier is not None
    assert (scan.identifier.kind, scan.identifier.code) == ("gtin", "5901234123457")
    assert scan.problems == ()


def test_of_a_composite_neither_message_hides_the_others_faults() -> None:
    dated = parse_scan("]C1010950110153000310A|]e017000000")
    paid = parse_scan("]E05901234123457|]e021" + "4111111111111111")

    assert dated.gs1 == {"01": "09501101530003", "10": "A", "17": "000000"}
    assert dated.problems == ("date_wrong",)
    assert "4111111111111111" not in str(paid)


def test_messages_without_end_are_no_composite() -> None:
    assert parse_scan("]e0|" * 2000).identifier is None


@pytest.mark.parametrize("raw", ["", b"", "\r\n", " \t", "]C0", "]Q1"])
def test_nothing_is_a_problem(raw: bytes | str) -> None:
    assert parse_scan(raw).problems == ("empty",)


def test_a_member_is_a_card_and_never_goods() -> None:
    assert parse_scan("]C0m-1").member == MemberCode(kind="card", code="M1", claimed=False)
    assert parse_scan("]E05901234123457").member is None
    assert parse_scan("]Q1HTTPS://id.gs1.org/8018/950110153000000014").member == MemberCode(
        kind="card", code="950110153000000014", claimed=False
    )


def test_half_a_message_names_no_member_but_still_goods() -> None:
    assert parse_scan("]C18018" + "950110153000000014\x1d89X").identifier is None
    assert identified("]C1" + "0109501101530003" + "89X") == ("gtin", "9501101530003")


def test_a_swiped_card_says_so() -> None:
    scan = parse_scan(";9012345678=99?\r\n")

    assert (scan.symbology, scan.text, scan.problems) == ("magstripe", "9012345678", ())
    assert scan.member == MemberCode(kind="card", code="9012345678", claimed=False, entry="swiped")


@pytest.mark.parametrize("raw", [";E?", "%E?"])
def test_a_swipe_that_failed_names_nobody(raw: str) -> None:
    scan = parse_scan(raw)

    assert (scan.symbology, scan.identifier, scan.problems) == ("magstripe", None, ("swipe_error",))


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


def test_what_a_reader_sends_around_a_code_is_no_problem() -> None:
    assert parse_scan(b"]C0M1\r\n") == parse_scan(b"\x02]C0M1\x03") == parse_scan("]C0M1")
    assert parse_scan("\x02;9000123456789012?\r\x03") == parse_scan(";9000123456789012?")


@pytest.mark.parametrize(
    "raw",
    [
        "4111111111111111",
        "]Q14111 1111 1111 1111",
        "4111-1111-1111-1111",
        ";4111111111111111=25121010000012345678?",
        "%B4111111111111111^DOE/JANE^2512101?",
        "]C121" + "4111111111111111",
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


CARDS = IdentificationRule(name="cards", prefixes=("29",), lengths=(13,), check_digit="gs1")


def test_a_card_misread_is_neither_a_card_nor_goods() -> None:
    scan = parse_scan("]C02912345678907", (CARDS,))

    assert scan.identifier is None
    assert scan.problems == ("check_digit_wrong",)
    assert scan.misread


def test_a_gs1_number_misread_is_no_member_whatever_the_rule_leaves_out() -> None:
    rules = (IdentificationRule(name="members", ai="8018"), IdentificationRule(name="staff", kind="goods", ai="8017"))
    member, misread, staff = (
        parse_scan(raw, rules)
        for raw in ("]C18018950110153000000014", "]C18018950110153000000015", "]C18017950110153000000015")
    )

    assert member.member == MemberCode(kind="card", code="950110153000000014", claimed=True)
    assert misread.member is None
    assert misread.misread
    assert misread.problems == ("check_digit_wrong",)
    assert not staff.misread


@pytest.mark.parametrize(
    ("rule", "raw"),
    [
        (IdentificationRule(name="all", symbologies=("gs1-datamatrix",)), "]d2010950110153000310LOT7"),
        (IdentificationRule(name="all", symbologies=("upce",)), "]E001234565"),
        (IdentificationRule(name="sixteen digits", lengths=(16,)), "0109501101530003"),  # a DataBar's, on bananas
        (IdentificationRule(name="serials", ai="21"), "]d2010950110153000321M42"),
        (IdentificationRule(name="products", ai="01"), "]C10109501101530003"),
    ],
)
def test_goods_are_no_members_for_a_rule_that_tells_no_beginning(rule: IdentificationRule, raw: str) -> None:
    scan = parse_scan(raw, (rule,))

    assert scan.identifier is not None
    assert scan.identifier.kind == "gtin"
    assert parse_scan(raw, (replace(rule, prefixes=("0", "M")),)).member is not None


def test_goods_are_not_a_misread_card() -> None:
    rule = IdentificationRule(name="cards", prefixes=("590",), check_digit="luhn")

    scan = parse_scan("]E05901234123006", (rule,))

    assert scan.identifier is not None
    assert scan.identifier.kind == "gtin"
    assert not scan.misread


def test_a_rule_may_say_that_codes_are_goods() -> None:
    rules = (IdentificationRule(name="shelf labels", kind="goods", prefixes=("SL",)),)

    assert parse_scan("]C0SL4711", rules).identifier is None
    assert parse_scan("]C0M4711", rules).identifier is not None


def test_a_rule_may_claim_a_gs1_value_and_a_link() -> None:
    rules = (
        IdentificationRule(name="wallet", kind="wallet", ai="8020", prefixes=("W",)),
        IdentificationRule(name="links", pattern="https://id.shop.example/8018/{code}"),
    )
    wallet = parse_scan("]C14159520123456788" + "8020W77", rules).identifier
    link = parse_scan("]Q1https://id.shop.example/8018/950110153000000014", rules).identifier

    assert wallet is not None
    assert (wallet.kind, wallet.code, wallet.rule) == ("wallet", "W77", "wallet")
    assert link is not None
    assert (link.kind, link.code, link.rule) == ("card", "950110153000000014", "links")


def test_a_payment_card_beside_this_shops_own_number_is_still_one() -> None:
    rule = IdentificationRule(name="cards", pattern="{code} *", prefixes=("601100",))

    scan = parse_scan("6011000990139424 4111111111111111", (rule,))

    assert scan.problems == ("payment_card",)
    assert "4111111111111111" not in str(scan)


@pytest.mark.parametrize(
    "raw",
    [
        "]Q1https://shop.example/pay?card=4111111111111111",
        "]Q1https://shop.example/pay?card=4111%201111%201111%201111",
        "]C189X\x1d4111111111111111",
        "]Q1pan=%34111%201111%201111%201111",
        "4111_1111_1111_1111",
        "]C04111  1111  1111  1111",
        "30569309025904",
        "36006666333344",
        "36006666333310",  # with the check digit of a GTIN-14 too
        "]C100" + "601100099013942400",  # with a wrong check digit for an SSCC
    ],
)
def test_a_payment_card_is_found_wherever_it_hides(raw: str) -> None:
    scan = parse_scan(raw)

    assert scan.problems == ("payment_card",)
    assert "*" in scan.text
    assert scan.gs1 is None
    assert scan.identifier is None


@pytest.mark.parametrize(
    ("raw", "gtin"),
    [
        ("]C10109501101530003" + "21" + "4111111111111111", "9501101530003"),
        ("0109501101530003" + "2199<GS>10" + "4111111111111111", "9501101530003"),
        ("(01)09501101530003(21)4111111111111111", "9501101530003"),
        ("]Q1https://a/01/12312312312333?98=4111+1111+1111+1111", "12312312312333"),
        ("]Q1https://a/01/12312312312333?98=4111111111111111", "12312312312333"),
        ("]Q1https://a/01/12312312312333/10/4111111111111111", "12312312312333"),
    ],
)
def test_goods_with_a_serial_number_like_a_payment_cards_are_goods(raw: str, gtin: str) -> None:
    """Of the number only the ends stay: nobody can tell which of the two it is."""
    scan = parse_scan(raw)

    assert scan.identifier == ScannedIdentifier(kind="gtin", code=gtin)
    assert scan.problems == ("payment_card",)
    assert (scan.text, scan.gs1) == ("411111******1111", None)


@pytest.mark.parametrize(
    "raw",
    [
        "]I136901234567862",
        "]C100" + "601100099013942467",
        "]Q1https://a/01/4006381333931",
        "]C1255" + "4012345000009" + "002",  # a coupon's number and serial
        "]C18003" + "04012345000009" + "02",
        "]C18006" + "56012345678906" + "0101",
    ],
)
def test_numbers_that_gs1_issues_are_no_payment_cards(raw: str) -> None:
    assert "payment_card" not in parse_scan(raw).problems


@given(raw=st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_anything_gives_a_scan(raw: bytes | str) -> None:
    scan = parse_scan(raw)

    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in scan.text.replace("\x1d", ""))
    msgspec.json.encode(scan.document())


@pytest.mark.parametrize("aim", ["]C1", "]d2", "]e0"])
def test_brackets_that_were_encoded_are_no_part_of_a_message(aim: str) -> None:
    scan = parse_scan(f"{aim}(01)09501101530003(10)LOT7")

    assert scan.gs1 == {"01": "09501101530003", "10": "LOT7"}
    assert scan.identifier == ScannedIdentifier(kind="gtin", code="9501101530003")
    assert scan.problems == ("gs1_unparsable",)


@pytest.mark.parametrize(
    ("component", "gs1", "problems"),
    [
        ("]e0", None, ("gs1_unparsable",)),
        ("]e0XYZ", None, ("gs1_unparsable",)),
        ("]e00104006381333931" + "10LOT", {"01": "04006381333931", "10": "LOT"}, ()),
    ],
)
def test_goods_are_goods_whatever_stands_above_them(
    component: str, gs1: dict[str, str] | None, problems: tuple[str, ...]
) -> None:
    for between in ("", "|", "\r\n"):
        scan = parse_scan(f"]E04006381333931{between}{component}")

        assert scan.identifier == ScannedIdentifier(kind="gtin", code="4006381333931")
        assert (scan.symbology, scan.gs1, scan.problems) == ("ean13", gs1, problems)


def test_a_member_named_above_goods_is_one() -> None:
    scan = parse_scan("]E04006381333931|]e08018950110153000000014")

    assert scan.member == MemberCode(kind="card", code="950110153000000014", claimed=False)


@pytest.mark.parametrize("aim", ["]C0", "]Q1", "]d1"])
def test_a_message_without_its_first_fnc1_needs_one_value_more_than_a_gtin(aim: str) -> None:
    assert parse_scan(f"{aim}0109501101530003" + "10LOT7").gs1 == {"01": "09501101530003", "10": "LOT7"}
    assert parse_scan(f"{aim}0109501101530003").gs1 is None
