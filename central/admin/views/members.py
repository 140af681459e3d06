"""Members, and one with cards, receipts and ledger."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, select

from central import cards, fed_rows, ledger, members
from central.admin.views.allowances import AllowancesPage, allowances_page
from central.admin.views.cards import CardView, view_of_card
from central.admin.views.shown import ROWS_SHOWN, Zone
from central.db import tables
from central.stored import stored_receipt
from loyalty.ledger import LedgerEntry
from loyalty.member import Member
from loyalty.money import to_major
from loyalty.receipt import Receipt

# Search narrows.
MEMBERS_SHOWN = 50

_STATES = {
    ledger.SETTLED: "evaluated",
    ledger.NO_MEMBER: "no member",
    ledger.BLOCKED: "held: card blocked",
    ledger.NO_PROGRAM: "waits for a program",
    ledger.WAITING: "waits for its original",
    ledger.HELD: "held: its time cannot be",
    ledger.OVER_LIMIT: "held: one of very many, or given late",
    ledger.NEW: "new",
}


class MemberRow(Struct, frozen=True, kw_only=True):
    member: str
    short_name: str
    tier: str
    confirmed: int
    pending: int


class ReceiptRow(Struct, frozen=True, kw_only=True):
    key: str
    issued_at: str
    place: str
    number: str
    kind: str
    status: str
    total: str
    state: str
    points: int


class EntryRow(Struct, frozen=True, kw_only=True):
    recorded_at: str
    rule: str
    points: int
    pending_until: str
    why: str
    number: str


class MemberPage(Struct, frozen=True, kw_only=True):
    member: Member
    cards: tuple[CardView, ...]
    receipts: tuple[ReceiptRow, ...]
    entries: tuple[EntryRow, ...]
    set_aside: AllowancesPage


def member_rows(connection: Connection, text: str) -> tuple[MemberRow, ...]:
    found = members.find_members(connection, text, MEMBERS_SHOWN)
    joined = tables.members.join(tables.balances, tables.balances.c.member == tables.members.c.id)
    rows = connection.execute(
        select(tables.members, tables.balances.c.confirmed, tables.balances.c.pending)
        .select_from(joined)
        .where(tables.members.c.id.in_(found))
        .order_by(tables.members.c.id)
    )
    return tuple(
        MemberRow(
            member=row.id,
            short_name=row.short_name or "",
            tier=row.tier or "",
            confirmed=row.confirmed,
            pending=row.pending,
        )
        for row in rows
    )


def member_page(connection: Connection, which: str, now: datetime) -> MemberPage | None:
    """The member whom an id means, with the newest receipts and ledger entries; None where there is none."""
    means = members.meant(connection, [which]).get(which)
    if means is None:
        return None
    member, zone = means, Zone(connection)
    columns = tables.receipts.c
    keys = connection.execute(
        select(columns.key)
        .where(columns.member == member)
        .order_by(columns.issued_at.desc(), columns.key)
        .limit(ROWS_SHOWN)
    ).scalars()
    entries = connection.execute(
        select(tables.ledger, columns.number)
        .outerjoin(tables.receipts, columns.key == tables.ledger.c.receipt)
        .where(tables.ledger.c.member.in_(members.ids_of(connection, member)))
        .order_by(tables.ledger.c.id.desc())
        .limit(ROWS_SHOWN)
    )
    return MemberPage(
        member=fed_rows.rows_of(connection, [member], now)[member],
        cards=tuple(view_of_card(connection, one, zone) for one in cards.cards_of(connection, member)),
        set_aside=allowances_page(connection, member),
        receipts=tuple(_receipt_row(connection, key, zone) for key in keys.all()),
        entries=tuple(
            EntryRow(
                recorded_at=zone.text(row.recorded_at),
                rule=row.rule,
                points=row.points,
                pending_until=zone.text(row.pending_until) if row.pending_until and row.pending_until > now else "",
                why=row.why,
                number=row.number or "",
            )
            for row in entries
        ),
    )


def _receipt_row(connection: Connection, key: str, zone: Zone) -> ReceiptRow:
    stored = stored_receipt(connection, key)
    receipt: Receipt = stored.receipt
    entries: tuple[LedgerEntry, ...] = ledger.entries_of_receipt(connection, key)
    return ReceiptRow(
        key=key,
        issued_at=zone.text(receipt.issued_at or None),
        place=f"{receipt.store or '?'} / {receipt.register or '?'}",
        number=receipt.number or (receipt.fiscal.number or "" if receipt.fiscal else ""),
        kind=receipt.kind,
        status=receipt.status,
        total=f"{to_major(receipt.total_minor, receipt.currency)} {receipt.currency}",
        state=_STATES.get(stored.state, stored.state),
        points=sum(entry.points for entry in entries),
    )
