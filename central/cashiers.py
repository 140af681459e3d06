"""What a store's manager looks at: how often whose card was used, by whom, and what is held for it.

Owns counting it. A person who knows the shop says what it means: many sales for one member are a regular's, or a
cashier's own; many numbers that nobody has are guesses, or a box of cards that was never handed out.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, case, func, select

from central import ledger, spent
from central.db import tables
from loyalty.receipt import AwareDatetime

MAX_CASHIERS = 500


class CashierRow(Struct, frozen=True, kw_only=True):
    """Final sales of one cashier; of a till that names nobody `cashier` is empty.

    `most_for_one` are those of the `member` who has most of them; `unknown_codes` how many different numbers named
    nobody; `held` are sales that count for nothing until somebody looked; `rewards` what was given for points.
    """

    store: str
    cashier: str
    sales: int
    with_member: int
    members: int
    most_for_one: int
    member: str
    unknown_codes: int
    held: int
    rewards: int


class CashierReport(Struct, frozen=True, kw_only=True):
    """`more` says that there are cashiers beyond the first MAX_CASHIERS, which are those with most held and for one."""

    since: AwareDatetime
    cashiers: tuple[CashierRow, ...]
    more: bool


def report(connection: Connection, since: datetime, store: str = "") -> CashierReport:
    """Of sales issued since then, of one store or all; first those of whom most is held."""
    columns = tables.receipts.c
    place, cashier = func.coalesce(columns.store, ""), func.coalesce(columns.operator, "")
    counted = [columns.issued_at >= since, columns.status == "final", columns.kind != "return"]
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
    rewards = _rewards(connection, since)
    found = []
    for row in rows:
        who = (row.store, row.cashier)
        member, sales = most.get(who, ("", 0))
        found.append(
            CashierRow(
                **row._asdict(),
                most_for_one=sales,
                member=member,
                rewards=rewards.get(who, 0),
            )
        )
    found.sort(key=lambda one: (-one.held, -one.most_for_one, -one.unknown_codes, one.store, one.cashier))
    return CashierReport(since=since, cashiers=tuple(found[:MAX_CASHIERS]), more=len(found) > MAX_CASHIERS)


def _rewards(connection: Connection, since: datetime) -> dict[tuple[str, str], int]:
    """Rewards that were given and not taken back, by the store of their register and who gave them."""
    columns, devices = tables.redemptions.c, tables.devices
    cashier = func.coalesce(columns.operator, "")
    rows = connection.execute(
        select(devices.c.store, cashier.label("cashier"), func.sum(columns.times).label("given"))
        .select_from(tables.redemptions.join(devices, devices.c.id == columns.device))
        .where(columns.at >= since, columns.state != spent.RELEASED)
        .group_by(devices.c.store, cashier)
    )
    return {(row.store, row.cashier): int(row.given) for row in rows}
