"""Which program holds when: several in order of time, and the one that a moment falls to.

Owns that choice, the same at the register and at the centre. Never reads a program, and never asks a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from msgspec import UNSET

from loyalty.periods import is_plausible
from loyalty.receipt import Receipt


class Dated(Protocol):
    """Something that holds from `valid_from` on; None for as long as anyone looks back."""

    @property
    def valid_from(self) -> datetime | None: ...


D = TypeVar("D", bound=Dated)


def in_force_at(schedule: Sequence[D], moment: datetime) -> D | None:
    """The one of `schedule`, in order of time, that holds at `moment`; None before the first."""
    found = None
    for one in schedule:
        if one.valid_from is not None and one.valid_from > moment:
            break
        found = one
    return found


def judged_at(receipt: Receipt) -> datetime | None:
    """The moment that says which program a receipt falls to: its own time, else when it was captured.

    None where it has neither, or none that every clock can show; it falls to the program of the moment at which it is
    evaluated.
    """
    told = (at for at in (receipt.issued_at, receipt.captured_at) if at is not UNSET and is_plausible(at))
    return next(told, None)
