"""Vouchers that are good until a time.

Revision ID: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("vouchers", sa.Column("expires_at", Moment()))
    ends = sa.text("expires_at IS NOT NULL")
    op.create_index("ix_vouchers_expires_at", "vouchers", ["expires_at"], sqlite_where=ends, postgresql_where=ends)


def downgrade() -> None:
    op.drop_index("ix_vouchers_expires_at", "vouchers")
    op.drop_column("vouchers", "expires_at")
