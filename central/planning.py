"""Setting points aside ahead, at the registers where a member shops.

Owns how far that goes (the policy), for whom it is thought over, and when: after a balance moved, and when another
program begins, or a day with other rewards. Points are set aside as for who stands at a till (`central.granting`):
under the lock of their member, and only where nobody holds them. Uses of vouchers are `central.leasing`'s.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, func, insert, or_, select, update

from central import allowances, devices, granting, leasing, members, programs, spent, vouchers
from central.db import tables
from central.db.sets import among
from central.devices import Randomness
from central.leasing import Ahead, KeptFrom
from loyalty.allowances import Place, Policy, Unit, ahead_of, issued_ahead, misplaced, planned, units_of
from loyalty.meant import Meant, asks_for_whom
from loyalty.program import Program
from loyalty.receipt import AwareDatetime
from loyalty.spending import beyond, taken_of
from sync.wire import MAX_HELD

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
        self[device] = MAX_HELD - granting.count_of(self._connection, device)
        return self[device]


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
    _think_over(connection)


def _think_over(connection: Connection) -> None:
    """Plan anew for all who have anything that may be set aside."""
    balances, issued = tables.balances.c, tables.vouchers.c
    with_vouchers = select(issued.member).where(issued.member.is_not(None), issued.revoked_at.is_(None))
    concerned = or_(balances.confirmed > 0, balances.member.in_(with_vouchers))
    connection.execute(update(tables.balances).where(concerned).values(unplanned=1))


def may_plan(connection: Connection, now: datetime) -> bool:
    """Whether there is anything to set aside ahead, or other things than before are."""
    balances = tables.balances.c
    waits = connection.execute(select(balances.member).where(balances.unplanned == 1).limit(1)).first() is not None
    if not _is_otherwise(connection, now) and not (waits and _is_any_ahead(connection, now)):
        return False
    return not granting.silent_registers(connection)


def _is_otherwise(connection: Connection, now: datetime) -> bool:
    """Whether another program began since members were thought over, or a day with other rewards."""
    thought_over = connection.execute(select(tables.centre.c.set_aside)).scalar_one()
    return bool(thought_over != _set_aside(connection, now))


def _set_aside(connection: Connection, now: datetime) -> str:
    """A digest of what is set aside ahead."""
    published = programs.program_in_force(connection, now)
    ahead = ahead_of(None if published is None else published.program, now)
    return hashlib.sha256(msgspec.json.encode(ahead)).hexdigest()


def plan(connection: Connection, now: datetime, randomness: Randomness, limit: int = PLANNED_AT_ONCE) -> int:
    """Set aside ahead for some of the members whose balance moved; returns how many were looked at.

    Runs alone: it holds many members, and changes what several devices have.
    """
    if granting.silent_registers(connection):
        return 0
    if _is_otherwise(connection, now):
        connection.execute(update(tables.centre).values(set_aside=_set_aside(connection, now)))
        _think_over(connection)
    if not _is_any_ahead(connection, now):
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
    _ask_back(connection, [row.member for row in rows if row.reserved > max(row.confirmed, 0)], epochs)
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
        leasing.plan(connection, ahead, rewards, _kept_from(connection, sorted(having), rewards, now))


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
    granting.tell_of(connection, granted, now)


def _ask_for(connection: Connection, member: str, some: Sequence[str], epochs: Mapping[str, str]) -> None:
    """Ask these registers for what they hold of a member, to deal it out anew."""
    if some:
        rows = allowances.open_of(connection, [member])
        rows = [row for row in rows if row.device in some and epochs.get(row.device) == row.epoch]
        allowances.recall(connection, rows, allowances.MISPLACED)


def _ask_back(connection: Connection, some: Sequence[str], epochs: Mapping[str, str]) -> None:
    """Ask for all that is set aside of members who have less by now: what there is, is dealt out anew."""
    rows = allowances.open_of(connection, some)
    rows = [row for row in rows if epochs.get(row.device) == row.epoch]
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
    whom = _whom(connection, list(places), now)
    if whom is None:
        return places
    program, every = whom.program, frozenset(units)

    @cache
    def closed_to(meant: Meant) -> frozenset[Unit]:
        return every.difference(units_of(program, now, meant))

    return {
        member: [replace(one, closed_to=closed_to(whom.at(member, one.device))) for one in theirs]
        for member, theirs in places.items()
    }


def _kept_from(connection: Connection, some: Sequence[str], rewards: Sequence[str], now: datetime) -> KeptFrom:
    """Which of these rewards, that vouchers bring, a member cannot have at a register."""
    whom = _whom(connection, some, now)
    if whom is None:
        return lambda _member, _device: frozenset()
    program, every = whom.program, frozenset(rewards)

    @cache
    def kept_from(meant: Meant) -> frozenset[str]:
        return every.difference(issued_ahead(program, now, meant))

    return lambda member, device: kept_from(whom.at(member, device))


class _Whom(Struct, frozen=True, kw_only=True):
    """By which it is told for whom, and where, the rewards of a program are."""

    program: Program
    stores: Mapping[str, str]
    stand: Mapping[str, tuple[str, frozenset[str]]]

    def at(self, member: str, device: str) -> Meant:
        tier, segments = self.stand[member]
        return Meant(tier=tier, segments=segments, store=self.stores[device])


def _whom(connection: Connection, some: Sequence[str], now: datetime) -> _Whom | None:
    """None where the program in force has every reward for everybody, everywhere."""
    published = programs.program_in_force(connection, now)
    if published is None or not asks_for_whom(published.program):
        return None
    stores, stand = devices.stores_of(connection), members.stand_of(connection, some)
    return _Whom(program=published.program, stores=stores, stand=stand)


def _units(connection: Connection, now: datetime) -> tuple[Unit, ...]:
    """What rewards cost that may be had by what was set aside, under the program in force, the dearest first."""
    published = programs.program_in_force(connection, now)
    return () if published is None else units_of(published.program, now)


def _issued_ahead(connection: Connection, now: datetime) -> tuple[str, ...]:
    """The rewards whose vouchers are set aside ahead, under the program in force."""
    published = programs.program_in_force(connection, now)
    return () if published is None else issued_ahead(published.program, now)


def _is_any_ahead(connection: Connection, now: datetime) -> bool:
    """Whether anything at all is set aside ahead."""
    if _units(connection, now):
        return True
    return bool(_issued_ahead(connection, now)) and vouchers.are_anybodys(connection)
