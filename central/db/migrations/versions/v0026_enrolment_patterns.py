"""Which device a one-time code replaces.

Revision ID: 0026
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("enrolments", sa.Column("replaces", sa.String(64)))


def downgrade() -> None:
    op.drop_column("enrolments", "replaces")
