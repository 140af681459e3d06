"""From when a published program holds, and which programs each register holds or refused.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("publications", sa.Column("valid_from", Moment()))
    op.add_column("publications", sa.Column("withdrawn_at", Moment()))
    # The first one held for what had waited for it; each further one from when it was published.
    op.execute(
        "UPDATE publications SET valid_from = published_at WHERE id > (SELECT min(id) FROM publications AS earlier)"
    )
    op.add_column("devices", sa.Column("programs", sa.Text(), server_default="[]", nullable=False))


def downgrade() -> None:
    op.drop_column("devices", "programs")
    op.drop_column("publications", "withdrawn_at")
    op.drop_column("publications", "valid_from")
