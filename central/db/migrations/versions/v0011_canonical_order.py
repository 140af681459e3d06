"""What folding a member's receipts in canonical order needs: facts, states, events, corrections.

Revision ID: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("reviewed_at", "counts_at"):
        op.add_column("receipts", sa.Column(name, Moment()))
    op.add_column("members", sa.Column("birth_month", sa.Integer()))
    op.add_column("members", sa.Column("segments", sa.Text(), server_default="[]", nullable=False))
    op.add_column("balances", sa.Column("tier", sa.String(64)))
    _tables()
    # An entry may be of an event, what corrects it has a longer name, and a return may take from another member than
    # was first thought.
    with op.batch_alter_table("ledger", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint("fk_ledger_receipt", type_="foreignkey")
        batch.drop_constraint("uq_ledger_receipt_rule", type_="unique")
        batch.alter_column("rule", type_=sa.String(96), existing_nullable=False)
        batch.create_unique_constraint("uq_ledger_receipt_rule_member", ["receipt", "rule", "member"])
    # One row of variance per receipt: the newest.
    op.execute("DELETE FROM variances WHERE id NOT IN (SELECT max(id) FROM variances GROUP BY receipt)")
    with op.batch_alter_table("variances", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(sa.Column("resolved_at", Moment()))
        batch.drop_index("ix_variances_receipt")
        batch.create_unique_constraint("uq_variances_receipt", ["receipt"])
        batch.create_index("ix_variances_member", ["member"])


def downgrade() -> None:
    """What events gave has no place before, and what was folded is folded no more. Refused where one receipt gives
    two members points under one rule.
    """
    with op.batch_alter_table("variances", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_index("ix_variances_member")
        batch.drop_constraint("uq_variances_receipt", type_="unique")
        batch.create_index("ix_variances_receipt", ["receipt"])
        batch.drop_column("resolved_at")
    op.execute("DELETE FROM ledger WHERE receipt NOT IN (SELECT key FROM receipts)")
    with op.batch_alter_table("ledger", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint("uq_ledger_receipt_rule_member", type_="unique")
        batch.create_unique_constraint("uq_ledger_receipt_rule", ["receipt", "rule"])
        batch.create_foreign_key("fk_ledger_receipt", "receipts", ["receipt"], ["key"])
    for table in ("events", "unfolded", "member_states", "member_facts"):
        op.drop_table(table)
    op.drop_column("balances", "tier")
    for table, columns in (("members", ("segments", "birth_month")), ("receipts", ("counts_at", "reviewed_at"))):
        for column in columns:
            op.drop_column(table, column)


def _tables() -> None:
    op.create_table(
        "member_facts",
        _member(),
        sa.Column("until", Moment(), primary_key=True),
        sa.Column("tier", sa.String(64)),
        sa.Column("birth_month", sa.Integer()),
        sa.Column("segments", sa.Text(), nullable=False),
    )
    op.create_table(
        "member_states",
        _member(),
        sa.Column("moment", Moment(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("period", sa.String(32), nullable=False),
        sa.Column("counters", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "unfolded",
        _member(),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("since", Moment(), nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("member", sa.String(64), sa.ForeignKey("members.id")),
        sa.Column("code", sa.String(255)),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("device", sa.String(64)),
        sa.Column("received_at", Moment(), nullable=False),
    )
    for column in ("member", "code"):
        op.create_index(op.f(f"ix_events_{column}"), "events", [column])


def _member() -> sa.Column[str]:
    return sa.Column("member", sa.String(64), sa.ForeignKey("members.id"), primary_key=True)
