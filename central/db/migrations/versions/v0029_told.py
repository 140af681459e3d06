"""What people were told of a register last.

Revision ID: 0029
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("told", sa.String(16), nullable=False, server_default="well"))


def downgrade() -> None:
    op.drop_column("devices", "told")
