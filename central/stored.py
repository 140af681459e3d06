"""A receipt as the centre holds it: the value that whoever sees, settles or folds receipts works on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, select

from central.db import tables
from loyalty.ledger import LedgerEntry
from loyalty.receipt import Receipt


class StoredReceipt(Struct, frozen=True, kw_only=True):
    """`claims` and `program` are the register's own evaluation; `knew_member` whether it had one to make.

    At `attached_at`, by its register's clock, an entry of its own gave it to whose it is; None where it came with that.
    At `reviewed_at` a person said that the receipt's time is right, or that it counts at `counts_at`.
    """

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
    received_at: datetime
    reviewed_at: datetime | None = None
    counts_at: datetime | None = None
    attached_at: datetime | None = None

    def promised(self, published: Collection[str]) -> tuple[LedgerEntry, ...]:
        """What a till printed for a sale; nothing where it did not know the member, or no program of ours gave it."""
        if not self.knew_member or self.program not in published or self.receipt.kind == "return":
            return ()
        return self.claims

    def timed(self) -> Receipt:
        """The receipt, with the time that a person set."""
        return self.receipt if self.counts_at is None else replace(self.receipt, issued_at=self.counts_at)


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
        received_at=row.received_at,
        reviewed_at=row.reviewed_at,
        counts_at=row.counts_at,
        attached_at=row.attached_at,
    )
