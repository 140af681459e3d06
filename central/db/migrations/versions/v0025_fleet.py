"""What a register says of itself, what its clock is ahead, and how its last day was, hour by hour.

Revision ID: 0025
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("clock_ahead_ms", sa.Integer()))
    op.add_column("devices", sa.Column("state", sa.Text()))
    op.add_column("devices", sa.Column("hours", sa.Text(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("devices", "hours")
    op.drop_column("devices", "state")
    op.drop_column("devices", "clock_ahead_ms")
