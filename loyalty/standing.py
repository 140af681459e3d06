"""Which tier a member has: what they bought and earned within each tier's window.

Owns upgrades at once and downgrades after the tier's grace. Never asks a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from loyalty.member import Activity
from loyalty.periods import earlier
from loyalty.program import Program, Tier, TierThreshold


class Standing:
    """One member's activity, and the tier that follows from it.

    A tier that is given by hand, or of which it is not told what it was reached with, is never taken away here.
    """

    def __init__(self, program: Program, tier: str | UnsetType, past: Iterable[Activity] | UnsetType) -> None:
        self._time_zone = program.time_zone
        self._tiers = program.tiers
        self._reached_by_activity = any(each.from_ is not UNSET for each in program.tiers)
        self._activity: dict[str, Activity] = {str(number): each for number, each in enumerate(past or ())}
        thresholds = {each.id for each in program.tiers if each.from_ is not UNSET}
        self._floor: str | UnsetType = UNSET if tier in thresholds and past is not UNSET else tier

    def is_left(self, receipt: str, at: datetime | None, spent_minor: int) -> None:
        """Of a sale goods for so much were kept; it is a visit while that is anything."""
        if self._reached_by_activity and at is not None:
            kept, name = max(0, spent_minor), f"receipt {receipt}"
            known = self._activity.get(name, Activity(at=at))
            self._activity[name] = replace(known, spent_minor=kept, visits=1 if kept else 0)

    def earned(self, receipt: str, at: datetime | None, points: int) -> None:
        """Points of a sale, or less where they are taken back: they count at the time of the sale."""
        if self._reached_by_activity and at is not None:
            name = f"receipt {receipt}"
            known = self._activity.get(name, Activity(at=at))
            self._activity[name] = replace(known, points=known.points + points)

    def tier(self, now: datetime | None) -> str | UnsetType:
        """The highest tier that is held at `now`."""
        if not self._reached_by_activity or now is None:
            return self._floor
        for tier in reversed(self._tiers):
            if tier.id == self._floor or (tier.from_ and self._holds(tier, tier.from_, now)):
                return tier.id
        return self._floor

    def _holds(self, tier: Tier, threshold: TierThreshold, now: datetime) -> bool:
        if self._met(threshold, now):
            return True
        if tier.grace is UNSET:
            return False
        # A sum within a window is greatest where something was just added, or where the time of grace begins.
        since = earlier(now, tier.grace, self._time_zone)
        moments = [each.at for each in self._activity.values() if since < each.at <= now]
        return any(self._met(threshold, moment) for moment in (since, *moments))

    def _met(self, threshold: TierThreshold, at: datetime) -> bool:
        window = threshold.points_in or threshold.spend_in or threshold.visits_in or ""
        since = earlier(at, window, self._time_zone)
        within = [each for each in self._activity.values() if since < each.at <= at]
        if threshold.points_in:
            total = sum(each.points for each in within)
        elif threshold.spend_in:
            total = sum(each.spent_minor for each in within)
        else:
            total = sum(each.visits for each in within)
        return total >= threshold.at_least
