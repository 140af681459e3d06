"""Payment card numbers never reach what is stored; everything else does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.card_numbers import masked_bytes, masked_receipt, masked_text
from loyalty.receipt import Line, Receipt, Tender

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
    assert masked_bytes(b"\x1b@" + text.encode() + b"\xe8\n") == b"\x1b@" + masked.encode() + b"\xe8\n"


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
