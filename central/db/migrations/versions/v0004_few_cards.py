"""Find the few cards that are blocked or replaced without reading all of them.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("blocked_at", "replaced_by"):
        is_set = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            op.f(f"ix_identifiers_{column}"), "identifiers", [column], sqlite_where=is_set, postgresql_where=is_set
        )


def downgrade() -> None:
    for column in ("blocked_at", "replaced_by"):
        op.drop_index(op.f(f"ix_identifiers_{column}"), "identifiers")
