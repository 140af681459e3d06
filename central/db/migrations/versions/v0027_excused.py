"""Registers that gave a release up, and that somebody had it go on without.

Revision ID: 0027
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("releases", sa.Column("excused", sa.Text(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("releases", "excused")
