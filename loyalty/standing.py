"""Which tier a member has: what they bought and earned within each tier's window.

Owns upgrades at once and downgrades after the tier's grace. Never asks a clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from loyalty.member import Activity, Progress
from loyalty.periods import earlier, in_utc, later
from loyalty.program import Measure, Program, Tier, TierThreshold

# What of a member's activity each measure of a tier counts.
_COUNTS: Final[dict[Measure, Callable[[Activity], int]]] = {
    "points_in": attrgetter("points"),
    "spend_in": attrgetter("spent_minor"),
    "visits_in": attrgetter("visits"),
}
_FIRST_OF: Final = itemgetter(0)


def reached_by_activity(program: Program) -> bool:
    """Whether any tier of the program is reached by what a member does."""
    return any(tier.from_ is not UNSET for tier in program.tiers)


def tier_by_hand(program: Program, tier: str | UnsetType, past: object) -> str | UnsetType:
    """The tier that is never taken away: one given by hand, or of which it is not told what it was reached with."""
    thresholds = {each.id for each in program.tiers if each.from_ is not UNSET}
    return UNSET if tier in thresholds and past is not UNSET else tier


def progress(program: Program, held: str | UnsetType, past: Iterable[Activity], now: datetime) -> Progress | UnsetType:
    """How far it is at `now` to the next tier above the one that is `held`; UNSET where no activity reaches one."""
    names = [tier.id for tier in program.tiers]
    above = program.tiers[names.index(held) + 1 if held in names else 0 :]
    for tier in above:
        if tier.from_:
            [(measure, _)] = tier.from_.measures()
            counted = sum(count for _, count in Standing(past).counted(tier.from_, program.time_zone, now))
            return Progress(tier=tier.id, measure=measure, counted=max(0, counted), at_least=tier.from_.at_least)
    return UNSET


class Standing:
    """One member's activity, and the tier that follows from it under a program."""

    def __init__(self, past: Iterable[Activity]) -> None:
        # In UTC: times of one clock are compared many times faster than those of two.
        dated = sorted(((in_utc(each.at), str(number)), each) for number, each in enumerate(past))
        self._moments = [moment for moment, _ in dated]
        self._activity = [each for _, each in dated]

    def is_left(self, receipt: str, at: datetime | None, spent_minor: int) -> None:
        """Of a sale goods for so much were kept; it is a visit while that is anything."""
        if at is not None:
            kept, place = max(0, spent_minor), self._place_of(receipt, at)
            self._activity[place] = replace(self._activity[place], spent_minor=kept, visits=1 if kept else 0)

    def earned(self, receipt: str, at: datetime | None, points: int) -> None:
        """Points of a sale, or less where they are taken back: they count at the time of the sale."""
        if at is not None:
            place = self._place_of(receipt, at)
            known = self._activity[place]
            self._activity[place] = replace(known, points=known.points + points)

    def _place_of(self, receipt: str, at: datetime) -> int:
        """Where the activity of a sale stands; a new one is put there."""
        moment = (in_utc(at), f"receipt {receipt}")
        place = bisect_left(self._moments, moment)
        if self._moments[place : place + 1] != [moment]:
            self._moments.insert(place, moment)
            self._activity.insert(place, Activity(at=at))
        return place

    def tier(self, program: Program, by_hand: str | UnsetType, now: datetime | None) -> str | UnsetType:
        """The highest tier that is held at `now`; never lower than the one given by hand."""
        if now is None or not reached_by_activity(program):
            return by_hand
        for tier in reversed(program.tiers):
            if tier.id == by_hand or (tier.from_ and self._holds(tier, tier.from_, program.time_zone, now)):
                return tier.id
        return by_hand

    def changes_at(self, program: Program, now: datetime) -> datetime | None:
        """When time alone may next change the tier: something leaves a window or the grace after it, or counts."""
        moments = []
        reached = [(tier.from_, tier.grace) for tier in program.tiers if tier.from_ is not UNSET]
        if not reached:
            return None
        for threshold, grace in reached:
            [(_, window)] = threshold.measures()
            # What came first leaves first, so the first that is still to leave decides.
            for at, _ in self._moments:
                left = later(at, window, program.time_zone)
                lapsed = left if grace is UNSET else later(left, grace, program.time_zone)
                moments += [moment for moment in (at, left, lapsed) if moment > now]
                if left > now:
                    break
        moments += [at for at, _ in self._moments if at > now][:1]
        return min(moments, default=None)

    def recent(self, programs: Iterable[Program], now: datetime) -> tuple[Activity, ...]:
        """What may still count for a tier of these programs at `now` or later, in order of time."""
        since = now
        for program in programs:
            for tier in program.tiers:
                if tier.from_:
                    start = earlier(now, tier.grace, program.time_zone) if tier.grace else now
                    [(_, window)] = tier.from_.measures()
                    since = min(since, earlier(start, window, program.time_zone))
        return tuple(self._activity[self._after(since) :])

    def _holds(self, tier: Tier, threshold: TierThreshold, time_zone: str, now: datetime) -> bool:
        if self._met(threshold, time_zone, now):
            return True
        if tier.grace is UNSET:
            return False
        # A sum within a window is greatest where something was just added, or where the time of grace begins.
        since = earlier(now, tier.grace, time_zone)
        moments = (at for at, _ in self._moments[self._after(since) : self._after(now)])
        return any(self._met(threshold, time_zone, moment) for moment in (since, *moments))

    def _met(self, threshold: TierThreshold, time_zone: str, at: datetime) -> bool:
        [(measure, window)] = threshold.measures()
        within = self._activity[self._after(earlier(at, window, time_zone)) : self._after(at)]
        return sum(map(_COUNTS[measure], within)) >= threshold.at_least

    def counted(self, threshold: TierThreshold, time_zone: str, at: datetime) -> list[tuple[datetime, int]]:
        """What counts for a tier at `at`, in order of time, and how much it counts."""
        [(measure, window)] = threshold.measures()
        first, end = self._after(earlier(at, window, time_zone)), self._after(at)
        counts = map(_COUNTS[measure], self._activity[first:end])
        return [(moment, count) for (moment, _), count in zip(self._moments[first:end], counts, strict=True) if count]

    def _after(self, moment: datetime) -> int:
        """The first place after `moment`."""
        return bisect_right(self._moments, in_utc(moment), key=_FIRST_OF)
