"""Setting points aside for a register: for who stands at its till, and ahead where a member shops.

Owns whether that may be done, and what a register hears of it (`POST /v1/allowances`). Points are set aside only under
the lock of their member, and only where nobody holds them already: what all registers hold together never is more than
what the member may spend. The rows are `central.allowances`'.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import Connection, Row, bindparam, func, insert, or_, select, update

from central import allowances, devices, feed, leasing, ledger, members, programs, spent, vouchers
from central.db import tables
from central.db.sets import among
from central.devices import Device, Randomness
from central.leasing import Ahead
from central.problems import EpochFencedError, UnreadableError
from central.recalling import NotGrantedError, asked_back, named
from loyalty.allowances import Place, Policy, Unit, issued_ahead, misplaced, planned, units_of
from loyalty.meant import Meant, asks_for_whom
from loyalty.receipt import AwareDatetime
from loyalty.spending import beyond, taken_of
from sync.wire import (
    MAX_HELD,
    AllowancesRequest,
    AllowancesResponse,
    GrantedAllowance,
    HeldAllowance,
    NotGranted,
)

# Allowances in one answer.
MAX_GRANTED = 1000
# A number beyond this was given by no centre.
MAX_NUMBER = 2**53
# Of what a register may say that it holds.
MAX_POINTS = 10**14
MAX_ID_CHARS = 64
# Members for whom is planned in one transaction, which others wait for.
PLANNED_AT_ONCE = 200
# How far back a register counts as one where a member shops.
SHOPPED_WITHIN = timedelta(days=183)
# A register says something every half minute; for one that is silent for longer nothing is asked back elsewhere.
HEARD_WITHIN = timedelta(minutes=5)


class PolicySet(Struct, frozen=True, kw_only=True):
    """How much is set aside ahead, where, since when and why; `set_at` is None before anybody said."""

    policy: Policy
    because: str
    set_at: AwareDatetime | None


class _Room(dict[str, int]):
    """How many allowances more each device may have, counted when it is first asked for."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, device: str) -> int:
        self[device] = MAX_HELD - _count_of(self._connection, device)
        return self[device]


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


def _grant(
    connection: Connection, device: Device, request: AllowancesRequest, now: datetime, randomness: Randomness
) -> set[str]:
    """Set aside what is wanted, in whole. Returns whose; raises NotGrantedError."""
    want = request.want
    if want is UNSET:
        return set()
    if devices.is_shared(connection, device.id):
        raise NotGrantedError("two machines use this register's identity; until that is put right it spends nothing")
    silent = silent_registers(connection)
    if silent:
        raise NotGrantedError(
            f"the head office was restored from a backup and waits to hear from {named(silent)}; "
            "connect these registers, or have those that are gone revoked"
        )
    member = members.meant(connection, [want.member]).get(want.member)
    if member is None or members.erased_among(connection, [member]):
        raise NotGrantedError("the head office knows no such member")
    if _count_of(connection, device.id) >= MAX_HELD:
        raise NotGrantedError("this register holds points of too many members; it has to give some back first")
    if want.voucher:
        leasing.lease(connection, device, request, want, now=now, randomness=randomness)
        return set()
    members.hold(connection, [member])
    every = allowances.open_of(connection, [member])
    # What it was granted and has not heard of: its answer was lost.
    on_its_way = sum(
        allowances.left_of(row)
        for row in every
        if row.device == device.id
        and row.epoch == request.epoch
        and not row.recalled
        and (row.number is None or row.number > request.after)
    )
    wanted = want.points - on_its_way
    if wanted <= 0:
        return set()
    lots = spent.lots_free(connection, member, now)
    free = sum(part.points for part in lots)
    if free < wanted:
        others = [row for row in every if (row.device, row.epoch) != (device.id, request.epoch)]
        raise _too_few(connection, others, free=free, wanted=wanted)
    allowances.set_aside(
        connection,
        allowance=allowances.new_id(randomness),
        member=member,
        device=device.id,
        epoch=request.epoch,
        lots=taken_of(lots, wanted),
        now=now,
    )
    return {member}


