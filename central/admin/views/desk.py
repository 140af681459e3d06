"""The quarantine desk: all that waits for a person, here and at the registers."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, select

from central.admin.views.shown import ROWS_SHOWN, Zone, place_names
from central.db import tables
from loyalty.money import to_major
from loyalty.receipt import Receipt
from loyalty.remedies import remedy_for
from loyalty.undecodable import UNDECODABLE
from sync.records import CorrectBody, Entry, ReceiptBody

LINES_SHOWN = 100
RAW_SHOWN_CHARS = 4000


class UnderstoodRow(Struct, frozen=True, kw_only=True):
    """A receipt as a person compares it with its paper."""

    facts: str
    lines: tuple[tuple[str, str], ...]
    total: str
    problems: tuple[str, ...]


class QuarantineRow(Struct, frozen=True, kw_only=True):
    """`understood` is there where the entry holds a receipt that can be read."""

    id: int
    received_at: str
    place: str
    seq: int
    kind: str
    reason: str
    detail: str
    remedy: str
    understood: UnderstoodRow | None
    raw: str


class ProblemRow(Struct, frozen=True, kw_only=True):
    """A receipt that is booked and earns nothing until someone resolves it."""

    received_at: str
    place: str
    problem: str
    remedy: str
    understood: UnderstoodRow


class ReasonRow(Struct, frozen=True, kw_only=True):
    reason: str
    count: int
    remedy: str


class RegisterQuarantineRow(Struct, frozen=True, kw_only=True):
    place: str
    quarantined: int
    reasons: tuple[ReasonRow, ...]


class QuarantineDesk(Struct, frozen=True, kw_only=True):
    """All that waits for a person, here and at the registers."""

    entries: tuple[QuarantineRow, ...]
    receipts: tuple[ProblemRow, ...]
    registers: tuple[RegisterQuarantineRow, ...]
    shown: int


def quarantine_desk(connection: Connection) -> QuarantineDesk:
    zone, places = Zone(connection), place_names(connection)
    return QuarantineDesk(
        entries=_set_aside(connection, zone, places),
        receipts=_earning_nothing(connection, zone, places),
        registers=_set_aside_there(connection),
        shown=ROWS_SHOWN,
    )


def _set_aside(connection: Connection, zone: Zone, places: dict[str, str]) -> tuple[QuarantineRow, ...]:
    table = tables.quarantine
    rows = connection.execute(
        select(table).where(table.c.resolved_at.is_(None)).order_by(table.c.id.desc()).limit(ROWS_SHOWN)
    )
    return tuple(
        QuarantineRow(
            id=row.id,
            received_at=zone.text(row.received_at),
            place=places.get(row.device, row.device),
            seq=row.seq,
            kind=row.kind,
            reason=row.reason,
            detail=row.detail,
            remedy=remedy_for(row.reason),
            understood=_understood_entry(row.raw, zone),
            raw=_pretty(row.raw),
        )
        for row in rows
    )


def _earning_nothing(connection: Connection, zone: Zone, places: dict[str, str]) -> tuple[ProblemRow, ...]:
    columns = tables.receipts.c
    rows = connection.execute(
        select(columns.received_at, columns.device, columns.problem, columns.body)
        .where(columns.problem.is_not(None))
        .order_by(columns.received_at.desc(), columns.key)
        .limit(ROWS_SHOWN)
    )
    return tuple(
        ProblemRow(
            received_at=zone.text(row.received_at),
            place=places.get(row.device, row.device),
            problem=row.problem,
            remedy=remedy_for(row.problem),
            understood=_understood(msgspec.json.decode(row.body, type=Receipt), zone),
        )
        for row in rows
    )


def _set_aside_there(connection: Connection) -> tuple[RegisterQuarantineRow, ...]:
    columns = tables.devices.c
    rows = connection.execute(
        select(columns.store, columns.register, columns.quarantined, columns.quarantine_reasons)
        .where(columns.quarantined > 0, columns.revoked_at.is_(None))
        .order_by(columns.quarantined.desc(), columns.store, columns.register)
        .limit(ROWS_SHOWN)
    )
    return tuple(
        RegisterQuarantineRow(
            place=f"{row.store} / {row.register}",
            quarantined=row.quarantined,
            reasons=tuple(
                ReasonRow(reason=reason, count=count, remedy=remedy_for(reason))
                for reason, count in msgspec.json.decode(row.quarantine_reasons, type=dict[str, int]).items()
            ),
        )
        for row in rows
    )


def _understood_entry(raw: bytes, zone: Zone) -> UnderstoodRow | None:
    """The receipt in an entry; None where there is none, or nothing that can be read as one."""
    try:
        entry = msgspec.json.decode(raw, type=Entry)
        match entry.kind:
            case "receipt":
                return _understood(msgspec.json.decode(entry.json, type=ReceiptBody).receipt, zone)
            case "correct":
                return _understood(msgspec.json.decode(entry.json, type=CorrectBody).reading.receipt, zone)
    except UNDECODABLE:
        return None
    return None


def _understood(receipt: Receipt, zone: Zone) -> UnderstoodRow:
    def money(minor: int) -> str:
        return f"{to_major(minor, receipt.currency)} {receipt.currency}"

    when = zone.text(receipt.issued_at) if receipt.issued_at else str(receipt.business_day or "no time")
    place = f"store {receipt.store or '?'}, register {receipt.register or '?'}, number {receipt.number or '?'}"
    return UnderstoodRow(
        facts=f"{receipt.kind}, {receipt.status}, {place}, {when}",
        lines=tuple((line.description or "?", money(line.amount_minor)) for line in receipt.lines[:LINES_SHOWN]),
        total=money(receipt.total_minor),
        problems=tuple(f"{problem.code}: {problem.detail or ''}".rstrip(": ") for problem in receipt.problems),
    )


def _pretty(raw: bytes) -> str:
    text = msgspec.json.format(raw, indent=2).decode(errors="replace")
    return text if len(text) <= RAW_SHOWN_CHARS else text[:RAW_SHOWN_CHARS] + "\n…"
