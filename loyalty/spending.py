"""Points that were spent: of which lots they are, and the ledger entries that say so.

Owns that arithmetic. A redemption takes points of lots, those that expire soonest first, and its entries carry the
times of these, so that what comes back goes where it came from. Never says whether points may be spent
(`loyalty.allowances` does).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from loyalty.entry_rules import numbered, spent_rule
from loyalty.ledger import LedgerEntry
from loyalty.receipt import AwareDatetime


class LotPart(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Points of one lot: of all that expires at one moment, or never."""

    points: int
    expires_at: AwareDatetime | None = None


class Spending(Struct, frozen=True, kw_only=True):
    """The points of one redemption. `redemption` is its permanent id; `what` is the reward, given so many `times`."""

    redemption: str
    what: str
    parts: tuple[LotPart, ...]
    times: int = 1

    @property
    def points(self) -> int:
        return sum(part.points for part in self.parts)


def spent_entries(spending: Spending, receipt: str, basis: int) -> tuple[LedgerEntry, ...]:
    """The entries of a redemption on the sale with the key `receipt`, of which returns bring back their share.

    `basis` is what the goods of the sale came to, in minor units; of a piece that was given, its thousandths.
    """
    return tuple(
        LedgerEntry(
            receipt=receipt,
            rule=numbered(spent_rule(spending.redemption), number),
            points=-part.points,
            basis_minor=max(1, basis),
            expires_at=part.expires_at,
            why=f"{part.points} spent on {spending.what}",
        )
        for number, part in enumerate(spending.parts)
    )


def free_lots(
    entries: Iterable[LedgerEntry], as_of: datetime, held: Mapping[datetime | None, int] | None = None
) -> tuple[LotPart, ...]:
    """What may be spent at `as_of`, by lot, in the order in which it expires.

    `held` is what is set aside of each lot. What a member owes is taken of what expires soonest.
    """
    lots: Counter[datetime | None] = Counter()
    for entry in entries:
        if entry.pending_until is None or entry.pending_until <= as_of:
            lots[_utc(entry.expires_at)] += entry.points
    for expires_at, points in (held or {}).items():
        lots[_utc(expires_at)] -= points
    owed = -sum(points for points in lots.values() if points < 0)
    live = [
        LotPart(points=points, expires_at=expires_at)
        for expires_at, points in lots.items()
        if points > 0 and (expires_at is None or expires_at > as_of)
    ]
    live.sort(key=lambda lot: (lot.expires_at is None, lot.expires_at or as_of))
    return beyond(live, owed)


def taken_of(lots: Sequence[LotPart], points: int) -> tuple[LotPart, ...]:
    """So many points of these lots, the first ones first; what they lack is of no lot, and never expires."""
    parts = []
    for lot in lots:
        if points <= 0:
            break
        parts.append(LotPart(points=min(points, lot.points), expires_at=lot.expires_at))
        points -= parts[-1].points
    if points > 0:
        parts.append(LotPart(points=points))
    return tuple(parts)


def beyond(lots: Iterable[LotPart], taken: int) -> tuple[LotPart, ...]:
    """What is left of lots once so much was taken of the first ones."""
    left = []
    for lot in lots:
        off = min(taken, lot.points)
        taken -= off
        if off < lot.points:
            left.append(LotPart(points=lot.points - off, expires_at=lot.expires_at))
    return tuple(left)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
