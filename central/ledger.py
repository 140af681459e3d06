"""The ledger: what each receipt gives, and every balance as the fold of its entries.

Owns the centre's evaluation. A register's claims are compared with it, and a difference is kept where
people see it; no receipt is ever refused for one. Rows are only appended. Never reads a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection, Row, bindparam, case, func, insert, select, update

from central import cards, members, programs
from central.db import tables
from central.stored import StoredReceipt, stored_receipt
from loyalty import originals
from loyalty.evaluate import evaluate
from loyalty.identity import identity_keys, minute_of
from loyalty.ledger import LedgerEntry, balance_of
from loyalty.member import Balance
from loyalty.purchase import Known
from loyalty.receipt import Receipt
from loyalty.returns import Settled, voiding
from loyalty.schedule import judged_at

# Where the evaluation of a receipt stands.
NEW = "new"
SETTLED = "settled"
NO_MEMBER = "no_member"
NO_PROGRAM = "no_program"
BLOCKED = "blocked"
WAITING = "waiting"

_AT_ONCE = 500
# As wide as the column that holds them.
MAX_NAME_CHARS = 255
# Sales with one printed number that a return is compared with; beyond that many it names none of them.
MAX_CANDIDATES = 1000


class BalanceMismatch(Struct, frozen=True, kw_only=True):
    """A balance that is not the fold of its ledger."""

    member: str
    held: Balance
    folded: Balance


def settle(connection: Connection, stored: StoredReceipt, now: datetime) -> set[str]:
    """Evaluate a receipt that was not evaluated yet, as far as that is possible now.

    Returns the members whose points moved. The returns of a sale that is settled here are settled too.
    """
    if stored.state == SETTLED:
        return set()
    if stored.receipt.kind == "return" and stored.receipt.status == "final":
        return _settle_return(connection, stored, now)
    if stored.member is None:
        held = stored.code is not None and cards.holder_of(connection, stored.code).refuses(stored.receipt)
        _set_state(connection, stored.key, BLOCKED if held else NO_MEMBER)
        return set()
    program = _program_for(connection, stored, now)
    if program is None:
        _set_state(connection, stored.key, NO_PROGRAM)
        return set()
    tier = members.tier_of(connection, stored.member)
    entries = evaluate(stored.receipt, known=Known(tier=tier), program=program.program)
    _append(connection, stored.member, entries, program.hash, now)
    _set_state(connection, stored.key, SETTLED)
    _note_variance(connection, stored, stored.member, entries, now)
    touched = {stored.member} if entries else set()
    return touched | _settle_returns_of(connection, stored.key, now)


def settle_waiting_for(connection: Connection, arrived: StoredReceipt, now: datetime) -> set[str]:
    """Settle the returns whose original this may be."""
    receipt = arrived.receipt
    if receipt.kind == "return":
        return set()
    waiting = connection.execute(
        select(tables.waits.c.receipt).where(tables.waits.c.what.in_(names_of(receipt))).distinct()
    ).scalars()
    touched: set[str] = set()
    for stored in sorted((stored_receipt(connection, key) for key in waiting.all()), key=_canonical):
        touched |= settle(connection, stored, now)
    return touched


def settle_without_program(connection: Connection, now: datetime) -> set[str]:
    """Evaluate what came before the first program was published."""
    keys = connection.execute(
        select(tables.receipts.c.key)
        .where(tables.receipts.c.state == NO_PROGRAM)
        .order_by(tables.receipts.c.issued_at, tables.receipts.c.key)
    ).scalars()
    touched: set[str] = set()
    for key in keys.all():
        touched |= settle(connection, stored_receipt(connection, key), now)
    return touched


def void(connection: Connection, stored: StoredReceipt, now: datetime) -> set[str]:
    """Take back what a sale still gives; its claims are what the register says is taken back."""
    program = _program_for(connection, stored, now)
    if stored.member is None or program is None:
        return set()
    entries = voiding(_settled(connection, stored))
    _append(connection, stored.member, entries, program.hash, now)
    _note_variance(connection, stored, stored.member, entries, now)
    return {stored.member} if entries else set()


def has_entries(connection: Connection, key: str) -> bool:
    return (
        connection.execute(select(tables.ledger.c.id).where(tables.ledger.c.receipt == key).limit(1)).first()
        is not None
    )


def entries_of_receipt(connection: Connection, key: str) -> tuple[LedgerEntry, ...]:
    rows = connection.execute(select(tables.ledger).where(tables.ledger.c.receipt == key).order_by(tables.ledger.c.id))
    return tuple(_entry(row) for row in rows)


def entries_of_member(connection: Connection, member: str) -> tuple[LedgerEntry, ...]:
    """All of a member's entries in the order they were recorded."""
    rows = connection.execute(
        select(tables.ledger).where(tables.ledger.c.member == member).order_by(tables.ledger.c.id)
    )
    return tuple(_entry(row) for row in rows)


