"""Erasing a member: nothing is kept that tells who they are; what they bought stays, under an id that names nobody.

Owns the rows of `erasures` and what goes from every other table, and that it does not come back by a register that
still holds some of it. Bodies of entries go and their digests stay, so that the chain can be checked. Never removes a
transaction, nor a row of the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from central import cards, members, profiles, scopes
from central.cards import AT_ONCE
from central.db import tables
from central.members import UnknownMemberError
from loyalty.addresses import hidden_code
from loyalty.receipt import AwareDatetime, Receipt
from sync.records import Entry, body_digest
from sync.wire import Erasure, ErasuresResponse

# Erasures in one answer.
MAX_ERASURES = 200
# What is set aside is looked through for what was known of the member: rows at once.
_PAGE = 200


class Erased(Struct, frozen=True, kw_only=True):
    """An erasure, and which registers in service have not confirmed it yet."""

    number: int
    member: str
    erased_at: AwareDatetime
    waiting_for: tuple[str, ...] = ()


class Named(Struct, frozen=True, kw_only=True):
    """Whom a code named until then."""

    member: str
    erased_at: AwareDatetime


def erase(connection: Connection, which: str, now: datetime) -> Erasure:
    """Erase the member with this id, code, number or address; again, it changes nothing. Raises UnknownMemberError."""
    member = members.meant(connection, [which]).get(which) or cards.owner_as_typed(connection, which)
    if member is None:
        raise UnknownMemberError("no member has this code or id")
    known = _of_member(connection, member)
    if known is not None:
        return known
    members.hold(connection, [member])
    number = int(connection.execute(select(func.coalesce(func.max(tables.erasures.c.number), 0))).scalar_one()) + 1
    aliases = members.aliases_of(connection, [member]).get(member, ())
    codes = _codes_of(connection, member)
    key = cards.code_key(connection)
    erasure = Erasure(
        number=number,
        member=member,
        aliases=aliases,
        codes=tuple(sorted(hidden_code(code, key) for code in codes)),
        erased_at=now,
    )
    _keep(connection, erasure)
    _forget(connection, member, aliases, codes)
    return erasure


def erase_again(connection: Connection, erasure: Erasure) -> None:
    """Let a database that is older than an erasure know it."""
    if _of_member(connection, erasure.member) is not None:
        return
    known = members.meant(connection, [erasure.member, *erasure.aliases])
    if erasure.member not in known:
        connection.execute(insert(tables.members).values(id=erasure.member, created_at=erasure.erased_at))
        connection.execute(insert(tables.balances).values(member=erasure.member, confirmed=0, pending=0))
    missing = [alias for alias in erasure.aliases if alias not in known]
    if missing:
        rows = [
            {"alias": alias, "member": erasure.member, "since": erasure.erased_at, "because": "erased"}
            for alias in missing
        ]
        connection.execute(insert(tables.member_aliases), rows)
    _keep(connection, erasure)
    # Before they were merged, aliases were members themselves.
    for member in {*(known.get(one, one) for one in (erasure.member, *erasure.aliases))}:
        _forget(connection, member, erasure.aliases, _codes_of(connection, member))


def is_erased(connection: Connection, member: str) -> bool:
    return _of_member(connection, member) is not None


def erasures_after(connection: Connection, number: int, epoch: str, limit: int = MAX_ERASURES) -> ErasuresResponse:
    """Erasures in the order of their numbers."""
    table = tables.erasures
    query = select(table).where(table.c.number > number).order_by(table.c.number).limit(limit + 1)
    rows = connection.execute(query).all()
    return ErasuresResponse(
        centre_epoch=epoch, erasures=tuple(_erasure(row) for row in rows[:limit]), more=len(rows) > limit
    )


def newest(connection: Connection) -> int:
    """The number of the newest erasure, 0 before the first."""
    return int(connection.execute(select(func.coalesce(func.max(tables.erasures.c.number), 0))).scalar_one())


def confirm(connection: Connection, device: str, number: int, now: datetime) -> bool:
    """A register holds nothing of an erased member any more; False where that is known."""
    table = tables.erasure_confirmations
    known = select(table.c.number).where(table.c.number == number, table.c.device == device)
    if connection.execute(known).first() is not None:
        return False
    connection.execute(insert(table).values(number=number, device=device, confirmed_at=now))
    return True


def listed(connection: Connection) -> tuple[Erased, ...]:
    """Every erasure, and the registers in service that were enrolled before it and have not confirmed it."""
    devices, confirmed = tables.devices, tables.erasure_confirmations
    done = {(row.number, row.device) for row in connection.execute(select(confirmed))}
    known = connection.execute(select(devices).where(devices.c.revoked_at.is_(None)).order_by(devices.c.id)).all()
    return tuple(
        Erased(
            number=row.number,
            member=row.member,
            erased_at=row.erased_at,
            waiting_for=tuple(
                f"{one.store}/{one.register}"
                for one in known
                if one.enrolled_at <= row.erased_at and (row.number, one.id) not in done
            ),
        )
        for row in connection.execute(select(tables.erasures).order_by(tables.erasures.c.number))
    )


def erased_codes(connection: Connection, codes: Collection[str]) -> dict[str, Named]:
    """Which of these codes named a member who was erased: member and time of the erasure, by code."""
    table, erasures = tables.erased_codes, tables.erasures
    if not codes or connection.execute(select(table.c.digest).limit(1)).first() is None:
        return {}
    key = cards.code_key(connection)
    by_digest = {hidden_code(code, key): code for code in codes}
    every = sorted(by_digest)
    found: dict[str, Named] = {}
    joined = select(table.c.digest, table.c.member, erasures.c.erased_at).join(
        erasures, erasures.c.number == table.c.number
    )
    for start in range(0, len(every), AT_ONCE):
        some = table.c.digest.in_(every[start : start + AT_ONCE])
        for row in connection.execute(joined.where(some).order_by(table.c.number)):
            found[by_digest[row.digest]] = Named(member=row.member, erased_at=row.erased_at)
    return found


# ---- what goes


def _keep(connection: Connection, erasure: Erasure) -> None:
    connection.execute(
        insert(tables.erasures).values(
            number=erasure.number,
            member=erasure.member,
            aliases=msgspec.json.encode(erasure.aliases).decode(),
            codes=msgspec.json.encode(erasure.codes).decode(),
            erased_at=erasure.erased_at,
        )
    )
    rows = [{"digest": code, "number": erasure.number, "member": erasure.member} for code in set(erasure.codes)]
    if rows:
        connection.execute(insert(tables.erased_codes), rows)


def _codes_of(connection: Connection, member: str) -> set[str]:
    """Everything that named a member, now or on a receipt."""
    found: set[str] = set()
    for table in (tables.identifiers, tables.receipts, tables.events):
        column = table.c.code
        query = select(column).where(table.c.member == member, column.is_not(None)).distinct()
        found |= set(connection.execute(query).scalars())
    return found


def _forget(connection: Connection, member: str, aliases: Sequence[str], codes: Collection[str]) -> None:
    told = _told_of(connection, member)
    keys = _strip_receipts(connection, member, codes)
    table = tables.member_entries
    keys |= set(connection.execute(select(table.c.key).where(table.c.member.in_((member, *aliases)))).scalars())
    _drop_bodies(connection, keys)
    _drop_set_aside(connection, keys, {*codes, *told})
    cards.forget(connection, member)
    scopes.forget(connection, (member, *aliases))
    profiles.forget(connection, member)
    for some in _parts(codes):
        connection.execute(delete(tables.attachments).where(tables.attachments.c.code.in_(some)))
    connection.execute(update(tables.events).where(tables.events.c.member == member).values(code=None))
    # The position comes later; what stood there goes now.
    connection.execute(update(tables.feed).where(tables.feed.c.member == member).values(op="erase", row=b""))
    connection.execute(delete(tables.member_facts).where(tables.member_facts.c.member == member))
    nothing = {"short_name": None, "language": None, "birth_month": None, "segments": "[]"}
    connection.execute(update(tables.members).where(tables.members.c.id.in_((member, *aliases))).values(nothing))


def _told_of(connection: Connection, member: str) -> set[str]:
    """Texts by which a member could be known again, wherever they stand."""
    fields, rows = tables.profile_fields.c, tables.members.c
    values = connection.execute(
        select(fields.value).where(fields.member == member, fields.field.not_in(("language", "birth_date")))
    ).scalars()
    name = connection.execute(select(rows.short_name).where(rows.id == member)).scalar_one_or_none()
    return {value for value in (*values, name) if value}


def _strip_receipts(connection: Connection, member: str, codes: Collection[str]) -> set[str]:
    """Take the code out of the member's receipts, and out of those that were held for it; returns their keys."""
    receipts = tables.receipts
    found = [receipts.c.member == member]
    found += [receipts.c.code.in_(some) for some in _parts(codes)]
    rows = connection.execute(select(receipts.c.key, receipts.c.body).where(or_(*found))).all()
    for row in rows:
        receipt = replace(msgspec.json.decode(row.body, type=Receipt), member=UNSET)
        connection.execute(
            update(receipts).where(receipts.c.key == row.key).values(code=None, body=msgspec.json.encode(receipt))
        )
    keys = {row.key for row in rows}
    also = tables.receipt_keys
    for some in _parts(tuple(keys)):
        keys |= set(connection.execute(select(also.c.key).where(also.c.receipt.in_(some))).scalars())
    return keys


