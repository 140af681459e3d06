"""Points for coming often and for buying often: visits within a window, stamps.

Owns which visits and stamps were used up for which points, so that what is brought back, or voided, takes those points
again. One instance is one member's; nothing here asks a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import UNSET, Struct
from msgspec.structs import replace

from loyalty.entry_rules import numbered
from loyalty.evaluate import check_size
from loyalty.ledger import LedgerEntry
from loyalty.member import Counters
from loyalty.periods import day_of, later
from loyalty.program import Program, StampRule, VisitRule
from loyalty.purchase import QUANTITY_SCALE, Purchase
from loyalty.returns import Returned, is_pending
from loyalty.terms import Rule, terms_of


class Undoing(Struct, frozen=True, kw_only=True):
    """What undoes a sale or a part of it: the receipt under which its entries stand, and what their rules end with.

    With `pending_only` what is pending at its time (`at`) goes, and nothing else.
    """

    receipt: str
    suffix: str = ""
    pending_only: bool = False
    at: datetime | None = None

    def takes(self, entry: LedgerEntry) -> bool:
        return not self.pending_only or is_pending(entry, self.at)

    def of(self, entry: LedgerEntry, points: int, why: str, number: int = 0) -> LedgerEntry:
        """`points` of `entry` taken back; one receipt may undo several of a rule, told apart by `number`."""
        rule = numbered(f"{entry.rule}{self.suffix}", number)
        return replace(entry, receipt=self.receipt, rule=rule, points=-points, reverses=entry.entry_id, why=why)


class Streaks:
    """All visit and stamp rules, for one member. What a rule counted stays when another program changes the rule."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._visits: dict[str, _Visits] = {}
        self._stamps: dict[str, _Stamps] = {}

    def sold(self, sale: Purchase, program: Program) -> list[LedgerEntry]:
        """What a sale gives beside the earn rules."""
        if not program.visits and not program.stamps:
            return []
        visits, stamps = _ready(program)
        given: list[LedgerEntry] = []
        for each in visits:
            card = self._visits.get(each.rule.id)
            if card is None:
                card = self._visits[each.rule.id] = _Visits(each, self._counters)
            given += card.sold(sale, each)
        for stamp in stamps:
            book = self._stamps.get(stamp.rule.id)
            if book is None:
                book = self._stamps[stamp.rule.id] = _Stamps(stamp, self._counters)
            given += book.sold(sale, stamp)
        return given

    @staticmethod
    def check(sale: Purchase, program: Program) -> None:
        """Raises TooManyPointsError where a rule may give more for `sale` than an entry can hold."""
        for rule, pieces in zip(program.stamps, terms_of(program).stamps, strict=True):
            if rule.give is UNSET:
                continue
            full = pieces.basis_of(sale) // QUANTITY_SCALE // rule.every + 1
            check_size(rule.id, full * rule.give.points)

    def returned(self, sale: Purchase, back: Returned, by: Undoing) -> list[LedgerEntry]:
        """What is taken again when a part of a sale comes back."""
        return [entry for card in self._cards() for entry in card.returned(sale, back, by)]

    def voided(self, sale: Purchase, by: Undoing) -> list[LedgerEntry]:
        return [entry for card in self._cards() for entry in card.voided(sale, by)]

    def visits(self, now: datetime) -> dict[str, tuple[datetime, ...]]:
        """The visits of each rule that gave nothing yet, and may still at `now` or later."""
        return (self._counters.visits or {}) | {name: card.open(now) for name, card in self._visits.items()}

    def visited(self) -> dict[str, str]:
        """The newest day that each rule of days counted."""
        newest = {name: day for name, card in self._visits.items() if (day := card.newest_day) is not None}
        return (self._counters.visited or {}) | newest

    def stamps(self) -> dict[str, int]:
        """The stamps of each rule that gave nothing yet: of one that fills cards all, full ones too."""
        return (self._counters.stamps or {}) | {name: book.over for name, book in self._stamps.items()}

    def _cards(self) -> list[_Visits | _Stamps]:
        return [*self._visits.values(), *self._stamps.values()]


