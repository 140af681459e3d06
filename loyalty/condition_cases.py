"""A condition taken apart into its cases, to see what could ever hold: for people who write programs.

Owns which cases a condition has, and why one can never be. Never asked when a receipt is evaluated
(`loyalty.conditions` does that).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, get_args

from msgspec import UNSET, Struct, UnsetType

from loyalty.conditions import Condition
from loyalty.receipt import LineKind

# Cases of one condition that are looked at; one with more is taken as possible.
MAX_CASES: Final = 512
MINUTES: Final = 24 * 60
ALL_DAY: Final = (1 << MINUTES) - 1
WEEKDAYS: Final = frozenset(range(1, 8))
_LINE_KINDS: Final = frozenset(get_args(LineKind))
# Of these a receipt or a line has one value at most; of the others (tags, segments) any number.
_ONE_OF: Final = (
    "tier_in", "weekday_in", "store_in", "channel_in", "entry_in", "sku_in", "gtin_in", "category_in", "line_kind_in",
)  # fmt: skip
_ANY_OF: Final = ("segment_in", "line_tag_in")
OF_TIME: Final = frozenset({"weekday_in", "time_in"})
_IS: Final = ("first_purchase", "birthday_month")
_AT_LEAST: Final = ("min_basket_minor", "min_line_minor", "min_line_quantity")
# What there is at all, where that is known.
_THERE_IS: Final[dict[str, frozenset[object]]] = {"weekday_in": WEEKDAYS, "line_kind_in": _LINE_KINDS}


class Asked(Struct, frozen=True):
    """One key of a condition with its value, or that it does not hold."""

    key: str
    value: object
    holds: bool = True


Case = tuple[Asked, ...]


def cases_of(condition: Condition | UnsetType) -> tuple[Case, ...] | None:
    """Each way in which `condition` can hold, as what has to hold together; None where there are too many."""
    if condition is UNSET:
        return ((),)
    return _cases(condition, holds=True)


def _cases(condition: Condition, *, holds: bool) -> tuple[Case, ...] | None:
    """The cases of a condition, or of its not holding."""
    parts = [_cases_of_key(name, getattr(condition, name), holds=holds) for name in _keys(condition)]
    return _all_of(parts) if holds else _any_of(parts)


def _cases_of_key(name: str, value: object, *, holds: bool) -> tuple[Case, ...] | None:
    if isinstance(value, Condition):
        return _cases(value, holds=not holds)
    if name in ("all_", "any_") and isinstance(value, tuple):
        inner = [_cases(each, holds=holds) for each in value]
        return _all_of(inner) if (name == "all_") is holds else _any_of(inner)
    return ((Asked(name, value, holds),),)


def _keys(condition: Condition) -> Iterator[str]:
    return (name for name in condition.__struct_fields__ if getattr(condition, name) is not UNSET)


def _any_of(parts: list[tuple[Case, ...] | None]) -> tuple[Case, ...] | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or sum(map(len, known)) > MAX_CASES:
        return None
    return tuple(case for part in known for case in part)


def _all_of(parts: list[tuple[Case, ...] | None]) -> tuple[Case, ...] | None:
    size, known = 1, []
    for part in parts:
        if part is None:
            return None
        size *= len(part)
        known.append(part)
    if size > MAX_CASES:
        return None
    return tuple(tuple(asked for part in chosen for asked in part) for chosen in product(*known))


def contradiction(case: Case, tiers: frozenset[str] | None = None) -> str:
    """Why all of this never holds together, in a few words; empty where it may. `tiers` are those there are."""
    for key in _ONE_OF:
        if (left := values_left(case, key, tiers)) is not None and not left:
            return f"no value of {key} is left"
    for key in _ANY_OF:
        absent = frozenset().union(*_texts(case, key, holds=False))
        if any(wanted <= absent for wanted in _texts(case, key, holds=True)):
            return f"{key} asks for what is ruled out"
    for key in _IS:
        if len({asked.value is asked.holds for asked in case if asked.key == key}) > 1:
            return f"{key} has to be true and false"
    for key in _AT_LEAST:
        least, below = bounds(case, key)
        if below is not None and least >= below:
            return f"{key} has to be at least {least} and below {below}"
    if not minutes_of(case):
        return "no time of the day is left"
    return ""


def values_left(case: Case, key: str, tiers: frozenset[str] | None = None) -> frozenset[object] | None:
    """The values of `key` for which the case may hold; None where nothing bounds them."""
    left = tiers if key == "tier_in" and _texts(case, key, holds=True) else _THERE_IS.get(key)
    for wanted in _texts(case, key, holds=True):
        left = wanted if left is None else left & wanted
    if left is None:
        return None
    return left.difference(*_texts(case, key, holds=False))


def bounds(case: Case, key: str) -> tuple[int, int | None]:
    """At least so much, and less than so much where anything says so."""
    floors = [asked.value for asked in case if asked.key == key and asked.holds and isinstance(asked.value, int)]
    ceilings = [asked.value for asked in case if asked.key == key and not asked.holds and isinstance(asked.value, int)]
    return max(floors, default=0), min(ceilings, default=None)


def minutes_of(case: Case) -> int:
    """The minutes of the day at which the case may hold, a bit for each."""
    left = ALL_DAY
    for asked in case:
        if asked.key == "time_in" and isinstance(asked.value, tuple):
            inside = 0
            for begin, end in asked.value:
                inside |= _span(_minute(begin), _minute(end))
            left &= inside if asked.holds else ALL_DAY & ~inside
    return left


def asks_of_time(case: Case) -> bool:
    """Whether a weekday or a time of the day is asked for."""
    return any(asked.key in OF_TIME for asked in case)


def _span(begin: int, end: int) -> int:
    if begin < end:
        return (1 << end) - (1 << begin)
    return ALL_DAY & ~((1 << begin) - (1 << end))


def _minute(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _texts(case: Case, key: str, *, holds: bool) -> list[frozenset[object]]:
    return [
        frozenset(asked.value)
        for asked in case
        if asked.key == key and asked.holds is holds and isinstance(asked.value, tuple)
    ]
