"""What failed at a register before its version, and which stops of releases people were told of.

Revision ID: 0033
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("failed_before", sa.Text()))
    op.add_column("releases", sa.Column("told", sa.Text()))
    # What stopped before this is no news.
    op.execute("UPDATE releases SET told = stopped")


def downgrade() -> None:
    op.drop_column("devices", "failed_before")
    op.drop_column("releases", "told")
