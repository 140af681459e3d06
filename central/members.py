"""Members at the centre: who they are by which code, and the row a register may hold.

Owns importing and finding members. Never touches points: `central.ledger` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Connection, insert, select, update

from central.db import tables
from loyalty.identification import MemberKind, normal_code
from loyalty.member import Balance, Identifier, Member

MemberId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Code = Annotated[str, Meta(min_length=1, max_length=255)]
ShortName = Annotated[str, Meta(max_length=80)]
TierName = Annotated[str, Meta(max_length=64)]
Language = Annotated[str, Meta(max_length=16)]

# Ids in one IN (…): far below what any database takes.
_AT_ONCE = 500


class MembersFileError(ValueError):
    """A members file cannot be imported. The message names the path and the remedy; nothing was changed."""


class CodeTakenError(ValueError):
    """A code already names another member."""


class UnknownMemberError(LookupError):
    """There is no member with this id."""


class ImportedIdentifier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: MemberKind = "card"
    code: Code


class ImportedMember(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member of an import. An absent field leaves what is known as it is."""

    member: MemberId
    short_name: ShortName | UnsetType = UNSET
    tier: TierName | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    identifiers: tuple[ImportedIdentifier, ...] = ()


class MembersFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{"members": […]}`, the format of `members import`."""

    members: tuple[ImportedMember, ...]


class Imported(Struct, frozen=True, kw_only=True):
    """What an import did. `linked` are codes new to their member."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int
    linked: tuple[tuple[str, str], ...]


def members_from_json(document: bytes) -> tuple[ImportedMember, ...]:
    """Raises MembersFileError with the path of what is wrong."""
    try:
        members = msgspec.json.decode(document, type=MembersFile).members
    except msgspec.DecodeError as error:
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
    return members


def import_members(connection: Connection, members: Sequence[ImportedMember], now: datetime) -> Imported:
    """Add or change members; all of them or none.

    Raises CodeTakenError when a code already names another member.
    """
    known = _known_members(connection, [member.member for member in members])
    added = [member for member in members if member.member not in known]
    if added:
        connection.execute(insert(tables.members), [_member_values(member, now) for member in added])
        connection.execute(
            insert(tables.balances), [{"member": member.member, "confirmed": 0, "pending": 0} for member in added]
        )
    changed = [member.member for member in members if member.member in known and _update(connection, member, known)]
    linked = _add_identifiers(connection, members, now)
    grown = {member for member, _ in linked}.difference(changed, (member.member for member in added))
    touched = (*changed, *sorted(grown))
    return Imported(
        added=tuple(member.member for member in added),
        changed=touched,
        unchanged=len(members) - len(added) - len(touched),
        linked=linked,
    )


def add_identifier(connection: Connection, member: str, kind: str, code: str, now: datetime) -> bool:
    """Let `code` name `member`; False when it already does. Raises UnknownMemberError, CodeTakenError."""
    if not _known_members(connection, [member]):
        raise UnknownMemberError(f"there is no member {member}; `members show` and the admin pages find ids")
    owner = owner_of(connection, code)
    if owner == member:
        return False
    if owner is not None:
        raise CodeTakenError("the code already names another member; a code is never moved silently")
    connection.execute(
        insert(tables.identifiers).values(code=normal_code(code), kind=kind, member=member, added_at=now)
    )
    return True


def owner_of(connection: Connection, code: str) -> str | None:
    """The member that a code names, in any way of writing it."""
    return connection.execute(
        select(tables.identifiers.c.member).where(tables.identifiers.c.code == normal_code(code))
    ).scalar_one_or_none()


def member_exists(connection: Connection, member: str) -> bool:
    return bool(_known_members(connection, [member]))


def tier_of(connection: Connection, member: str) -> str | UnsetType:
    tier = connection.execute(select(tables.members.c.tier).where(tables.members.c.id == member)).scalar_one()
    return UNSET if tier is None else tier


def rows_of(connection: Connection, members: Sequence[str], now: datetime) -> dict[str, Member]:
    """The rows registers may hold, as of `now`."""
    found: dict[str, Member] = {}
    for start in range(0, len(members), _AT_ONCE):
        found.update(_rows(connection, members[start : start + _AT_ONCE], now))
    return found


def _rows(connection: Connection, members: Sequence[str], now: datetime) -> dict[str, Member]:
    identifiers: dict[str, list[Identifier]] = defaultdict(list)
    query = select(tables.identifiers).where(tables.identifiers.c.member.in_(members))
    for row in connection.execute(query.order_by(tables.identifiers.c.code)):
        identifiers[row.member].append(Identifier(kind=row.kind, code=row.code))
    joined = tables.members.join(tables.balances, tables.balances.c.member == tables.members.c.id)
    rows = connection.execute(
        select(tables.members, tables.balances.c.confirmed, tables.balances.c.pending)
        .select_from(joined)
        .where(tables.members.c.id.in_(members))
    )
    return {
        row.id: Member(
            member=row.id,
            identifiers=tuple(identifiers[row.id]),
            short_name=UNSET if row.short_name is None else row.short_name,
            tier=UNSET if row.tier is None else row.tier,
            language=UNSET if row.language is None else row.language,
            balance=Balance(confirmed=row.confirmed, pending=row.pending, spendable=row.confirmed),
            as_of=now,
        )
        for row in rows
    }


def _known_members(connection: Connection, members: Sequence[str]) -> dict[str, tuple[str | None, ...]]:
    known: dict[str, tuple[str | None, ...]] = {}
    columns = tables.members.c
    for start in range(0, len(members), _AT_ONCE):
        rows = connection.execute(select(tables.members).where(columns.id.in_(members[start : start + _AT_ONCE])))
        known.update({row.id: (row.short_name, row.tier, row.language) for row in rows})
    return known


def _member_values(member: ImportedMember, now: datetime) -> dict[str, object]:
    return {
        "id": member.member,
        "short_name": member.short_name or None,
        "tier": member.tier or None,
        "language": member.language or None,
        "created_at": now,
    }


def _update(connection: Connection, member: ImportedMember, known: dict[str, tuple[str | None, ...]]) -> bool:
    given = (member.short_name, member.tier, member.language)
    before = known[member.member]
    after = tuple(old if new is UNSET else new or None for new, old in zip(given, before, strict=True))
    if after == before:
        return False
    short_name, tier, language = after
    connection.execute(
        update(tables.members)
        .where(tables.members.c.id == member.member)
        .values(short_name=short_name, tier=tier, language=language)
    )
    return True


def _add_identifiers(
    connection: Connection, members: Sequence[ImportedMember], now: datetime
) -> tuple[tuple[str, str], ...]:
    """Add the codes that are new; returns them as (member, code)."""
    wanted: dict[str, tuple[str, str]] = {}
    for member in members:
        for identifier in member.identifiers:
            code = normal_code(identifier.code)
            owner, _ = wanted.setdefault(code, (member.member, identifier.kind))
            if owner != member.member:
                raise CodeTakenError(f"{owner} and {member.member} are given the same code; give it to one of them")
    owners = _owners(connection, list(wanted))
    for code, owner in owners.items():
        if owner != wanted[code][0]:
            raise CodeTakenError(f"a code given to {wanted[code][0]} already names {owner}; take it out of the file")
    new = {code: whose for code, whose in wanted.items() if code not in owners}
    if new:
        connection.execute(
            insert(tables.identifiers),
            [{"code": code, "kind": kind, "member": member, "added_at": now} for code, (member, kind) in new.items()],
        )
    return tuple((member, code) for code, (member, _) in new.items())


def _owners(connection: Connection, codes: Sequence[str]) -> dict[str, str]:
    owners: dict[str, str] = {}
    columns = tables.identifiers.c
    for start in range(0, len(codes), _AT_ONCE):
        rows = connection.execute(
            select(columns.code, columns.member).where(columns.code.in_(codes[start : start + _AT_ONCE]))
        )
        owners.update({row.code: row.member for row in rows})
    return owners


def find_members(connection: Connection, text: str, limit: int) -> list[str]:
    """Ids of members whose code or id is `text`, or whose short name holds it; all where it is empty."""
    query = select(tables.members.c.id).order_by(tables.members.c.id).limit(limit)
    words = text.strip()
    if not words:
        return list(connection.execute(query).scalars())
    exact = owner_of(connection, words)
    if exact is not None:
        return [exact]
    matched = tables.members.c.short_name.icontains(words, autoescape=True)
    return list(connection.execute(query.where(matched | (tables.members.c.id == words))).scalars())