def refresh_balances(connection: Connection, touched: Sequence[str], now: datetime) -> None:
    """Fold the ledgers of these members again and keep the result."""
    ledger = tables.ledger.c
    live = case((ledger.expires_at <= now, 0), else_=ledger.points)
    pending = case((ledger.pending_until > now, live), else_=0)
    for start in range(0, len(touched), _AT_ONCE):
        some = touched[start : start + _AT_ONCE]
        rows = connection.execute(
            select(
                ledger.member,
                func.sum(live - pending).label("confirmed"),
                func.sum(pending).label("pending"),
                func.min(case((ledger.pending_until > now, ledger.pending_until))).label("matures_at"),
                func.min(case((ledger.expires_at > now, ledger.expires_at))).label("expires_at"),
            )
            .where(ledger.member.in_(some))
            .group_by(ledger.member)
        ).all()
        if rows:
            connection.execute(
                update(tables.balances)
                .where(tables.balances.c.member == bindparam("whose"))
                .values(confirmed=bindparam("sure"), pending=bindparam("held"), matures_at=bindparam("due")),
                [
                    {
                        "whose": row.member,
                        "sure": row.confirmed,
                        "held": row.pending,
                        "due": _earlier(row.matures_at, row.expires_at),
                    }
                    for row in rows
                ],
            )


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def matured(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Members some of whose points are due to be confirmed, or to expire."""
    return list(
        connection.execute(
            select(tables.balances.c.member).where(tables.balances.c.matures_at <= now).limit(limit)
        ).scalars()
    )


def check_balances(connection: Connection, now: datetime) -> list[BalanceMismatch]:
    """Members whose kept balance is not the fold of their entries: always none.

    Where points matured or expired that the server has not confirmed yet, both sides count as of just before.
    """
    rows = connection.execute(select(tables.ledger).order_by(tables.ledger.c.member, tables.ledger.c.id))
    entries = {member: [_entry(row) for row in own] for member, own in groupby(rows, key=lambda row: str(row.member))}
    wrong = []
    for row in connection.execute(select(tables.balances).order_by(tables.balances.c.member)):
        as_of = now if row.matures_at is None else min(now, row.matures_at - timedelta.resolution)
        folded = balance_of(entries.get(row.member, ()), as_of)
        held = Balance(confirmed=row.confirmed, pending=row.pending, spendable=row.confirmed)
        if held != folded:
            wrong.append(BalanceMismatch(member=row.member, held=held, folded=folded))
    return wrong


def _settle_return(connection: Connection, stored: StoredReceipt, now: datetime) -> set[str]:
    """Take back from whoever earned; wait where the original is not known or not evaluated yet."""
    original_key = _still_final(connection, stored.original) or _find_original(connection, stored)
    if original_key is None:
        _wait(connection, stored)
        return set()
    connection.execute(tables.waits.delete().where(tables.waits.c.receipt == stored.key))
    connection.execute(update(tables.receipts).where(tables.receipts.c.key == stored.key).values(original=original_key))
    original = stored_receipt(connection, original_key)
    if original.state != SETTLED or original.member is None:
        _set_state(connection, stored.key, original.state)
        return set()
    program = _program_for(connection, stored, now)
    if program is None:
        _set_state(connection, stored.key, NO_PROGRAM)
        return set()
    settled = _settled(connection, original)
    entries = evaluate(
        stored.receipt,
        known=Known(tier=members.tier_of(connection, original.member)),
        program=program.program,
        original=settled,
    )
    _append(connection, original.member, entries, program.hash, now)
    _set_state(connection, stored.key, SETTLED)
    _note_variance(connection, stored, original.member, entries, now)
    return {original.member} if entries else set()


def _still_final(connection: Connection, original: str | None) -> str | None:
    """The original that was found before; none where there was none, or it was voided since."""
    columns = tables.receipts.c
    found: str | None = connection.execute(
        select(columns.key).where(columns.key == original, columns.status == "final")
    ).scalar_one_or_none()
    return found


def _settle_returns_of(connection: Connection, sale: str, now: datetime) -> set[str]:
    keys = connection.execute(
        select(tables.receipts.c.key).where(tables.receipts.c.original == sale, tables.receipts.c.state != SETTLED)
    ).scalars()
    touched: set[str] = set()
    for stored in sorted((stored_receipt(connection, key) for key in keys.all()), key=_canonical):
        touched |= settle(connection, stored, now)
    return touched


def reopen_returns_of(connection: Connection, sale: str) -> None:
    """Returns of a sale that gave nothing took nothing back: they are to be evaluated again."""
    took_back = select(tables.ledger.c.receipt).where(tables.ledger.c.receipt == tables.receipts.c.key).exists()
    connection.execute(update(tables.receipts).where(tables.receipts.c.original == sale, ~took_back).values(state=NEW))


def _wait(connection: Connection, stored: StoredReceipt) -> None:
    if stored.state != WAITING and stored.receipt.original is not UNSET:
        names = awaited_names(stored.receipt)
        if names:
            connection.execute(insert(tables.waits), [{"receipt": stored.key, "what": name} for name in names])
    connection.execute(
        update(tables.receipts).where(tables.receipts.c.key == stored.key).values(state=WAITING, original=None)
    )


def _settled(connection: Connection, original: StoredReceipt) -> Settled:
    entries = entries_of_receipt(connection, original.key)
    rows = connection.execute(
        select(tables.ledger)
        .where(
            tables.ledger.c.member == original.member,
            tables.ledger.c.reverses.in_([entry.entry_id for entry in entries]),
        )
        .order_by(tables.ledger.c.id)
    )
    columns = tables.receipts.c
    returns = connection.execute(
        select(columns.body).where(columns.original == original.key, columns.state == SETTLED).order_by(columns.key)
    ).scalars()
    return Settled(
        receipt=original.receipt,
        entries=entries,
        reversed=tuple(_entry(row) for row in rows),
        returns=tuple(msgspec.json.decode(body, type=Receipt) for body in returns),
    )


# ---- which receipt a return gives back


def _find_original(connection: Connection, stored: StoredReceipt) -> str | None:
    """The one sale that fits what the return says of it; none where two do."""
    of_return = stored.receipt
    candidates = _known_under(connection, originals.original_keys(of_return))
    number = originals.original_number(of_return)
    if number is not None:
        numbered = _numbered(connection, of_return, number)
        if len(numbered) > MAX_CANDIDATES:
            return None
        candidates += numbered
    original = originals.original_among(of_return, candidates)
    return original.key if original is not None else None


def _known_under(connection: Connection, keys: Sequence[str]) -> list[Receipt]:
    columns = tables.receipt_keys.c
    known = connection.execute(select(columns.receipt).where(columns.key.in_(keys)).distinct()).scalars()
    return [stored_receipt(connection, key).receipt for key in known.all()]


def _numbered(connection: Connection, of_return: Receipt, number: str) -> list[Receipt]:
    """Sales with this printed number, narrowed by what the database can compare; one more than the limit at most."""
    columns = tables.receipts.c
    query = select(columns.body).where(
        columns.number == number,
        columns.kind != "return",
        columns.status == "final",
        columns.currency == of_return.currency,
    )
    original = of_return.original
    if original and original.store:
        query = query.where(columns.store == original.store)
    if original and original.register:
        query = query.where(columns.register == original.register)
    if original and original.issued_at:
        minute = minute_of(original.issued_at)
        query = query.where(columns.issued_at >= minute, columns.issued_at < minute + timedelta(minutes=1))
    bodies = connection.execute(query.limit(MAX_CANDIDATES + 1)).scalars()
    return [msgspec.json.decode(body, type=Receipt) for body in bodies]


def names_of(receipt: Receipt) -> tuple[str, ...]:
    """Everything a return may name this receipt by, as the column of `waits` holds it: its ids are all in `also`."""
    names = list(identity_keys(receipt))
    if receipt.number:
        names.append(originals.number_name(receipt.number)[:MAX_NAME_CHARS])
    return tuple(names)


def awaited_names(receipt: Receipt) -> tuple[str, ...]:
    """Everything the original of this return may come under, as the column of `waits` holds it."""
    return tuple(dict.fromkeys(name[:MAX_NAME_CHARS] for name in originals.awaited_names(receipt)))


# ---- rows


def _program_for(connection: Connection, stored: StoredReceipt, now: datetime) -> programs.PublishedProgram | None:
    """The published program that the register named, else the one in force when the receipt was issued."""
    named = programs.published(connection, stored.program) if stored.program else None
    return named or programs.program_in_force(connection, judged_at(stored.receipt) or now)


def row_of(entry: LedgerEntry, member: str, program: str, now: datetime) -> dict[str, Any]:
    """The row of one ledger entry."""
    return {
        "member": member,
        "receipt": entry.receipt,
        "rule": entry.rule,
        "points": entry.points,
        "basis_minor": entry.basis_minor,
        "pending_until": entry.pending_until,
        "expires_at": entry.expires_at,
        "reverses": entry.reverses,
        "why": entry.why,
        "program": program,
        "recorded_at": now,
    }


def variance_row(
    stored: StoredReceipt, member: str, entries: Sequence[LedgerEntry], now: datetime
) -> dict[str, Any] | None:
    """What people should see where the register showed something else than the ledger says.

    A register that knew no member, or not the original of a return, claimed nothing and said nothing wrong.
    """
    claimed = {claim.rule: claim.points for claim in stored.claims}
    given = {entry.rule: entry.points for entry in entries}
    if claimed == given:
        return None
    if not claimed and (not stored.knew_member or stored.receipt.kind == "return"):
        return None
    rules = [
        f"{rule}: claimed {claimed.get(rule, 0)}, given {given.get(rule, 0)}"
        for rule in sorted(claimed.keys() | given.keys())
        if claimed.get(rule) != given.get(rule)
    ]
    return {
        "receipt": stored.key,
        "device": stored.device,
        "member": member,
        "claimed": sum(claimed.values()),
        "given": sum(given.values()),
        "detail": "; ".join(rules),
        "recorded_at": now,
    }


def _append(connection: Connection, member: str, entries: Iterable[LedgerEntry], program: str, now: datetime) -> None:
    values = [row_of(entry, member, program, now) for entry in entries]
    if values:
        connection.execute(insert(tables.ledger), values)


def _note_variance(
    connection: Connection, stored: StoredReceipt, member: str, entries: Sequence[LedgerEntry], now: datetime
) -> None:
    row = variance_row(stored, member, entries, now)
    if row is not None:
        connection.execute(insert(tables.variances).values(row))


def _set_state(connection: Connection, key: str, state: str) -> None:
    connection.execute(update(tables.receipts).where(tables.receipts.c.key == key).values(state=state))


def _canonical(stored: StoredReceipt) -> tuple[str, str]:
    """(issued_at, key): the order in which a member's receipts count, whatever order they came in."""
    issued_at = stored.receipt.issued_at
    return (issued_at.astimezone(UTC).isoformat() if issued_at else "", stored.key)


def _entry(row: Row[Any]) -> LedgerEntry:
    return LedgerEntry(
        receipt=row.receipt,
        rule=row.rule,
        points=row.points,
        basis_minor=row.basis_minor,
        pending_until=row.pending_until,
        expires_at=row.expires_at,
        reverses=row.reverses,
        why=row.why,
    )
