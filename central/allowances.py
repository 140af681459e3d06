"""Points and vouchers that are set aside: what each register may give of them, and what is left of it.

Owns the rows of allowances: how they come about, are drawn from, given back and written off. What is left is kept by
lot, since it does not expire; of a voucher it is uses, of one lot. Never says whether anything may be set aside
(`central.granting` and `central.leasing` do), nor keeps a balance (`central.ledger` does): who changes a row refreshes
the balance of its member, whom they hold (`members.hold`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select, update

from central.db import tables
from central.db.sets import among
from loyalty.allowances import Draw
from loyalty.spending import LotPart, beyond, taken_of

State = Literal["open", "spent", "returned", "written_off", "erased"]

ID_BYTES = 16
# Why an allowance is asked back: somebody waits for it, or it is to be dealt out anew.
ASKED_FOR, MISPLACED = 1, 2
AT_ONCE = 500
# In the place of a member: a voucher that is for whoever shows it.
NOBODYS = ""
_LOTS = tuple[LotPart, ...]


class Drawn(Struct, frozen=True, kw_only=True):
    """What a redemption said that it drew of an allowance, and what of that was there, by lot."""

    allowance: str
    points: int
    parts: tuple[LotPart, ...] = ()

    @property
    def counted(self) -> int:
        return sum(part.points for part in self.parts)


def left_of(row: Row[Any]) -> int:
    """What is still set aside by an allowance."""
    return int(row.granted - row.used - row.returned) if row.state == "open" else 0


def open_of(connection: Connection, members: Sequence[str]) -> list[Row[Any]]:
    """The open allowances of these members' points, in the order in which they were granted."""
    table = tables.allowances
    query = select(table).where(table.c.state == "open", among(table.c.member, members), table.c.voucher.is_(None))
    return list(connection.execute(query.order_by(table.c.granted_at, table.c.id))) if members else []


def open_of_vouchers(connection: Connection, vouchers: Sequence[str]) -> list[Row[Any]]:
    """What registers hold of these vouchers, in the order in which they were given it."""
    table = tables.allowances
    query = select(table).where(table.c.state == "open", among(table.c.voucher, vouchers))
    return list(connection.execute(query.order_by(table.c.granted_at, table.c.id))) if vouchers else []


def open_leases_of(connection: Connection, member: str) -> list[Row[Any]]:
    """What registers hold of all the vouchers of a member."""
    table = tables.allowances
    query = select(table).where(table.c.state == "open", table.c.member == member, table.c.voucher.is_not(None))
    return list(connection.execute(query))


def held(connection: Connection, members: Sequence[str]) -> dict[str, Counter[datetime | None]]:
    """What is set aside of each lot of these members; those of whom nothing is are absent."""
    return _by_lot(open_of(connection, members))


def held_of_all(connection: Connection) -> dict[str, Counter[datetime | None]]:
    table = tables.allowances
    return _by_lot(connection.execute(select(table).where(table.c.state == "open", table.c.voucher.is_(None))))


def _by_lot(rows: Iterable[Row[Any]]) -> dict[str, Counter[datetime | None]]:
    lots: defaultdict[str, Counter[datetime | None]] = defaultdict(Counter)
    for row in rows:
        for part in lots_of(row):
            lots[row.member][part.expires_at] += part.points
    return dict(lots)


def lots_of(row: Row[Any]) -> tuple[LotPart, ...]:
    """What is left of an allowance, by lot."""
    return msgspec.json.decode(row.lots, type=_LOTS)


def set_aside(
    connection: Connection,
    *,
    allowance: str,
    member: str,
    device: str,
    epoch: str,
    lots: Sequence[LotPart],
    now: datetime,
    used: int = 0,
    voucher: str | None = None,
) -> None:
    """A new allowance of these lots, or of uses of a voucher; `used` was spent of it before it was known here."""
    left = sum(part.points for part in lots)
    connection.execute(
        insert(tables.allowances).values(
            member=member,
            id=allowance,
            device=device,
            epoch=epoch,
            granted=left + used,
            used=used,
            lots=msgspec.json.encode(lots),
            state="open" if left else "spent",
            granted_at=now,
            voucher=voucher,
        )
    )


def new_id(randomness: Callable[[int], bytes]) -> str:
    return randomness(ID_BYTES).hex()


