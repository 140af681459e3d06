"""Points that are set aside for registers, and the rewards that were given for them.

Revision ID: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment, Serial

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_DEVICE_COLUMNS = (("allowances", sa.BigInteger()), ("owes_report", sa.Integer()))


def upgrade() -> None:
    for name, kind in _DEVICE_COLUMNS:
        op.add_column("devices", sa.Column(name, kind, nullable=False, server_default="0"))
    op.add_column("balances", sa.Column("reserved", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("balances", sa.Column("unplanned", sa.Integer(), nullable=False, server_default="1"))
    _partial("ix_balances_unplanned", "balances", ["member"], "unplanned = 1")
    op.create_table(
        "allowances",
        sa.Column("member", sa.String(64), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("epoch", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger()),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("returned", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("lots", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("recalled", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("granted_at", Moment(), nullable=False),
        sa.Column("closed_at", Moment()),
        sa.Column("because", sa.Text()),
        sa.PrimaryKeyConstraint("member", "id", name="pk_allowances"),
    )
    op.create_index("ix_allowances_id", "allowances", ["id"])
    op.create_index("ix_allowances_device_number", "allowances", ["device", "number"])
    _partial("ix_allowances_open", "allowances", ["member"], "state = 'open'")
    _partial("ix_allowances_open_device", "allowances", ["device"], "state = 'open'")
    op.create_table(
        "allowance_policies",
        sa.Column("id", Serial, nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("rewards", sa.Integer(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("set_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_allowance_policies"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "redemptions",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("member", sa.String(64), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("receipt", sa.String(64)),
        sa.Column("reward", sa.String(64), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.LargeBinary(), nullable=False),
        sa.Column("drawn", sa.LargeBinary(), nullable=False),
        sa.Column("program", sa.String(64)),
        sa.Column("operator", sa.Text()),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("received_at", Moment(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("released_at", Moment()),
        sa.Column("problems", sa.Text(), nullable=False, server_default="[]"),
        sa.PrimaryKeyConstraint("key", name="pk_redemptions"),
    )
    op.create_index("ix_redemptions_member", "redemptions", ["member"])
    op.create_index("ix_redemptions_receipt", "redemptions", ["receipt"])
    op.create_index("ix_redemptions_device_at", "redemptions", ["device", "at"])
    _partial("ix_redemptions_problems", "redemptions", ["received_at"], "problems <> '[]'")


def downgrade() -> None:
    for table in ("redemptions", "allowance_policies", "allowances"):
        op.drop_table(table)
    op.drop_index("ix_balances_unplanned", "balances")
    for table, names in (("balances", ("unplanned", "reserved")), ("devices", ("owes_report", "allowances"))):
        for name in names:
            op.drop_column(table, name)


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
