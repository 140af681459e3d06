"""Erasing a member: nothing is kept that tells who they are; what they bought stays, under an id that names nobody.

Owns the rows of `erasures` and what goes from every other table, and that it does not come back by a register that
still holds some of it. Bodies of entries go and their digests stay, so that the chain can be checked. Never removes a
transaction, nor a row of the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, or_, select, update

from central import allowances, cards, context, ledger, members, profiles, scopes, vouchers
from central.addressed import About, Named, told_codes
from central.cards import AT_ONCE
from central.db import tables
from central.members import ImportedMember, UnknownMemberError
from loyalty.addresses import address_code, codes_as_typed, hidden_code
from loyalty.identification import MemberKind, normal_code
from loyalty.receipt import AwareDatetime, Receipt
from sync.records import AliasBody, Entry, JoinBody, ProfileBody, body_digest
from sync.wire import Erasure, ErasuresResponse

# Erasures in one answer.
MAX_ERASURES = 200
# What tells by which codes a member is known.
_TELLING: Final[dict[str, type[Struct]]] = {"join": JoinBody, "profile": ProfileBody, "alias": AliasBody}
# What is set aside is looked through for what was known of the member: rows at once.
_PAGE = 200


class Erased(Struct, frozen=True, kw_only=True):
    """An erasure, and which registers in service have not confirmed it yet."""

    number: int
    member: str
    erased_at: AwareDatetime
    waiting_for: tuple[str, ...] = ()


def erase(connection: Connection, which: str, now: datetime) -> Erasure:
    """Erase the member with this id, code, number or address; again, it changes nothing. Raises UnknownMemberError."""
    member = _named(connection, which)
    known = _of_member(connection, member)
    if known is not None:
        return known
    members.hold(connection, [member])
    codes = _codes_of(connection, member)
    key = cards.code_key(connection)
    erasure = Erasure(
        number=newest(connection) + 1,
        member=member,
        aliases=members.ids_of(connection, member)[1:],
        codes=tuple(sorted(hidden_code(code, key) for code in codes)),
        erased_at=now,
    )
    _keep(connection, erasure)
    _forget(connection, erasure, codes)
    return erasure


def _named(connection: Connection, which: str) -> str:
    """Whom a person names; by what named them before, too, so that the command can be given again."""
    try:
        return members.named(connection, which)
    except UnknownMemberError:
        before = erased_codes(connection, codes_as_typed(which, cards.code_key(connection)))
        if not before:
            raise
        return next(iter(before.values())).member


def make_known(connection: Connection, erasure: Erasure) -> None:
    """Let a database that is older than an erasure have the ids that it names."""
    known = members.meant(connection, [erasure.member, *erasure.aliases])
    if erasure.member not in known:
        members.add(connection, [ImportedMember(member=erasure.member)], erasure.erased_at)
    rows = [
        {"alias": alias, "member": erasure.member, "since": erasure.erased_at, "because": "erased"}
        for alias in erasure.aliases
        if alias not in known
    ]
    if rows:
        connection.execute(insert(tables.member_aliases), rows)


def codes_known_again(connection: Connection, erasure: Erasure) -> set[str]:
    """The codes of an erasure that the database has, whomever they named when it was as old; not those of others."""
    digests, key = frozenset(erasure.codes), cards.code_key(connection)
    found: set[str] = set()
    for table in (tables.identifiers, tables.receipts, tables.events, tables.attachments):
        every = connection.execute(select(table.c.code).where(table.c.code.is_not(None)).distinct()).scalars()
        found |= {code for code in every if hidden_code(code, key) in digests}
    return _not_of_others(connection, found, erasure.member)


def erase_again(connection: Connection, erasure: Erasure, codes: Collection[str]) -> None:
    """The erasure in a database that is older than it, in which its ids mean one member; `codes` are known again."""
    every = {*codes, *_codes_of(connection, erasure.member)}
    key = cards.code_key(connection)
    _keep(connection, erasure)
    _forget(connection, replace(erasure, codes=(*erasure.codes, *(hidden_code(code, key) for code in every))), every)


def is_known(connection: Connection, erasure: Erasure) -> bool:
    return _of_member(connection, erasure.member) is not None


def erasures_after(connection: Connection, number: int, epoch: str, limit: int = MAX_ERASURES) -> ErasuresResponse:
    """Erasures in the order of their numbers."""
    table = tables.erasures
    query = select(table).where(table.c.number > number).order_by(table.c.number).limit(limit + 1)
    rows = connection.execute(query).all()
    return ErasuresResponse(
        centre_epoch=epoch, erasures=tuple(_erasure(row) for row in rows[:limit]), more=len(rows) > limit
    )


def every(connection: Connection) -> list[Erasure]:
    """All erasures, in the order of their numbers."""
    table = tables.erasures
    return [_erasure(row) for row in connection.execute(select(table).order_by(table.c.number))]


def newest(connection: Connection) -> int:
    """The number of the newest erasure, 0 before the first."""
    return int(connection.execute(select(func.coalesce(func.max(tables.erasures.c.number), 0))).scalar_one())


def confirm(connection: Connection, device: str, number: int, now: datetime) -> bool | None:
    """A register holds nothing of an erased member any more; False where that is known, None of no erasure here."""
    table = tables.erasure_confirmations
    if connection.execute(select(tables.erasures.c.number).where(tables.erasures.c.number == number)).first() is None:
        return None
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
    """Everything that named a member, now, before, or on a receipt, and names nobody else since."""
    found: set[str] = set()
    for table in (tables.identifiers, tables.receipts, tables.events):
        column = table.c.code
        query = select(column).where(table.c.member == member, column.is_not(None)).distinct()
        found |= set(connection.execute(query).scalars())
    changes = tables.card_changes.c
    whose = changes.member.in_(members.ids_of(connection, member))
    found |= set(connection.execute(select(changes.code).where(whose).distinct()).scalars())
    key = cards.code_key(connection)
    found |= {address_code(kind, text, key) or normal_code(text) for kind, text in _told_of(connection, member)}
    return _not_of_others(connection, found, member)


def _not_of_others(connection: Connection, codes: Collection[str], member: str) -> set[str]:
    holders = cards.holders(connection, codes)
    return {code for code in codes if holders.get(code, cards.NOBODY).member in (None, member)}


def _forget(connection: Connection, erasure: Erasure, codes: Collection[str]) -> None:
    member, ids = erasure.member, (erasure.member, *erasure.aliases)
    key = cards.code_key(connection)
    written = {text for kind, text in _told_of(connection, member) if (address_code(kind, text, key) or "") in codes}
    about = About(erasure, key, {*codes, *written})
    keys = _strip_receipts(connection, member, codes)
    for table in (tables.member_entries, tables.events):
        keys |= set(connection.execute(select(table.c.key).where(table.c.member.in_(ids))).scalars())
    _drop_bodies(connection, keys)
    _drop_waiting(connection, codes)
    _strip_set_aside(connection, about, erasure.erased_at)
    cards.forget(connection, ids)
    scopes.forget(connection, ids)
    profiles.forget(connection, member)
    context.forget(connection, member)
    connection.execute(update(tables.events).where(tables.events.c.member == member).values(code=None))
    # The position comes later; what stood there goes now.
    connection.execute(update(tables.feed).where(tables.feed.c.member.in_(ids)).values(op="erase", row=b""))
    held = allowances.open_of(connection, [member])
    allowances.close(connection, held, "erased", "the member was erased", erasure.erased_at)
    if held:
        ledger.refresh_balances(connection, [member], erasure.erased_at, to_be_planned=False)
    vouchers.forget(connection, member, erasure.erased_at)
    connection.execute(delete(tables.member_facts).where(tables.member_facts.c.member == member))
    for table in (tables.member_aliases, tables.allowances):  # in an operator's words
        said = table.c.because
        connection.execute(update(table).where(table.c.member == member, said.is_not(None)).values(because="erased"))
    nothing = {"short_name": None, "language": None, "birth_month": None, "segments": "[]"}
    connection.execute(update(tables.members).where(tables.members.c.id.in_(ids)).values(nothing))


def _told_of(connection: Connection, member: str) -> set[tuple[MemberKind, str]]:
    """By which codes, numbers and addresses a member was known by what was told of them, as these were written."""
    fields, told, entries = tables.profile_fields.c, tables.member_entries.c, tables.entries.c
    addresses = select(fields.field, fields.value).where(fields.member == member, fields.field.in_(("phone", "email")))
    found = {(kind, value) for kind, value in connection.execute(addresses) if value}
    keys = connection.execute(select(told.key).where(told.member.in_(members.ids_of(connection, member)))).scalars()
    columns = (entries.kind, entries.body)
    for some in _parts(keys.all()):
        telling = select(*columns).where(entries.key.in_(some), entries.kind.in_(_TELLING), entries.digest.is_(None))
        for kind, body in connection.execute(telling):
            found.update(told_codes(msgspec.json.decode(body, type=_TELLING[kind])))
    return found


def _strip_receipts(connection: Connection, member: str, codes: Collection[str]) -> set[str]:
    """Take the code out of the member's receipts, and out of those that were held for it.

    Returns their keys, and those of the entries that gave them to somebody.
    """
    receipts = tables.receipts
    found = [receipts.c.member == member]
    found += [and_(receipts.c.member.is_(None), receipts.c.code.in_(some)) for some in _parts(codes)]
    rows = connection.execute(select(receipts.c.key, receipts.c.body).where(or_(*found))).all()
    for row in rows:
        receipt = replace(msgspec.json.decode(row.body, type=Receipt), member=UNSET)
        connection.execute(
            update(receipts).where(receipts.c.key == row.key).values(code=None, body=msgspec.json.encode(receipt))
        )
    keys = {row.key for row in rows}
    for table in (tables.receipt_keys, tables.receipt_entries):
        for some in _parts(tuple(keys)):
            keys |= set(connection.execute(select(table.c.key).where(table.c.receipt.in_(some))).scalars())
    return keys


def _drop_bodies(connection: Connection, keys: Iterable[str]) -> None:
    """Of entries under these keys; what was set aside is judged by what it says, it may be another's."""
    columns = tables.entries.c
    for some in _parts(sorted(keys)):
        _drop(connection, and_(columns.key.in_(some), columns.code != "quarantined"))


