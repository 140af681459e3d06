"""Why a register does not read with the templates that are published.

Revision ID: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("templates_refused", sa.Text()))


def downgrade() -> None:
    op.drop_column("devices", "templates_refused")
