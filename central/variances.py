"""Where a register claimed something else than the ledger says.

Owns that comparison and its rows: one per receipt, as it stands now; one that a later correction settled stays, and
says so. No receipt is ever refused for a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, bindparam, insert, select, update

from central.db import tables
from central.ledger import entries_of_receipt
from central.stored import stored_receipt
from loyalty.entry_rules import corrected_rule
from loyalty.ledger import LedgerEntry
from loyalty.receipt import AwareDatetime

# Variances told of at once.
EXPLAINED = 500
_SHOWN = ("receipt", "device", "member", "claimed", "given", "detail", "recorded_at", "resolved_at")


class Compared(Struct, frozen=True, kw_only=True):
    """A receipt with what its register claimed, and what the ledger gives for it."""

    receipt: str
    device: str
    member: str
    detail: str
    claimed: int
    given: int


def compared(
    receipt: str,
    *,
    device: str,
    member: str,
    claims: Iterable[LedgerEntry],
    entries: Iterable[LedgerEntry],
    could_claim: bool,
) -> Compared | None:
    """The difference between both; None where there is none.

    A register that knew no member, or not the original of a return (`could_claim`), said nothing wrong.
    """
    claimed = _by_rule(claims)
    if not (claimed or could_claim):
        return None
    given = _by_rule(entries)
    if claimed == given:
        return None
    rules = [
        f"{rule}: claimed {claimed.get(rule, 0)}, given {given.get(rule, 0)}"
        for rule in sorted({*claimed, *given})
        if claimed.get(rule, 0) != given.get(rule, 0)
    ]
    return Compared(
        receipt=receipt,
        device=device,
        member=member,
        detail="; ".join(rules),
        claimed=sum(claimed.values()),
        given=sum(given.values()),
    )


class Explained(Struct, frozen=True, kw_only=True):
    """A variance with the arithmetic of both: what the register claimed, and what the ledger holds."""

    receipt: str
    device: str
    member: str
    claimed: int
    given: int
    detail: str
    recorded_at: AwareDatetime
    resolved_at: AwareDatetime | None
    claims: tuple[LedgerEntry, ...]
    entries: tuple[LedgerEntry, ...]


class ExplainedList(Struct, frozen=True, kw_only=True):
    variances: tuple[Explained, ...]


def explained(connection: Connection, limit: int = EXPLAINED) -> ExplainedList:
    """The newest variances, those that are open first."""
    table = tables.variances
    query = select(table).order_by(table.c.resolved_at.is_not(None), table.c.id.desc()).limit(limit)
    return ExplainedList(
        variances=tuple(
            Explained(
                claims=stored_receipt(connection, row.receipt).claims,
                entries=entries_of_receipt(connection, row.receipt),
                **{name: getattr(row, name) for name in _SHOWN},
            )
            for row in connection.execute(query).all()
        )
    )


def note(connection: Connection, found: Sequence[Compared], now: datetime) -> None:
    """Differences of receipts that had none before."""
    if found:
        connection.execute(insert(tables.variances), [_values(one) | {"recorded_at": now} for one in found])


def renew(connection: Connection, members: Sequence[str], found: Mapping[str, Compared], now: datetime) -> None:
    """The differences of all receipts of these members, by receipt, as they stand now."""
    table = tables.variances
    known = {row.receipt: row for row in connection.execute(select(table).where(table.c.member.in_(members)))}
    note(connection, [one for key, one in found.items() if key not in known], now)
    changed = [
        {"which": one.receipt, "now_claimed": one.claimed, "now_given": one.given, "now_detail": one.detail, "at": None}
        for key, one in found.items()
        if key in known and (known[key].detail != one.detail or known[key].resolved_at is not None)
    ]
    resolved = [
        {"which": key, "now_claimed": row.claimed, "now_given": row.claimed, "now_detail": row.detail, "at": now}
        for key, row in known.items()
        if key not in found and row.resolved_at is None
    ]
    if changed or resolved:
        connection.execute(
            update(table)
            .where(table.c.receipt == bindparam("which"))
            .values(
                claimed=bindparam("now_claimed"),
                given=bindparam("now_given"),
                detail=bindparam("now_detail"),
                resolved_at=bindparam("at"),
            ),
            [*changed, *resolved],
        )


def _by_rule(entries: Iterable[LedgerEntry]) -> dict[str, int]:
    """Points of each rule that gives or takes any."""
    points: dict[str, int] = {}
    for entry in entries:
        rule = corrected_rule(entry.rule)
        points[rule] = points.get(rule, 0) + entry.points
    return {rule: total for rule, total in points.items() if total}


def _values(one: Compared) -> dict[str, Any]:
    return {
        "receipt": one.receipt,
        "device": one.device,
        "member": one.member,
        "claimed": one.claimed,
        "given": one.given,
        "detail": one.detail,
    }
