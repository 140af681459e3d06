"""Vouchers that are issued one by one, and which registers hold uses of them.

Revision ID: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_NAMED = "voucher IS NOT NULL"
_OF_MEMBER = "member IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "vouchers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("reward", sa.String(64), nullable=False),
        sa.Column("member", sa.String(64)),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("issued_at", Moment(), nullable=False),
        sa.Column("revoked_at", Moment()),
        sa.Column("because", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_vouchers"),
    )
    _partial("ix_vouchers_member", "vouchers", ["member"], _OF_MEMBER)
    op.create_index("ix_vouchers_issued_at", "vouchers", ["issued_at"])
    for table in ("allowances", "redemptions"):
        op.add_column(table, sa.Column("voucher", sa.String(64)))
        _partial(f"ix_{table}_voucher", table, ["voucher"], _NAMED)


def downgrade() -> None:
    for table in ("allowances", "redemptions"):
        op.drop_index(f"ix_{table}_voucher", table)
        op.drop_column(table, "voucher")
    op.drop_table("vouchers")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
