"""What other channels know of members.

Revision ID: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "member_context",
        sa.Column("member", sa.String(64), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("member", "source", name="pk_member_context"),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_member_context_member_members"),
    )


def downgrade() -> None:
    op.drop_table("member_context")
