"""Every table of the centre, as SQLAlchemy Core knows it.

Owns names, types, keys, indexes, and by what rows can be spread over machines; a change here needs a migration
beside it (a test compares the two). Never holds a query. Nothing here is particular to SQLite: moments are stored
in UTC, ids that must not be reused are AUTOINCREMENT there and identity columns elsewhere.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# SQLite gives rowids to INTEGER columns only.
Serial = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of the rows alone for which `where` is true, which queries say in the same words."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


# One row: which life of the centre this is, the newest position the sequencer gave, and the key of codes that are made
# of telephone numbers and addresses.
centre = Table(
    "centre",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("centre_epoch", String(64), nullable=False),
    Column("feed_pos", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("code_key", String(64), nullable=False),
    # What was set aside ahead when members were thought over last: a digest of it.
    Column("set_aside", String(64)),
)

# ---- registers

# `register` may be a pattern, `*` for any of the store: who uses the code says which. `replaces` is the device that is
# revoked when the code is used.
enrolments = Table(
    "enrolments",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("store", String(64), nullable=False),
    Column("register", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("used_at", Moment),
    Column("device", String(64)),
    Column("replaces", String(64)),
)

# `allowances` is the newest number that one of its allowances was given; a device that `owes_report` has not said what
# it holds since the centre was restored. `state` is what it said of itself last, `hours` its last day (central.fleet),
# `clock_ahead_ms` what its clock is ahead of this one, `told` what an
# alert said of it last (central.alerts), `log_until` until when its log should say everything.
devices = Table(
    "devices",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("store", String(64), nullable=False),
    Column("register", String(64), nullable=False),
    Column("public_key", String(64), nullable=False),
    Column("enrolled_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("version", String(64), nullable=False),
    Column("platform", String(128), nullable=False),
    Column("hostname", String(255)),
    Column("epoch", String(64)),
    Column("last_contact", Moment),
    Column("queued", Integer, nullable=False, server_default="0"),
    Column("quarantined", Integer, nullable=False, server_default="0"),
    Column("quarantine_reasons", Text, nullable=False, server_default="{}"),
    Column("oldest_queued_at", Moment),
    Column("programs", Text, nullable=False, server_default="[]"),
    Column("templates_refused", Text),
    Column("allowances", BigInteger, nullable=False, server_default="0"),
    Column("owes_report", Integer, nullable=False, server_default="0"),
    Column("given_up", Text, nullable=False, server_default="[]"),
    Column("clock_ahead_ms", Integer),
    Column("state", Text),
    Column("hours", Text, nullable=False, server_default="[]"),
    Column("told", String(16), nullable=False, server_default="well"),
    Column("told_turns", Integer, nullable=False, server_default="0"),
    Column("told_turned_at", Moment),
    Column("log_until", Moment),
    Column("failed_before", Text),
)

# Releases that registers are offered, ring by ring (central.rings); `canaries` are the stores of the first, as JSON.
releases = Table(
    "releases",
    metadata,
    Column("version", String(64), primary_key=True),
    Column("ring", String(16), nullable=False),
    Column("entered_at", Moment, nullable=False),
    Column("soak_s", Integer, nullable=False),
    Column("canaries", Text, nullable=False),
    Column("excused", Text, nullable=False, server_default="[]"),
    Column("stopped", Text),
    Column("told", Text),
    Column("lost", Text, nullable=False, server_default="[]"),
    Column("waits", Text),
)

# One row per message to people and way by which it did not go out yet (central.alert_outbox).
alerts_waiting = Table(
    "alerts_waiting",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("way", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)

# One row per epoch a register opened. `acked_through` and `chain_hash` are the high-water mark.
epochs = Table(
    "epochs",
    metadata,
    Column("epoch", String(64), primary_key=True),
    Column("device", ForeignKey("devices.id"), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("closed_at", Moment),
    Column("acked_through", BigInteger, nullable=False),
    Column("chain_hash", String(64), nullable=False),
    Column("note", Text),
    UniqueConstraint("device", "request_id"),
)

# Request ids already used by a request that may change something.
requests = Table(
    "requests",
    metadata,
    Column("device", String(64), primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("received_at", Moment, nullable=False, index=True),
)

# ---- what registers sent

# Append-only, exactly as hashed: `wall` is the text that the hash covers. Of a body that was erased `digest` stays.
entries = Table(
    "entries",
    metadata,
    Column("epoch", ForeignKey("epochs.epoch"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("device", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("hlc", Text, nullable=False),
    Column("wall", Text, nullable=False),
    Column("salt", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("h", String(64), nullable=False),
    Column("code", String(16), nullable=False),
    Column("detail", Text),
    Column("member", String(64)),
    Column("received_at", Moment, nullable=False),
    Column("digest", String(64)),
    Index("ix_entries_key", "key"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("device", String(64), nullable=False),
    Column("epoch", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("resolved_at", Moment),
    Column("resolved_as", String(16)),
    Column("note", Text),
    _partial("ix_quarantine_waiting", "reason", where="resolved_at IS NULL"),
    sqlite_autoincrement=True,
)

# One row per transaction, whatever number of times it was seen. `body` is its JSON with absent facts
# filled in since; `claims` what the register gave; `state` where its evaluation stands. At `reviewed_at` a person
# said that its time is right, or is `counts_at`.
receipts = Table(
    "receipts",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("device", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("store", Text),
    Column("register", Text),
    Column("number", Text),
    Column("fiscal_number", Text),
    Column("issued_at", Moment),
    Column("currency", String(3), nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("member", ForeignKey("members.id")),
    Column("code", Text),
    Column("claims", LargeBinary, nullable=False),
    Column("knew_member", Integer, nullable=False),
    Column("program", String(64)),
    Column("original", String(64)),
    Column("state", String(16), nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("problem", String(32)),
    Column("reviewed_at", Moment),
    Column("counts_at", Moment),
    Column("operator", Text),
    Column("attached_at", Moment),
    _partial("ix_receipts_problem", "problem", where="problem IS NOT NULL"),  # few earn nothing
    Index("ix_receipts_number", "number"),
    Index("ix_receipts_member", "member", "issued_at"),
    Index("ix_receipts_issued_at", "issued_at"),
    _partial("ix_receipts_code", "code", where="member IS NULL"),
    _partial("ix_receipts_original", "original", where="original IS NOT NULL"),  # of a sale there is none
    Index("ix_receipts_state", "state"),
)

# Every key under which a receipt is known; the primary key makes each count once.
receipt_keys = Table(
    "receipt_keys",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("receipt", ForeignKey("receipts.key"), nullable=False),
)

# Entries that give a receipt to somebody, to find their bodies again.
receipt_entries = Table(
    "receipt_entries",
    metadata,
    Column("receipt", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
)

# Returns that wait for their original, by each key or number it may come under.
waits = Table(
    "waits",
    metadata,
    Column("receipt", ForeignKey("receipts.key"), primary_key=True),
    Column("what", String(255), primary_key=True),
    Index("ix_waits_what", "what"),
)

# `attach` entries that came before their receipt, and did not give it to anybody yet.
attachments = Table(
    "attachments",
    metadata,
    Column("target", String(64), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("entry", String(16), nullable=False),
    Column("at", Moment),
)

# The running sums of `central.unmapped`: `goods` in JSON, null in the row of all further ones.
unmapped_goods = Table(
    "unmapped_goods",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("currency", String(3), nullable=False),
    Column("goods", LargeBinary, nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("turnover_minor", BigInteger, nullable=False),
    Column("last_seen", Moment, nullable=False),
)

# ---- members and points

# `joined` is 1 of who is known by joins at registers alone, 0 of whom the shop named itself.
members = Table(
    "members",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("short_name", Text),
    Column("tier", String(64)),
    Column("language", String(16)),
    Column("created_at", Moment, nullable=False),
    Column("birth_month", Integer),
    Column("segments", Text, nullable=False, server_default="[]"),
    Column("joined", Integer, nullable=False, server_default="0"),
)

# What people had told of a member before they told otherwise; each row holds until its time. Append-only.
member_facts = Table(
    "member_facts",
    metadata,
    Column("member", ForeignKey("members.id"), primary_key=True),
    Column("until", Moment, primary_key=True),
    Column("tier", String(64)),
    Column("birth_month", Integer),
    Column("segments", Text, nullable=False),
)

# Ids that mean another member: those that were merged into it, and those that a register made. They stay for ever.
member_aliases = Table(
    "member_aliases",
    metadata,
    Column("alias", String(64), primary_key=True),
    Column("member", String(64), nullable=False, index=True),
    Column("since", Moment, nullable=False),
    Column("because", Text, nullable=False),
)

# What was told of a member last, field by field: `hlc` is the stamp that counts, `told` the register's own.
profile_fields = Table(
    "profile_fields",
    metadata,
    Column("member", ForeignKey("members.id"), primary_key=True),
    Column("field", String(32), primary_key=True),
    Column("value", Text),
    Column("hlc", String(32), nullable=False),
    Column("told", String(32), nullable=False),
    Column("key", Text, nullable=False),
)

# What other channels know of a member, source by source, for whoever serves them at a till: lines as JSON.
member_context = Table(
    "member_context",
    metadata,
    Column("member", ForeignKey("members.id"), primary_key=True),
    Column("source", String(32), primary_key=True),
    Column("lines", Text, nullable=False),
)

# Who said when and where that they may be written to, or may not be any more, and which text they were shown.
# Append-only; a merge of members moves them.
consents = Table(
    "consents",
    metadata,
    Column("member", ForeignKey("members.id"), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("channel", String(32), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("text_version", Text, nullable=False),
    Column("hlc", String(32), nullable=False),
    Column("told", String(32), nullable=False),
    Column("seen", String(32), nullable=False),
    Column("device", String(64), nullable=False),
    Column("store", String(64), nullable=False),
    Column("register", String(64), nullable=False),
    Column("operator", Text),
    Column("told_at", Text, nullable=False),
    Column("received_at", Moment, nullable=False),
)

# Entries that are about a member and are no receipts, to find their bodies again.
member_entries = Table(
    "member_entries",
    metadata,
    Column("member", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
)

# Members of whom nothing is kept that tells who they are. `number` counts from 1 and is never given twice; `codes` are
# digests of what named them.
erasures = Table(
    "erasures",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("member", String(64), nullable=False, unique=True),
    Column("aliases", Text, nullable=False),
    Column("codes", Text, nullable=False),
    Column("erased_at", Moment, nullable=False),
)

# The same digests, each by itself.
erased_codes = Table(
    "erased_codes",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("member", String(64), nullable=False),
)

# Registers that said that they hold nothing of an erased member any more.
erasure_confirmations = Table(
    "erasure_confirmations",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("device", String(64), primary_key=True),
    Column("confirmed_at", Moment, nullable=False),
)

# One row per number, in normal form. The numbers of one card have the same `card` (one of them), and the same in
# the columns after it; without `member` it is stock that nobody has. See `central.cards` for what that makes.
identifiers = Table(
    "identifiers",
    metadata,
    Column("code", String(255), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("member", ForeignKey("members.id"), index=True),
    Column("added_at", Moment, nullable=False),
    Column("card", String(255), nullable=False, index=True),
    Column("printed", Integer, nullable=False, server_default="0"),
    Column("blocked_at", Moment),
    Column("blocked_because", Text),
    Column("replaced_by", String(255)),
    # Few cards are.
    _partial("ix_identifiers_blocked_at", "blocked_at", where="blocked_at IS NOT NULL"),
    _partial("ix_identifiers_replaced_by", "replaced_by", where="replaced_by IS NOT NULL"),
)

# What people did to one card, under the number they named. Append-only.
card_changes = Table(
    "card_changes",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("code", String(255), nullable=False, index=True),
    Column("what", String(16), nullable=False),
    Column("member", String(64)),
    Column("detail", Text),
    Column("changed_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)

# Append-only. A receipt, or an event, gives one row per rule; what corrects or voids that is a row of its own.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("member", ForeignKey("members.id"), nullable=False, index=True),
    Column("receipt", String(64), nullable=False),
    Column("rule", String(96), nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("basis_minor", BigInteger, nullable=False),
    Column("pending_until", Moment),
    Column("expires_at", Moment),
    Column("reverses", Text),
    Column("why", Text, nullable=False),
    Column("program", String(64), nullable=False),
    Column("recorded_at", Moment, nullable=False),
    UniqueConstraint("receipt", "rule", "member"),
    sqlite_autoincrement=True,
)

# The fold of `ledger`, kept in the same transaction; `matures_at` is when points next confirm or expire, or the tier
# may change. `tier` is the one that was reached, where the program has such. `reserved` is what open allowances hold of
# `confirmed`; one that moved since it was last asked what to set aside of it is `unplanned`.
balances = Table(
    "balances",
    metadata,
    Column("member", ForeignKey("members.id"), primary_key=True),
    Column("confirmed", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("matures_at", Moment, index=True),
    Column("tier", String(64)),
    Column("reserved", BigInteger, nullable=False, server_default="0"),
    Column("unplanned", Integer, nullable=False, server_default="1"),
    _partial("ix_balances_unplanned", "member", where="unplanned = 1"),  # soon planned
)

# Points of a member that one register may spend in one of its epochs; or uses of a `voucher`, `member` being '' where
# that is for whoever shows it. Of `granted` so many were `used` by redemptions
# and `returned` by the register; `lots` is the rest by lot, in JSON. `number` says in which order the device hears of
# them; a row that waits for one gets the next when the device asks, also one that was `recalled`, for a reason of
# `central.allowances`.
allowances = Table(
    "allowances",
    metadata,
    Column("member", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("device", String(64), nullable=False),
    Column("epoch", String(64), nullable=False),
    Column("number", BigInteger),
    Column("granted", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False, server_default="0"),
    Column("returned", BigInteger, nullable=False, server_default="0"),
    Column("lots", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("recalled", Integer, nullable=False, server_default="0"),
    Column("granted_at", Moment, nullable=False),
    Column("closed_at", Moment),
    Column("because", Text),
    Column("voucher", String(64)),
    Index("ix_allowances_id", "id"),
    Index("ix_allowances_device_number", "device", "number"),
    _partial("ix_allowances_open", "member", where="state = 'open'"),
    _partial("ix_allowances_open_device", "device", where="state = 'open'"),
    _partial("ix_allowances_voucher", "voucher", where="voucher IS NOT NULL"),
)

# Vouchers that were issued one by one, by a digest of the code: for one member, or without one for whoever shows it.
# `because` says why one was revoked, or whence it is known that was not issued here.
vouchers = Table(
    "vouchers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("reward", String(64), nullable=False),
    Column("member", String(64)),
    Column("uses", Integer, nullable=False),
    Column("issued_at", Moment, nullable=False, index=True),
    Column("revoked_at", Moment),
    Column("because", Text),
    Column("expires_at", Moment),
    _partial("ix_vouchers_member", "member", where="member IS NOT NULL"),
    _partial("ix_vouchers_expires_at", "expires_at", where="expires_at IS NOT NULL"),
)

# What an operator said of how much is set aside ahead, and where; the newest row counts.
allowance_policies = Table(
    "allowance_policies",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("places", Integer, nullable=False),
    Column("rewards", Integer, nullable=False),
    Column("because", Text, nullable=False),
    Column("set_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)

# How often a member's card may be used before a person looks; the newest row holds, NULL is any number.
limits = Table(
    "limits",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("cashier", Integer),
    Column("register", Integer),
    Column("card", Integer),
    Column("member", Integer),
    Column("because", Text, nullable=False),
    Column("set_at", Moment, nullable=False),
    Column("counts", String(8), nullable=False, server_default="sale"),
    Column("late_minutes", Integer),
    sqlite_autoincrement=True,
)

# Rewards that registers gave, each once by its entry's key. `receipt` is the key by which the sale was told; `parts`
# are the lots in the order in which they were taken, `drawn` what of them was set aside, both in JSON; `problems` what
# a person should look at. One that was released took nothing.
redemptions = Table(
    "redemptions",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("member", String(64), nullable=False, index=True),
    Column("device", String(64), nullable=False),
    Column("receipt", String(64), index=True),
    Column("reward", String(64), nullable=False),
    Column("times", Integer, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
    Column("parts", LargeBinary, nullable=False),
    Column("drawn", LargeBinary, nullable=False),
    Column("program", String(64)),
    Column("operator", Text),
    Column("at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("state", String(16), nullable=False),
    Column("released_at", Moment),
    Column("problems", Text, nullable=False, server_default="[]"),
    Column("voucher", String(64)),
    Index("ix_redemptions_device_at", "device", "at"),
    _partial("ix_redemptions_problems", "received_at", where="problems <> '[]'"),  # few have any
    _partial("ix_redemptions_voucher", "voucher", where="voucher IS NOT NULL"),
)

# From where a member's next sale goes on: the newest thing that was folded, when its program began to hold ('' for
# ever), and the counters in JSON. Without a row all is folded anew.
member_states = Table(
    "member_states",
    metadata,
    Column("member", ForeignKey("members.id"), primary_key=True),
    Column("moment", Moment, nullable=False),
    Column("key", String(64), nullable=False),
    Column("period", String(32), nullable=False),
    Column("counters", LargeBinary, nullable=False),
)

# Members whose ledger is not what their receipts give, and why; a person folds them anew.
unfolded = Table(
    "unfolded",
    metadata,
    Column("member", ForeignKey("members.id"), primary_key=True),
    Column("because", Text, nullable=False),
    Column("since", Moment, nullable=False),
)

# Things that members did and that are no purchase, each once by its key; `member` is null while nobody has the code.
events = Table(
    "events",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("what", String(64), nullable=False),
    Column("member", ForeignKey("members.id"), index=True),
    Column("code", String(255), index=True),
    Column("at", Moment, nullable=False),
    Column("device", String(64)),
    Column("received_at", Moment, nullable=False),
)

# Where a register claimed something else than the ledger says: one row per receipt, as it stands now.
variances = Table(
    "variances",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("receipt", ForeignKey("receipts.key"), nullable=False, unique=True),
    Column("device", String(64), nullable=False),
    Column("member", String(64), nullable=False, index=True),
    Column("claimed", BigInteger, nullable=False),
    Column("given", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("resolved_at", Moment),
    sqlite_autoincrement=True,
)

# ---- what goes down to registers

# Members whose row changed, until the sequencer gives that a position in `feed`.
changes = Table(
    "changes",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("member", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)

# The newest change of each member, with the row as it was when its position was given.
feed = Table(
    "feed",
    metadata,
    Column("member", String(64), primary_key=True),
    Column("pos", BigInteger, nullable=False, index=True),
    Column("op", String(16), nullable=False),
    Column("row", LargeBinary, nullable=False),
)

# Members by store: who was seen there and when, or was only asked for (`pinned_at`); `held` where registers there hold
# them. `pos` is where their feed says so, given by the sequencer.
scope_members = Table(
    "scope_members",
    metadata,
    Column("store", String(64), primary_key=True),
    Column("member", String(64), primary_key=True, index=True),
    Column("seen_at", Moment),
    Column("pinned_at", Moment),
    Column("held", Integer, nullable=False),
    Column("pos", BigInteger),
    Index("ix_scope_members_store_pos", "store", "pos"),
    _partial("ix_scope_members_unplaced", "member", "store", where="pos IS NULL"),  # the sequencer soon places them
    _partial("ix_scope_members_pinned", "store", "pinned_at", where="pinned_at IS NOT NULL"),
    _partial("ix_scope_members_seen", "store", "seen_at", where="held = 1"),
)

# What registers of a store hold; the row of the store '' is for all that have none.
scope_policies = Table(
    "scope_policies",
    metadata,
    Column("store", String(64), primary_key=True),
    Column("hold", String(16), nullable=False),
    Column("months", Integer),
    Column("set_at", Moment, nullable=False),
)

programs = Table(
    "programs",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("signature", String(128), nullable=False),
)

# Each row holds from `valid_from` (null: for all that was before, too) until the next one in time; of several from one
# time the newest row counts. One that was withdrawn never held.
publications = Table(
    "publications",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("program", ForeignKey("programs.hash"), nullable=False),
    Column("published_at", Moment, nullable=False),
    Column("valid_from", Moment),
    Column("withdrawn_at", Moment),
    sqlite_autoincrement=True,
)

# What registers are told to do besides the program, as signed.
configs = Table(
    "configs",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("signature", String(128), nullable=False),
)

# The newest row names the config in force.
config_publications = Table(
    "config_publications",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("config", ForeignKey("configs.hash"), nullable=False),
    Column("published_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)

# Signed item maps: each as registers get it, one zstd frame.
item_maps = Table(
    "item_maps",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("answer", LargeBinary, nullable=False),
)

# The newest row names the map in force.
item_map_publications = Table(
    "item_map_publications",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("item_map", ForeignKey("item_maps.hash"), nullable=False),
    Column("published_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)

# ---- people

# One-time links that open the admin pages.
admin_links = Table(
    "admin_links",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("expires_at", Moment, nullable=False),
    Column("used_at", Moment),
)

# By which column the rows of each table are spread where one PostgreSQL is not enough. Every unique key there holds
# that column, and a foreign key leads from it to that of another table, or to one of the small tables, of which every
# machine has a copy; so a member's rows are together, and a register's. (On SQLite, foreign keys lead everywhere.)
SPREAD = {
    "devices": "id",
    "epochs": "device",
    "requests": "device",
    "entries": "device",
    "quarantine": "device",
    "members": "id",
    "member_facts": "member",
    "member_aliases": "alias",
    "profile_fields": "member",
    "member_context": "member",
    "consents": "member",
    "member_entries": "member",
    "erased_codes": "digest",
    "member_states": "member",
    "ledger": "member",
    "balances": "member",
    "allowances": "member",
    "unfolded": "member",
    "changes": "member",
    "feed": "member",
    "scope_members": "member",
    "receipts": "key",
    "waits": "receipt",
    "variances": "receipt",
    "receipt_keys": "key",
    "receipt_entries": "receipt",
    "attachments": "target",
    "identifiers": "code",
    "card_changes": "code",
    "events": "key",
    "redemptions": "key",
    "vouchers": "id",
    "unmapped_goods": "key",
}
