"""What members spent, as it bears on the ledger; and what they may spend.

Owns reading the rows of redemptions. They come in by `central.redemptions`, and what they take of the ledger is
`central.folding`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, select

from central import allowances, ledger, uses
from central.allowances import Drawn
from central.db import tables
from central.db.sets import among
from loyalty.canonical import Spent
from loyalty.entry_rules import is_spent, spent_rule
from loyalty.ledger import LedgerEntry, balance_of
from loyalty.member import Balance
from loyalty.spending import LotPart, Spending, free_lots, spent_entries

GIVEN, RELEASED = uses.GIVEN, uses.RELEASED

_PARTS = tuple[LotPart, ...]
_DRAWN = tuple[Drawn, ...]


class Standing(Struct, frozen=True, kw_only=True):
    """What was spent and not released; `is_void` where its sale was voided, so that it took nothing."""

    spent: Spent
    is_void: bool


def drawn_in(row: Row[Any]) -> tuple[Drawn, ...]:
    """What a redemption drew of allowances."""
    return msgspec.json.decode(row.drawn, type=_DRAWN)


def drawn_of(connection: Connection, member: str, allowance: str, state: str) -> int:
    """Points that redemptions of a member which are `given`, or `released`, said that they drew of an allowance."""
    table = tables.redemptions
    query = select(table.c.drawn).where(table.c.member == member, table.c.state == state)
    return sum(one.points for row in connection.execute(query) for one in drawn_in(row) if one.allowance == allowance)


def drawn_of_voucher(connection: Connection, voucher: str, allowance: str, state: str) -> int:
    """The same of redemptions by a voucher, whoever showed it: uses."""
    table = tables.redemptions
    query = select(table.c.drawn).where(table.c.voucher == voucher, table.c.state == state)
    return sum(one.points for row in connection.execute(query) for one in drawn_in(row) if one.allowance == allowance)


def lots_free(connection: Connection, member: str, now: datetime) -> tuple[LotPart, ...]:
    """What may be spent of a member now, by lot, and nobody holds."""
    return free_lots(_entries(connection, member), now, allowances.held(connection, [member]).get(member))


def balance(connection: Connection, member: str, now: datetime) -> Balance:
    """What a member has now; what is `spendable` of it nobody holds. That is below zero where more is set aside."""
    return balance_of(_entries(connection, member), now, allowances.held(connection, [member]).get(member))


def _entries(connection: Connection, member: str) -> list[LedgerEntry]:
    entries = ledger.entries_of_member(connection, member)
    return [*entries, *_not_in(connection, member, entries)]


def _not_in(connection: Connection, member: str, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """What was spent in this very transaction, and is in the ledger at its end."""
    folded = {entry.rule for entry in entries if is_spent(entry.rule)}
    table = tables.redemptions
    columns = (table.c.key, table.c.reward, table.c.parts, table.c.times)
    query = select(*columns).where(table.c.member == member, table.c.state == GIVEN)
    return [
        entry
        for row in connection.execute(query)
        if spent_rule(row.key) not in folded
        for entry in spent_entries(_spending(row), row.key, 0)
    ]


# ---- for the ledger


def standing(connection: Connection, some: Sequence[str]) -> dict[str, list[Standing]]:
    """What these members spent and was not released, on which sale as it is known here."""
    table, keys, sales = tables.redemptions, tables.receipt_keys, tables.receipts
    query = (
        select(table, sales.c.key.label("sale"), sales.c.status)
        .select_from(
            table.outerjoin(keys, keys.c.key == table.c.receipt).outerjoin(sales, sales.c.key == keys.c.receipt)
        )
        .where(among(table.c.member, some), table.c.state == GIVEN)
    )
    found: defaultdict[str, list[Standing]] = defaultdict(list)
    for row in connection.execute(query):
        spent = Spent(
            receipt=row.sale or row.receipt or row.key, at=row.at, spending=_spending(row), program=row.program or ""
        )
        found[row.member].append(Standing(spent=spent, is_void=row.status == "voided"))
    return found


def spenders(connection: Connection, receipt: str) -> set[str]:
    """Members who spent something on the receipt with this key, under any of its keys."""
    table, keys = tables.redemptions.c, tables.receipt_keys.c
    query = select(table.member).where(table.receipt == keys.key, keys.receipt == receipt).distinct()
    return set(connection.execute(query).scalars())


def _spending(row: Any) -> Spending:
    parts = msgspec.json.decode(row.parts, type=_PARTS)
    return Spending(redemption=row.key, what=row.reward, parts=parts, times=row.times)
