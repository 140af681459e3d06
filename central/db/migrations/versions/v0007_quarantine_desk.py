"""What became of an entry that was set aside, and why a receipt earns nothing, also those of before.

Revision ID: 0007
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment
from loyalty.receipt import Receipt
from loyalty.reconcile import unearning

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_AT_ONCE = 1000


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("resolved_at", Moment(), nullable=True))
    op.add_column("quarantine", sa.Column("resolved_as", sa.String(length=16), nullable=True))
    op.add_column("quarantine", sa.Column("note", sa.Text(), nullable=True))
    op.add_column("receipts", sa.Column("problem", sa.String(length=32), nullable=True))
    is_set = sa.text("problem IS NOT NULL")
    op.create_index("ix_receipts_problem", "receipts", ["problem"], sqlite_where=is_set, postgresql_where=is_set)
    _find_problems()


def downgrade() -> None:
    op.drop_index("ix_receipts_problem", "receipts")
    op.drop_column("receipts", "problem")
    for column in ("note", "resolved_as", "resolved_at"):
        op.drop_column("quarantine", column)


def _find_problems() -> None:
    connection = op.get_bind()
    receipts = sa.table("receipts", sa.column("key"), sa.column("body"), sa.column("problem"))
    after = ""
    while rows := connection.execute(
        sa.select(receipts.c.key, receipts.c.body)
        .where(receipts.c.key > after)
        .order_by(receipts.c.key)
        .limit(_AT_ONCE)
    ).all():
        for row in rows:
            problem = unearning(msgspec.json.decode(row.body, type=Receipt))
            if problem is not None:
                connection.execute(sa.update(receipts).where(receipts.c.key == row.key).values(problem=problem.code))
        after = rows[-1].key
