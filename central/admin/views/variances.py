"""Where a register's claim and the ledger differ."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, select

from central.admin.views.shown import ROWS_SHOWN, Zone, place_names
from central.db import tables


class VarianceRow(Struct, frozen=True, kw_only=True):
    recorded_at: str
    place: str
    number: str
    member: str
    claimed: int
    given: int
    detail: str


def variance_rows(connection: Connection) -> tuple[VarianceRow, ...]:
    zone, places = Zone(connection), place_names(connection)
    table = tables.variances
    rows = connection.execute(
        select(table, tables.receipts.c.number)
        .join(tables.receipts, tables.receipts.c.key == table.c.receipt)
        .order_by(table.c.id.desc())
        .limit(ROWS_SHOWN)
    )
    return tuple(
        VarianceRow(
            recorded_at=zone.text(row.recorded_at),
            place=places.get(row.device, row.device),
            number=row.number or "",
            member=row.member,
            claimed=row.claimed,
            given=row.given,
            detail=row.detail,
        )
        for row in rows
    )
