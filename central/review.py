"""Receipts that are held: shown with the reason, and accepted by a person, who may set the time.

Owns what a person says of a receipt whose time cannot be, or that is one too many. Never changes the receipt: what was
printed stays what was printed.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, select, update

from central import folding, settling
from central.db import tables
from central.ledger import HELD_STATES
from central.stored import stored_receipt
from loyalty.receipt import AwareDatetime

# Receipts listed at once, the newest to come first.
SHOWN = 500


class HeldReceipt(Struct, frozen=True, kw_only=True):
    key: str
    store: str | None
    register: str | None
    number: str | None
    member: str | None
    issued_at: AwareDatetime | None
    received_at: AwareDatetime
    because: str
    with_sale: bool


class HeldReceipts(Struct, frozen=True, kw_only=True):
    receipts: tuple[HeldReceipt, ...]


class Accepted(Struct, frozen=True, kw_only=True):
    """A receipt that counts now, at `counts_at` if that was set."""

    key: str
    counts_at: AwareDatetime | None
    state: str


class NotHeldError(LookupError):
    """No receipt with this key is held."""


def held(connection: Connection, store: str = "") -> HeldReceipts:
    """Receipts of one store, or all, that give nothing until a person looked at them."""
    columns = tables.receipts.c
    query = select(columns.key).where(columns.state.in_(HELD_STATES)).order_by(columns.received_at.desc(), columns.key)
    if store:
        query = query.where(columns.store == store)
    found = []
    for key in connection.execute(query.limit(SHOWN)).scalars().all():
        stored = stored_receipt(connection, key)
        receipt = stored.receipt
        found.append(
            HeldReceipt(
                key=key,
                store=receipt.store or None,
                register=receipt.register or None,
                number=receipt.number or None,
                member=stored.member,
                issued_at=receipt.issued_at or None,
                received_at=stored.received_at,
                because=(because := settling.why_held(connection, stored)) or "its sale is held",
                with_sale=because is None,
            )
        )
    return HeldReceipts(receipts=tuple(found))


def accept(connection: Connection, key: str, counts_at: datetime | None, now: datetime) -> Accepted:
    """Let a receipt count: at its own time, or at the one given. Raises NotHeldError."""
    columns = tables.receipts.c
    state = connection.execute(select(columns.state).where(columns.key == key)).scalar_one_or_none()
    if state not in HELD_STATES:
        raise NotHeldError(f"no receipt {key} is held; `tillside-central receipts held` lists them")
    if settling.why_held(connection, stored_receipt(connection, key)) is None:
        raise NotHeldError(f"receipt {key} gives back a sale that is held: accept that one, and this counts with it")
    connection.execute(update(tables.receipts).where(columns.key == key).values(reviewed_at=now, counts_at=counts_at))
    folding.settle_and_tell(connection, settling.arrived(connection, stored_receipt(connection, key)), now)
    return Accepted(key=key, counts_at=counts_at, state=stored_receipt(connection, key).state)
