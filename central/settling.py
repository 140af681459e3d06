"""Where a receipt stands: whose it is, what it gives back, what it waits for; and whose points that bears on.

Owns the `state` of a receipt. What it gives is `central.folding`'s: every function here returns the members who are
to be folded anew.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select, update

from central import cards, limits, originals, programs, reward_terms, spent
from central.db import tables
from central.devices import enrolled_at
from central.ledger import BLOCKED, COUNTED_STATES, HELD, NO_MEMBER, NO_PROGRAM, OVER_LIMIT, SETTLED, WAITING
from central.plausible import implausible
from central.stored import StoredReceipt, stored_receipt
from loyalty.exchange import parts_of
from loyalty.schedule import in_force_at, judged_at


def arrived(connection: Connection, stored: StoredReceipt) -> set[str]:
    """A receipt is here, or known better: it and the returns that it has, or that waited for it, find their place."""
    reward_terms.judge_on(connection, stored)
    touched = settle(connection, stored)
    sold, _ = parts_of(stored.receipt)
    if sold is None:
        return touched
    keys = dict.fromkeys((*originals.returns_of(connection, stored.key), *originals.waiting_for(connection, sold)))
    for key in keys:
        if key != stored.key:
            touched |= settle(connection, stored_receipt(connection, key))
    return touched


def settle(connection: Connection, stored: StoredReceipt) -> set[str]:
    """Find where one receipt stands now."""
    sold, returned = parts_of(stored.receipt)
    touched: set[str] = set()
    state = _state_of_sale(connection, stored)
    if sold is not None and stored.member is not None:
        touched.add(stored.member)
    if sold is not None:
        touched |= spent.spenders(connection, stored.key)
    if returned is not None:
        touched |= _member_of(connection, stored.original)
        if stored.receipt.status == "final":
            original = originals.original_of(connection, stored)
            state = _place_return(connection, stored, original, state if sold is not None else None)
            touched |= _member_of(connection, original)
    _set_state(connection, stored.key, _held(connection, stored) or state)
    return touched


def why_held(connection: Connection, stored: StoredReceipt) -> str | None:
    """Why a person has to look at the receipt first."""
    if _is_over(stored):
        if limits.has_reward_too_many(connection, stored):
            return "more rewards than are given without a look"
        passed = limits.late(connection, stored) or limits.passed(connection, stored)
        return str(passed or "more sales than count without a look")
    return _wrong_time(connection, stored)


def _held(connection: Connection, stored: StoredReceipt) -> str | None:
    """The state of a receipt at which a person has to look first. One that was held as too many stays so."""
    if stored.reviewed_at is not None:
        return None
    if _wrong_time(connection, stored) is not None:
        return HELD
    if _is_over(stored):
        return OVER_LIMIT
    # What counted goes on counting, whatever came since and whichever limits hold now.
    if stored.state in COUNTED_STATES:
        return None
    is_over = (
        limits.passed(connection, stored) is not None
        or limits.late(connection, stored) is not None
        or limits.has_reward_too_many(connection, stored)
    )
    return OVER_LIMIT if is_over else None


def _is_over(stored: StoredReceipt) -> bool:
    """Whether it was held as too many itself; a return stands as its sale does."""
    return stored.state == OVER_LIMIT and stored.receipt.kind == "sale"


def _wrong_time(connection: Connection, stored: StoredReceipt) -> str | None:
    if stored.receipt.status != "final":
        return None
    since = enrolled_at(connection, stored.device)
    return implausible(stored.receipt, received_at=stored.received_at, enrolled_at=since)


def settle_without_program(connection: Connection) -> set[str]:
    """Place what came before there was a program for it."""
    columns = tables.receipts.c
    keys = connection.execute(select(columns.key).where(columns.state == NO_PROGRAM)).scalars()
    touched: set[str] = set()
    for key in keys.all():
        touched |= arrived(connection, stored_receipt(connection, key))
    return touched


def members_since(connection: Connection, moment: datetime) -> set[str]:
    """Members with receipts or events of `moment` or later, or with receipts that have no time of their own."""
    receipts, events = tables.receipts.c, tables.events.c
    counts_at = func.coalesce(receipts.counts_at, receipts.issued_at)
    bought = select(receipts.member).where(receipts.member.is_not(None), (counts_at >= moment) | counts_at.is_(None))
    happened = select(events.member).where(events.member.is_not(None), events.at >= moment)
    return set(connection.execute(bought.union(happened)).scalars())


def members_with_events(connection: Connection) -> set[str]:
    """Members of whom anything is told that is no receipt."""
    member = tables.events.c.member
    return set(connection.execute(select(member).where(member.is_not(None)).distinct()).scalars())


def _state_of_sale(connection: Connection, stored: StoredReceipt) -> str:
    if stored.member is None:
        held = stored.code is not None and cards.holder_of(connection, stored.code).refuses(stored.receipt)
        return BLOCKED if held else NO_MEMBER
    moment = judged_at(stored.timed()) or stored.received_at
    return NO_PROGRAM if in_force_at(programs.publications(connection), moment) is None else SETTLED


def _place_return(
    connection: Connection, stored: StoredReceipt, original: str | None, state_of_sale: str | None
) -> str:
    """The state of a return, or of the exchange whose sale stands as `state_of_sale`."""
    if original is None:
        originals.wait(connection, stored)
        return WAITING
    originals.found(connection, stored.key, original)
    columns = tables.receipts.c
    state: str = connection.execute(select(columns.state).where(columns.key == original)).scalar_one()
    return state if state_of_sale is None else state_of_sale


def _member_of(connection: Connection, key: str | None) -> set[str]:
    columns = tables.receipts.c
    member = connection.execute(select(columns.member).where(columns.key == key)).scalar_one_or_none()
    return set() if member is None else {member}


def _set_state(connection: Connection, key: str, state: str) -> None:
    connection.execute(update(tables.receipts).where(tables.receipts.c.key == key).values(state=state))