def draw(
    connection: Connection,
    draws: Sequence[Draw],
    *,
    device: str,
    member: str,
    points: int,
    now: datetime,
    voucher: str | None = None,
) -> tuple[tuple[Drawn, ...], tuple[str, ...]]:
    """Take what a redemption drew of allowances, `points` in all at most; and what is wrong with what it said.

    Only of allowances of this member's points, or of this voucher, that this device was given, as far as they go.
    """
    rows = {row.id: row for row in _rows(connection, [one.allowance for one in draws])}
    drawn: list[Drawn] = []
    problems: dict[str, None] = {}
    for one in draws:
        row = rows.pop(one.allowance, None)
        fault = _fault(row, device, member, voucher)
        if row is None or fault is not None:
            problems[fault or ""] = None
            drawn.append(Drawn(allowance=one.allowance, points=one.points))
            continue
        there = max(0, min(one.points, points, left_of(row)))
        if there < min(one.points, points):
            problems["overdrawn"] = None
        lots = lots_of(row)
        drawn.append(Drawn(allowance=row.id, points=one.points, parts=taken_of(lots, there)))
        points -= there
        _change(connection, row, used=row.used + there, lots=beyond(lots, there), now=now)
    return tuple(drawn), tuple(problems)


def _fault(row: Row[Any] | None, device: str, member: str, voucher: str | None) -> str | None:
    """Why nothing can be drawn of an allowance, which a redemption names once."""
    if row is None:
        return "unknown_allowance"
    if row.device != device or row.voucher != voucher or (voucher is None and row.member != member):
        return "foreign_allowance"
    return None if row.state == "open" else "closed_allowance"


def put_back(connection: Connection, drawn: Iterable[Drawn], now: datetime) -> None:
    """What a redemption that did not take place drew of allowances: into those that are not closed for good.

    Their register may count on them again; where it does not, it gives them back.
    """
    by_id = {one.allowance: one for one in drawn if one.parts}
    for row in _rows(connection, list(by_id)):
        one = by_id[row.id]
        if row.state in ("open", "spent"):
            _change(connection, row, used=row.used - one.counted, lots=(*one.parts, *lots_of(row)), now=now)


def give_back(connection: Connection, row: Row[Any], points: int, now: datetime) -> None:
    """Let so many points of an open allowance be free. One of which nothing is left is closed."""
    _change(connection, row, returned=row.returned + points, lots=beyond(lots_of(row), points), now=now)


def close(connection: Connection, rows: Iterable[Row[Any]], state: State, because: str, now: datetime) -> None:
    """Let all that is left of these be free, for good."""
    table = tables.allowances
    for row in rows:
        connection.execute(
            update(table)
            .where(table.c.member == row.member, table.c.id == row.id)
            .values(state=state, closed_at=now, because=because, lots=b"[]")
        )


def recall(connection: Connection, rows: Iterable[Row[Any]], why: int = ASKED_FOR) -> None:
    """Ask registers to give these back; they hear of it under a new number. Who asked for some has them before all."""
    table = tables.allowances
    for row in rows:
        if not row.recalled or why == ASKED_FOR != row.recalled:
            connection.execute(
                update(table)
                .where(table.c.member == row.member, table.c.id == row.id)
                .values(recalled=why, number=None)
            )


def recall_expired(connection: Connection, some: Sequence[str], now: datetime) -> None:
    """Ask back what is set aside of lots of these members that ended: given back, it ends, too."""
    for start in range(0, len(some), AT_ONCE):
        rows = open_of(connection, some[start : start + AT_ONCE])
        recall(connection, [row for row in rows if any(_is_over(part, now) for part in lots_of(row))])


def _is_over(part: LotPart, now: datetime) -> bool:
    return part.expires_at is not None and part.expires_at <= now


def found(connection: Connection, allowance: str) -> Row[Any] | None:
    """The allowance with this id, whatever became of it."""
    return next(iter(_rows(connection, [allowance])), None)


def _rows(connection: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    table = tables.allowances
    return connection.execute(select(table).where(among(table.c.id, ids))).all() if ids else ()


def _change(
    connection: Connection,
    row: Row[Any],
    *,
    now: datetime,
    lots: Sequence[LotPart],
    used: int | None = None,
    returned: int | None = None,
) -> None:
    used, returned = row.used if used is None else used, row.returned if returned is None else returned
    left = row.granted - used - returned
    ended: State = "returned" if returned else "spent"
    values: Mapping[str, Any] = {
        "used": used,
        "returned": returned,
        "lots": msgspec.json.encode(lots),
        "state": "open" if left else ended,
        "closed_at": None if left else now,
    }
    table = tables.allowances
    connection.execute(update(table).where(table.c.member == row.member, table.c.id == row.id).values(values))
