"""Receipts at the centre: one row per transaction, whichever of its ids it arrives under.

Owns what happens when a receipt is seen: first, again, revised, or in contradiction; and which member
it belongs to. What it is worth is `central.folding`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import Connection, Row, and_, insert, select, update

from central import cards, events, ledger, members, scopes, settling, unmapped
from central.db import tables
from central.stored import StoredReceipt, stored_receipt
from loyalty.identification import normal_code
from loyalty.identity import fiscal_number, identity_keys, same_content
from loyalty.originals import printed_number
from loyalty.receipt import MemberReference, Receipt
from loyalty.reconcile import unearning
from loyalty.sightings import corrected, filled, revised, sighting_of
from sync.records import AttachBody, CorrectBody, Entry, ReceiptBody

CARD_BLOCKED = "held: its card was blocked before"
TOO_MANY = "held: more sales than count without a look, or given to its member late"
_DETAILS = {ledger.BLOCKED: CARD_BLOCKED, ledger.OVER_LIMIT: TOO_MANY}


class Seen(Struct, frozen=True, kw_only=True):
    """What became of one sighting. `member` is whose feed row shows it.

    `touched` are to be folded anew for it, and the balances of those who `moved` are to be refreshed; of those who
    `changed` only what is told of them is another, of those in `set_aside` what registers hold of their points. Those
    who are `gone` mean somebody else since. `apart` says that a person should look whether two members are one.
    """

    code: Literal["accepted", "duplicate", "quarantined"]
    detail: str = ""
    member: str | None = None
    touched: frozenset[str] = frozenset()
    moved: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    set_aside: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    apart: bool = False


def see_receipt(connection: Connection, device: str, body: ReceiptBody, now: datetime) -> Seen:
    """Take one receipt in: store it, or find it known and fill in, revise or refuse."""
    keys = identity_keys(body.receipt)
    known_as = list(
        connection.execute(
            select(tables.receipt_keys.c.receipt).where(tables.receipt_keys.c.key.in_(keys)).distinct()
        ).scalars()
    )
    if len(known_as) > 1:
        return Seen(code="quarantined", detail="its ids belong to two receipts known already; a person has to look")
    if not known_as:
        return _first_sight(connection, device, body, keys, now)
    return _seen_again(connection, stored_receipt(connection, known_as[0]), body, now)


def attach(connection: Connection, epoch: str, entry: Entry, body: AttachBody) -> Seen:
    """Let a receipt belong to a member; kept until the receipt comes where it is not here yet."""
    key = connection.execute(
        select(tables.receipt_keys.c.receipt).where(tables.receipt_keys.c.key == body.target)
    ).scalar_one_or_none()
    if key is None:
        connection.execute(
            insert(tables.attachments).values(
                target=body.target,
                epoch=epoch,
                seq=entry.seq,
                code=normal_code(body.member.code),
                kind=body.member.kind,
                entry=body.member.entry,
                at=entry.wall,
            )
        )
        return Seen(code="accepted", detail="waits for its receipt")
    stored = stored_receipt(connection, key)
    if stored.code is not None and cards.same_card(connection, stored.code, body.member.code):
        return Seen(code="duplicate", member=stored.member)
    holder = cards.holder_of(connection, body.member.code)
    if stored.code is not None or stored.member is not None:
        if holder.member is not None and holder.member == stored.member:
            return Seen(code="duplicate", member=stored.member)
        return Seen(
            code="quarantined", detail="the receipt belongs to another member already; detaching is not handled yet"
        )
    return _give_to(connection, stored, body.member, entry.wall)


def note_attach(connection: Connection, key: str, body: AttachBody) -> None:
    """Remember which entries give a receipt to somebody, whatever becomes of them."""
    table = tables.receipt_entries
    known = select(table.c.key).where(table.c.receipt == body.target, table.c.key == key)
    if connection.execute(known).first() is None:
        connection.execute(insert(table).values(receipt=body.target, key=key))


def correct(connection: Connection, body: CorrectBody, now: datetime) -> Seen:
    """A receipt that earned nothing for what was wrong with it, read right now: it is evaluated, once.

    Its returns, which had nothing to take back, are settled anew.
    """
    reading = body.reading
    seen_as = {body.target, *identity_keys(reading.receipt)}
    found = connection.execute(
        select(tables.receipt_keys.c.receipt).where(tables.receipt_keys.c.key.in_(seen_as)).distinct()
    ).scalars()
    known_as = list(found)
    if len(known_as) != 1:
        detail = "its receipt is not here" if not known_as else "it is also another receipt that is known already"
        return Seen(code="quarantined", detail=detail)
    known = stored_receipt(connection, known_as[0])
    problem = unearning(known.receipt)
    if problem is None and same_content(known.receipt, reading.receipt):
        return Seen(code="duplicate", detail="is corrected already", member=known.member)
    if problem is None:
        return Seen(code="quarantined", detail="the receipt has nothing to correct, or it earned", member=known.member)
    whole = corrected(known.receipt, reading.receipt)
    member = known.member or _member_of(connection, reading)
    _evaluate_anew(connection, known.key, reading)
    touched = _rewrite(connection, known, receipt=whole, seen_as=identity_keys(whole), member=member, now=now)
    return Seen(code="accepted", detail=f"corrects {problem.code}", member=member, touched=touched)


def adopt_code(connection: Connection, member: str, code: str) -> tuple[int, frozenset[str]]:
    """Receipts kept under a code that nobody had, or that was blocked, are `member`'s now.

    Returns how many, and who is to be folded anew.
    """
    keys = (
        connection.execute(
            select(tables.receipts.c.key)
            .where(tables.receipts.c.code == normal_code(code), tables.receipts.c.member.is_(None))
            .order_by(tables.receipts.c.issued_at, tables.receipts.c.key)
        )
        .scalars()
        .all()
    )
    touched = {member} if events.adopt(connection, member, code) else set()
    scopes.seen_with(connection, member, keys)
    for key in keys:
        connection.execute(update(tables.receipts).where(tables.receipts.c.key == key).values(member=member))
        touched |= settling.arrived(connection, stored_receipt(connection, key))
    return len(keys), frozenset(touched)


def stored_of(body: ReceiptBody, *, device: str, member: str | None, state: str, now: datetime) -> StoredReceipt:
    """A receipt seen for the first time, as it will be kept."""
    return StoredReceipt(
        key=body.receipt.key,
        device=device,
        receipt=body.receipt,
        member=member,
        code=normal_code(body.receipt.member.code) if body.receipt.member else None,
        claims=body.claims,
        knew_member=body.member is not UNSET,
        program=None if body.program is UNSET else body.program,
        original=None,
        state=state,
        received_at=now,
    )


def row_of(stored: StoredReceipt, facts: dict[str, Any] | None = None) -> dict[str, Any]:
    """The row of a receipt seen for the first time; `facts` are those of the receipt, where they are at hand."""
    return (facts or facts_of(stored.receipt)) | {
        "key": stored.key,
        "device": stored.device,
        "member": stored.member,
        "claims": msgspec.json.encode(stored.claims),
        "knew_member": int(stored.knew_member),
        "program": stored.program,
        "original": stored.original,
        "state": stored.state,
        "received_at": stored.received_at,
    }


def reference_in(body: bytes) -> MemberReference | UnsetType:
    """The member code printed on or scanned with a stored receipt."""
    return msgspec.json.decode(body, type=Receipt).member


def _first_sight(connection: Connection, device: str, body: ReceiptBody, keys: Iterable[str], now: datetime) -> Seen:
    stored = stored_of(body, device=device, member=_member_of(connection, body), state=ledger.NEW, now=now)
    connection.execute(insert(tables.receipts).values(row_of(stored)))
    connection.execute(insert(tables.receipt_keys), [{"key": key, "receipt": stored.key} for key in keys])
    unmapped.note(connection, [(None, stored.receipt)], now)
    touched = _arrived(connection, stored)
    member, state = _now(connection, stored.key)
    return Seen(code="accepted", detail=_DETAILS.get(state, ""), member=member, touched=touched)


def _seen_again(connection: Connection, known: StoredReceipt, body: ReceiptBody, now: datetime) -> Seen:
    match sighting_of(known.receipt, body.receipt):
        case "revision" if known.receipt.status == "final":
            return _void(connection, known, body, now)
        case "revision":
            return _revise(connection, known, body, now)
        case "told_before":
            return Seen(code="duplicate", detail=f"is {known.receipt.status} already", member=known.member)
        case "conflict":
            return Seen(
                code="quarantined",
                detail="a receipt with this identity is known, with another kind, currency, total or minute",
                member=known.member,
            )
    whole = filled(known.receipt, body.receipt)
    member = known.member or _member_of(connection, body)
    seen_as = identity_keys(body.receipt)
    touched = _rewrite(connection, known, receipt=whole, seen_as=seen_as, member=member, now=now)
    return Seen(code="duplicate", member=member, touched=touched)


def _revise(connection: Connection, known: StoredReceipt, body: ReceiptBody, now: datetime) -> Seen:
    """suspended → final → voided: the later one says what is true, and whose it is if it names anybody."""
    names_member = body.member is not UNSET or body.receipt.member is not UNSET
    member = _member_of(connection, body) if names_member else known.member
    if not names_member and known.code and cards.holder_of(connection, known.code).refuses(body.receipt):
        member = None
    _evaluate_anew(connection, known.key, body)
    touched = _rewrite(
        connection,
        known,
        receipt=revised(known.receipt, body.receipt),
        seen_as=identity_keys(body.receipt),
        member=member,
        now=now,
    )
    return Seen(code="accepted", detail=f"revises {known.receipt.status}", member=member, touched=touched)


def _void(connection: Connection, known: StoredReceipt, body: ReceiptBody, now: datetime) -> Seen:
    """What does not count any more: a sale gives nothing, and what a return took is given again."""
    _evaluate_anew(connection, known.key, body)
    whole = revised(known.receipt, body.receipt)
    seen_as = identity_keys(body.receipt)
    touched = _rewrite(connection, known, receipt=whole, seen_as=seen_as, member=known.member, now=now)
    return Seen(code="accepted", detail="voids final", member=known.member, touched=touched)


def _evaluate_anew(connection: Connection, key: str, body: ReceiptBody) -> None:
    connection.execute(
        update(tables.receipts)
        .where(tables.receipts.c.key == key)
        .values(
            state=ledger.NEW,
            claims=msgspec.json.encode(body.claims),
            knew_member=int(body.member is not UNSET),
            program=None if body.program is UNSET else body.program,
        )
    )


def _rewrite(
    connection: Connection,
    known: StoredReceipt,
    *,
    receipt: Receipt,
    seen_as: Iterable[str],
    member: str | None,
    now: datetime,
) -> frozenset[str]:
    """Keep the fuller receipt and its new ids, and see where it stands now."""
    held = set(
        connection.execute(
            select(tables.receipt_keys.c.key).where(tables.receipt_keys.c.receipt == known.key)
        ).scalars()
    )
    new = [key for key in seen_as if key not in held]
    if not new and receipt == known.receipt and member == known.member:
        return frozenset()
    if new:
        connection.execute(insert(tables.receipt_keys), [{"key": key, "receipt": known.key} for key in new])
    facts = facts_of(receipt) | {"member": member}
    if receipt.member is UNSET:
        facts["code"] = known.code  # an `attach` gave it, no print says it
    connection.execute(update(tables.receipts).where(tables.receipts.c.key == known.key).values(facts))
    unmapped.note(connection, [(known.receipt, receipt)], now)
    return _arrived(connection, stored_receipt(connection, known.key))


def _arrived(connection: Connection, stored: StoredReceipt) -> frozenset[str]:
    """Apply what waited for this receipt, then see where it and the returns that waited for it stand."""
    if stored.code is None and stored.member is None:
        taken = _taken_attachment(connection, stored)
        if taken is not None:
            stored = _with_member(connection, stored, *taken)
    return frozenset(settling.arrived(connection, stored))


def _give_to(connection: Connection, stored: StoredReceipt, reference: MemberReference, at: datetime) -> Seen:
    touched = frozenset(settling.arrived(connection, _with_member(connection, stored, reference, at)))
    member, state = _now(connection, stored.key)
    return Seen(code="accepted", detail=_DETAILS.get(state, ""), member=member, touched=touched)


def _with_member(
    connection: Connection, stored: StoredReceipt, reference: MemberReference, at: datetime | None
) -> StoredReceipt:
    holder = cards.holder_of(connection, reference.code)
    member = None if holder.refuses(stored.receipt) else holder.member
    connection.execute(
        update(tables.receipts)
        .where(tables.receipts.c.key == stored.key)
        .values(code=normal_code(reference.code), member=member, attached_at=at)
    )
    return replace(stored, code=normal_code(reference.code), member=member, attached_at=at)


def _taken_attachment(connection: Connection, stored: StoredReceipt) -> tuple[MemberReference, datetime | None] | None:
    """Whom the newest `attach` that came before its receipt names, and when it did.

    Others stay, without effect, so that an erasure finds them.
    """
    table = tables.attachments
    rows: list[Row[Any]] = list(
        connection.execute(
            select(table).where(table.c.target.in_(identity_keys(stored.receipt))).order_by(table.c.seq.desc())
        )
    )
    if not rows:
        return None
    newest = rows[0]
    this = and_(table.c.target == newest.target, table.c.epoch == newest.epoch, table.c.seq == newest.seq)
    connection.execute(table.delete().where(this))
    return MemberReference(code=newest.code, kind=newest.kind, entry=newest.entry), newest.at


def _member_of(connection: Connection, body: ReceiptBody) -> str | None:
    """Whose a receipt is; nobody's where its card was blocked before, whatever the register still took it for."""
    reference = body.receipt.member
    holder = cards.holder_of(connection, reference.code) if reference else cards.NOBODY
    if holder.refuses(body.receipt):
        return None
    if body.member is not UNSET:
        known = members.meant(connection, [body.member]).get(body.member)
        if known is not None:
            return known
    return holder.member


def _now(connection: Connection, key: str) -> tuple[str | None, str]:
    """Whose a receipt is now, and where its evaluation stands."""
    columns = tables.receipts.c
    row = connection.execute(select(columns.member, columns.state).where(columns.key == key)).one()
    return row.member, row.state


def facts_of(receipt: Receipt) -> dict[str, Any]:
    """The columns that repeat facts of the receipt, to find it by."""
    return {
        "kind": receipt.kind,
        "status": receipt.status,
        "store": receipt.store or None,
        "register": receipt.register or None,
        "number": printed_number(receipt.number) if receipt.number else None,
        "fiscal_number": fiscal_number(receipt.fiscal) if receipt.fiscal else None,
        "issued_at": receipt.issued_at or None,
        "operator": receipt.operator or None,
        "currency": receipt.currency,
        "total_minor": receipt.total_minor,
        "body": msgspec.json.encode(receipt),
        "code": normal_code(receipt.member.code) if receipt.member else None,
        "problem": problem.code if (problem := unearning(receipt)) is not None else None,
    }
