"""Cards: several numbers of one, stock that nobody has, blocking, replacing, and what people did to them.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("identifiers") as table:
        table.alter_column("member", existing_type=sa.String(length=64), nullable=True)
        table.add_column(sa.Column("card", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("printed", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("blocked_at", Moment(), nullable=True))
        table.add_column(sa.Column("blocked_because", sa.Text(), nullable=True))
        table.add_column(sa.Column("replaced_by", sa.String(length=255), nullable=True))
    op.execute("UPDATE identifiers SET card = code")
    with op.batch_alter_table("identifiers") as table:
        table.alter_column("card", existing_type=sa.String(length=255), nullable=False)
        table.create_index(op.f("ix_identifiers_card"), ["card"], unique=False)
    op.create_table(
        "card_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("member", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("changed_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_changes")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_card_changes_code"), "card_changes", ["code"], unique=False)


def downgrade() -> None:
    """Stock has no place before cards, nor has what was done to them."""
    op.drop_table("card_changes")
    op.execute("DELETE FROM identifiers WHERE member IS NULL")
    with op.batch_alter_table("identifiers") as table:
        table.drop_index(op.f("ix_identifiers_card"))
        for column in ("card", "printed", "blocked_at", "blocked_because", "replaced_by"):
            table.drop_column(column)
        table.alter_column("member", existing_type=sa.String(length=64), nullable=False)
