"""Which tier a member has: what they bought and earned within each tier's window.

Owns upgrades at once and downgrades after the tier's grace. Never asks a clock.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from datetime import datetime

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from loyalty.member import Activity
from loyalty.periods import earlier, later
from loyalty.program import Program, Tier, TierThreshold


def reached_by_activity(program: Program) -> bool:
    """Whether any tier of the program is reached by what a member does."""
    return any(tier.from_ is not UNSET for tier in program.tiers)


def tier_by_hand(program: Program, tier: str | UnsetType, past: object) -> str | UnsetType:
    """The tier that is never taken away: one given by hand, or of which it is not told what it was reached with."""
    thresholds = {each.id for each in program.tiers if each.from_ is not UNSET}
    return UNSET if tier in thresholds and past is not UNSET else tier


class Standing:
    """One member's activity, and the tier that follows from it under a program."""

    def __init__(self, past: Iterable[Activity]) -> None:
        self._activity: dict[str, Activity] = {str(number): each for number, each in enumerate(past)}
        self._in_order = sorted((each.at, name) for name, each in self._activity.items())

    def is_left(self, receipt: str, at: datetime | None, spent_minor: int) -> None:
        """Of a sale goods for so much were kept; it is a visit while that is anything."""
        if at is not None:
            kept, known = max(0, spent_minor), self._of(receipt, at)
            self._activity[_name(receipt)] = replace(known, spent_minor=kept, visits=1 if kept else 0)

    def earned(self, receipt: str, at: datetime | None, points: int) -> None:
        """Points of a sale, or less where they are taken back: they count at the time of the sale."""
        if at is not None:
            known = self._of(receipt, at)
            self._activity[_name(receipt)] = replace(known, points=known.points + points)

    def _of(self, receipt: str, at: datetime) -> Activity:
        name = _name(receipt)
        known = self._activity.get(name)
        if known is None:
            known = self._activity[name] = Activity(at=at)
            insort(self._in_order, (at, name))
        return known

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
            window = _window(threshold)
            # What came first leaves first, so the first that is still to leave decides.
            for at, _ in self._in_order:
                left = later(at, window, program.time_zone)
                lapsed = left if grace is UNSET else later(left, grace, program.time_zone)
                moments += [moment for moment in (at, left, lapsed) if moment > now]
                if left > now:
                    break
        moments += [at for at, _ in self._in_order if at > now][:1]
        return min(moments, default=None)

    def recent(self, programs: Iterable[Program], now: datetime) -> tuple[Activity, ...]:
        """What may still count for a tier of these programs at `now` or later, in order of time."""
        since = now
        for program in programs:
            for tier in program.tiers:
                if tier.from_:
                    start = earlier(now, tier.grace, program.time_zone) if tier.grace else now
                    since = min(since, earlier(start, _window(tier.from_), program.time_zone))
        first = bisect_right(self._in_order, since, key=_moment)
        return tuple(self._activity[name] for _, name in self._in_order[first:])

    def _holds(self, tier: Tier, threshold: TierThreshold, time_zone: str, now: datetime) -> bool:
        if self._met(threshold, time_zone, now):
            return True
        if tier.grace is UNSET:
            return False
        # A sum within a window is greatest where something was just added, or where the time of grace begins.
        since = earlier(now, tier.grace, time_zone)
        moments = (at for at, _ in self._between(since, now))
        return any(self._met(threshold, time_zone, moment) for moment in (since, *moments))

    def _met(self, threshold: TierThreshold, time_zone: str, at: datetime) -> bool:
        since = earlier(at, _window(threshold), time_zone)
        within = [self._activity[name] for _, name in self._between(since, at)]
        if threshold.points_in:
            total = sum(each.points for each in within)
        elif threshold.spend_in:
            total = sum(each.spent_minor for each in within)
        else:
            total = sum(each.visits for each in within)
        return total >= threshold.at_least

    def _between(self, since: datetime, until: datetime) -> list[tuple[datetime, str]]:
        """After `since`, up to and with `until`."""
        first, end = (bisect_right(self._in_order, moment, key=_moment) for moment in (since, until))
        return self._in_order[first:end]


def _name(receipt: str) -> str:
    return f"receipt {receipt}"


def _moment(dated: tuple[datetime, str]) -> datetime:
    return dated[0]


def _window(threshold: TierThreshold) -> str:
    return threshold.points_in or threshold.spend_in or threshold.visits_in or ""
