"""Limits on rewards beside those on sales.

Revision ID: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("limits", sa.Column("counts", sa.String(8), nullable=False, server_default="sale"))


def downgrade() -> None:
    op.drop_column("limits", "counts")
