"""How often vouchers were used: redemptions that stand.

Owns counting them. Never says how often they may be (`central.vouchers` does).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection, and_, case, func, or_, select

from central.db import tables
from central.db.sets import among

GIVEN, RELEASED = "given", "released"


class Used(Struct, frozen=True, kw_only=True):
    """How often a voucher was used, as which reward and by which program; None where the register named none."""

    voucher: str
    program: str | None
    reward: str
    times: int


def standing(connection: Connection, some: Sequence[str]) -> dict[str, int]:
    """How often each of these was used: on sales that took place and were not wholly brought back.

    A use is one thing: a sale of which something stays keeps it, and so does one that the voucher paid for whole, since
    its returns do not tell by their totals what stayed.
    """
    found = Counter[str]()
    for one in standing_by_program(connection, some):
        found[one.voucher] += one.times
    return dict(found)


def standing_by_program(connection: Connection, some: Sequence[str]) -> list[Used]:
    """The same, by what each was used for."""
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
        select(
            given.c.voucher,
            given.c.program,
            given.c.reward,
            func.sum(case((stands, given.c.times), else_=0)).label("times"),
        )
        .select_from(
            given.outerjoin(keys, keys.c.key == given.c.receipt).outerjoin(sales, sales.c.key == keys.c.receipt)
        )
        .where(among(given.c.voucher, some), given.c.state == GIVEN)
        .group_by(given.c.voucher, given.c.program, given.c.reward)
    )
    return [
        Used(voucher=row.voucher, program=row.program, reward=row.reward, times=int(row.times))
        for row in (connection.execute(query) if some else ())
    ]
