"""By whose silence a release stopped, and for what one waits that gets nowhere.

Revision ID: 0034
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("releases", sa.Column("lost", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("releases", sa.Column("waits", sa.Text()))


def downgrade() -> None:
    op.drop_column("releases", "lost")
    op.drop_column("releases", "waits")
