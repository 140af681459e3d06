"""What the rule of an entry is called: the rule that gave it, and what stands behind that where it undoes another.

A receipt gives one entry per rule, so what takes back, voids or corrects an entry under the same receipt needs a name
of its own: `base/returned`, `coffee/1`, `base/corrected/2`. Owns these names, and that no rule of a program has one.
"""

from __future__ import annotations

import re
from typing import Final

# A promise that is kept is given by no rule of the program.
GOODWILL: Final = "goodwill"
# Points that were spent: `spent/`, the redemption's id, and a number from the second lot on.
_SPENT: Final = "spent/"
# What the return part of an exchange takes, what a voided sale gave, what an entry should have been.
EXCHANGED: Final = "/returned"
VOIDED: Final = "/voided"
CORRECTED: Final = "/corrected"

_CORRECTING: Final = re.compile(rf"({CORRECTED}|{VOIDED})(/[0-9]+)?$")
_BEHIND: Final = re.compile(rf"(({CORRECTED}|{VOIDED}|{EXCHANGED})(/[0-9]+)?|/[0-9]+)$")


def numbered(rule: str, number: int) -> str:
    """The name of one of several entries that undo the same rule under one receipt; 0 is the only one, or the first."""
    return f"{rule}/{number}" if number else rule


def giving_rule(rule: str) -> str:
    """The rule of the program that an entry of this name is about; `goodwill` for a promise that is kept."""
    while (shorter := _BEHIND.sub("", rule)) != rule:
        rule = shorter
    return rule


def spent_rule(redemption: str) -> str:
    """The rule of what a redemption takes, under the id that it has."""
    return f"{_SPENT}{redemption}"


def is_spent(rule: str) -> bool:
    """Whether an entry of this name is about points that were spent, or came back of those."""
    return rule.startswith(_SPENT)


def corrected_rule(rule: str) -> str:
    """The rule whose entry one of this name corrects or voids; the name itself where it does neither."""
    return _CORRECTING.sub("", rule)


def is_reserved(rule: str) -> bool:
    """Whether no rule of a program may be called so."""
    return rule == GOODWILL or is_spent(rule) or giving_rule(rule) != rule
