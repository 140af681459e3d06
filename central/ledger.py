"""The ledger: what each receipt gave, and every balance as the fold of its entries.

Owns reading its rows and keeping balances. Rows are only appended, by `central.fresh` and `central.folding`. Never
evaluates anything, and never reads a request.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import BigInteger, Connection, Row, case, cast, func, or_, select

from central import allowances, states
from central import members as roll
from central.db import tables
from central.db.sets import among, change_rows
from loyalty.ledger import LedgerEntry, balance_of
from loyalty.member import Balance

# Where the evaluation of a receipt stands.
NEW = "new"
SETTLED = "settled"
NO_MEMBER = "no_member"
NO_PROGRAM = "no_program"
BLOCKED = "blocked"
WAITING = "waiting"
HELD = "held_for_time"
OVER_LIMIT = "held_for_limit"
# What counts, and goes on counting whichever limits hold later.
COUNTED_STATES = (SETTLED, WAITING)
# What gives nothing until a person looked at it.
HELD_STATES = (HELD, OVER_LIMIT)

_AT_ONCE = 500


class BalanceMismatch(Struct, frozen=True, kw_only=True):
    """A balance that is not the fold of its ledger."""

    member: str
    held: Balance
    folded: Balance


def entries_of_receipt(connection: Connection, key: str) -> tuple[LedgerEntry, ...]:
    rows = connection.execute(select(tables.ledger).where(tables.ledger.c.receipt == key).order_by(tables.ledger.c.id))
    return tuple(entry_of(row) for row in rows)


def entries_of_member(connection: Connection, member: str) -> tuple[LedgerEntry, ...]:
    """All of a member's entries in the order they were recorded, those under the member's aliases too."""
    own = tables.ledger.c.member.in_(roll.ids_of(connection, member))
    rows = connection.execute(select(tables.ledger).where(own).order_by(tables.ledger.c.id))
    return tuple(entry_of(row) for row in rows)


def refresh_balances(
    connection: Connection, touched: Sequence[str], now: datetime, *, to_be_planned: bool = True
) -> None:
    """Fold the ledgers of these members again and keep the result, with the tier that they reached.

    What is to be set aside of them is thought over again soon, unless that was what changed.
    """
    for start in range(0, len(touched), _AT_ONCE):
        some = touched[start : start + _AT_ONCE]
        reached = states.reached(connection, some, now)
        aliases = roll.aliases_of(connection, some)
        ids = {member: (member, *aliases.get(member, ())) for member in some}
        set_aside = allowances.held(connection, some)
        sums = {row.member: row for row in _sums(connection, [one for own in ids.values() for one in own], now)}
        expired = _expired(connection, ids, set_aside, now)
        rows = []
        for member in some:
            own = [sums[one] for one in ids[member] if one in sums]
            due = [moment for row in own for moment in (row.matures_at, row.expires_at)]
            aside = set_aside.get(member, Counter())
            kept = sum(min(points, aside[moment]) for moment, points in expired[member].items())
            points = {
                "confirmed": sum(row.confirmed for row in own) + kept,
                "pending": sum(row.pending for row in own),
                "reserved": aside.total(),
            }
            row = _balance_row(member, due, reached.get(member), **points)
            rows.append(row | {"unplanned": 1} if to_be_planned else row)
        change_rows(connection, tables.balances, rows, by="member")


def advance_balances(connection: Connection, given: Mapping[str, Sequence[dict[str, Any]]], now: datetime) -> None:
    """The same by the rows that were just appended for each member, without reading what came before them.

    Where points of before are due to be confirmed, or to expire, where tiers are reached, of who was merged with
    others, and where a row comes too late for its lot, all are folded again.
    """
    if not given:
        return
    balances = tables.balances.c
    held = select(balances.member, balances.confirmed, balances.pending, balances.reserved, balances.matures_at)
    reached = states.reached(connection, tuple(given), now)
    whole = reached.keys() | roll.aliases_of(connection, tuple(given)).keys()
    anew, rows = [], []
    for member, before, waiting, reserved, matures_at in connection.execute(held.where(among(balances.member, given))):
        late = any(entry["expires_at"] is not None and entry["expires_at"] <= now for entry in given[member])
        if late or member in whole or (matures_at is not None and matures_at <= now):
            anew.append(member)
            continue
        confirmed, pending, due = before, waiting, [matures_at]
        for entry in given[member]:
            waits = entry["pending_until"] is not None and entry["pending_until"] > now
            pending += entry["points"] if waits else 0
            confirmed += 0 if waits else entry["points"]
            due += [entry["expires_at"], entry["pending_until"] if waits else None]
        points = {"confirmed": confirmed, "pending": pending, "reserved": reserved}
        rows.append(_balance_row(member, due, None, **points) | {"unplanned": 1})
    change_rows(connection, tables.balances, rows, by="member")
    refresh_balances(connection, anew, now)


def _balance_row(
    member: str,
    due: Sequence[datetime | None],
    tier: states.Reached | None,
    *,
    confirmed: int,
    pending: int,
    reserved: int,
) -> dict[str, Any]:
    return {
        "member": member,
        "confirmed": confirmed,
        "pending": pending,
        "reserved": reserved,
        "matures_at": _earliest([*due, None if tier is None else tier.changes_at]),
        "tier": None if tier is None else tier.tier,
    }


def _sums(connection: Connection, members: Sequence[str], now: datetime) -> Sequence[Any]:
    """By the id under which they are recorded: points of lots that are not over, and when that changes."""
    ledger = tables.ledger.c
    live = case((ledger.expires_at <= now, 0), else_=ledger.points)
    pending = case((ledger.pending_until > now, live), else_=0)
    return connection.execute(
        select(
            ledger.member,
            # A sum of integers is no integer on PostgreSQL.
            cast(func.sum(live - pending), BigInteger).label("confirmed"),
            cast(func.sum(pending), BigInteger).label("pending"),
            func.min(case((ledger.pending_until > now, ledger.pending_until))).label("matures_at"),
            func.min(case((ledger.expires_at > now, ledger.expires_at))).label("expires_at"),
        )
        .where(among(ledger.member, members))
        .group_by(ledger.member)
    ).all()


def _expired(
    connection: Connection,
    ids: Mapping[str, Sequence[str]],
    held: Mapping[str, Counter[datetime | None]],
    now: datetime,
) -> dict[str, Counter[datetime]]:
    """What is left of lots that are over, where that may count: as a debt, or because it is set aside.

    `ids` are all that mean each member. What one lot comes to is told only by all of these together.
    """
    ledger = tables.ledger.c
    points = func.sum(ledger.points)
    every = [one for own in ids.values() for one in own]
    whole = [one for member, own in ids.items() if len(own) > 1 or member in held for one in own]
    counts = or_(points < 0, among(ledger.member, whole)) if whole else points < 0
    rows = connection.execute(
        select(ledger.member, ledger.expires_at, cast(points, BigInteger).label("points"))
        .where(among(ledger.member, every), ledger.expires_at <= now)
        .group_by(ledger.member, ledger.expires_at)
        .having(counts)
    )
    means = {one: member for member, own in ids.items() for one in own}
    found: dict[str, Counter[datetime]] = {member: Counter() for member in ids}
    for row in rows:
        found[means[row.member]][row.expires_at] += row.points
    return found


def _earliest(moments: Sequence[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def matured(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Members some of whose points are due to be confirmed, or to expire."""
    return list(
        connection.execute(
            select(tables.balances.c.member).where(tables.balances.c.matures_at <= now).limit(limit)
        ).scalars()
    )


