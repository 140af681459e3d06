"""What the goods are: item maps, as registers get them.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "item_maps",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_item_maps")),
    )
    op.create_table(
        "item_map_publications",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("item_map", sa.String(length=64), nullable=False),
        sa.Column("published_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["item_map"], ["item_maps.hash"], name=op.f("fk_item_map_publications_item_map")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item_map_publications")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("item_map_publications")
    op.drop_table("item_maps")
