"""The last look at a receipt: the quick one says yes only where the receipt can be read back."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from drivers.receipts.pieces import DecodeProblem, checked, is_within_bounds
from loyalty.money import MAX_MINOR
from loyalty.receipt import (
    MAX_ALSO,
    MAX_FOUND_BY_CHARS,
    Discount,
    Fiscal,
    Line,
    MemberReference,
    Original,
    Receipt,
    Tax,
    Tender,
)

LINE = Line(position=1, quantity="1.5", unit_price="2.00", amount_minor=300)
TAX = Tax(rate="20.00", amount_minor=50)
TENDER = Tender(kind="foreign", amount_minor=300, currency="EUR", foreign_minor=3)
SALE = Receipt(
    key="", kind="sale", currency="RSD", total_minor=300, lines=(LINE,), taxes=(TAX,), tenders=(TENDER,),
    discounts=(Discount(amount_minor=1),), issued_at=datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
)  # fmt: skip
AMOUNTS = (0, 1, MAX_MINOR, -MAX_MINOR, MAX_MINOR + 1, -MAX_MINOR - 1, 2**70)
DECIMALS = ("1", "-1.5", "1" * 15, "1" * 16, "1.", ".5", "1 2", "", "١", "1." + "1" * 9, "1." + "1" * 10, "+1")
CURRENCIES = ("RSD", "rsd", "RS", "", "RSDX")


def test_what_is_within_bounds_can_be_read_back() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, within = random.Random(seed), 0
    for _ in range(3_000):
        receipt = _odd(chance)
        if is_within_bounds(receipt):
            within += 1
            msgspec.json.decode(msgspec.json.encode(receipt), type=Receipt)
    assert within > 100


def test_what_is_found_by_too_long_a_text_is_a_problem_of_its_sender() -> None:
    long = "x" * (MAX_FOUND_BY_CHARS + 1)
    for change, where in (
        ({"key": long}, "key"),
        ({"number": long}, "number"),
        ({"fiscal": Fiscal(scheme="rs-purs", number=long)}, "fiscal.number"),
        ({"original": Original(key=long)}, "original.key"),
        ({"original": Original(number=long)}, "original.number"),
        ({"member": MemberReference(code=long)}, "member.code"),
    ):
        found = checked("text", partial(replace, SALE, **change), 3, 9)
        assert isinstance(found, DecodeProblem)
        said = f"`{where}` has more than 255 characters; correct it at the sender"
        assert (found.code, found.detail) == ("out_of_bounds", said)
    just = replace(SALE, number=long[1:], member=MemberReference(code=long[1:]))
    assert checked("text", lambda: just, 3, 9) == just


def test_what_the_centre_would_have_none_of_is_a_problem_of_its_sender() -> None:
    for change, said in (
        ({"also": tuple(f"x:{number}" for number in range(MAX_ALSO + 1))}, "`also` has more than 16 ids"),
        ({"operator": "a\0b"}, "a text holds a NUL"),
        ({"lines": (replace(LINE, description="\\\0"),)}, "a text holds a NUL"),
    ):
        found = checked("text", partial(replace, SALE, **change), 3, 9)
        assert isinstance(found, DecodeProblem)
        assert (found.code, found.detail) == ("out_of_bounds", f"{said}; correct it at the sender")
    just = replace(SALE, also=tuple(f"x:{number}" for number in range(MAX_ALSO)), operator="\\u0000")
    assert checked("text", lambda: just, 3, 9) == just


@pytest.mark.parametrize(
    "change",
    [
        {"total_minor": MAX_MINOR + 1},
        {"lines": (replace(LINE, amount_minor=-MAX_MINOR - 1),)},
        {"lines": (replace(LINE, quantity="1,5"),)},
        {"taxes": (replace(TAX, rate="x"),)},
        {"currency": "rsd"},
        {"tenders": (replace(TENDER, currency="eur"),)},
        {"issued_at": datetime(2026, 11, 22, 9, 0)},  # noqa: DTZ001 - that it has no zone is what is wrong with it
        {"original": Original(issued_at=datetime(2026, 11, 22, 9, 0))},  # noqa: DTZ001
    ],
)
def test_what_is_out_of_bounds_is_a_problem(change: dict[str, Any]) -> None:
    assert is_within_bounds(SALE)
    found = checked("text", lambda: replace(SALE, **change), 3, 9)
    assert isinstance(found, DecodeProblem)
    assert (found.code, found.start, found.end) == ("out_of_bounds", 3, 9)


def test_a_third_partys_types_are_checked_too() -> None:
    # as one may do it whose types nobody checks
    receipt = replace(SALE, store=7)
    assert checked("theirs", lambda: receipt, 0, 1) is receipt
    assert isinstance(checked("theirs", lambda: receipt, 0, 1, is_ours=False), DecodeProblem)


def _odd(chance: random.Random) -> Receipt:
    def amount() -> int:
        return chance.choice(AMOUNTS) if chance.random() < 0.1 else chance.randrange(-500, 500)

    def decimal() -> str:
        return chance.choice(DECIMALS) if chance.random() < 0.2 else f"{chance.randrange(99)}.5"

    def currency() -> str:
        return chance.choice(CURRENCIES) if chance.random() < 0.1 else "EUR"

    lines = tuple(
        replace(LINE, quantity=decimal(), unit_price=decimal(), amount_minor=amount(), discount_minor=amount())
        for _ in range(chance.randrange(3))
    )
    tender = replace(TENDER, amount_minor=amount(), foreign_minor=amount(), currency=currency())
    return replace(
        SALE, lines=lines, taxes=(replace(TAX, rate=decimal(), amount_minor=amount()),), tenders=(tender,),
        total_minor=amount(), change_minor=amount(), rounding_minor=amount(), currency=currency(),
    )  # fmt: skip
