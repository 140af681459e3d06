"""Earn rules that hold only at times, and whose times overlap: for people who write programs.

Owns which windows of weekday and time overlap, and how that is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from msgspec import UNSET, Struct

from loyalty.condition_cases import (
    ALL_DAY,
    MINUTES,
    OF_TIME,
    WEEKDAYS,
    Case,
    asks_of_time,
    cases_of,
    contradiction,
    minutes_of,
    values_left,
)
from loyalty.program import EarnRule, Program

# Rules with a window that are compared with one another; a program with more is left alone.
MAX_COMPARED: Final = 100
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Overlap(Struct, frozen=True, kw_only=True):
    """Two rules by their places in `earn`, and when both hold, in words."""

    earlier: int
    later: int
    when: str


def overlapping_windows(program: Program) -> Iterator[Overlap]:
    """Each two rules for the same goods of which each gives only at times, and both at one of these."""
    windowed = [
        (index, rule, cases)
        for index, rule in enumerate(program.earn)
        if (cases := cases_of(rule.when)) is not None and cases and all(map(asks_of_time, cases))
    ]
    if len(windowed) > MAX_COMPARED:
        return
    for (index, rule, cases), (other_index, other, other_cases) in combinations(windowed, 2):
        if program.conflict == "best_per_group" and rule.group is not UNSET and rule.group == other.group:
            continue
        when = next(_both(rule, cases, other, other_cases, frozenset(tier.id for tier in program.tiers)), "")
        if when:
            yield Overlap(earlier=index, later=other_index, when=when)


def _both(
    rule: EarnRule, cases: tuple[Case, ...], other: EarnRule, other_cases: tuple[Case, ...], tiers: frozenset[str]
) -> Iterator[str]:
    for case in cases:
        for its in other_cases:
            together = (*case, *its)
            if _asks_the_same(rule, case, other, its) and not contradiction(together, tiers):
                yield _in_words(together)


def _asks_the_same(rule: EarnRule, case: Case, other: EarnRule, its: Case) -> bool:
    """Whether two rules are for the same goods of the same members, apart from when."""
    mine, theirs = ({asked for asked in each if asked.key not in OF_TIME} for each in (case, its))
    return rule.basis == other.basis and mine == theirs


def _in_words(case: Case) -> str:
    days = values_left(case, "weekday_in")
    named = (
        "on any day"
        if days is None or days == WEEKDAYS
        else f"on {', '.join(_DAYS[int(str(day)) - 1] for day in sorted(days, key=str))}"
    )
    minutes = minutes_of(case)
    if minutes == ALL_DAY:
        return named
    begin = next(minute for minute in range(MINUTES) if minutes >> minute & 1)
    end = next((minute for minute in range(begin, MINUTES) if not minutes >> minute & 1), MINUTES)
    return f"{named} from {begin // 60:02}:{begin % 60:02} to {end // 60:02}:{end % 60:02}"
