"""The one order in which a member's receipts, returns and events count: (time, key), whatever order they came in.

Owns what the ledger of a member should hold. Never reads one (`loyalty.corrections` says what to append), and never
asks a clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct

from loyalty.entry_rules import EXCHANGED
from loyalty.evaluate import earns
from loyalty.events import Happened
from loyalty.exchange import parts_of
from loyalty.fold import Fold
from loyalty.history import Facts, scope_of
from loyalty.ledger import LedgerEntry
from loyalty.program import Program
from loyalty.receipt import Receipt
from loyalty.schedule import in_force_at, judged_at
from loyalty.spending import Spending

Position = tuple[datetime, str]
"""Where something stands in the order: its moment in UTC and its key."""


class Holding(Protocol):
    """A program, its hash, and from when it holds."""

    @property
    def valid_from(self) -> datetime | None: ...
    @property
    def hash(self) -> str: ...
    @property
    def program(self) -> Program: ...


class KnownFacts(Struct, frozen=True, kw_only=True):
    """What was told of a member by people, from `valid_from` on."""

    valid_from: datetime | None = None
    facts: Facts


class Seen(Struct, frozen=True, kw_only=True):
    """A receipt that bears on a member, and when it came, which is its time where it has none.

    `sells` says that its sale is this member's; `original` is the key of the sale of theirs that it gives back.
    `promised` are the points that a till printed, where they are to be kept.
    """

    receipt: Receipt
    seen_at: datetime
    sells: bool = True
    original: str | None = None
    promised: tuple[LedgerEntry, ...] = ()

    @property
    def position(self) -> Position:
        return position_of(self.receipt, self.seen_at)


class Spent(Struct, frozen=True, kw_only=True):
    """Points that a member spent at `at` on the sale with the key `receipt`, and the hash of the program then."""

    receipt: str
    at: datetime
    spending: Spending
    program: str


class Wanted(Struct, frozen=True, kw_only=True):
    """An entry that the ledger should hold, and the hash of the program that gives it."""

    entry: LedgerEntry
    program: str


class Canonical(Struct, frozen=True, kw_only=True):
    """A member's receipts folded in order. `last` is the position of the newest; `fold` may go on from there."""

    wanted: tuple[Wanted, ...]
    fold: Fold
    last: Position | None


def position_of(receipt: Receipt, seen_at: datetime) -> Position:
    return (judged_at(receipt) or seen_at).astimezone(UTC), receipt.key


def canonical(
    seen: Iterable[Seen],
    happened: Iterable[Happened],
    schedule: Sequence[Holding],
    known: Sequence[KnownFacts],
    spent: Iterable[Spent] = (),
) -> Canonical:
    """What all of a member's receipts and events give; `schedule` and `known` are in order of time.

    Each is judged by the program and the facts of its own time, a return by the program of its sale. A return that
    stands before its sale counts right after it; one whose sale earns nothing takes nothing. What was `spent` on one of
    the sales that are seen comes right behind it; anything else spent stands at its own time.
    """
    folding = _Folding(schedule, known)
    moments: list[tuple[Position, Seen | Happened | Spent]] = [(each.position, each) for each in seen]
    own = {one.receipt.key for _, one in moments if isinstance(one, Seen) and one.sells}
    for one in sorted(spent, key=lambda one: (one.at, one.spending.redemption)):
        if one.receipt in own:
            folding.spent_on[one.receipt].append(one)
        else:
            moments.append(((one.at.astimezone(UTC), one.spending.redemption), one))
    moments += [((each.at.astimezone(UTC), each.key), each) for each in happened]
    moments.sort(key=lambda moment: moment[0])
    for position, each in moments:
        match each:
            case Seen():
                folding.receipt(each, position[0])
            case Spent():
                folding.spend(each)
            case _:
                folding.event(each)
    return Canonical(wanted=tuple(folding.wanted), fold=folding.fold, last=moments[-1][0] if moments else None)


class _Folding:
    def __init__(self, schedule: Sequence[Holding], known: Sequence[KnownFacts]) -> None:
        self._schedule = schedule
        self._known = known
        self._waiting: dict[str, list[tuple[Receipt, bool]]] = defaultdict(list)
        self._judged_by: dict[str, str] = {}
        self.fold = Fold(scope_of(one.program for one in schedule))
        self.wanted: list[Wanted] = []
        self.spent_on: dict[str, list[Spent]] = defaultdict(list)

    def receipt(self, seen: Seen, moment: datetime) -> None:
        self._sell(seen, moment)
        for spent in self.spent_on.pop(seen.receipt.key, ()):
            self.spend(spent)
        for waiting, is_exchange in self._waiting.pop(seen.receipt.key, ()):
            self._return(seen.receipt.key, waiting, is_exchange=is_exchange)

    def spend(self, spent: Spent) -> None:
        self._want(self.fold.spend(spent.spending, spent.receipt), spent.program)

    def _sell(self, seen: Seen, moment: datetime) -> None:
        sold, returned = parts_of(seen.receipt)
        if returned is not None and seen.original is not None:
            self._return(seen.original, returned, is_exchange=sold is not None)
        holding = in_force_at(self._schedule, moment)
        if sold is None or not seen.sells or holding is None or not earns(sold, holding.program):
            return
        entries = self.fold.sell(
            sold, program=holding.program, facts=facts_at(self._known, moment), promised=seen.promised
        )
        self._judged_by[sold.key] = holding.hash
        self._want(entries, holding.hash)

    def event(self, happened: Happened) -> None:
        holding = in_force_at(self._schedule, happened.at)
        if holding is not None:
            self._want(self.fold.happen(happened, holding.program), holding.hash)

    def _return(self, original: str, returned: Receipt, *, is_exchange: bool) -> None:
        if not self.fold.is_sold(original):
            self._waiting[original].append((returned, is_exchange))
        elif earns(returned, self.fold.program_of(original)):
            taken = self.fold.take_back(returned, original, EXCHANGED if is_exchange else "")
            self._want(taken, self._judged_by[original])

    def _want(self, entries: Iterable[LedgerEntry], program: str) -> None:
        self.wanted += [Wanted(entry=entry, program=program) for entry in entries]


def facts_at(known: Sequence[KnownFacts], moment: datetime) -> Facts:
    """What was known of a member at a moment."""
    found = in_force_at(known, moment)
    return Facts() if found is None else found.facts
