"""What the registers of a store hold: whom they saw, and whom they asked for.

Owns policies, and who is in which store's scope since when. A member who comes in or falls out waits for the sequencer,
which gives that a position in the store's feed (`central.feed`). Never touches a member's row, and erases nobody: that
a register lets go of somebody is `leave`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import Connection, Select, and_, func, insert, literal_column, select, update

from central.db import tables
from central.db.sets import among, insert_rows

Hold = Literal["everything", "seen"]
"""All members, or those that were seen at the store."""

DEFAULT_MONTHS = 12
MAX_MONTHS = 120
# The policy of stores that have none of their own.
ALL_STORES = ""
# Who is seen every day is noted once in this time: a receipt should not cost a write that changes nothing.
SEEN_AGAIN = timedelta(days=1)
# Who was asked for and did not come in this time is let go of.
PINNED_FOR = timedelta(days=30)
# Members that a store holds because it asked for them; beyond this the oldest go. A till that guesses must not fill.
MAX_PINS = 1000
# Members that leave in one transaction, and rows that come in by a policy: others write meanwhile.
MOVED_AT_ONCE = 1000


class Policy(Struct, frozen=True, kw_only=True):
    """What a store's registers hold: `everything`, or who was `seen` there in so many months."""

    hold: Hold
    months: int | None = None

    @property
    def since(self) -> timedelta:
        """How long ago a member may have been seen last."""
        return timedelta(days=(self.months or DEFAULT_MONTHS) * 365 // 12)


DEFAULT = Policy(hold="seen", months=DEFAULT_MONTHS)
EVERYTHING = Policy(hold="everything")


class StorePolicy(Struct, frozen=True, kw_only=True):
    """A policy that was set, for one store or (`store` is empty) for all that have none of their own."""

    store: str
    policy: Policy


class Scope(Struct, frozen=True, kw_only=True):
    """What one register's feed is about. `store` is None where that is everything.

    `name` is the same as long as that holds: a register whose snapshot was of another one begins anew.
    """

    name: str
    store: str | None = None


WHOLE = Scope(name="everything")


# ---- policies


def policies(connection: Connection) -> tuple[StorePolicy, ...]:
    """What was set, in order of stores."""
    rows = connection.execute(select(tables.scope_policies).order_by(tables.scope_policies.c.store))
    return tuple(StorePolicy(store=row.store, policy=_policy(row)) for row in rows)


def policy_of(connection: Connection, store: str) -> Policy:
    columns = tables.scope_policies.c
    rows = connection.execute(select(tables.scope_policies).where(columns.store.in_((store, ALL_STORES))))
    found = {row.store: _policy(row) for row in rows}
    return found.get(store) or found.get(ALL_STORES) or DEFAULT


def scope_of(connection: Connection, store: str) -> Scope:
    """What the registers of a store hold now."""
    policy = policy_of(connection, store)
    if policy.hold == "everything":
        return WHOLE
    # A name that stands in an address as it is, whatever the store is called.
    place = hashlib.sha256(store.encode()).hexdigest()[:16]
    return Scope(name=f"seen-{policy.months or DEFAULT_MONTHS}m-{place}", store=store)


def set_policy(connection: Connection, store: str, policy: Policy | None, now: datetime) -> None:
    """Set what a store's registers hold, or take that back; those whose scope is another one now take a snapshot.

    Whom it lets in again comes in here; whom it lets out leaves with the next `let_go`.
    """
    table = tables.scope_policies
    connection.execute(table.delete().where(table.c.store == store))
    if policy is not None:
        connection.execute(insert(table).values(store=store, hold=policy.hold, months=policy.months, set_at=now))
    for place in stores(connection) if store == ALL_STORES else (store,):
        since = now - policy_of(connection, place).since
        members = tables.scope_members.c
        connection.execute(
            update(tables.scope_members)
            .where(members.store == place, members.held == 0, members.seen_at >= since)
            .values(held=1, pos=None)
        )


def stores(connection: Connection) -> Sequence[str]:
    """Every store that has, or had, a register."""
    return connection.execute(select(tables.devices.c.store).distinct()).scalars().all()


def _policy(row: Any) -> Policy:
    return Policy(hold=row.hold, months=row.months)


# ---- who comes in


def seen(connection: Connection, store: str, members: Collection[str], now: datetime) -> None:
    """These members were at the store: they are in its scope from now on. The caller holds them (`members.hold`)."""
    _seen(connection, store, sorted(set(members)), now)


def _seen(connection: Connection, store: str, members: Sequence[str], at: datetime) -> None:
    columns = tables.scope_members.c
    known, again, back = set(), [], []
    query = select(columns.member, columns.held, columns.pinned_at, columns.seen_at)
    for member, held, pinned_at, seen_at in connection.execute(_where(query, store, members)):
        known.add(member)
        if not held:
            back.append(member)
        elif pinned_at is not None or seen_at is None or seen_at < at - SEEN_AGAIN:
            again.append(member)
    fresh = [member for member in members if member not in known]
    if fresh:
        rows = [{"store": store, "member": member, "seen_at": at, "held": 1} for member in fresh]
        insert_rows(connection, tables.scope_members, rows)
    for some, values in ((again, {}), (back, {"held": 1, "pos": None})):
        if some:
            connection.execute(
                update(tables.scope_members)
                .where(columns.store == store, among(columns.member, some))
                .values(seen_at=at, pinned_at=None, **values)
            )


def seen_with(connection: Connection, member: str, receipts: Sequence[str]) -> None:
    """These receipts turned out to be a member's: they were at the stores, and at the times, that these came from."""
    devices, columns = tables.devices.c, tables.receipts.c
    rows = connection.execute(
        select(devices.store, func.max(columns.received_at).label("at"))
        .select_from(tables.receipts.join(tables.devices, devices.id == columns.device))
        .where(among(columns.key, receipts))
        .group_by(devices.store)
        .order_by(devices.store)
    )
    for row in rows.all():
        _seen(connection, row.store, (member,), row.at)


def pin(connection: Connection, store: str, member: str, now: datetime) -> None:
    """A register asked for this member: its store holds them for a while. The caller holds the member."""
    columns = tables.scope_members.c
    row = connection.execute(_rows_of(store, (member,))).one_or_none()
    this = and_(columns.store == store, columns.member == member)
    if row is None:
        values = {"store": store, "member": member, "pinned_at": now, "held": 1}
        connection.execute(insert(tables.scope_members).values(values))
    elif not row.held:
        connection.execute(update(tables.scope_members).where(this).values(pinned_at=now, held=1, pos=None))
    else:
        return
    beyond = connection.execute(
        select(columns.member)
        .where(columns.store == store, columns.pinned_at.is_not(None), columns.held == 1)
        .order_by(columns.pinned_at.desc(), columns.member)
        .offset(MAX_PINS)
        .limit(MOVED_AT_ONCE)
    )
    _leave(connection, store, beyond.scalars().all())


def move(connection: Connection, gone: str, kept: str) -> None:
    """Who is another member from now on: the stores that hold the one hold the other. The caller holds both."""
    columns = tables.scope_members.c
    held = select(tables.scope_members).where(columns.member == gone, columns.held == 1).order_by(columns.store)
    for row in connection.execute(held).all():
        if row.pinned_at is None:
            _seen(connection, row.store, (kept,), row.seen_at)
        else:
            pin(connection, row.store, kept, row.pinned_at)
    forget(connection, (gone,))


def forget(connection: Connection, members: Sequence[str]) -> None:
    """Keep nothing of where these were. That their rows are gone is told to every store (`central.feed`)."""
    connection.execute(tables.scope_members.delete().where(among(tables.scope_members.c.member, members)))


def held_at(connection: Connection, store: str, member: str) -> bool:
    """Whether the store's feed tells of this member already."""
    row = connection.execute(_rows_of(store, (member,))).one_or_none()
    return row is not None and bool(row.held) and row.pos is not None


def stores_holding(connection: Connection, members: Sequence[str]) -> set[str]:
    """The stores whose scope has any of these members, or had."""
    columns = tables.scope_members.c
    return set(connection.execute(select(columns.store).where(among(columns.member, members)).distinct()).scalars())


def _rows_of(store: str, members: Iterable[str]) -> Select[Any]:
    return _where(select(tables.scope_members), store, members)


def _where(query: Select[Any], store: str, members: Iterable[str]) -> Select[Any]:
    columns = tables.scope_members.c
    return query.where(columns.store == store, among(columns.member, members))


# ---- who falls out


def let_go(connection: Connection, now: datetime) -> int:
    """Let members leave whom a store has not seen for as long as its policy says, MOVED_AT_ONCE at most.

    Returns how many; there may be more as long as that is not 0.
    """
    columns = tables.scope_members.c
    gone = 0
    for store in stores(connection):
        policy = policy_of(connection, store)
        if policy.hold == "everything":
            continue
        # Two queries, an index for each.
        no_longer_asked_for = columns.pinned_at < now - PINNED_FOR
        unseen = and_(columns.pinned_at.is_(None), columns.seen_at < now - policy.since)
        for falls_out in (no_longer_asked_for, unseen):
            held = and_(columns.store == store, columns.held == literal_column("1"))
            found = connection.execute(select(columns.member).where(held, falls_out).limit(MOVED_AT_ONCE - gone))
            leaving = found.scalars().all()
            _leave(connection, store, leaving)
            gone += len(leaving)
            if gone >= MOVED_AT_ONCE:
                return gone
    return gone


def _leave(connection: Connection, store: str, members: Sequence[str]) -> None:
    columns = tables.scope_members.c
    connection.execute(
        update(tables.scope_members)
        .where(columns.store == store, among(columns.member, members))
        .values(held=0, pinned_at=None, pos=None)
    )
