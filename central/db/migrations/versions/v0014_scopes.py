"""What registers hold by store: policies, and the members that were seen in each, from the receipts that came.

Revision ID: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scope_members",
        sa.Column("store", sa.String(64), nullable=False),
        sa.Column("member", sa.String(64), nullable=False),
        sa.Column("seen_at", Moment()),
        sa.Column("pinned_at", Moment()),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("pos", sa.BigInteger()),
        sa.PrimaryKeyConstraint("store", "member", name="pk_scope_members"),
    )
    op.create_index("ix_scope_members_member", "scope_members", ["member"])
    op.create_index("ix_scope_members_store_pos", "scope_members", ["store", "pos"])
    _partial("ix_scope_members_unplaced", ["member", "store"], "pos IS NULL")
    _partial("ix_scope_members_pinned", ["store", "pinned_at"], "pinned_at IS NOT NULL")
    op.create_table(
        "scope_policies",
        sa.Column("store", sa.String(64), nullable=False),
        sa.Column("hold", sa.String(16), nullable=False),
        sa.Column("months", sa.Integer()),
        sa.Column("set_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("store", name="pk_scope_policies"),
    )
    op.execute(
        "INSERT INTO scope_members (store, member, seen_at, held) "
        "SELECT devices.store, receipts.member, max(receipts.received_at), 1 "
        "FROM receipts JOIN devices ON devices.id = receipts.device WHERE receipts.member IS NOT NULL "
        "GROUP BY devices.store, receipts.member"
    )


def downgrade() -> None:
    op.drop_table("scope_policies")
    op.drop_table("scope_members")


def _partial(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "scope_members", columns, sqlite_where=condition, postgresql_where=condition)
