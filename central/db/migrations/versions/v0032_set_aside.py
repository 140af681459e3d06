"""What is set aside ahead, so that another day or program is noticed.

Revision ID: 0032
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("centre", sa.Column("set_aside", sa.String(64)))


def downgrade() -> None:
    op.drop_column("centre", "set_aside")
