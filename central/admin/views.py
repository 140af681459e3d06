"""What each admin page shows, as values: read from the database, ready to render.

Owns the queries of the admin pages. Never changes anything and never writes HTML.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, func, select

from central import cards, item_maps, ledger, members, operations, programs, unmapped
from central.cards import Card
from central.db import tables
from central.stored import stored_receipt
from loyalty.centre_config import ConfigError
from loyalty.identification_json import rule_documents
from loyalty.ledger import LedgerEntry
from loyalty.member import CardState, Member
from loyalty.money import to_major
from loyalty.receipt import Receipt
from loyalty.remedies import remedy_for
from loyalty.undecodable import UNDECODABLE
from sync.records import CorrectBody, Entry, ReceiptBody

# A register says something every half minute; silent for this long, it is offline.
ONLINE_FOR = timedelta(seconds=90)
# Rows on one page; search narrows, and the newest stand first.
MEMBERS_SHOWN = 50
ROWS_SHOWN = 200
LINES_SHOWN = 100
# Of each currency; the list to download has more.
GOODS_SHOWN = 50
RAW_SHOWN_CHARS = 4000
# What a rule's own columns show.
_RULE_NAMED = frozenset({"name", "kind"})

_STATES = {
    ledger.SETTLED: "evaluated",
    ledger.NO_MEMBER: "no member",
    ledger.BLOCKED: "held: card blocked",
    ledger.NO_PROGRAM: "waits for a program",
    ledger.WAITING: "waits for its original",
    ledger.NEW: "new",
}


# Receipts whose code nobody has; what is held for a blocked card stands with that card.
_UNKNOWN = (tables.receipts.c.member.is_(None), tables.receipts.c.state != ledger.BLOCKED)


class Totals(Struct, frozen=True, kw_only=True):
    members: int
    receipts: int
    points: int
    unknown_cards: int
    quarantined: int
    variances: int


class RegisterRow(Struct, frozen=True, kw_only=True):
    device: str
    store: str
    register: str
    state: str
    since: str
    last_contact: str
    queued: int
    queued_since: str
    quarantined: int
    version: str
    epochs: int
    note: str
    revoked: bool


class RuleRow(Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    conditions: str


class GoodsRow(Struct, frozen=True, kw_only=True):
    """Goods that the item map in force says nothing of."""

    name: str
    facts: str
    turnover: str
    lines: int
    last_seen: str


class GoodsPage(Struct, frozen=True, kw_only=True):
    """The item map in force, if one is, and what it says nothing of. `map_hash` is empty where there is none."""

    map_hash: str
    since: str
    entries: str
    rows: tuple[GoodsRow, ...]


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


class VarianceRow(Struct, frozen=True, kw_only=True):
    recorded_at: str
    place: str
    number: str
    member: str
    claimed: int
    given: int
    detail: str


class Zone:
    """Times as the shop reads them: in the zone of the newest program."""

    def __init__(self, connection: Connection) -> None:
        schedule = programs.schedule(connection)
        self._zone = ZoneInfo(schedule[-1].program.time_zone if schedule else "UTC")

    def text(self, moment: datetime | None) -> str:
        return "" if moment is None else moment.astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")


def totals(connection: Connection) -> Totals:
    receipts = tables.receipts.c

    def count(column: object, *where: object) -> int:
        query = select(func.count(column)).where(*where)  # type: ignore[arg-type]
        return int(connection.execute(query).scalar_one())

    unknown = select(func.count(receipts.code.distinct())).where(*_UNKNOWN)
    points = connection.execute(select(func.sum(tables.ledger.c.points))).scalar_one()
    return Totals(
        members=count(tables.members.c.id),
        receipts=count(receipts.key),
        points=int(points or 0),
        unknown_cards=int(connection.execute(unknown).scalar_one()),
        quarantined=count(tables.quarantine.c.id, tables.quarantine.c.resolved_at.is_(None)),
        variances=count(tables.variances.c.id),
    )


def registers(connection: Connection, now: datetime) -> tuple[RegisterRow, ...]:
    zone = Zone(connection)
    rows = []
    for one in operations.registers(connection).registers:
        online = one.last_contact is not None and now - one.last_contact < ONLINE_FOR
        rows.append(
            RegisterRow(
                device=one.device,
                store=one.store,
                register=one.register,
                state="revoked" if one.revoked else "online" if online else "offline",
                since="" if one.last_contact is None else _ago(now - one.last_contact),
                last_contact=zone.text(one.last_contact),
                queued=one.queued,
                queued_since="" if one.oldest_queued_at is None else _ago(now - one.oldest_queued_at),
                quarantined=one.quarantined,
                version=one.version,
                epochs=one.epochs,
                note=one.note or "",
                revoked=one.revoked,
            )
        )
    return tuple(rows)


def rules(connection: Connection) -> tuple[RuleRow, ...]:
    """The identification rules in force, in their order; one row that says so where this version reads them not."""
    try:
        in_force = operations.rules_in_force(connection).identification
    except ConfigError as error:
        return (RuleRow(name="", kind="", conditions=f"cannot be read: {error}"),)
    return tuple(
        RuleRow(
            name=rule.name,
            kind=rule.kind,
            conditions="; ".join(f"{key} {_plain(value)}" for key, value in document.items() if key not in _RULE_NAMED),
        )
        for rule in in_force
        for document in rule_documents([rule])
    )


def goods(connection: Connection) -> GoodsPage:
    """What goods are, and which nobody has said it of, by turnover; told where this version does not read the map."""
    zone = Zone(connection)
    in_force, matcher = item_maps.newest_publication(connection), item_maps.matcher_in_force(connection)
    entries = (
        f"{len(matcher.item_map.items)} entries"
        if matcher is not None
        else "this version cannot read it; update the centre"
    )
    rows = tuple(_goods_row(one, zone) for one in unmapped.report(connection, GOODS_SHOWN).unmapped)
    if in_force is None:
        return GoodsPage(map_hash="", since="", entries="", rows=rows)
    return GoodsPage(map_hash=in_force.hash, since=zone.text(in_force.published_at), entries=entries, rows=rows)


def _goods_row(one: unmapped.UnmappedGoods, zone: Zone) -> GoodsRow:
    of = one.goods
    facts = (
        {} if of is None else {"SKU": of.sku, "GTIN": of.gtin, "tax": ", ".join(of.tax_labels), "dept.": of.department}
    )
    return GoodsRow(
        name=f"(all beyond {unmapped.MAX_GOODS} different goods)" if of is None else of.name or "–",
        facts="; ".join(f"{what} {value}" for what, value in facts.items() if value),
        turnover=f"{to_major(one.turnover_minor, one.currency)} {one.currency}",
        lines=one.lines,
        last_seen=zone.text(one.last_seen),
    )


def member_list(connection: Connection, text: str) -> tuple[MemberRow, ...]:
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


def member_page(connection: Connection, member: str, now: datetime) -> MemberPage | None:
    """A member with the newest receipts and ledger entries; None where there is no such member."""
    if not members.member_exists(connection, member):
        return None
    zone = Zone(connection)
    columns = tables.receipts.c
    keys = connection.execute(
        select(columns.key)
        .where(columns.member == member)
        .order_by(columns.issued_at.desc(), columns.key)
        .limit(ROWS_SHOWN)
    ).scalars()
    entries = connection.execute(
        select(tables.ledger, columns.number)
        .join(tables.receipts, columns.key == tables.ledger.c.receipt)
        .where(tables.ledger.c.member == member)
        .order_by(tables.ledger.c.id.desc())
        .limit(ROWS_SHOWN)
    )
    return MemberPage(
        member=members.rows_of(connection, [member], now)[member],
        cards=tuple(_card(connection, one, zone) for one in cards.cards_of(connection, member)),
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


def unknown_cards(connection: Connection) -> tuple[CardRow, ...]:
    """Codes that came with receipts and name nobody, the latest first."""
    zone = Zone(connection)
    columns = tables.receipts.c
    rows = connection.execute(
        select(columns.code, func.count().label("receipts"), func.max(columns.received_at).label("last_seen"))
        .where(*_UNKNOWN, columns.code.is_not(None))
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
    return tuple(_card(connection, one, zone) for one in cards.blocked_cards(connection, ROWS_SHOWN))


def card(connection: Connection, code: str) -> CardView | None:
    """The card with this number, in any way of writing it."""
    found = cards.find(connection, code)
    return None if found is None else _card(connection, found, Zone(connection))


def quarantine(connection: Connection) -> QuarantineDesk:
    zone, places = Zone(connection), _places(connection)
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
                return _understood(msgspec.json.decode(entry.body, type=ReceiptBody).receipt, zone)
            case "correct":
                return _understood(msgspec.json.decode(entry.body, type=CorrectBody).reading.receipt, zone)
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


def variances(connection: Connection) -> tuple[VarianceRow, ...]:
    zone, places = Zone(connection), _places(connection)
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


def _card(connection: Connection, card: Card, zone: Zone) -> CardView:
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


def _places(connection: Connection) -> dict[str, str]:
    """Store and register of each device."""
    columns = tables.devices.c
    rows = connection.execute(select(columns.id, columns.store, columns.register))
    return {row.id: f"{row.store} / {row.register}" for row in rows}


def _plain(value: object) -> str:
    """A value of a rule's condition without the marks of its JSON."""
    if isinstance(value, list):
        return ", ".join("–".join(one) if isinstance(one, list) else str(one) for one in value)
    return str(value)


def _pretty(raw: bytes) -> str:
    text = msgspec.json.format(raw, indent=2).decode(errors="replace")
    return text if len(text) <= RAW_SHOWN_CHARS else text[:RAW_SHOWN_CHARS] + "\n…"


def _ago(span: timedelta) -> str:
    """A span in the one unit that people would say."""
    seconds = max(int(span.total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
