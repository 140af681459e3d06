"""The ledger: append-only entries of points, and the balance as their fold."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from loyalty.member import Balance
from loyalty.receipt import AwareDatetime


class LedgerEntry(Struct, frozen=True, kw_only=True, gc=False):
    """Points that one receipt gave or took under one rule.

    `points` is negative where points are taken back; `reverses` is then the `entry_id` of the entry
    that gave them. `basis_minor` is the money the rule looked at; `why` says the arithmetic.
    """

    receipt: str
    rule: str
    points: int
    basis_minor: int
    pending_until: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    reverses: str | None = None
    why: str

    @property
    def entry_id(self) -> str:
        """Permanent id: a receipt gives one entry per rule, so receipt and rule name it."""
        return f"{self.receipt}/{self.rule}"


def balance_of(entries: Iterable[LedgerEntry], as_of: datetime) -> Balance:
    """The fold of a member's entries at `as_of`; the order of entries does not matter.

    An entry counts as pending until its `pending_until`, and for nothing from its `expires_at` on; one that takes
    points back has the times of those.
    """
    confirmed = pending = 0
    for entry in entries:
        if entry.expires_at is not None and entry.expires_at <= as_of:
            continue
        if entry.pending_until is not None and entry.pending_until > as_of:
            pending += entry.points
        else:
            confirmed += entry.points
    return Balance(confirmed=confirmed, pending=pending, spendable=confirmed)
