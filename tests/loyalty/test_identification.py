"""Which codes the rules claim, and what becomes of them."""

from __future__ import annotations

import pytest

from loyalty.identification import Claim, IdentificationRule, claimed, normal_code, owns_number


def rule(**fields: object) -> IdentificationRule:
    return IdentificationRule(**{"name": "cards", **fields})  # type: ignore[arg-type]


def claim_of(
    text: str, *rules: IdentificationRule, symbology: str = "unknown", gs1: dict[str, str] | None = None
) -> Claim | None:
    return claimed(rules, symbology=symbology, text=text, gs1=gs1)


def code_of(text: str, *rules: IdentificationRule, symbology: str = "unknown") -> str | None:
    claim = claim_of(text, *rules, symbology=symbology)
    return None if claim is None else claim.code


@pytest.mark.parametrize(
    ("conditions", "fitting", "other"),
    [
        ({"prefixes": ("29", "28")}, ["2912345678906", "28"], ["2712345678901", "129", "", "2"]),
        ({"prefixes": ("m-00",)}, ["M001", "m 00-1"], ["M01"]),
        ({"ranges": (("9000", "9099"),)}, ["9000", "9099123456"], ["9100123456", "8999", "909", "90A0"]),
        ({"ranges": (("10", "12"), ("5000", "5999"))}, ["11", "5123"], ["13", "512", "4999"]),
        ({"prefixes": ("C",), "ranges": (("10", "12"),)}, ["C9", "11"], ["9C", "13"]),
        ({"prefixes": ("1",), "lengths": (3, 5)}, ["123", "12-3", "12345"], ["1234", "12"]),
        ({"symbologies": ("code39", "unknown"), "prefixes": ("1",)}, ["1"], ["2"]),
        ({"pattern": "https://club.example/m/{code}"}, ["HTTPS://Club.example/M/ab-1"], ["https://club.example/m/"]),
        ({"pattern": "TS:{code};"}, ["TS:1;", "ts:12;"], ["TS:1", "TS:;", "TS:1;2", "XTS:1;"]),
        ({"pattern": "TS:{code};*"}, ["TS:1;", "TS:1;2;3", "ts:1;\x1d"], ["TS:1", "TS:;2"]),
        ({"pattern": "x/{code}*"}, ["x/1", "x/1?a=b", "x/1/2", "X/1#<b>"], ["x/", "x/?1", "y/1"]),
        ({"pattern": "x/{code}", "prefixes": ("9",), "lengths": (2,)}, ["x/91"], ["x/81", "x/911", "91"]),
    ],
)
def test_a_code_must_meet_every_condition(conditions: dict[str, object], fitting: list[str], other: list[str]) -> None:
    for text in fitting:
        assert code_of(text, rule(**conditions)), text
    for text in other:
        assert code_of(text, rule(**conditions)) is None, text


def test_the_first_rule_that_fits_wins() -> None:
    badge, card = rule(name="badge", symbologies=("code39",), kind="goods"), rule(name="card", prefixes=("1",))

    first = claim_of("123", badge, card, symbology="code39")
    second = claim_of("123", badge, card, symbology="qr")

    assert first == Claim(rule=badge, code="")
    assert second == Claim(rule=card, code="123")


def test_a_wrong_check_digit_is_a_misread_unless_another_rule_fits() -> None:
    strict, loose = rule(name="ean", prefixes=("29",), check_digit="gs1"), rule(name="old", prefixes=("2",))

    assert claim_of("2912345678906", strict) == Claim(rule=strict, code="2912345678906")
    assert claim_of("2912345678905", strict) == Claim(rule=strict, code="", misread=True)
    assert claim_of("2912345678905", strict, loose) == Claim(rule=loose, code="2912345678905")
    assert claim_of("29A", strict) is None
    assert claim_of("2912345678905", rule(prefixes=("29",), check_digit="gs1", kind="goods")) is None
    assert code_of("7992739 8713", rule(prefixes=("79",), check_digit="luhn")) == "79927398713"
    assert claim_of("79927398714", luhn := rule(prefixes=("79",), check_digit="luhn")) == Claim(
        rule=luhn, code="", misread=True
    )


def test_the_member_code_is_what_the_rule_makes_of_it() -> None:
    assert code_of("2912345678906", rule(prefixes=("29",), drop_leading=2, drop_trailing=1)) == "1234567890"
    assert code_of("12-34", rule(prefixes=("12",), add_leading="c-")) == "C1234"
    assert (
        code_of("041234567", rule(kind="phone", prefixes=("04",), drop_leading=1, add_leading="+386")) == "+38641234567"
    )
    assert code_of("+386 41 234-567", rule(kind="phone", prefixes=("+",))) == "+38641234567"
    assert code_of("41ABC", rule(kind="phone", prefixes=("41",))) is None
    assert code_of("+41", rule(prefixes=("+",))) is None  # a spreadsheet would count with it
    assert code_of("https://club.example/m/ab-12", rule(pattern="https://club.example/m/{code}")) == "AB12"
    assert code_of("ab-12@club", rule(pattern="{code}@club")) == "AB12"
    assert code_of("ab-12@clux", rule(pattern="{code}@club")) is None
    assert code_of("12", rule(prefixes=("12",), drop_leading=1, drop_trailing=1)) is None
    assert code_of("123", rule(prefixes=("12",), drop_trailing=5)) is None


def test_a_code_has_64_characters_at_most_and_may_be_written_with_as_many_spaces() -> None:
    assert code_of("1 " * 64, rule(prefixes=("1",))) == "1" * 64
    assert code_of("1" * 65, rule(prefixes=("1",))) is None


