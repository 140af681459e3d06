"""A receipt as rules look at it: its lines, the money they stand for, its time, and what is known of its member.

Owns what the money is that earns. Never says what a rule gives. Each instance is for one evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import UNSET, Meta, Struct, UnsetType

from loyalty.periods import Duration, Expiry, bought_at, expiry, later
from loyalty.receipt import Line, Receipt

# Quantities count in thousandths of a piece, kilogram or litre; what is less than one does not count.
QUANTITY_SCALE: Final = 1_000
# Texts of quantities that are read once; most goods are bought by the piece.
_QUANTITIES: Final = 1_024

Times = tuple[datetime | None, datetime | None]
"""When points mature and when they expire; None for at once, and for never."""


class Basis(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True):
    """What a rule looks at. With scope `quantity` pieces (or kilograms, litres) take the place of minor units.

    `receipt` is all goods; `lines` the same for a source that gives lines, and nothing without them. Discounts on the
    whole receipt, taxes that are not in the lines, and what was paid with points fall on lines by their share.
    """

    scope: Literal["receipt", "lines", "quantity"] = "receipt"
    exclude_tags: Annotated[tuple[str, ...], Meta(max_length=1_000)] = ()
    tax: Literal["included", "excluded"] = "included"
    after_discount: bool = True
    less_points_paid: bool = False


ALL_GOODS: Final = Basis()


class Known(Struct, frozen=True, kw_only=True):
    """What is known of a member when a receipt is evaluated.

    `used` is what each rule gave already in a period: `{"base": {"2026-11-22": 120, "2026-11": 300, "member": 4200}}`.
    """

    tier: str | UnsetType = UNSET
    purchases: int = 0
    birth_month: int | None = None
    segments: frozenset[str] = frozenset()
    used: Mapping[str, Mapping[str, int]] = {}


class Purchase:
    """A sale, or what of it is asked again after a part came back (`basket_minor` is then what remains)."""

    __slots__ = (
        "_bases", "_basket_minor", "_times",
        "at", "goods", "known", "lines", "local", "receipt", "time_zone",
    )  # fmt: skip

    def __init__(self, receipt: Receipt, time_zone: str, known: Known, *, basket_minor: int | None = None) -> None:
        self.receipt = receipt
        self.time_zone = time_zone
        self.known = known
        self.at = bought_at(receipt, time_zone)
        # Its time on the program's clock.
        self.local = None if self.at is None else self.at.astimezone(ZoneInfo(time_zone))
        self.lines: Sequence[Line] = [line for line in receipt.lines if not line.voided]
        self.goods: Sequence[Line] = [line for line in self.lines if line.counts_as == "goods"]
        self._basket_minor = basket_minor
        # Rules of a program mostly share a basis, and times of waiting and of expiry: each is worked out once.
        self._bases: dict[Basis, int] = {}
        self._times: dict[tuple[Duration | UnsetType, Expiry | UnsetType], Times] = {}

    @property
    def clock(self) -> datetime | None:
        """`local` where more than its day is told."""
        by_day_alone = self.receipt.issued_at is UNSET and self.receipt.business_day is not UNSET
        return None if by_day_alone else self.local

    def times(self, pending: Duration | UnsetType, expires: Expiry | UnsetType) -> Times:
        """When points of a rule are confirmed, None for at once, and from when they are gone, None for never."""
        if self.local is None or (pending is UNSET and expires is UNSET):
            return (None, None)
        times = self._times.get((pending, expires))
        if times is None:
            matures = None if pending is UNSET else later(self.local, pending, self.time_zone)
            gone = None if expires is UNSET else expiry(self.local, expires, self.time_zone)
            times = self._times[pending, expires] = (matures, gone)
        return times

    @property
    def basket_minor(self) -> int:
        """Goods after discounts with tax; the total where a source gives no lines."""
        return self.basis_of_goods(ALL_GOODS) if self._basket_minor is None else self._basket_minor

    def basis_of_goods(self, basis: Basis) -> int:
        """The basis over all goods, worked out once."""
        found = self._bases.get(basis)
        if found is None:
            found = self._bases[basis] = self.basis_of(self.goods, basis)
        return found

    def basis_of(self, lines: Sequence[Line], basis: Basis) -> int:
        """What these lines come to, in minor units or thousandths of a piece; signs are the receipt's."""
        if not self.receipt.lines:
            return 0 if basis.scope != "receipt" else self._without_lines(basis)
        if basis.exclude_tags:
            excluded = tagged(lines, frozenset(basis.exclude_tags))
            lines = [line for line, is_out in zip(lines, excluded, strict=True) if not is_out]
        if basis.scope == "quantity":
            return sum(map(thousandths_of, lines))
        money = part = sum([line.amount_minor for line in lines])
        if shared := self._shared(basis):
            is_all = len(lines) == len(self.lines)
            money += shared if is_all else _share(shared, part, sum([line.amount_minor for line in self.lines]))
        if not basis.after_discount:
            money += sum([line.discount_minor for line in lines])
        return money - self._taxes_in(lines) if basis.tax == "excluded" else money

    def _without_lines(self, basis: Basis) -> int:
        """A receipt that says its total alone: discounts are in it, taxes where it tells them."""
        money = self.receipt.total_minor
        if basis.tax == "excluded":
            money -= sum(tax.amount_minor for tax in self.receipt.taxes)
        return money - self._paid_with_points() if basis.less_points_paid else money

    def _shared(self, basis: Basis) -> int:
        """What falls on all lines by their share."""
        shared = 0
        if basis.after_discount and self.receipt.discounts:
            shared -= sum([discount.amount_minor for discount in self.receipt.discounts])
        if basis.tax == "included" and self.receipt.taxes:
            shared += sum([tax.amount_minor for tax in self.receipt.taxes if not tax.included])
        if basis.less_points_paid:
            shared -= self._paid_with_points()
        return shared

    def _paid_with_points(self) -> int:
        return sum(tender.amount_minor for tender in self.receipt.tenders if tender.kind == "points")

    def _taxes_in(self, lines: Sequence[Line]) -> int:
        """The tax in these lines: each row of it is in the lines with its label, or in all where none has it."""
        if len(lines) == len(self.lines):
            return sum([tax.amount_minor for tax in self.receipt.taxes if tax.included])
        total = 0
        for tax in self.receipt.taxes:
            if not tax.included:
                continue
            labelled = [line for line in self.lines if tax.label in line.tax_labels] or self.lines
            among = lines if labelled is self.lines else [line for line in lines if tax.label in line.tax_labels]
            whole = sum(line.amount_minor for line in labelled)
            part = sum(line.amount_minor for line in among)
            total += tax.amount_minor if len(among) == len(labelled) else _share(tax.amount_minor, part, whole)
        return total


def _share(amount: int, part: int, whole: int) -> int:
    """`amount` × part ÷ whole, towards zero; lines that cancel out have no share."""
    if whole == 0:
        return 0
    share = abs(amount * part) // abs(whole)
    return share if (amount * part >= 0) == (whole > 0) else -share


def tags_of(line: Line) -> tuple[str, ...]:
    """What the source said of a line, and what the item map adds."""
    return (*line.tags, *line.mapped.tags) if line.mapped else line.tags


def tagged(lines: Sequence[Line], tags: frozenset[str]) -> list[bool]:
    """For each line whether `tags_of` it has one of these."""
    has_none = tags.isdisjoint
    return [not has_none(line.tags) or (line.mapped is not UNSET and not has_none(line.mapped.tags)) for line in lines]


def thousandths_of(line: Line) -> int:
    """A line's quantity, with the sign of its amount; one where it says none."""
    size = QUANTITY_SCALE if line.quantity is UNSET else _thousandths(line.quantity)
    return -size if line.amount_minor < 0 else size


@lru_cache(maxsize=_QUANTITIES)
def _thousandths(quantity: str) -> int:
    whole, _, fraction = quantity.lstrip("-").partition(".")
    return int(whole + f"{fraction}000"[:3])
