"""Why registers set things aside, as their heartbeats count it.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("quarantine_reasons", sa.Text(), server_default="{}", nullable=False))


def downgrade() -> None:
    op.drop_column("devices", "quarantine_reasons")
