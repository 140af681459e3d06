"""How often vouchers were used, and stamps were spent: redemptions that stand.

Owns counting them. Never says how often they may be (`central.vouchers` does).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, and_, case, func, or_, select

from central.db import tables
from central.db.sets import among
from loyalty.program import Program

GIVEN, RELEASED = "given", "released"


def standing(connection: Connection, some: Sequence[str]) -> dict[str, int]:
    """How often each of these was used: on sales that took place and were not wholly brought back.

    A use is one thing: a sale of which something stays keeps it, and so does one that the voucher paid for whole, since
    its returns do not tell by their totals what stayed.
    """
    given, keys, sales = tables.redemptions, tables.receipt_keys, tables.receipts
    returns = sales.alias("returns")
    came_back = (
        select(func.sum(returns.c.total_minor))
        .where(returns.c.original == sales.c.key, returns.c.kind == "return", returns.c.status == "final")
        .scalar_subquery()
    )
    stands = or_(
        sales.c.key.is_(None),
        and_(
            sales.c.status != "voided",
            or_(came_back.is_(None), sales.c.total_minor <= 0, sales.c.total_minor + came_back > 0),
        ),
    )
    query = (
        select(given.c.voucher, func.sum(case((stands, given.c.times), else_=0)).label("times"))
        .select_from(
            given.outerjoin(keys, keys.c.key == given.c.receipt).outerjoin(sales, sales.c.key == keys.c.receipt)
        )
        .where(among(given.c.voucher, some), given.c.state == GIVEN)
        .group_by(given.c.voucher)
    )
    return {row.voucher: int(row.times) for row in connection.execute(query)} if some else {}


def stamps_spent(connection: Connection, members: Sequence[str], program: Program) -> dict[str, Counter[str]]:
    """Stamps of each rule that these members spent on full cards, under the program in force."""
    every = {rule.id: rule.every for rule in program.stamps}
    rule_of = {reward.id: reward.stamps for reward in program.rewards if reward.stamps}
    if not rule_of:
        return {}
    table = tables.vouchers.c
    query = select(table.id, table.member, table.reward).where(among(table.member, members), table.reward.in_(rule_of))
    rows = connection.execute(query).all()
    given, spent = standing(connection, [row.id for row in rows]), defaultdict[str, Counter[str]](Counter)
    for row in rows:
        rule = rule_of[row.reward]
        spent[row.member][rule] += given.get(row.id, 0) * every[rule]
    return dict(spent)
