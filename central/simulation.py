"""What past receipts would have given under other programs: replayed member by member, and summed up.

Owns the replay and its sums. Never reads a database or a file (`central.past_receipts` does), never writes anything,
and holds one member's receipts at a time.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from loyalty.account import Account, newest
from loyalty.entry_rules import giving_rule
from loyalty.member import MemberState
from loyalty.periods import bought_at
from loyalty.program import Program, program_hash
from loyalty.receipt import Receipt

# Members named of those who gain and who lose most.
LARGEST: Final = 10
# What months and tiers are called where there is none.
UNDATED: Final = "undated"
NO_TIER: Final = ""
# Differences are counted in classes by their size: 1 to 9 points, 10 to 99 and so on.
_CLASSES: Final = (1, 10, 100, 1_000, 10_000)


class History(Struct, frozen=True, kw_only=True):
    """One member's receipts in the order in which they count. `name` says nothing of who it is."""

    name: str
    state: MemberState
    receipts: tuple[Receipt, ...]


class TierSum(Struct, frozen=True, kw_only=True):
    """Members who end in a tier, and what they were given."""

    tier: str
    members: int
    points: int


class Outcome(Struct, frozen=True, kw_only=True):
    """What one program gives. `points` is `given` less `taken_back`; `cost_minor` what they are worth, where told.

    `by_rule`, `by_month` (of the receipt, on the program's clock) and `by_tier` (at the member's newest receipt) add up
    to `points` each. `other_currency` counts receipts that this program does not look at, `waiting` returns whose
    sale is not among the receipts.
    """

    program: str
    hash: str
    currency: str
    given: int
    taken_back: int
    points: int
    cost_minor: int | None
    members: int
    by_rule: dict[str, int]
    by_month: dict[str, int]
    by_tier: tuple[TierSum, ...]
    other_currency: int
    waiting: int


class Difference(Struct, frozen=True, kw_only=True):
    """A member's points under the first program and under the one that it is compared with."""

    member: str
    points: int
    against: int


class Side(Struct, frozen=True, kw_only=True):
    """Members who gain, or who lose: how many, how many points together, and the largest."""

    members: int
    points: int
    largest: tuple[Difference, ...]


class Comparison(Struct, frozen=True, kw_only=True):
    """The first program against the second. `classes` counts members by the size of their difference, from below."""

    gain: Side
    lose: Side
    same: int
    classes: tuple[tuple[str, int], ...]


class Simulation(Struct, frozen=True, kw_only=True):
    """A whole replay. `first` and `last` are the days of the receipts; `without_member` were left out."""

    receipts: int
    members: int
    without_member: int
    left_out: int
    first: date | None
    last: date | None
    outcomes: tuple[Outcome, ...]
    comparison: Comparison | None
    seconds: str
    receipts_per_s: int


class _Sums:
    """What one program has given so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._zone = ZoneInfo(program.time_zone)
        self._given = self._taken = self._members = self._other_currency = self._waiting = 0
        self._by_rule: Counter[str] = Counter()
        self._by_month: Counter[str] = Counter()
        self._tiers: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, history: History) -> int:
        """One member's receipts; what they give."""
        account = Account(self.program, history.state)
        seen = [receipt for receipt in history.receipts if receipt.currency == self.program.currency]
        for receipt in seen:
            account.add(receipt)
        months = {receipt.key: self._month(receipt) for receipt in seen}
        for entry in account.entries:
            self._given += max(0, entry.points)
            self._taken -= min(0, entry.points)
            self._by_rule[giving_rule(entry.rule)] += entry.points
            self._by_month[months[entry.receipt]] += entry.points
        points = sum(entry.points for entry in account.entries)
        tier = self._tiers[account.tier(newest(seen, self.program.time_zone)) or NO_TIER] if seen else [0, 0]
        tier[0] += 1
        tier[1] += points
        self._members += any(entry.points for entry in account.entries)
        self._waiting += len(account.waiting)
        self._other_currency += len(history.receipts) - len(seen)
        return points

    def _month(self, receipt: Receipt) -> str:
        at = bought_at(receipt, self.program.time_zone)
        return f"{at.astimezone(self._zone):%Y-%m}" if at is not None else UNDATED

    def outcome(self, point_value: Decimal | None) -> Outcome:
        points = self._given - self._taken
        return Outcome(
            program=self.program.program,
            hash=program_hash(self.program),
            currency=self.program.currency,
            given=self._given,
            taken_back=self._taken,
            points=points,
            cost_minor=None if point_value is None else _whole(points * point_value),
            members=self._members,
            by_rule={rule: self._by_rule[rule] for rule in sorted(self._by_rule)},
            by_month={month: self._by_month[month] for month in sorted(self._by_month)},
            by_tier=tuple(
                TierSum(tier=tier, members=members, points=given)
                for tier, (members, given) in sorted(self._tiers.items())
            ),
            other_currency=self._other_currency,
            waiting=self._waiting,
        )


