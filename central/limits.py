"""Limits on how often a card is used, and the sales that are held because they pass one.

Owns the limits that hold, and finding the sales they are counted over. Which sale is one too many is
`loyalty.limits`'s; letting one count is `central.review`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select

from central.db import tables
from central.db.sets import among
from central.stored import StoredReceipt
from loyalty.identification import normal_code
from loyalty.limits import WINDOW, Limits, OneTooMany, Sale, one_too_many
from loyalty.receipt import AwareDatetime, Receipt


class LimitsSet(Struct, frozen=True, kw_only=True):
    """The limits that hold, since when and why; `set_at` is None before anybody said."""

    limits: Limits
    because: str
    set_at: AwareDatetime | None


class Watch:
    """The sales of some members over which the limits of a batch are counted, read once.

    `receipts` are those of the batch whose times can be.
    """

    def __init__(
        self, connection: Connection, members: Iterable[str], receipts: Iterable[Receipt], now: datetime
    ) -> None:
        self._connection = connection
        self._now = now
        self._limits = in_force(connection).limits
        self._members = set(members)
        self._moments = [receipt.issued_at or now for receipt in receipts]
        self._sales: dict[str, list[Sale]] | None = None
        self._counted: set[str] = set()

    def passed(self, member: str, receipt: Receipt) -> OneTooMany | None:
        """The limit that a member's sale passes; from now on it counts for those behind it."""
        if not self._limits.are_set:
            return None
        if self._sales is None:
            self._sales = self._read()
        code = normal_code(receipt.member.code) if receipt.member else ""
        sale = _sale(receipt, receipt.issued_at or self._now, code)
        over = one_too_many(self._limits, sale, self._sales[member])
        self._sales[member].append(sale)
        self._counted.add(sale.key)
        return over

    def kept_apart(self, key: str | None) -> None:
        """An entry was kept by itself: what it brought is counted, too, unless it is the receipt of a sale that is.

        Everything before it is kept by now.
        """
        if key not in self._counted:
            self._sales = None

    def _read(self) -> dict[str, list[Sale]]:
        sales: dict[str, list[Sale]] = defaultdict(list)
        for row in _rows(self._connection, self._members, min(self._moments), max(self._moments)):
            sales[row.member].append(_sale_of_row(row))
        return sales


def in_force(connection: Connection) -> LimitsSet:
    table = tables.limits
    row = connection.execute(select(table).order_by(table.c.id.desc()).limit(1)).one_or_none()
    if row is None:
        return LimitsSet(limits=Limits(), because="", set_at=None)
    limits = Limits(cashier=row.cashier, register=row.register, card=row.card, member=row.member)
    return LimitsSet(limits=limits, because=row.because, set_at=row.set_at)


def set_limits(connection: Connection, limits: Limits, because: str, now: datetime) -> None:
    """Count by others from now on. What is held already stays until it is looked at."""
    connection.execute(
        insert(tables.limits).values(
            cashier=limits.cashier,
            register=limits.register,
            card=limits.card,
            member=limits.member,
            because=because,
            set_at=now,
        )
    )


def passed(connection: Connection, stored: StoredReceipt) -> OneTooMany | None:
    """The limit that a sale passes, with what is known of its member now; None for what is no member's final sale.

    An exchange is counted and never held: what it gives back would be held with it.
    """
    if stored.member is None or stored.receipt.status != "final" or stored.receipt.kind != "sale":
        return None
    limits = in_force(connection).limits
    if not limits.are_set:
        return None
    moment = stored.timed().issued_at or stored.received_at
    rows = _rows(connection, {stored.member}, moment, moment)
    sale = _sale(stored.receipt, moment, stored.code or "")
    return one_too_many(limits, sale, [_sale_of_row(row) for row in rows if row.key != stored.key])


def _rows(connection: Connection, members: set[str], first: datetime, last: datetime) -> list[Row[Any]]:
    """Final sales of these members that may be counted for sales between two moments.

    Each half is found by the index of members and times.
    """
    columns, since = tables.receipts.c, first - WINDOW
    query = select(
        columns.member,
        columns.key,
        columns.code,
        columns.store,
        columns.register,
        columns.operator,
        columns.issued_at,
        columns.received_at,
    ).where(among(columns.member, members), columns.status == "final", columns.kind != "return")
    timed = query.where(columns.issued_at.between(since, last))
    untimed = query.where(columns.issued_at.is_(None), columns.received_at.between(since, last))
    return [*connection.execute(timed), *connection.execute(untimed)]


def _sale_of_row(row: Row[Any]) -> Sale:
    return Sale(
        key=row.key,
        at=row.issued_at or row.received_at,
        store=row.store or "",
        register=row.register or "",
        cashier=row.operator or "",
        code=row.code or "",
    )


def _sale(receipt: Receipt, moment: datetime, code: str) -> Sale:
    return Sale(
        key=receipt.key,
        at=moment,
        store=receipt.store or "",
        register=receipt.register or "",
        cashier=receipt.operator or "",
        code=code,
    )
