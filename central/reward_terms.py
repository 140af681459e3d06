"""What is wrong with a reward that was given, by the sale that shows it.

Owns judging that when the redemption comes, and again when its receipt does, or is known better. What was given was
given and counts: what is found is kept with the redemption as `problems`, for a person.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select, update

from central import item_maps, ledger, limits, programs, uses
from central.db import tables
from central.stored import StoredReceipt, stored_receipt
from loyalty.exchange import parts_of
from loyalty.given_rewards import is_not_for, is_other_than_offered
from loyalty.limits import WINDOW
from loyalty.rewards import Taken

# The goods on the receipt cannot have it.
NOT_FOR_BASKET = "not_for_basket"
# The program by which it was offered has it not, at another cost, or with less off.
OTHER_TERMS = "other_terms"
_JUDGED_HERE = (NOT_FOR_BASKET, OTHER_TERMS)


def judge(connection: Connection, redemption: str, *, is_counted: bool) -> tuple[str, ...]:
    """What is wrong with a redemption, with what is known now of its sale; kept with it.

    `is_counted` says that it is held against the limits; one that passed any stays flagged.
    """
    table, keys = tables.redemptions, tables.receipt_keys
    query = select(table, keys.c.receipt.label("sale")).select_from(
        table.outerjoin(keys, keys.c.key == table.c.receipt)
    )
    row = connection.execute(query.where(table.c.key == redemption)).one()
    known = msgspec.json.decode(row.problems, type=tuple[str, ...])
    problems = tuple(one for one in known if one not in _JUDGED_HERE)
    if _is_other(connection, row):
        problems = (*problems, OTHER_TERMS)
    if row.sale is not None and _is_not_for(connection, row, stored_receipt(connection, row.sale)):
        problems = (*problems, NOT_FOR_BASKET)
    if is_counted and limits.OVER_LIMIT not in known and limits.reward_passed(connection, redemption) is not None:
        problems = (*problems, limits.OVER_LIMIT)
    if problems != known:
        told = msgspec.json.encode(problems).decode()
        connection.execute(update(table).where(table.c.key == redemption).values(problems=told))
    return problems


def judge_later(connection: Connection, redemption: str) -> None:
    """The same of what its member had within the time of the limits after one that comes late: it counts for those."""
    if not limits.in_force(connection, "reward").limits.are_set:
        return
    table = tables.redemptions.c
    one = connection.execute(select(table.member, table.at).where(table.key == redemption)).one()
    later = select(table.key, table.receipt).where(
        table.member == one.member,
        table.state == uses.GIVEN,
        table.at.between(one.at, one.at + WINDOW),
        table.key != redemption,
    )
    for row in connection.execute(later.order_by(table.at, table.key)).all():
        if limits.OVER_LIMIT in judge(connection, row.key, is_counted=True):
            limits.hold_sale(connection, row.receipt or "")


def judge_on(connection: Connection, stored: StoredReceipt) -> None:
    """The same of all that stands on a receipt, which is here now, or known better.

    What is on a sale that counts already is not counted again: the limits may be others by now.
    """
    table, keys = tables.redemptions.c, tables.receipt_keys.c
    given = select(table.key).where(table.receipt == keys.key, keys.receipt == stored.key, table.state == uses.GIVEN)
    for redemption in connection.execute(given.order_by(table.at, table.key)).scalars().all():
        judge(connection, redemption, is_counted=stored.state not in ledger.COUNTED_STATES)


def _is_other(connection: Connection, row: Row[Any]) -> bool:
    """Whether a reward is not as the program says that it was offered by; False where that was not published here."""
    terms = programs.published(connection, row.program or "")
    taken = Taken(reward=row.reward, times=row.times)
    return terms is not None and is_other_than_offered(
        terms.program, taken, points=row.points, discount_minor=row.discount_minor
    )


def _is_not_for(connection: Connection, row: Row[Any], stored: StoredReceipt) -> bool:
    """Whether the goods on a final receipt cannot have the reward, by the program that it was offered by."""
    sold, _ = parts_of(stored.receipt)
    if sold is None or sold.status != "final":
        return False
    terms = programs.published(connection, row.program or "") or programs.program_in_force(connection, row.at)
    is_mapped = item_maps.hash_in_force(connection) is not None
    return terms is not None and is_not_for(
        sold, terms.program, Taken(reward=row.reward, times=row.times), is_mapped=is_mapped
    )
