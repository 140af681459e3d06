"""What registers tell of members: that somebody joined, other fields, consent, another code; and members that are one.

Owns the effect of the entries `join`, `profile`, `consent` and `alias`, and merging two members. A merge is a mapping:
an id that was merged means the other member for ever, receipts and cards are that one's, and no row of the ledger
moves. Never evaluates a receipt: it says who is to be folded anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from sqlalchemy import Connection, delete, insert, select, update

from central import cards, context, feed, members, profiles, receipts, scopes, states
from central.bodies import Telling
from central.cards import CardError, CardNumber, CodeTakenError
from central.db import tables
from central.devices import Device
from central.receipts import Seen
from loyalty.addresses import address_code
from loyalty.identification import MemberKind, normal_code
from loyalty.member import ending_of
from sync.records import AliasBody, ConsentBody, Entry, JoinBody, MemberId, ProfileBody, ToldCode

# By which code a person is looked for first, where those of a join name two members.
_FIRST: tuple[MemberKind, ...] = ("card", "wallet", "nfc", "phone", "email")

_ADDRESSES: tuple[Literal["phone", "email"], ...] = ("phone", "email")

_ERASED = "the member was erased; nothing of this was kept"


class MergeError(ValueError):
    """Two members cannot become one. The message says why; nothing was changed."""


class Merged(Struct, frozen=True, kw_only=True):
    """`source` means `target` from now on; `touched` are to be folded anew."""

    source: str
    target: str
    touched: frozenset[str]


def join(connection: Connection, device: Device, entry: Entry, body: JoinBody, now: datetime) -> Seen:
    """Somebody joined at a register. Who is known by one of the codes is that member, under one more id."""
    known = members.meant(connection, [body.provisional_id]).get(body.provisional_id)
    if known is not None:
        return _about(known, connection, entry) or Seen(code="duplicate", member=known)
    codes = numbers_of(body.codes, cards.code_key(connection))
    named = _named(connection, codes)
    if named:
        member, gone = _one_of(connection, named, now)
        _alias(connection, body.provisional_id, member, "joined again", now)
    else:
        member, gone = body.provisional_id, []
        members.add_joined(connection, member, now)
    profiles.tell(connection, member, body.fields, entry, now)
    profiles.keep_consents(connection, member, body.consent, profiles.Source.of_entry(entry, device), now)
    touched, others = give(connection, member, codes, now)
    note_entry(connection, member, entry.key)
    said = [f"is {member}"] if named else []
    said += [f"so is {one}" for one in gone]
    said += [f"a code names {other}, who was left alone" for other in sorted(others)]
    return Seen(
        code="accepted",
        detail="; ".join(said),
        member=member,
        touched=touched | ({member} if gone else set()),
        moved=frozenset({member}),
        changed=frozenset(gone),
        gone=frozenset(gone),
        apart=bool(others),
    )


def profile(connection: Connection, entry: Entry, body: ProfileBody, now: datetime) -> Seen:
    """Fields of a member, as they were told at a register. A telephone number or address names them from now on."""
    member = _of(connection, entry, body.member)
    if isinstance(member, Seen):
        return member
    before = {kind: profiles.value_of(connection, member, kind) for kind in _ADDRESSES if kind in body.fields}
    key = cards.code_key(connection) if before else ""
    changed = profiles.tell(connection, member, body.fields, entry, now)
    touched: frozenset[str] = frozenset()
    for kind, told_before in before.items():
        if kind not in changed:
            continue
        old = address_code(kind, told_before or "", key)
        new = address_code(kind, profiles.value_of(connection, member, kind) or "", key)
        if old is not None and old != new:
            cards.take_away(connection, old, member)
        if new is not None:
            gained, others = give(connection, member, [CardNumber(code=new, kind=kind)], now)
            if others:
                raise CodeTakenError(f"the {kind} names another member, {min(others)}; merge the two, or not")
            touched |= gained
    note_entry(connection, member, entry.key)
    return Seen(
        code="accepted" if changed else "duplicate",
        detail="" if changed else "was told otherwise later, or the same before",
        member=member,
        touched=touched,
        changed=frozenset({member}),
    )


def consent(connection: Connection, device: Device, entry: Entry, body: ConsentBody, now: datetime) -> Seen:
    """Whether a member may be written to, as they said at a register; the evidence is kept whatever counts."""
    member = _of(connection, entry, body.member)
    if isinstance(member, Seen):
        return member
    if profiles.consented(connection, member, entry.key):
        return Seen(code="duplicate", member=member)
    profiles.keep_consents(connection, member, [body], profiles.Source.of_entry(entry, device), now)
    note_entry(connection, member, entry.key)
    return Seen(code="accepted", member=member, changed=frozenset({member}))


def alias(connection: Connection, entry: Entry, body: AliasBody, now: datetime) -> Seen:
    """One more code of a member; with `of`, one more number of the card that has that number."""
    member = _of(connection, entry, body.member)
    if isinstance(member, Seen):
        return member
    key = cards.code_key(connection)
    numbers = numbers_of([body.code], key)
    if body.of:
        numbers = [*cards.named(connection, body.of).numbers, *numbers]
    named = cards.unite(connection, numbers, member, now)
    note_entry(connection, member, entry.key)
    if named is None:
        return Seen(code="duplicate", member=member)
    touched = _adopted(connection, member, named)
    return Seen(code="accepted", member=member, touched=touched, moved=frozenset({member}))


def nobody(connection: Connection, entry: Entry, body: Telling, erased: str, now: datetime) -> Seen:
    """What was told of somebody before they were erased has no effect; an id that they joined under means them."""
    changed: frozenset[str] = frozenset()
    if isinstance(body, JoinBody) and body.provisional_id not in members.meant(connection, [body.provisional_id]):
        _alias(connection, body.provisional_id, erased, "joined before they were erased", now)
        changed = frozenset({body.provisional_id})
    note_entry(connection, erased, entry.key)
    return Seen(code="accepted", detail=_ERASED, member=erased, changed=changed)


def merge(connection: Connection, source: MemberId, target: MemberId, because: str, now: datetime) -> Merged:
    """Let `source` mean `target`: its receipts, cards, profile and consents are one with the other's from now on.

    The ledger's rows stay where they are. Raises UnknownMemberError, MergeError.
    """
    gone, kept = members.living(connection, source), members.living(connection, target)
    if gone == kept:
        raise MergeError(f"{source} and {target} are one member already")
    members.hold(connection, [gone, kept])
    table = tables.member_aliases
    connection.execute(update(table).where(table.c.member == gone).values(member=kept))
    _alias(connection, gone, kept, because, now)
    _take_over(connection, gone, kept, now)
    return Merged(source=gone, target=kept, touched=frozenset({kept}))


def note_entry(connection: Connection, member: str, key: str) -> None:
    """Remember which entries tell of a member."""
    table = tables.member_entries
    known = select(table.c.key).where(table.c.member == member, table.c.key == key)
    if connection.execute(known).first() is None:
        connection.execute(insert(table).values(member=member, key=key))


def numbers_of(told: Iterable[ToldCode], key: str) -> list[CardNumber]:
    """The codes by which people are known, those of telephone numbers and addresses made under `key`."""
    return [
        CardNumber(code=address_code(one.kind, one.code, key) or normal_code(one.code), kind=one.kind) for one in told
    ]


def give(
    connection: Connection, member: str, codes: Iterable[CardNumber], now: datetime
) -> tuple[frozenset[str], set[str]]:
    """Let codes name a member, with what was bought under them; returns who is to be folded, and whose they are."""
    touched: frozenset[str] = frozenset()
    others: set[str] = set()
    for code in codes:
        owner = cards.owner_of(connection, code.code)
        if owner not in (None, member):
            others.add(owner or "")
            continue
        try:
            named = cards.unite(connection, [code], member, now)
        except CardError as error:
            raise type(error)(f"a code that ends in {ending_of(code.code)}: {error}") from error
        touched |= _adopted(connection, member, named or ())
    return touched, others


def _take_over(connection: Connection, gone: str, kept: str, now: datetime) -> None:
    cards.move(connection, gone, kept)
    scopes.move(connection, gone, kept)
    profiles.move(connection, gone, kept)
    context.move(connection, gone, kept)
    members.take_facts(connection, gone, kept, now)
    whose = (
        tables.receipts,
        tables.events,
        tables.variances,
        tables.member_entries,
        tables.allowances,
        tables.redemptions,
        tables.vouchers,
    )
    for table in whose:
        connection.execute(update(table).where(table.c.member == gone).values(member=kept))
    if not members.joined(connection, gone):
        connection.execute(update(tables.members).where(tables.members.c.id == kept).values(joined=0))
    for held in (tables.balances, tables.unfolded):
        connection.execute(delete(held).where(held.c.member == gone))
    states.forget(connection, [gone, kept])


def _alias(connection: Connection, alias: str, member: str, because: str, now: datetime) -> None:
    connection.execute(insert(tables.member_aliases).values(alias=alias, member=member, since=now, because=because))


def _named(connection: Connection, codes: Sequence[CardNumber]) -> list[str]:
    """The members whom these name, those of cards first."""
    in_order = sorted(codes, key=lambda code: _FIRST.index(code.kind))
    found = (cards.owner_of(connection, code.code) for code in in_order)
    return list(dict.fromkeys(owner for owner in found if owner is not None))


def _one_of(connection: Connection, named: Sequence[str], now: datetime) -> tuple[str, list[str]]:
    """Who somebody is whose codes name these members, and which of them are that one since.

    Who is known by joins alone is one with whom another join names: it would be, had that come first. Two of the
    shop's own stay two, until a person says otherwise.
    """
    kept, *others = named
    gone: list[str] = []
    for other in others:
        source, target = (other, kept) if members.joined(connection, other) else (kept, other)
        if not members.joined(connection, source):
            continue
        merge(connection, source, target, "one person by what they joined with", now)
        # Who is meant comes first: a register that lets the other go knows the codes by then.
        feed.note_changes(connection, [target, source], now)
        kept = target
        gone.append(source)
    return kept, gone


def _adopted(connection: Connection, member: str, codes: Iterable[str]) -> frozenset[str]:
    touched: frozenset[str] = frozenset()
    for code in codes:
        touched |= receipts.adopt_code(connection, member, code)[1]
    return touched


def _of(connection: Connection, entry: Entry, told: MemberId) -> str | Seen:
    """Whom an id means that a register told; what becomes of the entry where that is nobody, or nobody any more."""
    member = members.meant(connection, [told]).get(told)
    if member is None:
        return Seen(code="quarantined", detail=members.UNKNOWN_ID)
    return _about(member, connection, entry) or member


def _about(member: str, connection: Connection, entry: Entry) -> Seen | None:
    """What becomes of an entry about somebody who was erased; None of anybody else's."""
    if not members.erased_among(connection, [member]):
        return None
    note_entry(connection, member, entry.key)
    return Seen(code="accepted", detail=_ERASED, member=member)
