"""The feed: one order of committed changes, and the rows that registers hold.

Owns positions. Work that changes a member, or who holds it, leaves that unplaced in its own transaction; the one
sequencer gives positions to committed changes only, so a cursor never skips a row. The row is kept as
it was when its position was given: what a register holds at a position is what the centre was there.
Never decides what a member's balance is, nor who is in a store's scope (`central.scopes` does).

A register reads the part of the feed that its store's scope is about. In it a member stands where its row changed last,
or where it came into the scope or left it, whichever is later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)

from central.db import tables
from central.db.database import Database
from central.db.dialects import Way
from central.db.sets import among, insert_rows
from central.fed_rows import rows_of
from central.members import erased_among, meant
from central.scopes import WHOLE, Scope
from loyalty.member import Member
from sync.wire import MemberResponse

# Changes placed in one transaction: an import must not hold the writers for long.
PLACED_AT_ONCE = 1000
MAX_CHANGES = 1000
# Positions looked through for one answer: a store's members may be few among all that changed.
SPAN = 20_000
# Of a row that changed where it is held.
_HELD: Final = literal_column("1", Integer).label("held")
# Position, member, op, row, and whether the row is held.
_Found = Row[*tuple[Any, ...]]


class FedChange(Struct, frozen=True, kw_only=True):
    """A Change, in an answer or as a line of a snapshot, whose row is written as the feed keeps it."""

    pos: int
    op: str
    member: str
    row: Raw | UnsetType = UNSET


class FedChanges(Struct, frozen=True, kw_only=True):
    """A ChangesResponse of these."""

    centre_epoch: str
    changes: tuple[FedChange, ...]
    next: int
    more: bool
    as_of: datetime


class Placed(Struct, frozen=True, kw_only=True):
    """What the sequencer gave positions to, of these members; the feed has come to `pos`. `more` may be waiting."""

    members: frozenset[str] = frozenset()
    pos: int = 0
    more: bool = False


def note_changes(connection: Connection, members: Iterable[str], now: datetime) -> None:
    """Leave an unplaced change for each member."""
    rows = [{"member": member, "created_at": now} for member in dict.fromkeys(members)]
    insert_rows(connection, tables.changes, rows)


def place_changes(connection: Connection, now: datetime) -> Placed:
    """Give positions to at most PLACED_AT_ONCE unplaced changes of members, and as many of scopes.

    What was found of one member shares one position. Exactly what was found is placed: the rows are read after
    that, so they hold its effect, and whatever is committed meanwhile waits for the next time.
    """
    changes, scoped = tables.changes, tables.scope_members
    found = connection.execute(
        select(changes.c.id, changes.c.member).order_by(changes.c.id).limit(PLACED_AT_ONCE)
    ).all()
    moved = connection.execute(
        select(scoped.c.member, scoped.c.store)
        .where(scoped.c.pos.is_(None))
        .order_by(scoped.c.member, scoped.c.store)
        .limit(PLACED_AT_ONCE)
    ).all()
    if not found and not moved:
        return Placed()
    before = feed_position(connection)
    members = dict.fromkeys(member for _, member in found)
    every = dict.fromkeys((*members, *(member for member, _ in moved)))
    pos_of = {member: before + place for place, member in enumerate(every, start=1)}
    newest = before + len(every)
    if found:
        _put_rows(connection, {member: pos_of[member] for member in members}, now)
        connection.execute(changes.delete().where(among(changes.c.id, [change for change, _ in found])))
    if moved:
        this = and_(scoped.c.store == bindparam("at"), scoped.c.member == bindparam("whose"))
        connection.execute(
            update(scoped).where(this).values(pos=bindparam("given")),
            [{"at": store, "whose": member, "given": pos_of[member]} for member, store in moved],
        )
    connection.execute(update(tables.centre).values(feed_pos=newest))
    return Placed(members=frozenset(every), pos=newest, more=PLACED_AT_ONCE in (len(found), len(moved)))


def _put_rows(connection: Connection, pos_of: dict[str, int], now: datetime) -> None:
    """The rows of these members as they are now, each at its position."""
    members = list(pos_of)
    rows, erased = rows_of(connection, members, now), erased_among(connection, members)
    connection.execute(tables.feed.delete().where(among(tables.feed.c.member, members)))
    insert_rows(
        connection,
        tables.feed,
        [
            {"member": member, "pos": pos} | _as_fed(None if member in erased else rows.get(member), member in erased)
            for member, pos in pos_of.items()
        ],
    )


def _as_fed(row: Member | None, erased: bool) -> dict[str, Any]:
    """A member's row; of who was merged into another, or erased, nothing but that."""
    if row is None:
        return {"op": "erase" if erased else "leave", "row": b""}
    return {"op": "upsert", "row": msgspec.json.encode(row)}


