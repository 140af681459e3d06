"""Points for coming often and for buying often: visits within a window, stamps.

Owns which visits and stamps were used up for which points, so that what is brought back, or voided, takes those points
again. One instance is one member's; nothing here asks a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from loyalty.ledger import LedgerEntry
from loyalty.member import Counters
from loyalty.periods import later
from loyalty.program import Program, StampRule, VisitRule
from loyalty.purchase import QUANTITY_SCALE, Purchase
from loyalty.returns import Returned
from loyalty.terms import Rule, terms_of


class Undoing(Struct, frozen=True, kw_only=True):
    """What undoes a sale or a part of it: the receipt under which its entries stand, and what their rules end with.

    Where only pending points go, `pending_at` is the time at which they have to be.
    """

    receipt: str
    suffix: str = ""
    pending_at: datetime | None = None

    def takes(self, entry: LedgerEntry) -> bool:
        if self.pending_at is None:
            return True
        return entry.pending_until is not None and self.pending_at < entry.pending_until

    def of(self, entry: LedgerEntry, points: int, why: str, number: int = 0) -> LedgerEntry:
        """`points` of `entry` taken back; one receipt may undo several of a rule, told apart by `number`."""
        rule = f"{entry.rule}{self.suffix}" + (f"/{number}" if number else "")
        return replace(entry, receipt=self.receipt, rule=rule, points=-points, reverses=entry.entry_id, why=why)


class Streaks:
    """All visit and stamp rules of a program, for one member."""

    def __init__(self, program: Program, counters: Counters) -> None:
        terms, visits, stamps = terms_of(program), counters.visits or {}, counters.stamps or {}
        self._cards: list[_Visits | _Stamps] = [
            *(
                _Visits(rule, goods, program.time_zone, visits.get(rule.id, ()))
                for rule, goods in zip(program.visits, terms.visits, strict=True)
            ),
            *(
                _Stamps(rule, pieces, stamps.get(rule.id, 0))
                for rule, pieces in zip(program.stamps, terms.stamps, strict=True)
            ),
        ]

    def sold(self, sale: Purchase) -> list[LedgerEntry]:
        """What a sale gives beside the earn rules."""
        return [entry for card in self._cards for entry in card.sold(sale)]

    def returned(self, sale: Purchase, back: Returned, by: Undoing) -> list[LedgerEntry]:
        """What is taken again when a part of a sale comes back."""
        return [entry for card in self._cards for entry in card.returned(sale, back, by)]

    def voided(self, sale: Purchase, by: Undoing) -> list[LedgerEntry]:
        return [entry for card in self._cards for entry in card.voided(sale, by)]


class _Visit(Struct, frozen=True, kw_only=True):
    """`name` is the receipt, or the day where a day is a visit."""

    at: datetime
    name: str


class _Visits:
    def __init__(self, rule: VisitRule, goods: Rule, time_zone: str, earlier: tuple[datetime, ...]) -> None:
        self._rule = rule
        self._goods = goods
        self._time_zone = time_zone
        self._open = [_Visit(at=at, name=f"earlier {at.isoformat()}") for at in sorted(earlier)]
        self._receipts: dict[str, set[str]] = {}
        self._used: dict[str, tuple[LedgerEntry, list[_Visit]]] = {}

    def sold(self, sale: Purchase) -> Iterator[LedgerEntry]:
        if sale.at is None or self._goods.basis_of(sale) <= 0:
            return
        name = self._name_of(sale)
        known = self._receipts.setdefault(name, set())
        known.add(sale.receipt.key)
        if len(known) == 1:
            self._open.append(_Visit(at=sale.at, name=name))
        streak = self._streak()
        if streak is None:
            return
        rule = self._rule
        entry = LedgerEntry(
            receipt=sale.receipt.key,
            rule=rule.id,
            points=rule.give.points,
            basis_minor=0,
            pending_until=sale.matures(rule.pending),
            expires_at=sale.expires(rule.expires),
            why=f"{rule.every} visits within {rule.within} = {rule.give.points}",
        )
        self._used[entry.entry_id] = (entry, streak)
        yield entry

    def returned(self, sale: Purchase, back: Returned, by: Undoing) -> Iterator[LedgerEntry]:
        if _left(self._goods, sale, back) <= 0:
            yield from self.voided(sale, by)

    def voided(self, sale: Purchase, by: Undoing) -> Iterator[LedgerEntry]:
        """A visit that is none any more: its place is taken by another, or what it gave goes."""
        if sale.at is None:
            return
        name = self._name_of(sale)
        receipts = self._receipts.get(name, set())
        if sale.receipt.key not in receipts:
            return
        receipts.discard(sale.receipt.key)
        if receipts:
            return
        del self._receipts[name]
        self._open = [visit for visit in self._open if visit.name != name]
        for entry_id, (entry, visits) in list(self._used.items()):
            rest = [visit for visit in visits if visit.name != name]
            if len(rest) == len(visits) or not by.takes(entry):
                continue
            self._open += rest
            streak = self._streak()
            if streak is not None:
                self._used[entry_id] = (entry, streak)
                return
            del self._used[entry_id]
            yield by.of(entry, entry.points, f"a visit of {entry_id} was brought back: {entry.points} taken back")

    def _name_of(self, sale: Purchase) -> str:
        return f"{sale.local:%Y-%m-%d}" if self._rule.per == "day" else sale.receipt.key

    def _streak(self) -> list[_Visit] | None:
        """So many open visits near enough to one another, the earliest such; they are open no more."""
        self._open.sort(key=lambda visit: (visit.at, visit.name))
        every = self._rule.every
        for first in range(len(self._open) - every + 1):
            streak = self._open[first : first + every]
            if streak[-1].at <= later(streak[0].at, self._rule.within, self._time_zone):
                del self._open[first : first + every]
                return streak
        return None


class _Stamps:
    def __init__(self, rule: StampRule, pieces: Rule, earlier: int) -> None:
        self._rule = rule
        self._pieces = pieces
        self._stamps = earlier
        self._sold: dict[str, int] = {}
        self._given: list[tuple[LedgerEntry, int]] = []

    def sold(self, sale: Purchase) -> Iterator[LedgerEntry]:
        pieces = self._pieces.basis_of(sale)
        self._sold[sale.receipt.key] = pieces
        full = self._filled(pieces // QUANTITY_SCALE)
        if full <= 0:
            return
        rule, points = self._rule, full * self._rule.give.points
        entry = LedgerEntry(
            receipt=sale.receipt.key,
            rule=rule.id,
            points=points,
            basis_minor=0,
            pending_until=sale.matures(rule.pending),
            expires_at=sale.expires(rule.expires),
            why=f"{full} × {rule.every} stamps × {rule.give.points} = {points}, {self._stamps % rule.every} over",
        )
        self._given.append((entry, full))
        yield entry

    def returned(self, sale: Purchase, back: Returned, by: Undoing) -> Iterator[LedgerEntry]:
        yield from self._taken(sale, _left(self._pieces, sale, back), by)

    def voided(self, sale: Purchase, by: Undoing) -> Iterator[LedgerEntry]:
        yield from self._taken(sale, 0, by)

    def _taken(self, sale: Purchase, left: int, by: Undoing) -> Iterator[LedgerEntry]:
        """Points for stamps that are none any more go, the newest first."""
        before = self._sold.get(sale.receipt.key, 0)
        self._sold[sale.receipt.key] = left
        over = -self._filled(left // QUANTITY_SCALE - before // QUANTITY_SCALE)
        number = 0
        while over > 0:
            entry, full = self._given.pop()
            gone = min(over, full)
            if full > gone:
                self._given.append((entry, full - gone))
            over -= gone
            if by.takes(entry):
                points = gone * self._rule.give.points
                why = f"{gone} × {self._rule.every} stamps brought back: {points} taken back"
                yield by.of(entry, points, why, number)
                number += 1

    def _filled(self, more: int) -> int:
        """How many cards more are full after so many stamps more; fewer where that is negative."""
        before = self._stamps // self._rule.every
        self._stamps += more
        return self._stamps // self._rule.every - before


def _left(rule: Rule, sale: Purchase, back: Returned) -> int:
    """What still counts of a sale, now that thresholds are asked of what remains of it."""
    if back.is_whole:
        return 0
    left = max(0, rule.basis_of(sale) - back.basis_of(rule))
    return left - back.lost(rule, left)
