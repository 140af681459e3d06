"""How often vouchers were used: redemptions that stand.

Owns counting them. Never says how often they may be (`central.vouchers` does).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, and_, case, func, not_, or_, select

from central.db import tables
from central.db.sets import among
from loyalty.exchange import came_back_whole
from loyalty.receipt import Receipt

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
    its returns do not tell by their totals what stayed. What came back in exchange for something came back, too.
    """
    found = Counter[str]()
    for one in standing_by_program(connection, some):
        found[one.voucher] += one.times
    return dict(found)


def standing_by_program(connection: Connection, some: Sequence[str]) -> list[Used]:
    """The same, by what each was used for."""
    given, keys, sales = tables.redemptions, tables.receipt_keys, tables.receipts
    whole = _brought_back(connection, some) if some else ()
    stands = or_(sales.c.key.is_(None), and_(sales.c.status != "voided", not_(among(sales.c.key, whole))))
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


def _brought_back(connection: Connection, some: Sequence[str]) -> list[str]:
    """The sales on which these were used and of which nothing stays."""
    given, keys, sales = tables.redemptions, tables.receipt_keys, tables.receipts
    returns = sales.alias("returns")
    query = (
        select(sales.c.key, sales.c.body, returns.c.key.label("back"), returns.c.body.label("back_body"))
        .select_from(
            given.join(keys, keys.c.key == given.c.receipt)
            .join(sales, sales.c.key == keys.c.receipt)
            .join(returns, returns.c.original == sales.c.key)
        )
        .where(among(given.c.voucher, some), given.c.state == GIVEN)
        .where(returns.c.kind != "sale", returns.c.status == "final")
        .distinct()
    )
    sold: dict[str, Receipt] = {}
    backs = defaultdict[str, list[Receipt]](list)
    for row in connection.execute(query):
        sold[row.key] = msgspec.json.decode(row.body, type=Receipt)
        backs[row.key].append(msgspec.json.decode(row.back_body, type=Receipt))
    return [key for key, sale in sold.items() if came_back_whole(sale, backs[key])]