def feed_position(connection: Connection) -> int:
    return int(connection.execute(select(tables.centre.c.feed_pos)).scalar_one())


def newest_row(connection: Connection, member: str, scope: Scope = WHOLE) -> MemberResponse | None:
    """A member's row with its position in the feed of a scope, once it has one."""
    found = connection.execute(
        select(tables.feed).where(tables.feed.c.member == member, tables.feed.c.op == "upsert")
    ).one_or_none()
    if found is None:
        return None
    columns = tables.scope_members.c
    moved = connection.execute(select(columns.pos).where(columns.store == scope.store, columns.member == member))
    pos = max(found.pos, moved.scalar_one_or_none() or 0)
    return MemberResponse(pos=pos, row=msgspec.json.decode(found.row, type=Member))


def centre_epoch(connection: Connection) -> str:
    return str(connection.execute(select(tables.centre.c.centre_epoch)).scalar_one())


def positions_of(connection: Connection, members: Collection[str]) -> dict[str, int]:
    """Where the rows of these members stand, as far as they have one: at or behind all that was placed of them.

    What was of a member who is merged into another shows in the other's row.
    """
    if not members:
        return {}
    columns = tables.feed.c
    query = select(columns.member, columns.pos, columns.op).where(among(columns.member, members))
    rows = connection.execute(query).all()
    found = {row.member: row.pos for row in rows}
    if left := [row.member for row in rows if row.op == "leave"]:
        into = meant(connection, left)
        theirs = positions_of(connection, set(into.values()).difference(left))
        found |= {member: theirs[other] for member, other in into.items() if other in theirs}
    return found


def changes_after(connection: Connection, after: int, limit: int, now: datetime, scope: Scope = WHOLE) -> FedChanges:
    """Changes in order of position, as far as they are a scope's. Each member appears once, at its newest."""
    newest = feed_position(connection)
    through = min(after + SPAN, newest)
    if scope.store is None:
        rows = _all_changes(connection, after, through, limit)
    else:
        rows = _changes_of_store(connection, scope.store, after, through, limit)
    cut, rows = len(rows) > limit, rows[:limit]
    reached = rows[-1].at if cut else max(after, through)
    return FedChanges(
        centre_epoch=centre_epoch(connection),
        changes=tuple(_change(*row) for row in rows),
        next=reached,
        more=reached < newest,
        as_of=now,
    )


def has_news(connection: Connection, after: int, scope: Scope) -> bool:
    """Whether the feed goes on beyond a position by anything that is of a scope; who is far behind has to look."""
    newest = feed_position(connection)
    if newest <= after or scope.store is None or newest > after + SPAN:
        return newest > after
    return bool(_changes_of_store(connection, scope.store, after, newest, 1))


def _all_changes(connection: Connection, after: int, through: int, limit: int) -> list[_Found]:
    columns = tables.feed.c
    query = select(columns.pos.label("at"), columns.member, columns.op, columns.row, _HELD)
    return list(connection.execute(_between(query, columns.pos, after, through, limit)))