class _VisitTerms(Struct, frozen=True, kw_only=True):
    """A visit rule made ready: `goods` are those that make a visit."""

    rule: VisitRule
    time_zone: str
    goods: Rule


class _StampTerms(Struct, frozen=True, kw_only=True):
    """A stamp rule made ready: `pieces` are those that it stamps."""

    rule: StampRule
    pieces: Rule


@lru_cache(maxsize=32)
def _ready(program: Program) -> tuple[tuple[_VisitTerms, ...], tuple[_StampTerms, ...]]:
    """Made once for as long as a program is in use."""
    terms = terms_of(program)
    visits = tuple(
        _VisitTerms(rule=rule, time_zone=program.time_zone, goods=goods)
        for rule, goods in zip(program.visits, terms.visits, strict=True)
    )
    stamps = tuple(
        _StampTerms(rule=rule, pieces=pieces) for rule, pieces in zip(program.stamps, terms.stamps, strict=True)
    )
    return visits, stamps


class _Visit(Struct, frozen=True, kw_only=True):
    """`name` is the receipt, or the day where a day is a visit."""

    at: datetime
    name: str


class _Visits:
    def __init__(self, terms: _VisitTerms, counters: Counters) -> None:
        self._terms = terms
        rule = terms.rule
        earlier = sorted((counters.visits or {}).get(rule.id, ()))
        # Of earlier receipts no key is told; their days are those of their times.
        names = (self._day(at) if rule.per == "day" else f"earlier {at.isoformat()}" for at in earlier)
        self._open = [_Visit(at=at, name=name) for at, name in zip(earlier, names, strict=True)]
        self._receipts: dict[str, set[str]] = {}
        visited = (counters.visited or {}).get(rule.id)
        if rule.per == "day":
            days = {each.name for each in self._open} | ({visited} if visited else set())
            self._receipts = {day: {"earlier"} for day in days}
        self._sold: dict[str, tuple[str, _VisitTerms]] = {}
        self._used: dict[str, tuple[LedgerEntry, list[_Visit]]] = {}

    def open(self, now: datetime) -> tuple[datetime, ...]:
        within, time_zone = self._terms.rule.within, self._terms.time_zone
        return tuple(each.at for each in self._open if now <= later(each.at, within, time_zone))

    @property
    def newest_day(self) -> str | None:
        return max(self._receipts, default=None) if self._terms.rule.per == "day" else None

    def sold(self, sale: Purchase, terms: _VisitTerms) -> Iterator[LedgerEntry]:
        self._terms = terms
        if sale.at is None or terms.goods.basis_of(sale) <= 0:
            return
        rule = terms.rule
        name = self._day(sale.at) if rule.per == "day" else sale.receipt.key
        self._sold[sale.receipt.key] = (name, terms)
        if name not in self._receipts:
            self._open.append(_Visit(at=sale.at, name=name))
        self._receipts.setdefault(name, set()).add(sale.receipt.key)
        streak = self._streak()
        if streak is None:
            return
        matures, gone = sale.times(rule.pending, rule.expires)
        entry = LedgerEntry(
            receipt=sale.receipt.key,
            rule=rule.id,
            points=rule.give.points,
            basis_minor=0,
            pending_until=matures,
            expires_at=gone,
            why=f"{rule.every} visits within {rule.within} = {rule.give.points}",
        )
        self._used[entry.entry_id] = (entry, streak)
        yield entry

    def returned(self, sale: Purchase, back: Returned, by: Undoing) -> Iterator[LedgerEntry]:
        known = self._sold.get(sale.receipt.key)
        if known is not None and _left(known[1].goods, sale, back) <= 0:
            yield from self.voided(sale, by)

    def voided(self, sale: Purchase, by: Undoing) -> Iterator[LedgerEntry]:
        """A visit that is none any more: its place is taken by another, or what it gave goes."""
        known = self._sold.pop(sale.receipt.key, None)
        if known is None:
            return
        name, _ = known
        receipts = self._receipts[name]
        receipts.discard(sale.receipt.key)
        if receipts:
            return
        del self._receipts[name]
        self._open = [visit for visit in self._open if visit.name != name]
        for entry_id, (entry, visits) in list(self._used.items()):
            rest = [visit for visit in visits if visit.name != name]
            if len(rest) == len(visits):
                continue
            if not by.takes(entry):
                # What the day gave stays, so another receipt does not make it a visit again.
                self._receipts[name] = receipts
                return
            self._open += rest
            streak = self._streak()
            if streak is not None:
                self._used[entry_id] = (entry, streak)
                return
            del self._used[entry_id]
            yield by.of(entry, entry.points, f"a visit of {entry_id} was brought back: {entry.points} taken back")

    def _day(self, at: datetime) -> str:
        return day_of(at.astimezone(ZoneInfo(self._terms.time_zone)))

    def _streak(self) -> list[_Visit] | None:
        """So many open visits near enough to one another, the earliest such; they are open no more."""
        self._open.sort(key=lambda visit: (visit.at, visit.name))
        rule = self._terms.rule
        every = rule.every
        for first in range(len(self._open) - every + 1):
            streak = self._open[first : first + every]
            if streak[-1].at <= later(streak[0].at, rule.within, self._terms.time_zone):
                del self._open[first : first + every]
                return streak
        return None


