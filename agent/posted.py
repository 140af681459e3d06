"""What is answered to a POS that posts receipts: shapes of the local API, light to load."""

from __future__ import annotations

from msgspec import Struct

from agent.booking import Fate


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one receipt."""

    key: str
    fate: Fate


class ReceiptsTaken(Struct, frozen=True, kw_only=True):
    """What became of each receipt of a call, in its order; `quarantined` says what is kept for a person, and why."""

    receipts: tuple[Outcome, ...] = ()
    quarantined: tuple[str, ...] = ()


class BusyError(Exception):
    """Too many calls wait. The message says what to do."""