def _drop_bodies(connection: Connection, keys: Iterable[str]) -> None:
    table = tables.entries
    for some in _parts(sorted(keys)):
        query = select(table.c.epoch, table.c.seq, table.c.salt, table.c.body)
        for row in connection.execute(query.where(table.c.key.in_(some), table.c.digest.is_(None))).all():
            _drop_body(connection, row)


def _drop_body(connection: Connection, row: Any) -> None:
    table = tables.entries
    connection.execute(
        update(table)
        .where(table.c.epoch == row.epoch, table.c.seq == row.seq)
        .values(digest=body_digest(row.salt, row.body).hex(), salt="", body=b"")
    )


def _drop_set_aside(connection: Connection, keys: Collection[str], told: Collection[str]) -> None:
    """What waits for a person, and what waited: an entry that is about the member is dealt with by this."""
    table = tables.quarantine
    needles = [_compact(msgspec.json.encode(text)) for text in told]
    last = 0
    while rows := connection.execute(select(table).where(table.c.id > last).order_by(table.c.id).limit(_PAGE)).all():
        last = rows[-1].id
        for row in rows:
            raw = _compact(row.raw)
            if row.key in keys or any(needle in raw for needle in needles):
                entries = tables.entries
                sent = select(entries).where(entries.c.epoch == row.epoch, entries.c.seq == row.seq)
                for entry in connection.execute(sent.where(entries.c.digest.is_(None))).all():
                    _drop_body(connection, entry)
                connection.execute(
                    update(table)
                    .where(table.c.id == row.id)
                    .values(
                        raw=_without_body(row.raw),
                        detail="its member was erased",
                        note=None,
                        resolved_at=row.resolved_at or row.received_at,
                        resolved_as=row.resolved_as or "erased",
                    )
                )


def _without_body(raw: bytes) -> bytes:
    """An entry as it was set aside, with its digest in the place of its body."""
    return msgspec.json.encode(msgspec.json.decode(raw, type=Entry).without_body())


def _compact(document: bytes) -> bytes:
    """As codes are compared: whatever the case, and without spaces and hyphens."""
    return document.upper().replace(b" ", b"").replace(b"-", b"")


def _of_member(connection: Connection, member: str) -> Erasure | None:
    table = tables.erasures
    row = connection.execute(select(table).where(table.c.member == member)).one_or_none()
    return None if row is None else _erasure(row)


def _erasure(row: Row[Any]) -> Erasure:
    return Erasure(
        number=row.number,
        member=row.member,
        aliases=msgspec.json.decode(row.aliases, type=tuple[str, ...]),
        codes=msgspec.json.decode(row.codes, type=tuple[str, ...]),
        erased_at=row.erased_at,
    )


def _parts(values: Collection[str]) -> Iterator[Sequence[str]]:
    every = sorted(values)
    for start in range(0, len(every), AT_ONCE):
        yield every[start : start + AT_ONCE]