def _changes_of_store(connection: Connection, store: str, after: int, through: int, limit: int) -> list[_Found]:
    """Rows that changed while they were in the scope, and those that came into it or left it.

    What is gone for all (`erase`) is told to every store: a register may hold it that the scope no longer knows of.
    """
    rows, scoped = tables.feed.c, tables.scope_members.c
    here = and_(scoped.member == rows.member, scoped.store == store)
    # By nothing but its key: where PostgreSQL knows little of the tables yet, it would join each row with all whom the
    # store holds, or go by an index of these.
    held = select(case((scoped.pos <= rows.pos, scoped.held), else_=0)).where(here).scalar_subquery()
    changed = select(rows.pos.label("at"), rows.member, rows.op, rows.row, _HELD).where(
        or_(rows.op != "upsert", held == 1)
    )
    op = func.coalesce(rows.op, "leave")
    moved = (
        select(scoped.pos.label("at"), scoped.member, op.label("op"), rows.row, scoped.held)
        .select_from(tables.scope_members.outerjoin(tables.feed, here))
        .where(scoped.store == store, or_(scoped.held == 0, rows.pos < scoped.pos))
    )
    found = [
        row
        for query, pos in ((changed, rows.pos), (moved, scoped.pos))
        for row in connection.execute(_between(query, pos, after, through, limit))
    ]
    return sorted(found, key=itemgetter(0))


def _between(query: Select[Any], pos: ColumnElement[int], after: int, through: int, limit: int) -> Select[Any]:
    return query.where(pos > after, pos <= through).order_by(pos).limit(limit + 1)


def rows_page(connection: Connection, after_member: str, limit: int, scope: Scope = WHOLE) -> list[FedChange]:
    """One page of all that is in a scope, in the order of member ids, for a snapshot."""
    rows, scoped = tables.feed.c, tables.scope_members.c
    if scope.store is None:
        query = select(rows.member, rows.pos, rows.row).where(rows.member > after_member).order_by(rows.member)
    else:
        pos = case((scoped.pos > rows.pos, scoped.pos), else_=rows.pos).label("pos")
        query = (
            select(scoped.member, pos, rows.row)
            .select_from(tables.scope_members.join(tables.feed, rows.member == scoped.member))
            .where(scoped.store == scope.store, scoped.member > after_member)
            .where(scoped.held == 1, scoped.pos.is_not(None))
            .order_by(scoped.member)
        )
    found = connection.execute(query.where(rows.op == "upsert").limit(limit))
    return [FedChange(pos=pos, op="upsert", member=member, row=Raw(row)) for member, pos, row in found]


def _change(at: int, member: str, op: str, row: bytes, held: int) -> FedChange:
    """As a register is told it. What left the scope while its row is gone for all is told as the latter."""
    if op == "upsert" and held:
        return FedChange(pos=at, op="upsert", member=member, row=Raw(row))
    return FedChange(pos=at, op="leave" if op == "upsert" else op, member=member)


class Sequencer:
    """Places committed changes: at once for who asks, and every so often for other processes' work.

    `announce` is told each time what was placed.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime], announce: Callable[[Placed], Awaitable[None]]
    ) -> None:
        self._database = database
        self._clock = clock
        self._announce = announce
        self._pass = asyncio.Lock()
        self._asked = 0
        self._served = 0

    async def place(self) -> None:
        """Return once everything committed before this call has a position."""
        self._asked += 1
        ticket = self._asked
        async with self._pass:
            if self._served >= ticket:
                return
            serving = self._asked
            more = True
            while more:
                placed = await self._placed()
                if placed.members:
                    await self._announce(placed)
                more = placed.more
            self._served = serving

    async def _placed(self) -> Placed:
        return await self._database.write(lambda connection: place_changes(connection, self._clock()), Way.PLACE)

    async def place_if_any(self) -> None:
        """The same without a write transaction where nothing waits."""
        if await self._database.read(_any_unplaced):
            await self.place()


def _any_unplaced(connection: Connection) -> bool:
    changes, scoped = tables.changes.c, tables.scope_members.c
    unplaced = (select(changes.id), select(scoped.member).where(scoped.pos.is_(None)))
    return any(connection.execute(query.limit(1)).first() is not None for query in unplaced)
