"""What a store's manager looks at: how often whose card was used, by whom, and what is held for it.

Owns counting it. A person who knows the shop says what it means: many sales for one member are a regular's, or a
cashier's own; many numbers that nobody has are guesses, or a box of cards that was never handed out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Select, case, func, select

from central import ledger, spent
from central.db import tables
from loyalty.receipt import AwareDatetime

MAX_CASHIERS = 500
MAX_FLAGGED = 500
_NO_PROBLEMS = "[]"
_NOTHING_SOLD = dict.fromkeys(("sales", "with_member", "members", "unknown_codes", "given_late", "held"), 0)


class CashierRow(Struct, frozen=True, kw_only=True):
    """Final sales of one cashier; of a till that names nobody `cashier` is empty.

    `most_for_one` are those of the `member` who has most of them; `unknown_codes` how many different numbers named
    nobody; `given_late` are sales that were nobody's and given to a member later; `held` are sales that count for
    nothing until somebody looked; `rewards` what was given, `flagged` the redemptions of these with which something is
    wrong.
    """

    store: str
    cashier: str
    sales: int
    with_member: int
    members: int
    most_for_one: int
    member: str
    unknown_codes: int
    given_late: int
    held: int
    rewards: int
    flagged: int


class CashierReport(Struct, frozen=True, kw_only=True):
    """`more` says that there are cashiers beyond the first MAX_CASHIERS, which are those with most held and for one."""

    since: AwareDatetime
    cashiers: tuple[CashierRow, ...]
    more: bool


class Flagged(Struct, frozen=True, kw_only=True):
    """A reward that was given and somebody should look at; it counts. `problems` are those of `docs/central.md`."""

    redemption: str
    at: AwareDatetime
    store: str
    register: str
    cashier: str
    member: str
    reward: str
    times: int
    points: int
    problems: tuple[str, ...]


class FlaggedList(Struct, frozen=True, kw_only=True):
    """`more` says that there are others before these."""

    rewards: tuple[Flagged, ...]
    more: bool


def report(connection: Connection, since: datetime, store: str = "") -> CashierReport:
    """Of sales issued since then, of one store or all; first those of whom most is held. One without a time of its own
    counts when it was received.

    Who gave rewards and sold nothing stands there, too: a sale may be missing, or another's.
    """
    columns = tables.receipts.c
    place, cashier = func.coalesce(columns.store, ""), func.coalesce(columns.operator, "")
    issued_at = func.coalesce(columns.issued_at, columns.received_at)
    counted = [issued_at >= since, columns.status == "final", columns.kind != "return"]
    if store:
        counted.append(columns.store == store)
    nobodys = case((columns.member.is_(None), columns.code))
    held = func.sum(case((columns.state.in_(ledger.HELD_STATES), 1), else_=0))
    rows = connection.execute(
        select(
            place.label("store"),
            cashier.label("cashier"),
            func.count().label("sales"),
            func.count(columns.member).label("with_member"),
            func.count(columns.member.distinct()).label("members"),
            func.count(nobodys.distinct()).label("unknown_codes"),
            func.count(columns.attached_at).label("given_late"),
            held.label("held"),
        )
        .where(*counted)
        .group_by(place, cashier)
    ).all()
    for_one = (
        select(
            place.label("store"),
            cashier.label("cashier"),
            columns.member.label("member"),
            func.count().label("sales"),
            func.row_number()
            .over(partition_by=(place, cashier), order_by=(func.count().desc(), columns.member))
            .label("rank"),
        )
        .where(*counted, columns.member.is_not(None))
        .group_by(place, cashier, columns.member)
        .subquery()
    )
    first = connection.execute(select(for_one).where(for_one.c.rank == 1))
    most = {(row.store, row.cashier): (row.member, row.sales) for row in first}
    rewards = _rewards(connection, since, store)
    sold = {(row.store, row.cashier): row._asdict() for row in rows}
    found = []
    for who in sold.keys() | rewards.keys():
        member, sales = most.get(who, ("", 0))
        given, wrong = rewards.get(who, (0, 0))
        of_sales = sold.get(who, _NOTHING_SOLD | {"store": who[0], "cashier": who[1]})
        found.append(CashierRow(**of_sales, most_for_one=sales, member=member, rewards=given, flagged=wrong))
    found.sort(key=lambda one: (-one.held, -one.most_for_one, -one.unknown_codes, one.store, one.cashier))
    return CashierReport(since=since, cashiers=tuple(found[:MAX_CASHIERS]), more=len(found) > MAX_CASHIERS)


def _rewards(connection: Connection, since: datetime, store: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Rewards that were given and not taken back, and redemptions that are flagged, by the store of their register and
    who gave them."""
    given = (_given(since).where(tables.devices.c.store == store) if store else _given(since)).subquery()
    rows = connection.execute(
        select(
            given.c.store,
            given.c.cashier,
            func.sum(given.c.times).label("times"),
            func.sum(case((given.c.problems != _NO_PROBLEMS, 1), else_=0)).label("flagged"),
        ).group_by(given.c.store, given.c.cashier)
    )
    return {(row.store, row.cashier): (int(row.times), int(row.flagged)) for row in rows}


def flagged(connection: Connection, since: datetime, store: str = "") -> FlaggedList:
    """Rewards that were given and not taken back with which something is wrong, the newest first."""
    query = _given(since).where(tables.redemptions.c.problems != _NO_PROBLEMS)
    if store:
        query = query.where(tables.devices.c.store == store)
    rows = connection.execute(query.order_by(tables.redemptions.c.at.desc()).limit(MAX_FLAGGED + 1)).all()
    found = tuple(
        Flagged(
            redemption=row.key,
            at=row.at,
            store=row.store,
            register=row.register,
            cashier=row.cashier,
            member=row.member,
            reward=row.reward,
            times=row.times,
            points=row.points,
            problems=msgspec.json.decode(row.problems, type=tuple[str, ...]),
        )
        for row in rows[:MAX_FLAGGED]
    )
    return FlaggedList(rewards=found, more=len(rows) > MAX_FLAGGED)


def _given(since: datetime) -> Select[Any]:
    """Redemptions that stand, with who gave them: who the register says, else who sold what they are on. One on a sale
    that was voided does not stand.
    """
    given, devices, keys, sales = tables.redemptions, tables.devices, tables.receipt_keys, tables.receipts
    columns = given.c
    return (
        select(
            columns.key,
            columns.at,
            columns.member,
            columns.reward,
            columns.times,
            columns.points,
            columns.problems,
            devices.c.store,
            devices.c.register,
            func.coalesce(columns.operator, sales.c.operator, "").label("cashier"),
        )
        .select_from(
            given.join(devices, devices.c.id == columns.device)
            .outerjoin(keys, keys.c.key == columns.receipt)
            .outerjoin(sales, sales.c.key == keys.c.receipt)
        )
        .where(columns.at >= since, columns.state != spent.RELEASED, func.coalesce(sales.c.status, "") != "voided")
    )
