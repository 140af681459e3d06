"""Until when a register's log should say everything.

Revision ID: 0031
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("log_until", Moment()))


def downgrade() -> None:
    op.drop_column("devices", "log_until")