def check_balances(connection: Connection, now: datetime) -> list[BalanceMismatch]:
    """Members whose kept balance is not the fold of their entries: always none.

    Where points matured or expired that the server has not confirmed yet, both sides count as of just before.
    """
    means = {row.alias: row.member for row in connection.execute(select(tables.member_aliases))}
    set_aside = allowances.held_of_all(connection)
    entries: defaultdict[str, list[LedgerEntry]] = defaultdict(list)
    for row in connection.execute(select(tables.ledger).order_by(tables.ledger.c.member, tables.ledger.c.id)):
        entries[means.get(row.member, row.member)].append(entry_of(row))
    wrong = []
    for row in connection.execute(select(tables.balances).order_by(tables.balances.c.member)):
        as_of = now if row.matures_at is None else min(now, row.matures_at - timedelta.resolution)
        folded = balance_of(entries.get(row.member, ()), as_of, set_aside.get(row.member))
        held = Balance(confirmed=row.confirmed, pending=row.pending, spendable=row.confirmed - row.reserved)
        if held != folded:
            wrong.append(BalanceMismatch(member=row.member, held=held, folded=folded))
    return wrong


def row_of(entry: LedgerEntry, member: str, program: str, now: datetime) -> dict[str, Any]:
    """The row of one ledger entry."""
    return {
        "member": member,
        "receipt": entry.receipt,
        "rule": entry.rule,
        "points": entry.points,
        "basis_minor": entry.basis_minor,
        "pending_until": entry.pending_until,
        "expires_at": entry.expires_at,
        "reverses": entry.reverses,
        "why": entry.why,
        "program": program,
        "recorded_at": now,
    }


def entry_of(row: Row[Any]) -> LedgerEntry:
    return LedgerEntry(
        receipt=row.receipt,
        rule=row.rule,
        points=row.points,
        basis_minor=row.basis_minor,
        pending_until=row.pending_until,
        expires_at=row.expires_at,
        reverses=row.reverses,
        why=row.why,
    )
