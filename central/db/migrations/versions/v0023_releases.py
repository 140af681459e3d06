"""Releases that registers are offered ring by ring, and those that a register gave up.

Revision ID: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("ring", sa.String(16), nullable=False),
        sa.Column("entered_at", Moment(), nullable=False),
        sa.Column("soak_s", sa.Integer(), nullable=False),
        sa.Column("canaries", sa.Text(), nullable=False),
        sa.Column("stopped", sa.Text()),
        sa.PrimaryKeyConstraint("version", name="pk_releases"),
    )
    op.add_column("devices", sa.Column("given_up", sa.Text(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("devices", "given_up")
    op.drop_table("releases")
