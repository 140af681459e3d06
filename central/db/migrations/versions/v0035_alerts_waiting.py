"""Messages to people that did not go out yet, and how often each register went back and forth.

Revision ID: 0035
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("told_turns", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("devices", sa.Column("told_turned_at", Moment()))
    op.create_table(
        "alerts_waiting",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("made_at", Moment(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts_waiting")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("alerts_waiting")
    op.drop_column("devices", "told_turns")
    op.drop_column("devices", "told_turned_at")
