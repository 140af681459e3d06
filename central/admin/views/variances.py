"""Where a register's claim and the ledger differ, with the arithmetic of both."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, select

from central import variances
from central.admin.views.shown import ROWS_SHOWN, Zone, place_names
from central.db import tables
from loyalty.ledger import LedgerEntry


class VarianceRow(Struct, frozen=True, kw_only=True):
    """`shown` is what the register said of each rule, `held` what the ledger has; `resolved_at` may be empty."""

    recorded_at: str
    resolved_at: str
    place: str
    number: str
    member: str
    claimed: int
    given: int
    detail: str
    shown: tuple[str, ...]
    held: tuple[str, ...]


def variance_rows(connection: Connection) -> tuple[VarianceRow, ...]:
    zone, places = Zone(connection), place_names(connection)
    found = variances.explained(connection, ROWS_SHOWN).variances
    columns = tables.receipts.c
    query = select(columns.key, columns.number).where(columns.key.in_([one.receipt for one in found]))
    numbers = {row.key: row.number for row in connection.execute(query)}
    return tuple(
        VarianceRow(
            recorded_at=zone.text(one.recorded_at),
            resolved_at=zone.text(one.resolved_at),
            place=places.get(one.device, one.device),
            number=numbers[one.receipt] or "",
            member=one.member,
            claimed=one.claimed,
            given=one.given,
            detail=one.detail,
            shown=tuple(map(_told, one.claims)),
            held=tuple(map(_told, one.entries)),
        )
        for one in found
    )


def _told(entry: LedgerEntry) -> str:
    return f"{entry.rule} {entry.points:+}: {entry.why}"
