"""The front page: the registers, the rules in force, and how much of everything there is."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import Connection, func, select

from central import ledger, operations
from central.admin.views.cards import UNKNOWN
from central.admin.views.programs import HeldHere, held_by_device
from central.admin.views.shown import Zone
from central.db import tables
from loyalty.centre_config import ConfigError
from loyalty.identification_json import rule_documents

# A register says something every half minute; silent for this long, it is offline.
ONLINE_FOR = timedelta(seconds=90)
# What a rule's own columns show.
_RULE_NAMED = frozenset({"name", "kind"})


_UNTOLD = HeldHere(hash="", behind=False, refused=())


class Totals(Struct, frozen=True, kw_only=True):
    members: int
    receipts: int
    points: int
    unknown_cards: int
    quarantined: int
    variances: int
    held: int
    unfolded: int


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
    templates_refused: str
    revoked: bool
    shared: bool
    program: HeldHere


class RuleRow(Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    conditions: str


def shop_totals(connection: Connection) -> Totals:
    receipts = tables.receipts.c

    def count(column: object, *where: object) -> int:
        query = select(func.count(column)).where(*where)  # type: ignore[arg-type]
        return int(connection.execute(query).scalar_one())

    unknown = select(func.count(receipts.code.distinct())).where(*UNKNOWN)
    points = connection.execute(select(func.sum(tables.ledger.c.points))).scalar_one()
    return Totals(
        members=count(tables.members.c.id),
        receipts=count(receipts.key),
        points=int(points or 0),
        unknown_cards=int(connection.execute(unknown).scalar_one()),
        quarantined=count(tables.quarantine.c.id, tables.quarantine.c.resolved_at.is_(None)),
        variances=count(tables.variances.c.id, tables.variances.c.resolved_at.is_(None)),
        held=count(receipts.key, receipts.state.in_(ledger.HELD_STATES)),
        unfolded=count(tables.unfolded.c.member),
    )


def register_rows(connection: Connection, now: datetime) -> tuple[RegisterRow, ...]:
    zone, held = Zone(connection), held_by_device(connection, now)
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
                shared=one.shared,
                templates_refused=one.templates_refused or "",
                program=held.get(one.device, _UNTOLD),
            )
        )
    return tuple(rows)


def rule_rows(connection: Connection) -> tuple[RuleRow, ...]:
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


def _plain(value: object) -> str:
    """A value of a rule's condition without the marks of its JSON."""
    if isinstance(value, list):
        return ", ".join("–".join(one) if isinstance(one, list) else str(one) for one in value)
    return str(value)


def _ago(span: timedelta) -> str:
    """A span in the one unit that people would say."""
    seconds = max(int(span.total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
