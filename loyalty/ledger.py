"""The ledger: append-only entries of points, and the balance as their fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from loyalty.member import Balance
from loyalty.receipt import AwareDatetime


class LedgerEntry(Struct, frozen=True, kw_only=True, gc=False):
    """Points that one receipt gave or took under one rule.

    `points` is negative where points are spent or taken back; `reverses` is the `entry_id` of the entry that one
    undoes. `basis_minor` is the money the rule looked at; `why` says the arithmetic.
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


def balance_of(
    entries: Iterable[LedgerEntry], as_of: datetime, held: Mapping[datetime | None, int] | None = None
) -> Balance:
    """The fold of a member's entries at `as_of`; the order of entries does not matter.

    An entry counts as pending until its `pending_until`; what is undone or spent has the times of what gave it. What is
    left of a lot, all that expires at one moment, counts for nothing from then on, but for what is `held` of it: that
    is set aside and cannot be spent otherwise. A lot of which more was taken than it gave is a debt, and stays.
    """
    confirmed = pending = 0
    expired: Counter[datetime] = Counter()
    for entry in entries:
        if entry.expires_at is not None and entry.expires_at <= as_of:
            expired[entry.expires_at] += entry.points
        elif entry.pending_until is not None and entry.pending_until > as_of:
            pending += entry.points
        else:
            confirmed += entry.points
    held = held or {}
    confirmed += sum(min(points, held.get(moment, 0)) for moment, points in expired.items())
    return Balance(confirmed=confirmed, pending=pending, spendable=confirmed - sum(held.values()))
