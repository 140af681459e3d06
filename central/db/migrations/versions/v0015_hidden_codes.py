"""Receipts, attachments and events are kept under codes of numbers and addresses, too; whom a store saw has an index.

Revision ID: 0015
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from loyalty.addresses import address_code

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Rows that are read at once.
_PAGE = 1000

_receipts = sa.table("receipts", sa.column("key"), sa.column("code"), sa.column("body", sa.LargeBinary))
_attachments = sa.table("attachments", *map(sa.column, ("target", "epoch", "seq", "kind", "code")))
_events = sa.table("events", sa.column("key"), sa.column("code"))
_entries = sa.table("entries", sa.column("key"), sa.column("kind"), sa.column("body", sa.LargeBinary))


def upgrade() -> None:
    held = sa.text("held = 1")
    op.create_index(
        "ix_scope_members_seen", "scope_members", ["store", "seen_at"], sqlite_where=held, postgresql_where=held
    )
    connection = op.get_bind()
    key = connection.execute(sa.text("SELECT code_key FROM centre")).scalar_one_or_none()
    if key is not None:
        _hide_in_receipts(connection, key)
        _hide_in_attachments(connection, key)
        _hide_in_events(connection, key)


def downgrade() -> None:
    """A code stays hidden: the version before makes the same of what comes."""
    op.drop_index("ix_scope_members_seen", "scope_members")


def _hide_in_receipts(connection: sa.Connection, key: str) -> None:
    for row in _pages(connection, sa.select(_receipts).where(_receipts.c.code.is_not(None)), _receipts.c.key):
        document = msgspec.json.decode(row.body)
        code = _hidden(document.get("member"), key)
        if code is not None:
            document["member"]["code"] = code
            changed = sa.update(_receipts).where(_receipts.c.key == row.key)
            connection.execute(changed.values(code=code, body=msgspec.json.encode(document)))


def _hide_in_attachments(connection: sa.Connection, key: str) -> None:
    columns = _attachments.c
    for row in connection.execute(sa.select(_attachments).where(columns.kind.in_(("phone", "email")))).all():
        code = address_code(row.kind, row.code, key)
        if code is not None:
            this = sa.and_(columns.target == row.target, columns.epoch == row.epoch, columns.seq == row.seq)
            connection.execute(sa.update(_attachments).where(this).values(code=code))


def _hide_in_events(connection: sa.Connection, key: str) -> None:
    """An event does not say what its code is; the entry does that a register sent it with."""
    sent = _events.join(_entries, sa.and_(_entries.c.key == _events.c.key, _entries.c.kind == "signal"))
    query = sa.select(_events.c.key, _entries.c.body).select_from(sent).where(_events.c.code.is_not(None))
    for row in _pages(connection, query.where(sa.func.length(_entries.c.body) > 0), _events.c.key):
        code = _hidden(msgspec.json.decode(row.body).get("member"), key)
        if code is not None:
            connection.execute(sa.update(_events).where(_events.c.key == row.key).values(code=code))


def _hidden(reference: dict[str, Any] | None, key: str) -> str | None:
    """The code in the place of the number or address that a reference has; None where it has none."""
    if not reference:
        return None
    code = address_code(reference.get("kind", "card"), reference["code"], key)
    return None if code == reference["code"] else code


def _pages(connection: sa.Connection, query: sa.Select[Any], key: sa.ColumnElement[str]) -> Iterator[sa.Row[Any]]:
    last = ""
    while rows := connection.execute(query.where(key > last).order_by(key).limit(_PAGE)).all():
        last = rows[-1].key
        yield from rows