class _Sides:
    """Who gains and who loses, of each the largest."""

    def __init__(self) -> None:
        self._members, self._points = Counter[int](), Counter[int]()
        self._largest: dict[int, list[tuple[int, str, int, int]]] = {1: [], -1: []}
        self._classes: Counter[int] = Counter()

    def add(self, member: str, points: int, against: int) -> None:
        difference = points - against
        sign = (difference > 0) - (difference < 0)
        self._members[sign] += 1
        self._points[sign] += difference
        self._classes[sign * sum(abs(difference) >= least for least in _CLASSES)] += 1
        if sign:
            # Ties go to the name, so that the same receipts give the same list.
            kept = self._largest[sign]
            heapq.heappush(kept, (abs(difference), member, points, against))
            if len(kept) > LARGEST:
                heapq.heappop(kept)

    def comparison(self) -> Comparison:
        return Comparison(
            gain=self._side(1),
            lose=self._side(-1),
            same=self._members[0],
            classes=tuple(
                (_class_name(each), self._classes[each]) for each in range(-len(_CLASSES), len(_CLASSES) + 1)
            ),
        )

    def _side(self, sign: int) -> Side:
        return Side(
            members=self._members[sign],
            points=abs(self._points[sign]),
            largest=tuple(
                Difference(member=member, points=points, against=against)
                for _, member, points, against in sorted(self._largest[sign], reverse=True)
            ),
        )


class Replay:
    """Histories replayed under one program, or under two that are compared."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._sums = [_Sums(program) for program in programs]
        self._sides = _Sides()
        self.receipts = self.members = 0
        self._first: date | None = None
        self._last: date | None = None

    def take(self, histories: Iterable[History]) -> None:
        """Replay these too."""
        for history in histories:
            self.members += 1
            self.receipts += len(history.receipts)
            for receipt in history.receipts:
                self._note_day(receipt)
            points = [sums.add(history) for sums in self._sums]
            if len(points) > 1:
                self._sides.add(history.name, points[0], points[1])

    def _note_day(self, receipt: Receipt) -> None:
        at = bought_at(receipt, self._sums[0].program.time_zone)
        if at is not None:
            self._first = min(self._first or at.date(), at.date())
            self._last = max(self._last or at.date(), at.date())

    def result(
        self, *, point_value: Decimal | None, without_member: int, left_out: int, seconds: Decimal
    ) -> Simulation:
        return Simulation(
            receipts=self.receipts,
            members=self.members,
            without_member=without_member,
            left_out=left_out,
            first=self._first,
            last=self._last,
            outcomes=tuple(sums.outcome(point_value) for sums in self._sums),
            comparison=self._sides.comparison() if len(self._sums) > 1 else None,
            seconds=f"{seconds:.2f}",
            receipts_per_s=int(self.receipts / seconds) if seconds else 0,
        )


def _class_name(each: int) -> str:
    if each == 0:
        return "0"
    sign, size = ("+" if each > 0 else "-"), abs(each)
    least = _CLASSES[size - 1]
    return f"{sign}{least}" + (f" to {sign}{_CLASSES[size] - 1}" if size < len(_CLASSES) else " and more")


def _whole(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))
