"""Keys by which PostgreSQL can spread tables over machines: `central.db.tables.SPREAD` says by which column.

On SQLite, which has nothing to spread, only the index of the feed changes.

Revision ID: 0012
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# The primary key with the column by which the table is spread; what is looked for stands first.
_KEYS = {
    "epochs": ("epoch", "device"),
    "entries": ("epoch", "seq", "device"),
    "quarantine": ("id", "device"),
    "ledger": ("id", "member"),
    "changes": ("id", "member"),
    "variances": ("id", "receipt"),
    "card_changes": ("id", "code"),
}
# Foreign keys that would lead from one machine to another.
_ACROSS = (
    ("entries", "epoch", "epochs", "epoch"),
    ("receipts", "member", "members", "id"),
    ("receipt_keys", "receipt", "receipts", "key"),
    ("identifiers", "member", "members", "id"),
    ("events", "member", "members", "id"),
)


def upgrade() -> None:
    with op.batch_alter_table("feed") as batch:
        batch.drop_constraint("uq_feed_pos", type_="unique")
        batch.create_index("ix_feed_pos", ["pos"])
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, column, _, _ in _ACROSS:
        op.drop_constraint(f"fk_{table}_{column}", table, type_="foreignkey")
    for table, columns in _KEYS.items():
        op.drop_constraint(f"pk_{table}", table, type_="primary")
        op.create_primary_key(f"pk_{table}", table, list(columns))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in _KEYS.items():
            op.drop_constraint(f"pk_{table}", table, type_="primary")
            op.create_primary_key(f"pk_{table}", table, ["epoch", "seq"] if table == "entries" else [columns[0]])
        for table, column, target, key in _ACROSS:
            op.create_foreign_key(f"fk_{table}_{column}", table, target, [column], [key])
    with op.batch_alter_table("feed") as batch:
        batch.drop_index("ix_feed_pos")
        batch.create_unique_constraint("uq_feed_pos", ["pos"])
