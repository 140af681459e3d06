"""A receipt as the centre holds it: the value that `receipts` and `ledger` both work on."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, select

from central.db import tables
from loyalty.ledger import LedgerEntry
from loyalty.receipt import Receipt


class StoredReceipt(Struct, frozen=True, kw_only=True):
    """`claims` and `program` are the register's own evaluation; `knew_member` whether it had one to make."""

    key: str
    device: str
    receipt: Receipt
    member: str | None
    code: str | None
    claims: tuple[LedgerEntry, ...]
    knew_member: bool
    program: str | None
    original: str | None
    state: str


def stored_receipt(connection: Connection, key: str) -> StoredReceipt:
    """The receipt with exactly this key; it must be there."""
    row = connection.execute(select(tables.receipts).where(tables.receipts.c.key == key)).one()
    return StoredReceipt(
        key=row.key,
        device=row.device,
        receipt=msgspec.json.decode(row.body, type=Receipt),
        member=row.member,
        code=row.code,
        claims=msgspec.json.decode(row.claims, type=tuple[LedgerEntry, ...]),
        knew_member=bool(row.knew_member),
        program=row.program,
        original=row.original,
        state=row.state,
    )
