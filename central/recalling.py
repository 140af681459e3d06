"""Asking registers to give back what somebody wants elsewhere, and saying to a cashier who holds it.

Owns those words, and what is raised where nothing is set aside. Never sets anything aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, Row

from central import allowances, devices
from sync.wire import NotGranted

# Registers named to a cashier.
MAX_NAMED = 5


Why = Literal["other", "till", "restored", "nobody", "full", "few", "elsewhere"]
"""Why nothing is granted, for who stands before a page: the register may spend nothing; the centre was restored and
waits for registers; there is no such member; the register holds points of too many; there are not so many; others hold
them, and were asked."""


class NotGrantedError(Exception):
    """Nothing is set aside. The message is for a cashier, `reason` for the register, `why` for a page."""

    def __init__(self, message: str, reason: NotGranted | UnsetType = UNSET, *, why: Why = "other") -> None:
        super().__init__(message)
        self.reason = reason
        self.why = why


def asked_back(connection: Connection, others: Sequence[Row[Any]], what: str) -> list[str]:
    """Asks those who can to give these back; what is to be said of that. `what` is of them, as in `holds the rest`."""
    live = devices.live_epochs(connection)
    others = [row for row in others if allowances.left_of(row)]
    reachable = [row for row in others if (row.device, row.epoch) in live]
    allowances.recall(connection, reachable)
    places = devices.places_of(connection)
    asked = sorted({places[row.device] for row in reachable})
    stuck = sorted({places[row.device] for row in others if row not in reachable})
    said = []
    if asked:
        said.append(f"{named(asked)} holds {what} and was asked for it: try again in a minute, or spend it there")
    if stuck:
        said.append(f"what {named(stuck)} held before it was set up anew waits for the head office")
    return said


def named(places: Sequence[str]) -> str:
    more = len(places) - MAX_NAMED
    shown = ", ".join(f"register {place}" for place in places[:MAX_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