def _too_few(connection: Connection, others: Sequence[Row[Any]], *, free: int, wanted: int) -> NotGrantedError:
    """Why there is not enough; where other registers hold what is missing, they are asked for it."""
    elsewhere = sum(allowances.left_of(row) for row in others)
    if free + elsewhere < wanted:
        return NotGrantedError(f"{wanted} points are wanted, and {free + elsewhere} can be spent")
    said = asked_back(connection, others, "the rest")
    return NotGrantedError("; ".join([f"{wanted} points are wanted, and {free} are free", *said]), "elsewhere")


def _count_of(connection: Connection, device: str) -> int:
    columns = tables.allowances.c
    query = select(func.count()).where(columns.device == device, columns.state == "open")
    return int(connection.execute(query).scalar_one())


# ---- ahead


def policy(connection: Connection) -> PolicySet:
    """How much is set aside ahead, and where."""
    table = tables.allowance_policies
    row = connection.execute(select(table).order_by(table.c.id.desc()).limit(1)).one_or_none()
    if row is None:
        return PolicySet(policy=Policy(), because="", set_at=None)
    return PolicySet(policy=Policy(places=row.places, rewards=row.rewards), because=row.because, set_at=row.set_at)


def set_policy(connection: Connection, wanted: Policy, because: str, now: datetime) -> None:
    """Set aside ahead by another policy from now on. What is held already stays until it is spent or given back."""
    connection.execute(
        insert(tables.allowance_policies).values(
            places=wanted.places, rewards=wanted.rewards, because=because, set_at=now
        )
    )
    balances, issued = tables.balances.c, tables.vouchers.c
    with_vouchers = select(issued.member).where(issued.member.is_not(None), issued.revoked_at.is_(None))
    concerned = or_(balances.confirmed > 0, balances.member.in_(with_vouchers))
    connection.execute(update(tables.balances).where(concerned).values(unplanned=1))


def may_plan(connection: Connection, now: datetime) -> bool:
    """Whether there is anything to set aside ahead."""
    balances = tables.balances.c
    waits = connection.execute(select(balances.member).where(balances.unplanned == 1).limit(1)).first() is not None
    return waits and _is_any_ahead(connection, now) and not silent_registers(connection)


def plan(connection: Connection, now: datetime, randomness: Randomness, limit: int = PLANNED_AT_ONCE) -> int:
    """Set aside ahead for some of the members whose balance moved; returns how many were looked at.

    Runs alone: it holds many members, and changes what several devices have.
    """
    if not _is_any_ahead(connection, now) or silent_registers(connection):
        return 0
    balances = tables.balances
    rows = connection.execute(
        select(balances).where(balances.c.unplanned == 1).order_by(balances.c.member).limit(limit)
    ).all()
    looked_at = [row.member for row in rows]
    if looked_at:
        _plan(connection, rows, now, randomness)
        connection.execute(update(balances).where(among(balances.c.member, looked_at)).values(unplanned=0))
    return len(looked_at)


def _plan(connection: Connection, rows: Sequence[Row[Any]], now: datetime, randomness: Randomness) -> None:
    epochs = dict(devices.live_epochs(connection))
    living = {row.member for row in rows} - members.erased_among(connection, [row.member for row in rows])
    units, rewards = _units(connection, now), _issued_ahead(connection, now)
    rich = [row for row in rows if units and row.confirmed >= units[-1].points and row.member in living]
    having = {row.member for row in vouchers.of_members(connection, sorted(living), rewards, now)}
    ahead = Ahead(
        policy=policy(connection).policy,
        visits=_visits(connection, sorted(having.union(row.member for row in rich)), epochs, now),
        epochs=epochs,
        heard=devices.heard_since(connection, now - HEARD_WITHIN),
        room=_Room(connection),
        now=now,
        randomness=randomness,
    )
    if units:
        _plan_points(connection, ahead, rich, units)
    if having:
        leasing.plan(connection, ahead, rewards)


