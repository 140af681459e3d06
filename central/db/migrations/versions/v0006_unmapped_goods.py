"""Goods that came unmapped, with their turnover; what came before stands in the receipts only.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unmapped_goods",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("goods", sa.LargeBinary(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("turnover_minor", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_unmapped_goods")),
    )
    op.create_index("ix_unmapped_goods_turnover", "unmapped_goods", ["currency", "turnover_minor", "key"])


def downgrade() -> None:
    op.drop_table("unmapped_goods")
