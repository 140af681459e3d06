"""Which entries give a receipt to somebody, to find their bodies when that one is erased; and codes in one form.

Revision ID: 0016
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from alembic import op

from loyalty.identification import normal_code
from loyalty.undecodable import UNDECODABLE

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


class _Attach(msgspec.Struct, frozen=True):
    target: str


def upgrade() -> None:
    op.create_table(
        "receipt_entries",
        sa.Column("receipt", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
    )
    connection = op.get_bind()
    entries = sa.table("entries", sa.column("key"), sa.column("kind"), sa.column("body", sa.LargeBinary))
    sent = sa.select(entries.c.key, entries.c.body).where(entries.c.kind == "attach", entries.c.key != "")
    known = set()
    for row in connection.execute(sent):
        try:
            known.add((msgspec.json.decode(row.body, type=_Attach).target[:64], row.key[:255]))
        except UNDECODABLE:
            continue  # erased before, or set aside, and found there
    table = sa.table("receipt_entries", sa.column("receipt"), sa.column("key"))
    if known:
        connection.execute(sa.insert(table), [{"receipt": receipt, "key": key} for receipt, key in sorted(known)])
    waiting = sa.table("attachments", *map(sa.column, ("target", "epoch", "seq", "code")))
    for row in connection.execute(sa.select(waiting)).all():
        this = sa.and_(waiting.c.target == row.target, waiting.c.epoch == row.epoch, waiting.c.seq == row.seq)
        if normal_code(row.code) != row.code:
            connection.execute(sa.update(waiting).where(this).values(code=normal_code(row.code)))


def downgrade() -> None:
    op.drop_table("receipt_entries")