class _Stamps:
    def __init__(self, terms: _StampTerms, counters: Counters) -> None:
        self._rule = terms.rule
        self._stamps = (counters.stamps or {}).get(terms.rule.id, 0)
        self._sold: dict[str, tuple[int, _StampTerms]] = {}
        self._given: list[tuple[LedgerEntry, int]] = []

    @property
    def over(self) -> int:
        return self._stamps if self._rule.give is UNSET else self._stamps % self._rule.every

    def sold(self, sale: Purchase, terms: _StampTerms) -> Iterator[LedgerEntry]:
        if terms.rule.every != self._rule.every:
            self._stamps = self.over  # cards that are full were full under the rule of then
        self._rule = terms.rule
        pieces = terms.pieces.basis_of(sale)
        self._sold[sale.receipt.key] = (pieces, terms)
        full = self._filled(pieces // QUANTITY_SCALE)
        rule = self._rule
        if full <= 0 or rule.give is UNSET:
            return
        points = full * rule.give.points
        matures, gone = sale.times(rule.pending, rule.expires)
        entry = LedgerEntry(
            receipt=sale.receipt.key,
            rule=rule.id,
            points=points,
            basis_minor=0,
            pending_until=matures,
            expires_at=gone,
            why=f"{full} × {rule.every} stamps × {rule.give.points} = {points}, {self._stamps % rule.every} over",
        )
        self._given.append((entry, full))
        yield entry

    def returned(self, sale: Purchase, back: Returned, by: Undoing) -> Iterator[LedgerEntry]:
        known = self._sold.get(sale.receipt.key)
        if known is not None:
            yield from self._taken(sale, _left(known[1].pieces, sale, back), by)

    def voided(self, sale: Purchase, by: Undoing) -> Iterator[LedgerEntry]:
        yield from self._taken(sale, 0, by)

    def _taken(self, sale: Purchase, left: int, by: Undoing) -> Iterator[LedgerEntry]:
        """Points for stamps that are none any more go, the newest first; nothing that comes back makes them more."""
        known = self._sold.get(sale.receipt.key)
        if known is None:
            return
        before, terms = known
        left = min(before, left)
        self._sold[sale.receipt.key] = (left, terms)
        over = -self._filled(left // QUANTITY_SCALE - before // QUANTITY_SCALE)
        number = 0
        while over > 0 and self._given:
            entry, full = self._given.pop()
            gone = min(over, full)
            each = entry.points // full
            if full > gone:
                self._given.append((replace(entry, points=each * (full - gone)), full - gone))
            over -= gone
            if by.takes(entry):
                points = gone * each
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
