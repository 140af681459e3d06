"""What can be told of paper that no reader could read: its day, and the lines that end in an amount.

Owns nothing but that glimpse for a person who decides what the paper is. Never makes a receipt of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from itertools import islice
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from drivers.receipts.wording import AMOUNT, printed_date

# A long receipt; a person who looks needs no more.
MAX_AMOUNTS: Final = 500

_AT_END: Final = re.compile(rf"^(?P<words>.*?)\s*(?P<amount>{AMOUNT})\s*\S{{0,3}}$").match


class PrintedAmount(Struct, frozen=True, kw_only=True):
    """A line with an amount at its end, both as printed."""

    words: str
    amount: str


class Glimpse(Struct, frozen=True, kw_only=True):
    """`day` is the first date on the paper."""

    day: date | UnsetType = UNSET
    amounts: tuple[PrintedAmount, ...] = ()


def glimpse(lines: Iterable[str]) -> Glimpse:
    """What the printed `lines` show to someone who does not know the layout."""
    held = tuple(lines)
    days = (day for line in held if (day := printed_date(line)) is not None)
    ends = (found for line in held if (found := _AT_END(line)) is not None)
    return Glimpse(
        day=next(days, UNSET),
        amounts=tuple(
            PrintedAmount(words=found["words"].strip(), amount=found["amount"]) for found in islice(ends, MAX_AMOUNTS)
        ),
    )
