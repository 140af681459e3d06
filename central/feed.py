"""The feed: one order of committed changes, and the rows that registers hold.

Owns positions. Work that changes a member leaves an unplaced change in its own transaction; the one
sequencer gives positions to committed changes only, so a cursor never skips a row. The row is kept as
it was when its position was given: what a register holds at a position is what the centre was there.
Never decides what a member's balance is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection, func, insert, literal, select, update

from central.cards import AT_ONCE
from central.db import tables
from central.db.database import Database
from central.db.dialects import Way
from central.db.sets import among, change_rows, each, insert_rows
from central.members import rows_of
from loyalty.member import Member
from sync.wire import Change, ChangesResponse, MemberResponse

# Changes placed in one transaction: an import must not hold the writers for long.
PLACED_AT_ONCE = 1000
MAX_CHANGES = 1000


def note_changes(connection: Connection, members: Iterable[str], now: datetime) -> dict[str, int]:
    """Leave an unplaced change for each member; returns the change's id for each."""
    every = list(dict.fromkeys(members))
    if not every:
        return {}
    table, changed = tables.changes, each(connection, every)
    rows = select(changed.c.value, literal(now, table.c.created_at.type))
    made = connection.execute(
        insert(table).from_select(["member", "created_at"], rows).returning(table.c.member, table.c.id)
    ).all()
    return {row.member: row.id for row in made}


def newest_changes(connection: Connection, members: Collection[str]) -> dict[str, int]:
    """The newest change of each member that has one."""
    if not members:
        return {}
    rows = connection.execute(
        select(tables.changes.c.member, func.max(tables.changes.c.id).label("newest"))
        .where(among(tables.changes.c.member, members))
        .group_by(tables.changes.c.member)
    )
    return {row.member: row.newest for row in rows}


def place_changes(connection: Connection, now: datetime) -> int:
    """Give positions to at most PLACED_AT_ONCE unplaced changes; returns how many.

    A member's changes share one position. Exactly the changes found are placed: the rows are read after
    them, so they hold their effect, and whatever is committed meanwhile waits for the next time.
    """
    changes = tables.changes
    found = connection.execute(
        select(changes.c.id, changes.c.member)
        .where(changes.c.pos.is_(None))
        .order_by(changes.c.id)
        .limit(PLACED_AT_ONCE)
    ).all()
    if not found:
        return 0
    newest = feed_position(connection)
    members = list(dict.fromkeys(change.member for change in found))
    pos_of = {member: newest + place for place, member in enumerate(members, start=1)}
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
    change_rows(connection, changes, [{"id": change.id, "pos": pos_of[change.member]} for change in found], by="id")
    connection.execute(update(tables.centre).values(feed_pos=newest + len(members)))
    return len(found)


def _as_fed(row: Member | None, erased: bool) -> dict[str, Any]:
    """A member's row; of who was merged into another, or erased, nothing but that."""
    if row is None:
        return {"op": "erase" if erased else "leave", "row": b""}
    return {"op": "upsert", "row": msgspec.json.encode(row)}


def erased_among(connection: Connection, members: Sequence[str]) -> set[str]:
    """Which of these were erased."""
    erased = tables.erasures.c.member
    found: set[str] = set()
    for start in range(0, len(members), AT_ONCE):
        some = erased.in_(members[start : start + AT_ONCE])
        found |= set(connection.execute(select(erased).where(some)).scalars())
    return found


def feed_position(connection: Connection) -> int:
    return int(connection.execute(select(tables.centre.c.feed_pos)).scalar_one())


def newest_row(connection: Connection, member: str) -> MemberResponse | None:
    """A member's row with its position, once it has one."""
    found = connection.execute(
        select(tables.feed).where(tables.feed.c.member == member, tables.feed.c.op == "upsert")
    ).one_or_none()
    return None if found is None else MemberResponse(pos=found.pos, row=msgspec.json.decode(found.row, type=Member))


def centre_epoch(connection: Connection) -> str:
    return str(connection.execute(select(tables.centre.c.centre_epoch)).scalar_one())


def positions_of(connection: Connection, change_ids: Sequence[int]) -> dict[int, int]:
    """The positions of these changes, as far as they have one."""
    rows = connection.execute(
        select(tables.changes.c.id, tables.changes.c.pos).where(
            among(tables.changes.c.id, change_ids), tables.changes.c.pos.is_not(None)
        )
    )
    return {row.id: row.pos for row in rows}


def changes_after(connection: Connection, after: int, limit: int, now: datetime) -> ChangesResponse:
    """Changes in order of position. Each member appears once, at its newest."""
    rows = connection.execute(
        select(tables.feed).where(tables.feed.c.pos > after).order_by(tables.feed.c.pos).limit(limit + 1)
    ).all()
    more, rows = len(rows) > limit, rows[:limit]
    return ChangesResponse(
        centre_epoch=centre_epoch(connection),
        changes=tuple(_change(row.pos, row.op, row.member, row.row) for row in rows),
        next=rows[-1].pos if rows else after,
        more=more,
        as_of=now,
    )


def rows_page(connection: Connection, after_member: str, limit: int) -> list[Change]:
    """One page of the whole feed in the order of member ids, for a snapshot."""
    rows = connection.execute(
        select(tables.feed)
        .where(tables.feed.c.member > after_member, tables.feed.c.op == "upsert")
        .order_by(tables.feed.c.member)
        .limit(limit)
    )
    return [_change(row.pos, row.op, row.member, row.row) for row in rows]


def _change(pos: int, op: str, member: str, row: bytes) -> Change:
    decoded = msgspec.json.decode(row, type=Member) if op == "upsert" else UNSET
    return Change(pos=pos, op=op, member=member, row=decoded)  # type: ignore[arg-type]


class Sequencer:
    """Places committed changes: at once for who asks, and every so often for other processes' work."""

    def __init__(self, database: Database, clock: Callable[[], datetime], announce: Callable[[int], None]) -> None:
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
            while await self._database.write(lambda connection: place_changes(connection, self._clock()), Way.PLACE):
                self._announce(await self._database.read(feed_position))
            self._served = serving

    async def place_if_any(self) -> None:
        """The same without a write transaction where nothing waits."""
        if await self._database.read(_any_unplaced):
            await self.place()


def _any_unplaced(connection: Connection) -> bool:
    return (
        connection.execute(select(tables.changes.c.id).where(tables.changes.c.pos.is_(None)).limit(1)).first()
        is not None
    )