def _plan_points(connection: Connection, ahead: Ahead, rows: Sequence[Row[Any]], units: Sequence[Unit]) -> None:
    granted, now, epochs, room = set[str](), ahead.now, ahead.epochs, ahead.room
    rich = sorted(row.member for row in rows)
    places = _open_places(connection, _places(connection, rich, ahead.visits, epochs), units, now)
    free = {row.member: row.confirmed - row.reserved for row in rows}
    for member in rich:
        held = {place.device: place for place in places[member]}
        shares = planned(free[member], units, places[member], ahead.policy)
        # Of most members all is set aside already; what is free by lot is read from their whole ledger.
        lots = spent.lots_free(connection, member, now) if shares else ()
        if shares:
            free[member] = sum(part.points for part in lots)
            shares = planned(free[member], units, places[member], ahead.policy)
        for share in shares:
            if room[share.device] <= 0:
                continue
            room[share.device] -= 1
            allowances.set_aside(
                connection,
                allowance=allowances.new_id(ahead.randomness),
                member=member,
                device=share.device,
                epoch=epochs[share.device],
                lots=taken_of(lots, share.points),
                now=now,
            )
            lots = beyond(lots, share.points)
            free[member] -= share.points
            granted.add(member)
            held[share.device] = replace(held[share.device], held=held[share.device].held + share.points)
        told = [replace(one, takes_more=one.device in ahead.heard and room[one.device] > 0) for one in held.values()]
        _ask_for(connection, member, misplaced(free[member], units, told, ahead.policy), epochs)
    tell_of(connection, granted, now)


def _ask_for(connection: Connection, member: str, some: Sequence[str], epochs: Mapping[str, str]) -> None:
    """Ask these registers for what they hold of a member, to deal it out anew."""
    if some:
        rows = allowances.open_of(connection, [member])
        rows = [row for row in rows if row.device in some and epochs.get(row.device) == row.epoch]
        allowances.recall(connection, rows, allowances.MISPLACED)


def _visits(
    connection: Connection, some: Sequence[str], epochs: Mapping[str, str], now: datetime
) -> dict[str, Counter[str]]:
    """How often each of these members shopped of late where, by the device that is there now."""
    visits: dict[str, Counter[str]] = {member: Counter() for member in some}
    successor = devices.successors(connection, epochs)
    columns = tables.receipts.c
    since = func.coalesce(columns.issued_at, columns.received_at) >= now - SHOPPED_WITHIN
    query = select(columns.member, columns.device, func.count().label("visits")).where(
        among(columns.member, some), columns.kind == "sale", columns.status == "final", since
    )
    for row in connection.execute(query.group_by(columns.member, columns.device)):
        if row.device in successor:
            visits[row.member][successor[row.device]] += row.visits
    return visits


def _places(
    connection: Connection, some: Sequence[str], visits: Mapping[str, Counter[str]], epochs: Mapping[str, str]
) -> dict[str, list[Place]]:
    """Where each of these members shopped of late, and what a register there or elsewhere holds of theirs."""
    has: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in allowances.open_of(connection, some):
        if epochs.get(row.device) == row.epoch:
            has[row.member][row.device] += allowances.left_of(row)
    return {
        member: [
            Place(device=device, visits=visits[member][device], held=has[member][device])
            for device in sorted({*visits[member], *has[member]})
        ]
        for member in some
    }


def _open_places(
    connection: Connection, places: dict[str, list[Place]], units: Sequence[Unit], now: datetime
) -> dict[str, list[Place]]:
    """The same places, closed to what the member there cannot have: rewards for other members, or other stores."""
    published = programs.program_in_force(connection, now)
    if published is None or not asks_for_whom(published.program):
        return places
    program, every = published.program, frozenset(units)
    stores = devices.stores_of(connection)
    stand = members.stand_of(connection, list(places))

    @cache
    def closed_to(tier: str, segments: frozenset[str], store: str) -> frozenset[Unit]:
        return every.difference(units_of(program, now, Meant(tier=tier, segments=segments, store=store)))

    return {
        member: [replace(one, closed_to=closed_to(*stand[member], stores[one.device])) for one in theirs]
        for member, theirs in places.items()
    }


def _units(connection: Connection, now: datetime) -> tuple[Unit, ...]:
    """What rewards cost that may be had by what was set aside, under the program in force, the dearest first."""
    published = programs.program_in_force(connection, now)
    return () if published is None else units_of(published.program, now)


def _issued_ahead(connection: Connection, now: datetime) -> tuple[str, ...]:
    """The rewards whose vouchers are set aside ahead, under the program in force."""
    published = programs.program_in_force(connection, now)
    return () if published is None else issued_ahead(published.program)


def _is_any_ahead(connection: Connection, now: datetime) -> bool:
    """Whether anything at all is set aside ahead."""
    if _units(connection, now):
        return True
    return bool(_issued_ahead(connection, now)) and vouchers.are_anybodys(connection)
