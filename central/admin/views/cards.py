"""Cards: the unknown, the blocked, and one with its history."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, func, select

from central import cards, ledger, operations
from central.admin.views.shown import ROWS_SHOWN, Zone
from central.cards import Card
from central.db import tables
from loyalty.member import CardState

# Receipts whose code nobody has; what is held for a blocked card stands with that card.
UNKNOWN = (tables.receipts.c.member.is_(None), tables.receipts.c.state != ledger.BLOCKED)


class CardRow(Struct, frozen=True, kw_only=True):
    """A code that came with receipts; `stock` where it is a card of ours that nobody has."""

    code: str
    receipts: int
    last_seen: str
    stock: bool


class NumberRow(Struct, frozen=True, kw_only=True):
    code: str
    kind: str
    printed: bool


class CardView(Struct, frozen=True, kw_only=True):
    """A card with its numbers, state and history. `code` is the number its forms name it by."""

    code: str
    numbers: tuple[NumberRow, ...]
    state: CardState
    member: str
    blocked_at: str
    because: str
    replaced_by: str
    held: int
    changes: tuple[str, ...]


def unknown_cards(connection: Connection) -> tuple[CardRow, ...]:
    """Codes that came with receipts and name nobody, the latest first."""
    zone = Zone(connection)
    columns = tables.receipts.c
    rows = connection.execute(
        select(columns.code, func.count().label("receipts"), func.max(columns.received_at).label("last_seen"))
        .where(*UNKNOWN, columns.code.is_not(None))
        .group_by(columns.code)
        .order_by(func.max(columns.received_at).desc(), columns.code)
        .limit(ROWS_SHOWN)
    ).all()
    stock = cards.places(connection, {row.code for row in rows})
    return tuple(
        CardRow(code=row.code, receipts=row.receipts, last_seen=zone.text(row.last_seen), stock=row.code in stock)
        for row in rows
    )


def blocked_cards(connection: Connection) -> tuple[CardView, ...]:
    """Cards that are not accepted, the latest first."""
    zone = Zone(connection)
    return tuple(view_of_card(connection, one, zone) for one in cards.blocked_cards(connection, ROWS_SHOWN))


def card_view(connection: Connection, code: str) -> CardView | None:
    """The card with this number, in any way of writing it."""
    found = cards.find(connection, code)
    return None if found is None else view_of_card(connection, found, Zone(connection))


def view_of_card(connection: Connection, card: Card, zone: Zone) -> CardView:
    shown = operations.card_shown(connection, card)
    return CardView(
        code=card.numbers[0].code,
        numbers=tuple(NumberRow(code=one.code, kind=one.kind, printed=one.printed) for one in card.numbers),
        state=card.state,
        member=card.member or "",
        blocked_at=zone.text(card.blocked_at),
        because=card.blocked_because or "",
        replaced_by=card.replaced_by or "",
        held=shown.held,
        changes=tuple(
            " ".join(filter(None, (zone.text(one.changed_at), one.what, one.member, one.detail)))
            for one in shown.changes
        ),
    )
