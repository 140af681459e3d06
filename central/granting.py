"""Setting points aside for a register, for who stands at its till.

Owns whether that may be done, and what a register hears of it (`POST /v1/allowances`). Points are set aside only under
the lock of their member, and only where nobody holds them already: what all registers hold together never is more than
what the member may spend. What is set aside ahead is `central.planning`'s, the rows are `central.allowances`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import Connection, Row, bindparam, func, select, update

from central import allowances, devices, feed, leasing, ledger, members, spent, vouchers
from central.db import tables
from central.db.sets import among
from central.devices import Device, Randomness
from central.problems import EpochFencedError, UnreadableError
from central.recalling import NotGrantedError, asked_back, named
from loyalty.spending import taken_of
from sync.wire import (
    MAX_HELD,
    AllowancesRequest,
    AllowancesResponse,
    GrantedAllowance,
    HeldAllowance,
    NotGranted,
    Wanted,
)

# Allowances in one answer.
MAX_GRANTED = 1000
# A number beyond this was given by no centre.
MAX_NUMBER = 2**53
# Of what a register may say that it holds.
MAX_POINTS = 10**14
MAX_ID_CHARS = 64


# ---- what a register asks


def ask(
    connection: Connection, device: Device, request: AllowancesRequest, *, now: datetime, randomness: Randomness
) -> AllowancesResponse:
    """What was granted to a device after a number, and what it wants besides. The caller holds the device.

    A want that is asked again because its answer was lost is granted once. Raises EpochFencedError, UnreadableError.
    """
    if not devices.is_live(connection, device.id, request.epoch):
        raise EpochFencedError("open a new epoch with POST /v1/epochs and ask for allowances of that")
    if request.after > MAX_NUMBER:
        raise UnreadableError("$.after is no number that a centre gave")
    if b"\\u0000" in msgspec.json.encode(request):
        raise UnreadableError("a NUL is in no id, and not every database keeps one")
    _raise_number(connection, device.id, request.after)
    touched: set[str] = set()
    if request.held is not UNSET:
        touched |= _report(connection, device.id, request.held, now)
    refused: str | UnsetType = UNSET
    why: NotGranted | UnsetType = UNSET
    try:
        touched |= _grant(connection, device, request, now, randomness)
    except NotGrantedError as error:
        refused, why = str(error), error.reason
    tell_of(connection, touched, now)
    newest = number(connection, device.id)
    is_shared = devices.is_shared(connection, device.id)
    rows = () if is_shared else _granted(connection, device.id, request.epoch, request.after)
    served = rows[:MAX_GRANTED]
    more = len(rows) > MAX_GRANTED
    brings = vouchers.rows_of(connection, [row.voucher for row in served if row.voucher is not None])
    return AllowancesResponse(
        centre_epoch=feed.centre_epoch(connection),
        allowances=tuple(
            GrantedAllowance(
                number=row.number,
                allowance=row.id,
                member=row.member,
                epoch=row.epoch,
                points=row.granted,
                recalled=bool(row.recalled),
                voucher=row.voucher or UNSET,
                reward=brings[row.voucher].reward if row.voucher in brings else UNSET,
                expires_at=(brings[row.voucher].expires_at if row.voucher in brings else None) or UNSET,
            )
            for row in served
        ),
        next=served[-1].number if more else newest,
        more=more,
        refused=refused,
        refused_because=why,
    )


def number(connection: Connection, device: str) -> int:
    """The newest number of a device's allowances, once those that wait for one have theirs. The caller holds it.

    Only here, so that numbers grow in the order in which they are committed, and none is skipped by who asks after one.
    """
    table = tables.allowances
    waiting = connection.execute(
        select(table.c.member, table.c.id)
        .where(table.c.device == device, table.c.state == "open", table.c.number.is_(None))
        .order_by(table.c.granted_at, table.c.id)
    ).all()
    columns = tables.devices.c
    newest: int = connection.execute(select(columns.allowances).where(columns.id == device)).scalar_one()
    if not waiting:
        return newest
    connection.execute(
        update(table)
        .where(table.c.member == bindparam("whose"), table.c.id == bindparam("which"))
        .values(number=bindparam("given")),
        [{"whose": row.member, "which": row.id, "given": newest + place} for place, row in enumerate(waiting, start=1)],
    )
    _raise_number(connection, device, newest + len(waiting))
    return newest + len(waiting)


def not_told(connection: Connection, some: Sequence[str]) -> frozenset[str]:
    """Those of these devices that have allowances of which they have not heard yet."""
    columns = tables.allowances.c
    query = select(columns.device).where(among(columns.device, some), columns.number.is_(None), columns.state == "open")
    return frozenset(connection.execute(query.distinct()).scalars())


def _raise_number(connection: Connection, device: str, least: int) -> None:
    """A centre that was restored may have given higher numbers than it knows of."""
    table = tables.devices
    connection.execute(update(table).where(table.c.id == device, table.c.allowances < least).values(allowances=least))


def _granted(connection: Connection, device: str, epoch: str, after: int) -> Sequence[Row[Any]]:
    table = tables.allowances.c
    query = select(tables.allowances).where(table.device == device, table.number > after)
    query = query.where(table.epoch == epoch, table.state == "open")
    return connection.execute(query.order_by(table.number).limit(MAX_GRANTED + 1)).all()


def tell_of(connection: Connection, touched: Iterable[str], now: datetime) -> None:
    """The balances of members of whom another number of points is set aside, and their rows at registers."""
    every = sorted(touched)
    ledger.refresh_balances(connection, every, now, to_be_planned=False)
    feed.note_changes(connection, every, now)


# ---- a centre that was restored


def _report(connection: Connection, device: str, held: Sequence[HeldAllowance], now: datetime) -> set[str]:
    """A register says what it holds: what this centre forgot is set aside again. Returns whose."""
    for index, one in enumerate(held):
        if not (0 < one.points <= MAX_POINTS and 0 < len(one.allowance) <= MAX_ID_CHARS >= len(one.epoch)):
            raise UnreadableError(f"$.held[{index}] is no allowance that a centre gave")
    table = tables.devices
    connection.execute(update(table).where(table.c.id == device).values(owes_report=0))
    points = [one for one in held if not one.voucher]
    leasing.report(connection, device, [one for one in held if one.voucher], now)
    means = members.meant(connection, {one.member for one in points})
    forgotten = [
        (means[one.member], one)
        for one in points
        if one.member in means and allowances.found(connection, one.allowance) is None
    ]
    members.hold(connection, {member for member, _ in forgotten})
    for member, one in forgotten:
        used = min(spent.drawn_of(connection, member, one.allowance, spent.GIVEN), one.points)
        allowances.set_aside(
            connection,
            allowance=one.allowance,
            member=member,
            device=device,
            epoch=one.epoch,
            lots=taken_of(spent.lots_free(connection, member, now), one.points - used),
            used=used,
            now=now,
        )
    return {member for member, _ in forgotten}


def silent_registers(connection: Connection) -> tuple[str, ...]:
    """Registers in service that have not said what they hold since the centre was restored."""
    columns = tables.devices.c
    query = select(columns.store, columns.register).where(columns.owes_report == 1, columns.revoked_at.is_(None))
    rows = connection.execute(query.order_by(columns.store, columns.register))
    return tuple(f"{row.store}/{row.register}" for row in rows)


# ---- for who stands at a till


class Unheard(Struct, frozen=True, kw_only=True):
    """What a device has not heard of in an epoch: what has a number beyond `after`, or none yet, and is not `known`."""

    device: str
    epoch: str
    after: int
    known: frozenset[str] = frozenset()

    def of(self, rows: Iterable[Row[Any]]) -> list[Row[Any]]:
        """Those of these open allowances that are on their way to it, and not asked back."""
        return [
            row
            for row in rows
            if (row.device, row.epoch) == (self.device, self.epoch)
            and not row.recalled
            and (row.number is None or row.number > self.after)
            and row.id not in self.known
        ]


def grant_points(
    connection: Connection,
    device: Device,
    unheard: Unheard,
    want: Wanted,
    *,
    allowance: str,
    now: datetime,
) -> None:
    """Set aside the points that are wanted, in whole, for a register that is told by another way than an answer.

    The caller holds the device, and nothing has the id `allowance` yet. Raises NotGrantedError; then others were asked
    for what they hold all the same.
    """
    member = _whose(connection, device, want)
    touched = _set_aside(connection, unheard, member=member, points=want.points, allowance=allowance, now=now)
    tell_of(connection, touched, now)


def _grant(
    connection: Connection, device: Device, request: AllowancesRequest, now: datetime, randomness: Randomness
) -> set[str]:
    """Set aside what is wanted, in whole. Returns whose; raises NotGrantedError."""
    want = request.want
    if want is UNSET:
        return set()
    member = _whose(connection, device, want)
    if want.voucher:
        leasing.lease(connection, device, request, want, now=now, randomness=randomness)
        return set()
    unheard = Unheard(device=device.id, epoch=request.epoch, after=request.after)
    given = allowances.new_id(randomness)
    return _set_aside(connection, unheard, member=member, points=want.points, allowance=given, now=now)


def _whose(connection: Connection, device: Device, want: Wanted) -> str:
    """The member, where anything may be set aside for this register at all. Raises NotGrantedError."""
    if devices.is_shared(connection, device.id):
        raise NotGrantedError(
            "two machines use this register's identity; until that is put right it spends nothing", why="till"
        )
    silent = silent_registers(connection)
    if silent:
        raise NotGrantedError(
            f"the head office was restored from a backup and waits to hear from {named(silent)}; "
            "connect these registers, or have those that are gone revoked",
            why="restored",
        )
    member = members.meant(connection, [want.member]).get(want.member)
    if member is None or members.erased_among(connection, [member]):
        raise NotGrantedError("the head office knows no such member", why="nobody")
    if count_of(connection, device.id) >= MAX_HELD:
        raise NotGrantedError(
            "this register holds points of too many members; it has to give some back first", why="full"
        )
    return member


def _set_aside(
    connection: Connection, unheard: Unheard, *, member: str, points: int, allowance: str, now: datetime
) -> set[str]:
    members.hold(connection, [member])
    every = allowances.open_of(connection, [member])
    # Its answer was lost, or it was cut off since.
    wanted = points - sum(map(allowances.left_of, unheard.of(every)))
    if points > 0 >= wanted:
        return set()
    _check_covered(connection, member, every, now)
    if wanted <= 0:
        return set()
    lots = spent.lots_free(connection, member, now)
    free = sum(part.points for part in lots)
    if free < wanted:
        others = [row for row in every if (row.device, row.epoch) != (unheard.device, unheard.epoch)]
        raise _too_few(connection, others, free=free, wanted=wanted)
    allowances.set_aside(
        connection,
        allowance=allowance,
        member=member,
        device=unheard.device,
        epoch=unheard.epoch,
        lots=taken_of(lots, wanted),
        now=now,
    )
    return {member}


def _check_covered(connection: Connection, member: str, every: Sequence[Row[Any]], now: datetime) -> None:
    """Asks back all that is set aside of a member who has less by now. Raises NotGrantedError then."""
    short = -spent.balance(connection, member, now).spendable
    live = devices.live_epochs(connection)
    reachable = [row for row in every if (row.device, row.epoch) in live]
    if short > 0 and reachable:
        allowances.recall(connection, reachable, allowances.MISPLACED)
        raise NotGrantedError(
            f"goods were brought back, and with them {short} points that are set aside and asked back now: try again "
            "in a minute",
            why="few",
        )


def _too_few(connection: Connection, others: Sequence[Row[Any]], *, free: int, wanted: int) -> NotGrantedError:
    """Why there is not enough; where other registers hold what is missing, they are asked for it."""
    elsewhere = sum(allowances.left_of(row) for row in others)
    if free + elsewhere < wanted:
        return NotGrantedError(f"{wanted} points are wanted, and {free + elsewhere} can be spent", why="few")
    said = asked_back(connection, others, "the rest")
    return NotGrantedError(
        "; ".join([f"{wanted} points are wanted, and {free} are free", *said]), "elsewhere", why="elsewhere"
    )


def count_of(connection: Connection, device: str) -> int:
    columns = tables.allowances.c
    query = select(func.count()).where(columns.device == device, columns.state == "open")
    return int(connection.execute(query).scalar_one())
