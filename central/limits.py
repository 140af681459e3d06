"""Limits on how often a card is used and rewards are given, and the sales that are held because one is passed.

Owns the limits that hold, and finding the sales and rewards they are counted over. Which sale is one too many is
`loyalty.limits`'s; letting one count is `central.review`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, func, insert, select, update

from central import ledger, uses
from central.db import tables
from central.db.sets import among
from central.stored import StoredReceipt
from loyalty.identification import normal_code
from loyalty.limits import WINDOW, Limits, Of, OneTooMany, Sale, given_late, one_too_many
from loyalty.receipt import AwareDatetime, Receipt

# What is wrong with a redemption that is one too many.
OVER_LIMIT = "over_limit"


class LimitsSet(Struct, frozen=True, kw_only=True):
    """The limits that hold on sales, or on rewards, since when and why; `set_at` is None before anybody said."""

    limits: Limits
    because: str
    set_at: AwareDatetime | None


class Watch:
    """The sales of some members over which the limits of a batch are counted, read once.

    `receipts` are those of the batch whose times can be; those of the keys `stored` count as they are asked for.
    """

    def __init__(
        self,
        connection: Connection,
        members: Iterable[str],
        receipts: Iterable[Receipt],
        now: datetime,
        stored: frozenset[str],
    ) -> None:
        self._connection = connection
        self._stored = stored
        self._now = now
        self._limits = in_force(connection).limits
        self._members = set(members)
        self._moments = [receipt.issued_at or now for receipt in receipts]
        self._sales: dict[str, list[Sale]] | None = None
        self._counted: set[str] = set()

    def passed(self, member: str, receipt: Receipt) -> OneTooMany | None:
        """The limit that a member's sale passes; from now on it counts for the others."""
        if not self._limits.are_set or receipt.status != "final":
            return None
        if self._sales is None:
            self._sales = self._read()
        code = normal_code(receipt.member.code) if receipt.member else ""
        sale = _sale(receipt, receipt.issued_at or self._now, code)
        over = one_too_many(self._limits, sale, self._sales[member])
        self._sales[member].append(replace(sale, counts=over is None))
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
            if row.key not in self._stored:
                sales[row.member].append(_sale_of_row(row))
        return sales


def in_force(connection: Connection, of: Of = "sale") -> LimitsSet:
    table = tables.limits
    query = select(table).where(table.c.counts == of).order_by(table.c.id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return LimitsSet(limits=Limits(), because="", set_at=None)
    limits = Limits(
        cashier=row.cashier, register=row.register, card=row.card, member=row.member, late_minutes=row.late_minutes
    )
    return LimitsSet(limits=limits, because=row.because, set_at=row.set_at)


def set_limits(connection: Connection, limits: Limits, because: str, now: datetime, of: Of = "sale") -> None:
    """Count by others from now on. What is held already stays until it is looked at."""
    connection.execute(
        insert(tables.limits).values(
            cashier=limits.cashier,
            register=limits.register,
            card=limits.card,
            member=limits.member,
            late_minutes=limits.late_minutes,
            because=because,
            set_at=now,
            counts=of,
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


def late(connection: Connection, stored: StoredReceipt) -> str | None:
    """Why a sale that was given to its member later is to be looked at. What gives goods back stands as its sale does.

    It is told from when the register caught it, which is by the same clock; else from when it was issued.
    """
    receipt = stored.receipt
    if stored.attached_at is None or receipt.status != "final" or receipt.kind != "sale":
        return None
    sold = receipt.captured_at or receipt.issued_at or stored.received_at
    return given_late(in_force(connection).limits, sold, stored.attached_at)


def reward_passed(connection: Connection, redemption: str) -> OneTooMany | None:
    """The limit that a redemption, which is kept by now, passes with those of its member before it that stand.

    Who gave it, where its register does not say, and with which card is known once its sale is.
    """
    limits = in_force(connection, "reward").limits
    if not limits.are_set:
        return None
    table, devices, keys, sales = tables.redemptions, tables.devices, tables.receipt_keys, tables.receipts
    query = select(
        table.c.key,
        table.c.member,
        table.c.at,
        table.c.times,
        table.c.operator,
        devices.c.store,
        devices.c.register,
        sales.c.operator.label("cashier"),
        sales.c.code,
        sales.c.status,
    ).select_from(
        table.join(devices, devices.c.id == table.c.device)
        .outerjoin(keys, keys.c.key == table.c.receipt)
        .outerjoin(sales, sales.c.key == keys.c.receipt)
    )
    one = connection.execute(query.where(table.c.key == redemption)).one()
    if one.status == "voided":
        return None
    window = table.c.at.between(one.at - WINDOW, one.at)
    stands = (table.c.state == uses.GIVEN) & (func.coalesce(sales.c.status, "") != "voided")
    others = query.where(table.c.member == one.member, stands, window, table.c.key != redemption)
    return one_too_many(limits, _reward_of_row(one), map(_reward_of_row, connection.execute(others)), "reward")


def _reward_of_row(row: Any) -> Sale:
    return Sale(
        key=row.key,
        at=row.at,
        store=row.store,
        register=row.register,
        cashier=row.operator or row.cashier or "",
        code=row.code or "",
        times=row.times,
    )


def hold_sale(connection: Connection, receipt: str) -> None:
    """The sale on which a reward was one too many counts for nothing until somebody looked, if nobody did yet."""
    keys, table = tables.receipt_keys.c, tables.receipts
    key = select(keys.receipt).where(keys.key == receipt).scalar_subquery()
    unseen = (table.c.kind == "sale") & (table.c.state == ledger.SETTLED) & table.c.reviewed_at.is_(None)
    connection.execute(update(table).where(table.c.key == key, unseen).values(state=ledger.OVER_LIMIT))


def has_reward_too_many(connection: Connection, stored: StoredReceipt) -> bool:
    """Whether a reward that is one too many was given on a sale."""
    table, keys = tables.redemptions.c, tables.receipt_keys.c
    query = select(table.key).where(table.receipt == keys.key, keys.receipt == stored.key)
    flagged = query.where(table.problems.contains(f'"{OVER_LIMIT}"'), table.state == uses.GIVEN)
    return stored.receipt.kind == "sale" and connection.execute(flagged.limit(1)).first() is not None


def _rows(connection: Connection, members: set[str], first: datetime, last: datetime) -> list[Row[Any]]:
    """Final sales of these members that may be counted for sales between two moments: a window before and behind them.

    Each half is found by the index of members and times.
    """
    columns, since, until = tables.receipts.c, first - WINDOW, last + WINDOW
    query = select(
        columns.member,
        columns.key,
        columns.code,
        columns.store,
        columns.register,
        columns.operator,
        columns.issued_at,
        columns.received_at,
        columns.state,
    ).where(among(columns.member, members), columns.status == "final", columns.kind != "return")
    timed = query.where(columns.issued_at.between(since, until))
    untimed = query.where(columns.issued_at.is_(None), columns.received_at.between(since, until))
    return [*connection.execute(timed), *connection.execute(untimed)]


def _sale_of_row(row: Row[Any]) -> Sale:
    return Sale(
        key=row.key,
        at=row.issued_at or row.received_at,
        store=row.store or "",
        register=row.register or "",
        cashier=row.operator or "",
        code=row.code or "",
        counts=row.state in ledger.COUNTED_STATES,
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
