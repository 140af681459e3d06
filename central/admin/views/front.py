"""The front page: the rules in force, and how much of everything there is."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, func, select

from central import ledger, operations
from central.admin.views.cards import UNKNOWN
from central.db import tables
from loyalty.centre_config import ConfigError
from loyalty.identification_json import rule_documents

# What a rule's own columns show.
_RULE_NAMED = frozenset({"name", "kind"})


class Totals(Struct, frozen=True, kw_only=True):
    members: int
    receipts: int
    points: int
    unknown_cards: int
    quarantined: int
    variances: int
    held: int
    unfolded: int


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
