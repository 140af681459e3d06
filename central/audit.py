"""The ledger for accountants: every receipt and entry as lines, and whether the sums hold.

Owns reading only. Never settles, repairs or changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, func, select

from central import ledger
from central.db import tables
from loyalty.receipt import AwareDatetime


class ReceiptLine(Struct, frozen=True, kw_only=True, tag_field="type", tag="receipt"):
    """One transaction. `state` says where its evaluation stands."""

    key: str
    kind: str
    status: str
    store: str | None
    register: str | None
    number: str | None
    issued_at: AwareDatetime | None
    currency: str
    total_minor: int
    member: str | None
    state: str


class EntryLine(Struct, frozen=True, kw_only=True, tag_field="type", tag="entry"):
    """One row of the ledger."""

    member: str
    receipt: str
    rule: str
    points: int
    pending_until: AwareDatetime | None
    reverses: str | None
    why: str
    recorded_at: AwareDatetime


class BalanceLine(Struct, frozen=True, kw_only=True, tag_field="type", tag="balance"):
    """What a member holds; members who never had a point are left out."""

    member: str
    confirmed: int
    pending: int


Line = ReceiptLine | EntryLine | BalanceLine


class Unfolded(Struct, frozen=True, kw_only=True):
    """A member whose ledger is not what the receipts give, and why; `ledger fold` folds them."""

    member: str
    because: str
    since: AwareDatetime


class LedgerCheck(Struct, frozen=True, kw_only=True):
    """Counts, and what is not as it has to be: balances that are not the fold of their entries, members not folded.

    `blocked` are receipts held because their card was blocked before, `held_for_time` those whose time
    cannot be, `held_for_limit` those that are one too many.
    `variances` are all that there ever were, `open_variances` those that stand.
    """

    receipts: int
    entries: int
    points: int
    waiting: int
    no_member: int
    blocked: int
    held_for_time: int
    held_for_limit: int
    quarantined: int
    variances: int
    open_variances: int
    balance_mismatch: tuple[ledger.BalanceMismatch, ...]
    unfolded: tuple[Unfolded, ...]


def check(connection: Connection, now: datetime) -> LedgerCheck:
    """Count everything and fold every balance anew."""

    def count(statement: object) -> int:
        return int(connection.execute(statement).scalar_one())  # type: ignore[call-overload]

    receipts, states = tables.receipts, tables.receipts.c.state
    return LedgerCheck(
        receipts=count(select(func.count()).select_from(receipts)),
        entries=count(select(func.count()).select_from(tables.ledger)),
        points=count(select(func.coalesce(func.sum(tables.ledger.c.points), 0))),
        waiting=count(select(func.count()).select_from(receipts).where(states == ledger.WAITING)),
        no_member=count(select(func.count()).select_from(receipts).where(states == ledger.NO_MEMBER)),
        blocked=count(select(func.count()).select_from(receipts).where(states == ledger.BLOCKED)),
        held_for_time=count(select(func.count()).select_from(receipts).where(states == ledger.HELD)),
        held_for_limit=count(select(func.count()).select_from(receipts).where(states == ledger.OVER_LIMIT)),
        quarantined=count(select(func.count()).select_from(tables.quarantine)),
        variances=count(select(func.count()).select_from(tables.variances)),
        open_variances=count(
            select(func.count()).select_from(tables.variances).where(tables.variances.c.resolved_at.is_(None))
        ),
        unfolded=tuple(
            Unfolded(member=row.member, because=row.because, since=row.since)
            for row in connection.execute(select(tables.unfolded).order_by(tables.unfolded.c.member))
        ),
        balance_mismatch=tuple(ledger.check_balances(connection, now)),
    )


def lines(connection: Connection) -> Iterator[Line]:
    """Every receipt, then every entry in the order recorded, then every balance."""
    receipts = tables.receipts
    for row in connection.execute(select(receipts).order_by(receipts.c.issued_at, receipts.c.key)):
        yield ReceiptLine(**{name: getattr(row, name) for name in ReceiptLine.__struct_fields__})
    for row in connection.execute(select(tables.ledger).order_by(tables.ledger.c.id)):
        yield EntryLine(**{name: getattr(row, name) for name in EntryLine.__struct_fields__})
    balances = tables.balances
    held = select(balances).where((balances.c.confirmed != 0) | (balances.c.pending != 0)).order_by(balances.c.member)
    for row in connection.execute(held):
        yield BalanceLine(member=row.member, confirmed=row.confirmed, pending=row.pending)
