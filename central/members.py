"""Members at the centre: who they are, and what people told of them.

Owns importing and finding members. Never touches points (`central.ledger` does), and says nothing of the states
of their cards (`central.cards` does) nor of what registers are told (`central.fed_rows` does).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import Connection, Row, func, insert, select, update

from central import cards, profiles
from central.cards import AT_ONCE, CardError, CardNumber, CodeTakenError
from central.db import tables
from central.db.sets import among
from loyalty.addresses import address_code
from loyalty.canonical import KnownFacts
from loyalty.history import Facts
from loyalty.identification import MemberKind, normal_code
from loyalty.undecodable import UNDECODABLE
from sync.records import FieldName, MemberId

Code = Annotated[str, Meta(min_length=1, max_length=255)]
ShortName = Annotated[str, Meta(max_length=80)]
TierName = Annotated[str, Meta(max_length=64)]
Language = Annotated[str, Meta(max_length=16)]


BirthMonth = Annotated[int, Meta(ge=1, le=12)]
# Stores that a member is known to come to: a chain has thousands, a member a few.
Stores = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=100)]
Segments = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=100)]


# Facts that rules ask for: what they were stays known, for the receipts of then.
_COUNTING = ("tier", "birth_month", "segments")
_segments = msgspec.json.Decoder(tuple[str, ...])


class MembersFileError(ValueError):
    """A members file cannot be imported. The message names the path and the remedy; nothing was changed."""


class UnknownMemberError(LookupError):
    """There is no member with this id, or a text means two."""


class ImportedIdentifier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code, and the number printed on the same card where that is another."""

    kind: MemberKind = "card"
    code: Code
    printed: Code | UnsetType = UNSET

    @property
    def numbers(self) -> tuple[CardNumber, ...]:
        code, printed = normal_code(self.code), normal_code(self.printed or "")
        if not printed or printed == code:
            return (CardNumber(kind=self.kind, code=code),)
        return (
            CardNumber(kind=self.kind, code=code),
            CardNumber(kind=self.kind, code=printed, printed=True),
        )


