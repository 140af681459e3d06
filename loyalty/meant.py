"""For whom a condition can hold, before anything is bought.

Owns that question, of a member's tier and segments and of a store: whatever else a condition asks for may hold one day.
Never knows a basket (`loyalty.conditions` does).
"""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from loyalty.conditions import Condition, keys_in
from loyalty.program import Program

# What is asked of whom and where.
_ASKED: Final = frozenset({"tier_in", "segment_in", "store_in"})


class Meant(Struct, frozen=True, kw_only=True):
    """Somebody somewhere."""

    tier: str = ""
    segments: frozenset[str] = frozenset()
    store: str = ""


def is_meant_for(condition: Condition | UnsetType, meant: Meant) -> bool:
    """Whether it can hold for them there."""
    return condition is UNSET or _outcomes(condition, meant)[0]


def asks_for_whom(program: Program) -> bool:
    """Whether any of its rewards is for some members, or some stores, alone."""
    return any(one.when is not UNSET and not _ASKED.isdisjoint(keys_in(one.when)) for one in program.rewards)


def _outcomes(condition: Condition, meant: Meant) -> tuple[bool, bool]:
    """Whether it can hold, and whether it can fail."""
    parts = [_of_key(name, getattr(condition, name), meant) for name in condition.__struct_fields__]
    return all(holds for holds, _ in parts), any(fails for _, fails in parts)


def _of_key(name: str, asked: object, meant: Meant) -> tuple[bool, bool]:
    match name, asked:
        case _, UnsetType():
            return True, False
        case "all_", tuple():
            inner = [_outcomes(one, meant) for one in asked]
            return all(holds for holds, _ in inner), any(fails for _, fails in inner)
        case "any_", tuple():
            inner = [_outcomes(one, meant) for one in asked]
            return any(holds for holds, _ in inner), all(fails for _, fails in inner)
        case "not_", Condition():
            holds, fails = _outcomes(asked, meant)
            return fails, holds
        case "tier_in", tuple():
            known = meant.tier in asked
        case "segment_in", tuple():
            known = not meant.segments.isdisjoint(asked)
        case "store_in", tuple():
            known = meant.store in asked
        case _:
            return True, True
    return known, not known