def test_an_application_identifiers_value_is_matched_alone() -> None:
    relation = rule(ai="8018", lengths=(18,), check_digit="gs1")
    gs1 = {"8018": "950110153000000014", "01": "09501101530003"}

    assert claim_of("whatever", relation, gs1=gs1) == Claim(rule=relation, code="950110153000000014")
    assert claim_of("950110153000000014", relation) is None


@pytest.mark.parametrize(
    "text",
    [
        *("m/<script>alert(1)</script>", "m/'; DROP TABLE members", "m/=1", "m/@A1", "m/../etc", "m/1\x1d2", "m/ž"),
        *("m/-", "m/" + "1" * 65, "m/" + "1 " * 100),
    ],
)
def test_what_could_act_somewhere_is_nobodys_code(text: str) -> None:
    assert claim_of(text, rule(pattern="m/{code}")) is None
    assert claim_of(text.removeprefix("m/"), rule(symbologies=("unknown",))) is None


def test_goods_need_no_code() -> None:
    fiscal = rule(kind="goods", pattern="https://suf.purs.gov.rs/*")

    assert claim_of("https://suf.purs.gov.rs/v/?vl=<b>", fiscal) == Claim(rule=fiscal, code="")
    assert claim_of("https://suf.purs.gov.rs", fiscal) is None
    assert claim_of("x", rule(kind="goods", pattern="X")) is not None
    assert claim_of("xy", rule(kind="goods", pattern="X")) is None


CARD = "6011000990139424"


@pytest.mark.parametrize(
    ("conditions", "text", "fixes"),
    [
        ({"prefixes": ("6011",)}, CARD, True),
        ({"prefixes": ("601",)}, CARD, False),
        ({"prefixes": ("6", "6011")}, CARD, True),
        ({"prefixes": ("CLUB",)}, "CLUB" + CARD, False),
        ({"prefixes": ("M6011",)}, "M" + CARD, True),
        ({"ranges": (("6011000000000000", "6011999999999999"),)}, "6011-0009-9013 9424", True),
        ({"ranges": (("6000", "6999"),)}, CARD, False),
        ({"ranges": (("6010", "6019"),)}, CARD, False),
        ({"prefixes": ("6011",), "kind": "goods"}, CARD, True),
        ({"lengths": (16,), "check_digit": "luhn"}, CARD, False),
        ({"prefixes": ("6011",)}, f"6011={CARD}", False),
    ],
)
def test_a_claim_that_fixes_digits_says_so(conditions: dict[str, object], text: str, fixes: bool) -> None:
    claim = claim_of(text, rule(**conditions))

    assert claim is not None
    assert bool(claim.number) is fixes
    assert claim.is_own(CARD) is fixes
    assert not claim.is_own("4111111111111111")
    assert not claim.is_own("")


def test_a_misread_number_is_not_surely_ours() -> None:
    claim = claim_of("6011000990139425", rule(prefixes=("6011",), check_digit="luhn"))

    assert claim is not None
    assert claim.misread
    assert not claim.number


def test_a_number_on_paper_is_ours_as_encoded_and_as_printed() -> None:
    encoded = rule(
        symbologies=("qr",), pattern="m/{code}", prefixes=("996011",), lengths=(19,), drop_leading=2, drop_trailing=1
    )

    assert owns_number((encoded,), f"99{CARD}5")
    assert owns_number((encoded,), CARD)
    assert not owns_number((encoded,), "4111111111111111")
    assert not owns_number((encoded,), f"{CARD}5")
    assert not owns_number((rule(prefixes=("60",)),), CARD)
    assert not owns_number((), CARD)


@pytest.mark.parametrize(
    ("conditions", "encoded"),
    [
        ({"prefixes": ("6011",), "drop_trailing": 1}, f"{CARD}5"),
        ({"prefixes": ("996011",), "drop_leading": 2}, f"99{CARD}"),
        ({"prefixes": ("11000",), "lengths": (14,), "add_leading": "60"}, CARD[2:]),
        ({"ranges": (("996011000000", "996011999999"),), "drop_leading": 2}, f"99{CARD}"),
        # the check digit is that of the whole number, of which what is printed is a part
        ({"prefixes": ("996011",), "drop_leading": 2, "drop_trailing": 1, "check_digit": "luhn"}, f"99{CARD}1"),
        ({"prefixes": ("6011",), "drop_trailing": 1, "check_digit": "gs1"}, f"{CARD}9"),
    ],
)
def test_what_is_dropped_or_added_changes_nothing_of_whose_number_it_is(
    conditions: dict[str, object], encoded: str
) -> None:
    cards = rule(**conditions)

    assert code_of(encoded, cards) == CARD
    assert owns_number((cards,), encoded)
    assert owns_number((cards,), CARD)
    assert not owns_number((cards,), "5" + CARD[1:])


def test_the_normal_form_is_reached_at_once() -> None:
    assert normal_code("m-00 12 ") == "M0012" == normal_code("M0012")


def test_what_is_surely_goods_is_claimed_only_by_a_rule_that_says_how_its_codes_begin() -> None:
    broad, narrow = rule(name="broad", lengths=(13,)), rule(name="narrow", prefixes=("29",), lengths=(13,))

    found = claimed((broad, narrow), symbology="ean13", text="2912345678906", gs1=None, goods=True)

    assert found is not None
    assert found.rule is narrow
    assert claimed((broad,), symbology="ean13", text="2912345678906", gs1=None, goods=True) is None
    ranged = rule(ranges=(("2900", "2999"),))
    assert claimed((ranged,), symbology="ean13", text="2912345678906", gs1=None, goods=True) is not None
