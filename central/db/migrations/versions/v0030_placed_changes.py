"""A change that has a position is one no more; an entry says whom it is about instead of which change it made.

Revision ID: 0030
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("entries", sa.Column("member", sa.String(64)))
    op.execute(
        "UPDATE entries SET member = (SELECT c.member FROM changes c WHERE c.id = entries.change) "
        "WHERE change IS NOT NULL"
    )
    op.drop_column("entries", "change")
    op.execute("DELETE FROM changes WHERE pos IS NOT NULL")
    op.drop_index("ix_changes_pos", "changes")
    op.drop_index("ix_changes_member", "changes")
    op.drop_column("changes", "pos")


def downgrade() -> None:
    op.add_column("changes", sa.Column("pos", sa.BigInteger))
    op.create_index("ix_changes_member", "changes", ["member"])
    op.create_index("ix_changes_pos", "changes", ["pos"])
    op.add_column("entries", sa.Column("change", sa.BigInteger))
    op.drop_column("entries", "member")
