"""Limits on how often a card is used, and the cashier of a receipt, over whom they are counted.

Revision ID: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment, Serial

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of receipts from before no cashier is known: they are counted for their register, card and member.
    op.add_column("receipts", sa.Column("operator", sa.Text()))
    _index_members("member", "issued_at")
    op.create_index("ix_receipts_issued_at", "receipts", ["issued_at"])
    op.create_table(
        "limits",
        sa.Column("id", Serial, nullable=False),
        sa.Column("cashier", sa.Integer()),
        sa.Column("register", sa.Integer()),
        sa.Column("card", sa.Integer()),
        sa.Column("member", sa.Integer()),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("set_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_limits"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.execute("UPDATE receipts SET state = 'held_for_time' WHERE state = 'held_for_limit'")
    op.drop_table("limits")
    op.drop_index("ix_receipts_issued_at", "receipts")
    _index_members("member")
    op.drop_column("receipts", "operator")


def _index_members(*columns: str) -> None:
    op.drop_index("ix_receipts_member", "receipts")
    op.create_index("ix_receipts_member", "receipts", list(columns))
