"""Members who are known by what registers told of them alone: joins may say that two of them are one.

Revision ID: 0036
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whoever is here by now may be the shop's own.
    op.add_column("members", sa.Column("joined", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("members", "joined")
