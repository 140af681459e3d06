"""Payment card numbers never reach what is stored; everything else does."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from agent.card_numbers import masked_receipt, masked_text
from loyalty.identification import IdentificationRule
from loyalty.identity import identified, identity_keys, key_of, rs_purs
from loyalty.pan import first_pan
from loyalty.receipt import (
    Discount,
    Fiscal,
    Issuer,
    Line,
    MemberReference,
    Original,
    Problem,
    Receipt,
    Tax,
    Tender,
)
from tests.loyalty.receipts import receipts_in

CARD = "4111111111111111"
MASKED = "411111******1111"
CARDS = ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "3530111333300000"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4111111111111111", "411111******1111"),
        ("VISA 4111 1111 1111 1111 OK", "VISA 4111 11** **** 1111 OK"),
        ("4111-1111-1111-1111", "4111-11**-****-1111"),
        ("%B4111111111111111^DOE/J^2512", "%B411111******1111^DOE/J^2512"),
        (";4111111111111111=25121010000", ";411111******1111=25121010000"),
        ("12 4111 1111 1111 1111", "12 4111 11** **** 1111"),
        ("378282246310005 and 5555555555554444", "378282*****0005 and 555555******4444"),
    ],
)
def test_a_card_number_is_masked_and_nothing_around_it(text: str, masked: str) -> None:
    assert masked_text(text) == masked


@pytest.mark.parametrize(
    "text", ["8600000000001", "4006381333931", "4111111111111112", "746DUV64-746DUV64-16898", "1.234,56", "24" * 20, ""]
)
def test_what_is_no_card_number_stays(text: str) -> None:
    assert masked_text(text) == text


@given(st.text(alphabet="0123456789 -.ab\n", max_size=80))
def test_masking_twice_is_masking_once_and_keeps_the_length(text: str) -> None:
    once = masked_text(text)

    assert len(once) == len(text)
    assert masked_text(once) == once


def test_no_receipt_keeps_a_full_number() -> None:
    seed = 13
    chance = random.Random(seed)
    for _ in range(200):
        card = chance.choice(CARDS)
        receipt = Receipt(
            key="k",
            kind="sale",
            currency="EUR",
            total_minor=100,
            number=str(chance.randrange(10**6)),
            lines=(Line(position=1, amount_minor=100, description=f"gift {card}", gtin="8600000000001"),),
            tenders=(Tender(kind="card", amount_minor=100, description=f"VISA {card}"),),
        )

        masked = masked_receipt(receipt)

        assert card not in str(masked), f"seed {seed}"
        assert (masked.total_minor, masked.number, masked.lines[0].gtin) == (100, receipt.number, "8600000000001")


@given(st.text(alphabet="0123456789 -.ab\n٤", max_size=80))
def test_masking_and_scanning_find_the_same_numbers(text: str) -> None:
    assert (masked_text(text) != text) is (first_pan(text) is not None)


def test_every_text_of_a_receipt_is_searched() -> None:
    # given a card number wherever a text can stand
    filled = Receipt(
        key=CARD,
        also=(f"pos:1/2/2026-11-22/{CARD}", f"other:{CARD}"),
        source=CARD,
        kind="sale",
        store=CARD,
        register=CARD,
        number=CARD,
        operator=CARD,
        currency="EUR",
        total_minor=100,
        lines=(
            Line(
                position=1,
                description=CARD,
                gtin=CARD,
                sku=CARD,
                unit=CARD,
                quantity="378282246310005",
                unit_price="378282246310005.00",
                amount_minor=100,
                tax_labels=(CARD,),
                tags=(CARD,),
            ),
        ),
        discounts=(Discount(description=CARD, amount_minor=0),),
        taxes=(Tax(label=CARD, name=CARD, rate="378282246310005", amount_minor=0),),
        tenders=(Tender(kind="card", description=CARD, amount_minor=100),),
        fiscal=Fiscal(
            scheme="rs-purs",
            counter=CARD,
            buyer_kind=CARD,
            issuer=Issuer(tin=CARD, name=CARD, location_id=CARD, location_name=CARD, address=CARD, city=CARD),
        ),
        original=Original(key=CARD, number=CARD, store=CARD, register=CARD),
        member=MemberReference(code=CARD),
        problems=(Problem(code="x", detail=CARD),),
    )

    # when
    masked = masked_receipt(filled)

    # then none is left, and what is kept can be read back
    text = msgspec.json.encode(masked).decode()
    assert first_pan(text) is None
    assert text.count(MASKED) == 31
    assert receipts_in(f'{{"receipts":[{text}]}}'.encode()) == (masked,)
    assert masked.total_minor == 100


@pytest.mark.parametrize("code", [CARD, "4111 1111 1111 1111", f"%B{CARD}^DOE/J^2512"])
def test_a_member_reference_that_is_a_payment_card_is_dropped_and_said(code: str) -> None:
    receipt = Receipt(key="k", kind="sale", currency="EUR", total_minor=1, member=MemberReference(code=code))

    masked = masked_receipt(receipt)

    assert masked.member is UNSET
    assert [problem.code for problem in masked.problems] == ["payment_card"]


def test_a_receipt_without_card_numbers_stays_as_it_is() -> None:
    receipt = identified(
        Receipt(
            key="",
            kind="sale",
            currency="EUR",
            total_minor=1,
            store="12",
            register="3",
            number="4711",
            lines=(Line(position=1, amount_minor=1, gtin="38520000023239", quantity="1.250"),),
            member=MemberReference(code="TS1001"),
            original=Original(key="41111111-1111-4111-8111-111111111111"),
        ),
        b"job",
    )

    assert masked_receipt(receipt) == receipt


def test_a_number_that_is_a_card_number_names_the_receipt_masked() -> None:
    # given
    facts = {"kind": "sale", "currency": "EUR", "total_minor": 1, "store": "12", "register": "3"}
    day = receipts_in(
        msgspec.json.encode({"receipts": [{"key": "", "business_day": "2026-11-22", "number": CARD, **facts}]})
    )[0]
    sale = identified(day, b"job")
    grouped = identified(replace(day, number="4111 1111 1111 1111"), b"job")

    # when
    masked = masked_receipt(sale)

    # then its key cannot be guessed back from the number it hides
    assert masked.number == MASKED
    assert masked.key == identified(replace(day, number=MASKED), b"job").key
    assert masked_receipt(masked) == masked
    assert masked_receipt(grouped).key not in identity_keys(grouped)

    # and a fiscal number still comes first
    fiscal = identified(replace(day, fiscal=Fiscal(scheme="rs-purs", number="ABCD1234-ABCD1234-7")), b"job")
    kept = masked_receipt(fiscal)
    assert kept.key == fiscal.key == key_of(rs_purs("ABCD1234-ABCD1234-7"))
    assert kept.also == (f"pos:12/3/2026-11-22/{MASKED.replace('*', '%2A')}",)


def test_what_an_authority_gave_stays_whatever_it_looks_like() -> None:
    zki = f"a{CARD}bcdefabcdefabcd"
    receipt = identified(
        Receipt(
            key="",
            kind="sale",
            currency="EUR",
            total_minor=1,
            fiscal=Fiscal(scheme="hr-fisk", number=zki, verification_url=f"https://porezna.gov.hr/rn?zki={zki}"),
            also=("hr-jir:41111111-1111-4111-8111-111111111111",),
        ),
        b"job",
    )

    assert masked_receipt(receipt) == receipt


OWN = "6011000990139424"
RULES = (IdentificationRule(name="club", ranges=(("601100", "601100"),), lengths=(16,), check_digit="luhn"),)


def test_the_shops_own_cards_are_no_payment_cards() -> None:
    text = f"CLUB {OWN} VISA {CARD}"

    assert masked_text(text, RULES) == f"CLUB {OWN} VISA {MASKED}"
    assert OWN not in masked_text(text)


def test_a_member_whose_card_looks_like_a_payment_card_keeps_the_points() -> None:
    receipt = Receipt(
        key="k",
        kind="sale",
        currency="EUR",
        total_minor=1,
        number=OWN,
        tenders=(Tender(kind="card", amount_minor=1, description=f"VISA {CARD}"),),
        member=MemberReference(code=OWN),
    )

    masked = masked_receipt(receipt, RULES)

    assert masked.member == receipt.member
    assert (masked.number, masked.problems) == (OWN, ())
    assert masked.tenders[0].description == f"VISA {MASKED}"
    assert masked_receipt(receipt).member is UNSET


@pytest.mark.parametrize(
    "rule",
    [
        IdentificationRule(name="broad", prefixes=("41",)),  # would let an issuer through
        IdentificationRule(name="lengths", lengths=(16,), check_digit="luhn"),
        IdentificationRule(name="longer", prefixes=("4111",), lengths=(18,)),
    ],
)
def test_a_rule_that_does_not_surely_mean_it_lets_nothing_through(rule: IdentificationRule) -> None:
    assert masked_text(CARD, (rule,)) == MASKED


@pytest.mark.parametrize("blank", ["", " ", "-", "- -"])
def test_a_member_code_that_is_blank_is_nobodys(blank: str) -> None:
    sold = identified(Receipt(key="", kind="sale", number="1", currency="EUR", total_minor=1), b"")

    assert masked_receipt(replace(sold, member=MemberReference(code=blank))) == sold