class ImportedMember(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member of an import. An absent field leaves what is known as it is."""

    member: MemberId
    short_name: ShortName | UnsetType = UNSET
    tier: TierName | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    birth_month: BirthMonth | UnsetType | None = UNSET
    segments: Segments | UnsetType = UNSET
    identifiers: tuple[ImportedIdentifier, ...] = ()
    stores: Stores = ()


class MembersFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{"members": […]}`, the format of `members import`."""

    members: tuple[ImportedMember, ...]


class Imported(Struct, frozen=True, kw_only=True):
    """What an import did. `linked` are codes new to their member; `changed` are members known before."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int
    linked: tuple[tuple[str, str], ...]


def members_from_json(document: bytes) -> tuple[ImportedMember, ...]:
    """Raises MembersFileError with the path of what is wrong."""
    try:
        members = msgspec.json.decode(document, type=MembersFile).members
    except UNDECODABLE as error:
        raise MembersFileError(f"{error}; the format is described in docs/central.md") from error
    seen: dict[str, int] = {}
    for index, member in enumerate(members):
        if member.member in seen:
            raise MembersFileError(
                f"$.members[{index}].member is the same as $.members[{seen[member.member]}].member; keep one of them"
            )
        seen[member.member] = index
        for place, identifier in enumerate(member.identifiers):
            if not normal_code(identifier.code):
                raise MembersFileError(
                    f"$.members[{index}].identifiers[{place}].code is empty; give the code or leave it out"
                )
            if identifier.printed is not UNSET and not normal_code(identifier.printed):
                raise MembersFileError(
                    f"$.members[{index}].identifiers[{place}].printed is empty; give the number or leave it out"
                )
    return members


def import_members(connection: Connection, members: Sequence[ImportedMember], now: datetime) -> Imported:
    """Add or change members; all of them or none.

    Raises MembersFileError for ids that name nobody any more, CodeTakenError when a code already names another
    member, CardStateError when its card is blocked.
    """
    members, addresses = _without_addresses(members, cards.code_key(connection))
    known = _known_members(connection, [member.member for member in members])
    _refuse_gone(connection, [member.member for member in members])
    added = [member for member in members if member.member not in known]
    if added:
        add(connection, added, now)
    changed = [
        member.member
        for member in members
        if (row := known.get(member.member)) is not None and _update(connection, member, row, now)
    ]
    profiles.tell_here(connection, addresses | _told_anew(members, set(changed), addresses), now)
    linked, grown = _add_identifiers(connection, members, now)
    grown = grown.difference(changed, (member.member for member in added))
    touched = (*changed, *sorted(grown))
    return Imported(
        added=tuple(member.member for member in added),
        changed=touched,
        unchanged=len(members) - len(added) - len(touched),
        linked=linked,
    )


def add_joined(connection: Connection, member: str, now: datetime) -> None:
    """Somebody who joined at a register, and of whom nothing is known but what is told there."""
    add(connection, [ImportedMember(member=member)], now)
    connection.execute(update(tables.members).where(tables.members.c.id == member).values(joined=1))


def joined(connection: Connection, member: str) -> bool:
    """Whether a member is known by joins at registers alone."""
    known = tables.members.c
    return bool(connection.execute(select(known.joined).where(known.id == member)).scalar_one())


def add(connection: Connection, members: Sequence[ImportedMember], now: datetime) -> None:
    """Members of whom nothing is known yet, with no points; their codes are `central.cards`'."""
    connection.execute(insert(tables.members), [_member_values(member, now) for member in members])
    without_points = [{"member": member.member, "confirmed": 0, "pending": 0} for member in members]
    connection.execute(insert(tables.balances), without_points)


def of_id(connection: Connection, which: str) -> str:
    """The member whom an id means, their own or one that was merged into it. Raises UnknownMemberError."""
    member = meant(connection, [which]).get(which)
    if member is None:
        raise UnknownMemberError(f"there is no member {which}; `members show` and the admin pages find ids")
    return member


def living(connection: Connection, which: str) -> str:
    """The same, of somebody who can be given something: who was erased is nobody. Raises UnknownMemberError."""
    member = of_id(connection, which)
    if erased_among(connection, [member]):
        raise UnknownMemberError(f"{which} was erased, and is nobody any more; give the person a new id")
    return member


def named(connection: Connection, which: str) -> str:
    """The member whom a person names by an id, a code, a telephone number or an address.

    Raises UnknownMemberError, also where the id of one is a code of another: what is asked for may not be undone.
    """
    by_id, by_code = meant(connection, [which]).get(which), cards.owner_as_typed(connection, which)
    if by_id is not None and by_code is not None and by_id != by_code:
        raise UnknownMemberError(
            f"this is the id of {by_id} and a code of {by_code}: name the one by another code, the other by its id"
        )
    member = by_id or by_code
    if member is None:
        raise UnknownMemberError("no member has this code or id")
    return member


# What is said of an entry about an id that nobody has, here; somebody may be joined with it yet.
UNKNOWN_ID: Final = "no member has this id here; merge or import them, then apply it again"


def meant(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Whom each of these ids means: itself, or the member that it is an alias of; unknown ones are absent."""
    every = sorted(set(ids))
    known, aliases = tables.members.c.id, tables.member_aliases.c
    to: dict[str, str] = {}
    for start in range(0, len(every), AT_ONCE):
        some = every[start : start + AT_ONCE]
        own = connection.execute(select(known).where(among(known, some))).scalars()
        to |= {member: member for member in own}
        others = connection.execute(select(aliases.alias, aliases.member).where(among(aliases.alias, some)))
        to |= dict(others.all())
    return to


def ids_of(connection: Connection, member: str) -> tuple[str, ...]:
    """The id of a member, and all others that mean them."""
    return (member, *aliases_of(connection, [member]).get(member, ()))


def aliases_of(connection: Connection, members: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The ids that mean each of these members besides their own; those without any are absent."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    table = tables.member_aliases
    for start in range(0, len(members), AT_ONCE):
        some = among(table.c.member, members[start : start + AT_ONCE])
        for row in connection.execute(select(table).where(some).order_by(table.c.alias)):
            found[row.member].append(row.alias)
    return {member: tuple(aliases) for member, aliases in found.items()}


def erased_among(connection: Connection, members: Sequence[str]) -> set[str]:
    """Which of these were erased."""
    erased = tables.erasures.c.member
    found: set[str] = set()
    for start in range(0, len(members), AT_ONCE):
        some = among(erased, members[start : start + AT_ONCE])
        found |= set(connection.execute(select(erased).where(some)).scalars())
    return found


def hold(connection: Connection, members: Iterable[str]) -> None:
    """Keep others from changing anything about these members until the end of this transaction.

    In the order of their ids, so that two transactions never wait for each other.
    """
    columns = tables.members.c
    every = sorted(members)
    for start in range(0, len(every), AT_ONCE):
        some = among(columns.id, every[start : start + AT_ONCE])
        connection.execute(select(columns.id).where(some).order_by(columns.id).with_for_update(key_share=True)).all()


def stand_of(connection: Connection, some: Sequence[str]) -> dict[str, tuple[str, frozenset[str]]]:
    """The tier, reached or given, and the segments that these members have now."""
    known, reached = tables.members.c, tables.balances.c
    joined = tables.members.outerjoin(tables.balances, reached.member == known.id)
    query = select(known.id, func.coalesce(reached.tier, known.tier, ""), known.segments).select_from(joined)
    rows = connection.execute(query.where(among(known.id, some)))
    return {member: (tier, frozenset(_segments.decode(segments))) for member, tier, segments in rows}


def facts_of(connection: Connection, members: Sequence[str]) -> dict[str, tuple[KnownFacts, ...]]:
    """What people told of each of these members that exists, in order of time: what holds now comes last."""
    found: dict[str, tuple[KnownFacts, ...]] = {}
    for start in range(0, len(members), AT_ONCE):
        some = members[start : start + AT_ONCE]
        since: dict[str, datetime] = {}
        before: dict[str, list[KnownFacts]] = defaultdict(list)
        past, now = tables.member_facts.c, tables.members.c
        query = select(past.member, past.until, *(past[name] for name in _COUNTING))
        for member, until, *told in connection.execute(query.where(among(past.member, some)).order_by(past.until)):
            before[member].append(KnownFacts(valid_from=since.get(member), facts=_facts(*told)))
            since[member] = until
        query = select(now.id, *(now[name] for name in _COUNTING))
        for member, *told in connection.execute(query.where(among(now.id, some))):
            found[member] = (*before[member], KnownFacts(valid_from=since.get(member), facts=_facts(*told)))
    return found


def _facts(tier: str | None, birth_month: int | None, segments: str) -> Facts:
    segments_then = frozenset(_segments.decode(segments))
    return Facts(tier=UNSET if tier is None else tier, birth_month=birth_month, segments=segments_then)


def _known_members(connection: Connection, members: Sequence[str]) -> dict[str, Row[Any]]:
    known: dict[str, Row[Any]] = {}
    columns = tables.members.c
    for start in range(0, len(members), AT_ONCE):
        some = among(columns.id, members[start : start + AT_ONCE])
        rows = connection.execute(select(tables.members).where(some)).all()
        known.update({row.id: row for row in rows})
    return known


def _member_values(member: ImportedMember, now: datetime) -> dict[str, object]:
    return {
        "id": member.member,
        "short_name": member.short_name or None,
        "tier": member.tier or None,
        "language": member.language or None,
        "birth_month": member.birth_month or None,
        "segments": _segments_text(member.segments or ()),
        "created_at": now,
    }


def _segments_text(segments: Sequence[str]) -> str:
    return msgspec.json.encode(sorted(set(segments))).decode()


def _update(connection: Connection, member: ImportedMember, before: Row[Any], now: datetime) -> bool:
    given = {name: getattr(member, name) for name in ("short_name", "tier", "language", "birth_month")}
    after = {name: value or None for name, value in given.items() if value is not UNSET}
    if member.segments is not UNSET:
        after["segments"] = _segments_text(member.segments)
    changed = {name: value for name, value in after.items() if value != getattr(before, name)}
    if not changed:
        return False
    if not changed.keys().isdisjoint(_COUNTING):
        past = {name: getattr(before, name) for name in _COUNTING}
        connection.execute(insert(tables.member_facts).values(member=member.member, until=now, **past))
    connection.execute(update(tables.members).where(tables.members.c.id == member.member).values(changed))
    return True


def _add_identifiers(
    connection: Connection, members: Sequence[ImportedMember], now: datetime
) -> tuple[tuple[tuple[str, str], ...], set[str]]:
    """Add the codes that are new and hand out the stock that is named.

    Returns what names somebody only now as (member, code), and the members whose cards changed.
    """
    wanted = [(member.member, one.numbers) for member in members for one in member.identifiers]
    places = cards.places(connection, _owners(wanted).keys())
    plain: dict[str, tuple[str, tuple[CardNumber, ...]]] = {}
    others: list[tuple[str, tuple[CardNumber, ...]]] = []
    for member, numbers in wanted:
        codes = [number.code for number in numbers]
        standing = [places[code] for code in codes if code in places]
        owner = next((place.member for place in standing if place.member not in (None, member)), None)
        if owner is not None:
            raise CodeTakenError(f"a code given to {member} already names {owner}; take it out of the file")
        if not standing and plain.keys().isdisjoint(codes):
            plain |= dict.fromkeys(codes, (member, numbers))
        elif not cards.stand_together(numbers, places) or places[codes[0]].member is None:
            others.append((member, numbers))
    cards.insert_new(connection, [(numbers, member) for member, numbers in dict.fromkeys(plain.values())], now)
    linked = [(member, code) for code, (member, _) in plain.items()]
    grown = {member for member, _ in linked}
    for member, numbers in others:
        named = _united(connection, numbers, member, now)
        if named is not None:
            linked += [(member, code) for code in named]
            grown.add(member)
    return tuple(linked), grown


def _without_addresses(
    members: Sequence[ImportedMember], key: str
) -> tuple[tuple[ImportedMember, ...], dict[str, dict[FieldName, str]]]:
    """The members with the codes of their telephone numbers and addresses in their place; and these, by member."""
    told: dict[str, dict[FieldName, str]] = {}
    made = []
    for member in members:
        numbers = []
        for one in member.identifiers:
            code = address_code(one.kind, one.code, key)
            numbers.append(one if code is None else ImportedIdentifier(kind=one.kind, code=code))
            if code is not None and code != normal_code(one.code):
                told.setdefault(member.member, {})["phone" if one.kind == "phone" else "email"] = one.code
        made.append(replace(member, identifiers=tuple(numbers)))
    return tuple(made), told


def _told_anew(
    members: Sequence[ImportedMember], changed: set[str], addresses: Mapping[str, Mapping[FieldName, str]]
) -> dict[str, dict[FieldName, str]]:
    """What an import says of members that it changed: later than what tills told before."""
    told: dict[str, dict[FieldName, str]] = {}
    for member in members:
        if member.member in changed:
            fields = told.setdefault(member.member, dict(addresses.get(member.member, {})))
            if member.short_name is not UNSET:
                fields["short_name"] = member.short_name
            if member.language is not UNSET:
                fields["language"] = member.language
    return told


def _refuse_gone(connection: Connection, ids: Sequence[str]) -> None:
    means = meant(connection, ids)
    erased = erased_among(connection, sorted(set(means.values())))
    for one, member in sorted(means.items()):
        if member in erased:
            raise MembersFileError(f"{one} was erased; take it out of the file, or give the person a new id")
        if one != member:
            raise MembersFileError(f"{one} was merged into {member}; name {member} in the file")


def _owners(wanted: Sequence[tuple[str, tuple[CardNumber, ...]]]) -> dict[str, str]:
    """Whom the file gives each code."""
    owners: dict[str, str] = {}
    for member, numbers in wanted:
        for number in numbers:
            owner = owners.setdefault(number.code, member)
            if owner != member:
                raise CodeTakenError(f"{owner} and {member} are given the same code; give it to one of them")
    return owners


def _united(
    connection: Connection, numbers: Sequence[CardNumber], member: str, now: datetime
) -> tuple[str, ...] | None:
    try:
        return cards.unite(connection, numbers, member, now)
    except CardError as error:
        raise type(error)(f"{member} cannot have a card of the file: {error}") from error


def take_facts(connection: Connection, source: str, target: str, now: datetime) -> None:
    """What people told of `source` and never of `target` holds of `target` from now on."""
    known = _known_members(connection, [source, target])
    mine, theirs = known[target], known[source]
    taken = ImportedMember(
        member=target,
        tier=theirs.tier if mine.tier is None and theirs.tier else UNSET,
        birth_month=theirs.birth_month if mine.birth_month is None and theirs.birth_month else UNSET,
        segments=_segments.decode(theirs.segments) if mine.segments == "[]" else UNSET,
        short_name=theirs.short_name if mine.short_name is None and theirs.short_name else UNSET,
        language=theirs.language if mine.language is None and theirs.language else UNSET,
    )
    _update(connection, taken, mine, now)


def find_members(connection: Connection, text: str, limit: int) -> list[str]:
    """Ids of members whose code or id is `text`, or whose short name holds it; all where it is empty."""
    columns, merged = tables.members.c, select(tables.member_aliases.c.alias)
    query = select(columns.id).where(columns.id.not_in(merged)).order_by(columns.id).limit(limit)
    words = text.strip()
    if not words:
        return list(connection.execute(query).scalars())
    by_id, by_code = meant(connection, [words]).get(words), cards.owner_as_typed(connection, words)
    exact = {one for one in (by_id, by_code) if one is not None}
    if exact:
        return sorted(exact)
    return list(connection.execute(query.where(columns.short_name.icontains(words, autoescape=True))).scalars())
