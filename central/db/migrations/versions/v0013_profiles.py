"""Profiles, consents, ids that mean another member, erasures; and a key for codes made of numbers and addresses.

Revision ID: 0013
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from central.db.tables import Moment
from loyalty.addresses import address_code

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLES = (
    "erasure_confirmations",
    "erased_codes",
    "erasures",
    "member_entries",
    "consents",
    "profile_fields",
    "member_aliases",
)


def upgrade() -> None:
    key = secrets.token_hex(32)
    op.add_column("centre", sa.Column("code_key", sa.String(64), nullable=False, server_default=key))
    with op.batch_alter_table("centre") as batch:
        batch.alter_column("code_key", server_default=None, existing_type=sa.String(64), existing_nullable=False)
    op.add_column("entries", sa.Column("digest", sa.String(64)))
    op.create_index("ix_entries_key", "entries", ["key"])
    _of_members()
    _of_erasures()
    _hide_addresses(key)


def downgrade() -> None:
    """Who was told as another member's alias, and what was erased, has no place before: refused where there is such."""
    for table in ("member_aliases", "erasures"):
        if op.get_bind().execute(sa.text(f"SELECT 1 FROM {table} LIMIT 1")).first() is not None:  # noqa: S608 - ours
            raise RuntimeError(f"{table} is not empty, and the version before knows no such thing")
    for table in _TABLES:
        op.drop_table(table)
    op.drop_index("ix_entries_key", "entries")
    op.drop_column("entries", "digest")
    op.drop_column("centre", "code_key")


def _hide_addresses(key: str) -> None:
    """Numbers and addresses named members themselves; from here on a code made of them does."""
    connection = op.get_bind()
    numbers = sa.table("identifiers", *map(sa.column, ("code", "kind", "member", "card")))
    fields = sa.table("profile_fields", *map(sa.column, ("member", "field", "value", "hlc", "told", "key")))
    of_addresses = sa.select(numbers).where(numbers.c.kind.in_(("phone", "email")))
    for row in connection.execute(of_addresses.order_by(numbers.c.code)).all():
        code = address_code(row.kind, row.code, key)
        if code is None or code == row.code:
            continue
        if connection.execute(sa.select(numbers.c.code).where(numbers.c.code == code)).first() is not None:
            continue  # the same number, written in another way
        changed = {"code": code, "card": code if row.card == row.code else row.card}
        connection.execute(sa.update(numbers).where(numbers.c.code == row.code).values(changed))
        told = {"member": row.member, "field": row.kind, "value": row.code, "hlc": "", "told": "", "key": "0013"}
        known = sa.select(fields.c.member).where(fields.c.member == row.member, fields.c.field == row.kind)
        if row.member is not None and connection.execute(known).first() is None:
            connection.execute(sa.insert(fields).values(told))


def _of_members() -> None:
    op.create_table(
        "member_aliases",
        sa.Column("alias", sa.String(64), primary_key=True),
        sa.Column("member", sa.String(64), nullable=False),
        sa.Column("since", Moment(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
    )
    op.create_index(op.f("ix_member_aliases_member"), "member_aliases", ["member"])
    op.create_table(
        "profile_fields",
        _member(),
        sa.Column("field", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text()),
        sa.Column("hlc", sa.String(32), nullable=False),
        sa.Column("told", sa.String(32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
    )
    op.create_table(
        "consents",
        _member(),
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("channel", sa.String(32), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("text_version", sa.Text(), nullable=False),
        sa.Column("hlc", sa.String(32), nullable=False),
        sa.Column("told", sa.String(32), nullable=False),
        sa.Column("seen", sa.String(32), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("store", sa.String(64), nullable=False),
        sa.Column("register", sa.String(64), nullable=False),
        sa.Column("operator", sa.Text()),
        sa.Column("told_at", sa.Text(), nullable=False),
        sa.Column("received_at", Moment(), nullable=False),
    )
    op.create_table(
        "member_entries",
        sa.Column("member", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
    )


def _of_erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("member", sa.String(64), nullable=False, unique=True),
        sa.Column("aliases", sa.Text(), nullable=False),
        sa.Column("codes", sa.Text(), nullable=False),
        sa.Column("erased_at", Moment(), nullable=False),
    )
    op.create_table(
        "erased_codes",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("member", sa.String(64), nullable=False),
    )
    op.create_table(
        "erasure_confirmations",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("device", sa.String(64), primary_key=True),
        sa.Column("confirmed_at", Moment(), nullable=False),
    )


def _member() -> sa.Column[str]:
    return sa.Column("member", sa.String(64), sa.ForeignKey("members.id"), primary_key=True)