def _drop_waiting(connection: Connection, codes: Collection[str]) -> None:
    """What would give a receipt that has not come to the member."""
    waiting = tables.attachments
    for some in _parts(codes):
        for row in connection.execute(select(waiting).where(waiting.c.code.in_(some))).all():
            drop_body(connection, row.epoch, row.seq)
        connection.execute(delete(waiting).where(waiting.c.code.in_(some)))


def drop_body(connection: Connection, epoch: str, seq: int) -> None:
    """Keep of an entry that was sent the digest of its body alone."""
    columns = tables.entries.c
    _drop(connection, and_(columns.epoch == epoch, columns.seq == seq))


def _drop(connection: Connection, which: ColumnElement[bool]) -> None:
    table = tables.entries
    query = select(table.c.epoch, table.c.seq, table.c.salt, table.c.body)
    for row in connection.execute(query.where(which, table.c.digest.is_(None))).all():
        connection.execute(
            update(table)
            .where(table.c.epoch == row.epoch, table.c.seq == row.seq)
            .values(digest=body_digest(row.salt, row.body).hex(), salt="", body=b"")
        )


def _strip_set_aside(connection: Connection, about: About, now: datetime) -> None:
    """What waits for a person, and what waited, without the member; what is about nothing else waits no more."""
    table = tables.quarantine
    last = 0
    while rows := connection.execute(select(table).where(table.c.id > last).order_by(table.c.id).limit(_PAGE)).all():
        last = rows[-1].id
        for row in rows:
            entry = msgspec.json.decode(row.raw, type=Entry)
            kept = about.entry_without(entry)
            if kept is entry:
                continue
            if row.reason != "fork":  # under its number stands an entry of the other history
                drop_body(connection, row.epoch, row.seq)
            values: dict[str, Any] = {"raw": msgspec.json.encode(kept), "note": None}
            if kept.digest:
                values |= {
                    "detail": "its member was erased",
                    "resolved_at": row.resolved_at or now,
                    "resolved_as": row.resolved_as or "erased",
                }
            connection.execute(update(table).where(table.c.id == row.id).values(values))


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
