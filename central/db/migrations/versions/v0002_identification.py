"""What the centre tells registers to do besides the program: identification rules.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "configs",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_configs")),
    )
    op.create_table(
        "config_publications",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("config", sa.String(length=64), nullable=False),
        sa.Column("published_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["config"], ["configs.hash"], name=op.f("fk_config_publications_config")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_config_publications")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("config_publications")
    op.drop_table("configs")
