"""The common receipt, many at once: a sale that nobody has seen and nothing waits for.

Owns doing in a few statements for a whole batch what `central.receipts` does for one receipt at a
time. Whatever is not plain (seen before, a return, attached beforehand, no program yet) is left to it;
both must come to the same, and a test holds them to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import Connection, insert, select

from central import cards, ledger, programs, receipts, unmapped
from central.cards import Holder
from central.db import tables
from central.programs import PublishedProgram
from central.receipts import Seen
from central.stored import StoredReceipt
from loyalty.evaluate import evaluate
from loyalty.identification import normal_code
from loyalty.identity import identity_keys
from loyalty.ledger import LedgerEntry
from loyalty.purchase import Known
from loyalty.schedule import in_force_at, judged_at
from sync.records import AttachBody, ReceiptBody


class FreshReceipt(Struct, frozen=True, kw_only=True):
    """A receipt to be stored, its evaluation, and what its register hears of it."""

    stored: StoredReceipt
    keys: tuple[str, ...]
    ledger_rows: tuple[dict[str, Any], ...]
    variance_row: dict[str, Any] | None
    seen: Seen


class Books:
    """What a batch needs to know of receipts, members and programs, read once."""

    def __init__(self, connection: Connection, device: str, bodies: Sequence[ReceiptBody], now: datetime) -> None:
        self._device = device
        self._now = now
        keys = {key for body in bodies for key in identity_keys(body.receipt)}
        names = keys.union(*(ledger.names_of(body.receipt) for body in bodies))
        codes = {normal_code(body.receipt.member.code) for body in bodies if body.receipt.member}
        self._known = set(_matching(connection, tables.receipt_keys.c.key, keys))
        self._awaited = {
            *_matching(connection, tables.waits.c.what, names),
            *_matching(connection, tables.attachments.c.target, keys),
        }
        self._holders = cards.holders(connection, codes)
        named = {body.member for body in bodies if body.member is not UNSET}
        held_by = {holder.member for holder in self._holders.values() if holder.member is not None}
        self._tiers = _tiers(connection, named | held_by)
        self._schedule = programs.schedule(connection)
        hashes = {body.program for body in bodies if body.program is not UNSET}
        self._programs = {hashed: programs.published(connection, hashed) for hashed in hashes}

    def fresh(self, body: ReceiptBody) -> FreshReceipt | None:
        """The receipt with its evaluation; None where it is not plain."""
        receipt = body.receipt
        keys = identity_keys(receipt)
        program = self._program(body)
        if receipt.kind == "return" or program is None:
            return None
        if not self._known.isdisjoint(keys) or not self._awaited.isdisjoint(ledger.names_of(receipt)):
            return None
        holder = self._holder(body)
        held = holder.refuses(receipt)
        member = None if held else self._member(body, holder)
        entries: tuple[LedgerEntry, ...] = ()
        if member is not None:
            entries = evaluate(receipt, known=Known(tier=self._tiers[member]), program=program.program)
        unsettled = ledger.BLOCKED if held else ledger.NO_MEMBER
        state = unsettled if member is None else ledger.SETTLED
        stored = receipts.stored_of(body, device=self._device, member=member, state=state)
        self.note(body)
        return FreshReceipt(
            stored=stored,
            keys=keys,
            ledger_rows=tuple(ledger.row_of(entry, member or "", program.hash, self._now) for entry in entries),
            variance_row=None if member is None else ledger.variance_row(stored, member, entries, self._now),
            seen=Seen(
                code="accepted",
                detail=receipts.HELD if held else "",
                member=member,
                touched=frozenset({member} if member and entries else ()),
            ),
        )

    def note(self, body: ReceiptBody | AttachBody) -> None:
        """What this batch made known, or awaited, before the entries that follow."""
        if isinstance(body, AttachBody):
            self._awaited.add(body.target)
            return
        self._known.update(identity_keys(body.receipt))
        if body.receipt.kind == "return":
            self._awaited.update(ledger.awaited_names(body.receipt))

    def _holder(self, body: ReceiptBody) -> Holder:
        reference = body.receipt.member
        return self._holders.get(normal_code(reference.code), cards.NOBODY) if reference else cards.NOBODY

    def _member(self, body: ReceiptBody, holder: Holder) -> str | None:
        if body.member is not UNSET and body.member in self._tiers:
            return body.member
        return holder.member

    def _program(self, body: ReceiptBody) -> PublishedProgram | None:
        named = None if body.program is UNSET else self._programs[body.program]
        if named is not None:
            return named
        found = in_force_at(self._schedule, judged_at(body.receipt) or self._now)
        return None if found is None else PublishedProgram(hash=found.hash, program=found.program)


def keep(connection: Connection, fresh: Sequence[FreshReceipt], now: datetime) -> None:
    """Store receipts, their keys, ledger entries and variances: one statement for each table; and what is unmapped."""
    _insert(connection, tables.receipts, (receipts.row_of(one.stored, now) for one in fresh))
    _insert(
        connection,
        tables.receipt_keys,
        ({"key": key, "receipt": one.stored.key} for one in fresh for key in one.keys),
    )
    _insert(connection, tables.ledger, (row for one in fresh for row in one.ledger_rows))
    _insert(connection, tables.variances, (one.variance_row for one in fresh if one.variance_row is not None))
    unmapped.note(connection, ((None, one.stored.receipt) for one in fresh), now)


def _insert(connection: Connection, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    values = list(rows)
    if values:
        connection.execute(insert(table), values)


def _matching(connection: Connection, column: Any, values: set[str]) -> Iterable[str]:
    return connection.execute(select(column).where(column.in_(values))).scalars() if values else ()


def _tiers(connection: Connection, members: set[str]) -> dict[str, str | UnsetType]:
    """The tier of each of these members that exists."""
    columns = tables.members.c
    rows = connection.execute(select(columns.id, columns.tier).where(columns.id.in_(members)))
    return {row.id: UNSET if row.tier is None else row.tier for row in rows}
