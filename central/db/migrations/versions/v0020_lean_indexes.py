"""Indexes that each sale pays for hold what is looked for by them alone; rows that each sale changes stay in place.

Revision ID: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# A row whose page has room is changed in it, and no index hears of it.
_CHANGED_BY_EACH_SALE = ("balances", "unmapped_goods")


def upgrade() -> None:
    op.drop_index("ix_receipts_fiscal_number", "receipts")
    _index("code", where="member IS NULL")
    _index("original", where="original IS NOT NULL")
    op.drop_index("ix_unmapped_goods_turnover", "unmapped_goods")
    _fill("SET (fillfactor = 70)")
    waiting = sa.text("resolved_at IS NULL")
    op.create_index("ix_quarantine_waiting", "quarantine", ["reason"], sqlite_where=waiting, postgresql_where=waiting)


def downgrade() -> None:
    op.drop_index("ix_quarantine_waiting", "quarantine")
    _fill("RESET (fillfactor)")
    op.create_index("ix_unmapped_goods_turnover", "unmapped_goods", ["currency", "turnover_minor", "key"])
    _index("original")
    _index("code")
    op.create_index("ix_receipts_fiscal_number", "receipts", ["fiscal_number"])


def _index(column: str, where: str | None = None) -> None:
    name, condition = f"ix_receipts_{column}", sa.text(where) if where else None
    op.drop_index(name, "receipts")
    op.create_index(name, "receipts", [column], sqlite_where=condition, postgresql_where=condition)


def _fill(how: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in _CHANGED_BY_EACH_SALE:
            op.execute(f"ALTER TABLE {table} {how}")
