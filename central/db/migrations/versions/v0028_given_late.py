"""When a receipt that was nobody's was given to a member, and how late that may be.

Revision ID: 0028
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("receipts", sa.Column("attached_at", Moment()))
    op.add_column("attachments", sa.Column("at", Moment()))
    op.add_column("limits", sa.Column("late_minutes", sa.Integer()))


def downgrade() -> None:
    op.drop_column("limits", "late_minutes")
    op.drop_column("attachments", "at")
    op.drop_column("receipts", "attached_at")
