"""Receipts of the last hour that are nobody's, which a late member can still be given.

Owns which these are, from the store alone. Never gives one to anybody (`agent.counter` does).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from agent.desk import RECENT_FOR
from agent.view import RecentView
from loyalty.instant import Instant
from loyalty.money import minor_digits
from sync.store.rows import StoredReceipt
from sync.store.store import Store

# Receipts that a late member can still be given: as many as have a key on the page, of the last hour.
MAX_RECENT: Final = 9
# How many of the last ones are looked through for them.
_LOOKED_THROUGH: Final = 32


def recent_receipts(store: Store, now: Instant) -> tuple[RecentView, ...]:
    """Sales of the last hour that are nobody's, the newest first."""
    free = [one for one in store.last_receipts(_LOOKED_THROUGH) if _is_free(one, now)]
    return tuple(_recent(one) for one in free[:MAX_RECENT])


def _is_free(one: StoredReceipt, now: Instant) -> bool:
    receipt = one.receipt
    age = timedelta(microseconds=now.ns_since(one.captured) // 1000)
    nobodys = one.member is None and not receipt.member
    return nobodys and receipt.kind == "sale" and receipt.status == "final" and timedelta(0) <= age < RECENT_FOR


def _recent(one: StoredReceipt) -> RecentView:
    receipt = one.receipt
    return RecentView(
        receipt=receipt.key,
        number=receipt.number or None,
        at=one.captured.wall,
        total_minor=receipt.total_minor,
        digits=minor_digits(receipt.currency),
        currency=receipt.currency,
    )
