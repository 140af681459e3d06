"""Lines that take back others of their receipt: a piece that was cancelled, a price put right, a bottle returned.

Owns what is left of the other lines by them, and how many pieces. Never says what anything earns, nor what comes off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from loyalty.purchase import QUANTITY_SCALE, thousandths_of
from loyalty.receipt import Line, LineKind


class Kept(Struct, kw_only=True):
    """A line above zero with what is left of it, in minor units and in pieces."""

    line: Line
    amount_minor: int
    pieces: int


def net(lines: Sequence[Line]) -> tuple[list[Kept], Counter[LineKind]]:
    """The lines above zero in order, without what lines below zero took back of them; and what those take besides.

    A line below zero is for the same goods above it, the newest first, then for those below it. What no line of its
    goods bears is told by its kind, in minor units, and is for all of them to bear; it may be more than they have left.
    """
    kept = [Kept(line=line, amount_minor=line.amount_minor, pieces=pieces_of(line)) for line in lines]
    rest = Counter[LineKind]()
    for place, taking in enumerate(lines):
        if taking.amount_minor < 0:
            rest[taking.counts_as] += _take_back(taking, [*reversed(kept[:place]), *kept[place + 1 :]])
    return [one for one in kept if one.line.amount_minor > 0], rest


def pieces_of(line: Line) -> int:
    """How many pieces a line is of; goods by weight, and what says no whole number, are one."""
    count, part = divmod(abs(thousandths_of(line)), QUANTITY_SCALE)
    return count if count > 0 and part == 0 else 1


def _take_back(taking: Line, others: Sequence[Kept]) -> int:
    """What is left of the line below zero, in minor units, once all lines of the same goods gave what they have."""
    minor, pieces = -taking.amount_minor, pieces_of(taking)
    for one in _of_same_goods(taking, others):
        taken = min(minor, one.amount_minor)
        # A price that is put right takes money alone.
        gone = min(pieces, taken * one.pieces // one.amount_minor)
        one.amount_minor -= taken
        one.pieces = max(1, one.pieces - gone) if one.amount_minor else 0
        minor, pieces = minor - taken, pieces - gone
    return minor


def _of_same_goods(taking: Line, others: Sequence[Kept]) -> Iterator[Kept]:
    return (one for one in others if one.amount_minor > 0 and _are_same(taking, one.line))


def _are_same(one: Line, other: Line) -> bool:
    if one.sku and other.sku:
        return one.sku == other.sku
    if one.gtin and other.gtin:
        return one.gtin == other.gtin
    return bool(one.description) and (one.description, one.tax_labels) == (other.description, other.tax_labels)
