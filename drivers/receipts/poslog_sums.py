"""Which reading of a POSLog's amounts adds up to its total.

Registers mean different things by the same elements: an extended amount with or without the discounts of its line, a
discount on the receipt beside its shares in the lines, a tax in the prices or on top. The standard leaves it open, so
the receipt's own total decides. Owns that choice; where no reading adds up it takes the likeliest, and
`loyalty.reconcile` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from drivers.receipts.poslog_lines import Goods
from loyalty.receipt import Discount, Line, Tax

# What is still to be taken off the extended amounts, and whether discounts on the receipt stand beside them.
_Less = Literal["nothing", "own", "all"]
_Reading = tuple[_Less, bool]
_NET_FIRST: Final[tuple[_Reading, ...]] = (
    ("nothing", True), ("nothing", False), ("own", True), ("all", False), ("all", True),
)  # fmt: skip
_GROSS_FIRST: Final[tuple[_Reading, ...]] = (
    ("own", True), ("all", False), ("all", True), ("nothing", True), ("nothing", False),
)  # fmt: skip


class Settled(Struct, frozen=True, kw_only=True):
    """Amounts in the contract's sense. `rounding_minor` is what the total holds of it."""

    lines: tuple[Line, ...]
    discounts: tuple[Discount, ...]
    taxes: tuple[Tax, ...]
    rounding_minor: int


def settled(
    goods: Sequence[Goods], discounts: tuple[Discount, ...], taxes: tuple[Tax, ...], rounding_minor: int, total: int
) -> Settled:
    """The first reading that makes `total`, or else comes within a minor unit a line, or else the likeliest."""
    counted = [each for each in goods if not each.line.voided]
    extended = sum([each.line.amount_minor for each in counted])
    lowered = [each for each in counted if each.all_discount_minor]
    off = {
        "nothing": 0,
        "own": sum([each.own_discount_minor for each in counted]),
        "all": sum([each.all_discount_minor for each in lowered]),
    }
    on_receipt = sum([discount.amount_minor for discount in discounts])
    voided = sum([each.line.amount_minor for each in goods if each.line.voided and each.line.amount_minor < 0])

    def beyond_total(choice: _Choice) -> int:
        (less, beside), taxed, rounded, reverses = choice
        on_top = sum([tax.amount_minor for tax in taxed if not tax.included])
        made = extended - off[less] - (on_receipt if beside else 0) + on_top + rounded + (voided if reverses else 0)
        return abs(made - total)

    readings = _GROSS_FIRST if lowered and all(each.is_gross for each in lowered) else _NET_FIRST
    likeliest = (readings[0], _likeliest_taxes(goods, taxes), rounding_minor, False)
    if beyond_total(likeliest) == 0:
        return _made(goods, discounts, likeliest)
    choices = _choices(likeliest, readings, taxes, reversals=bool(voided))
    for tolerance in (0, len(goods)):
        for choice in choices:
            if beyond_total(choice) <= tolerance:
                return _made(goods, discounts, choice)
    return _made(goods, discounts, likeliest)


_Choice = tuple[_Reading, tuple[Tax, ...], int, bool]


def _choices(
    likeliest: _Choice, readings: Sequence[_Reading], taxes: tuple[Tax, ...], *, reversals: bool
) -> list[_Choice]:
    """Every reading, those first that differ least from the likeliest of each kind."""
    _, likeliest_taxes, rounding_minor, _ = likeliest
    taxed = list(dict.fromkeys((likeliest_taxes, taxes, _all(taxes, included=True), _all(taxes, included=False))))
    roundings = (rounding_minor, 0) if rounding_minor else (0,)
    kinds = (readings, taxed, roundings, (False, True) if reversals else (False,))
    places = sorted(product(*(range(len(kind)) for kind in kinds)), key=sum)
    return [(readings[a], taxed[b], roundings[c], bool(d)) for a, b, c, d in places]


def _likeliest_taxes(goods: Sequence[Goods], taxes: tuple[Tax, ...]) -> tuple[Tax, ...]:
    """The taxes in the prices or on top: as the prices say, or else as each tax says."""
    said = next((each.tax_in_price for each in goods if each.tax_in_price is not None), None)
    return taxes if said is None else _all(taxes, included=said)


def _all(taxes: tuple[Tax, ...], *, included: bool) -> tuple[Tax, ...]:
    return tuple(replace(tax, included=included) for tax in taxes)


def _made(goods: Sequence[Goods], discounts: tuple[Discount, ...], choice: _Choice) -> Settled:
    (less, beside), taxes, rounding, reverses = choice
    lines = []
    for each in goods:
        if not (each.line.voided or each.own_discount_minor or each.all_discount_minor or each.hidden_discount_minor):
            lines.append(each.line)
            continue
        off = 0 if less == "nothing" else each.own_discount_minor if less == "own" else each.all_discount_minor
        amount = each.line.amount_minor - off
        told = each.own_discount_minor if beside and less != "all" else each.all_discount_minor
        discount = told if each.states_discount else each.hidden_discount_minor
        voided = each.line.voided and not (reverses and each.line.amount_minor < 0)
        if off or discount or voided != each.line.voided:
            lines.append(replace(each.line, amount_minor=amount, discount_minor=discount, voided=voided))
        else:
            lines.append(each.line)
    return Settled(lines=tuple(lines), discounts=discounts if beside else (), taxes=taxes, rounding_minor=rounding)
