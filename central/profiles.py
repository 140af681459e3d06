"""What was told of members at tills and at the centre: fields of their profile, and their consent.

Owns the rows of `profile_fields` and `consents`, and what of them a register may hold. How tellings are merged,
`central.profile_merge` says. Never makes a member, and never touches cards or points.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, delete, insert, select, update

from central.cards import AT_ONCE
from central.db import tables
from central.db.sets import among
from central.devices import Device
from central.profile_merge import Channel, Told, ToldGrant, bounded, channel_of, counted, later, merged, placed
from loyalty.member import Consent
from sync.hlc import Hlc, milliseconds
from sync.records import Entry, FieldName, ToldConsent, ToldValue, wall_text

# The centre tells as this node of the hybrid clock; no register has it.
CENTRE_NODE = "00000000"
# Fields that are columns of `members`, too, since rows and evaluations are made of these.
_COLUMNS = ("short_name", "language")
# What a register may hold of the fields, besides the columns.
_SHOWN: tuple[FieldName, ...] = ("short_name", "language", "note", "phone")
# Of `Member.note`: a line at a till.
NOTE_CHARS = 200


class Shown(Struct, frozen=True, kw_only=True):
    """What a register may hold of a member's profile."""

    note: str = ""
    consents: tuple[Consent, ...] = ()
    stamps: dict[str, str] = {}


class Source(Struct, frozen=True, kw_only=True):
    """Where something was said: by an entry of a register, or on the centre's join page, which has no `device`.

    `key` names the telling for ever; `hlc` and `wall` are of the clocks there.
    """

    key: str
    hlc: str
    wall: datetime
    store: str
    device: str = ""
    register: str = ""

    @classmethod
    def of_entry(cls, entry: Entry, device: Device) -> Source:
        return cls(
            key=entry.key,
            hlc=entry.hlc,
            wall=entry.wall,
            store=device.store,
            device=device.id,
            register=device.register,
        )

    @classmethod
    def here(cls, key: str, store: str, now: datetime) -> Source:
        """Said at the centre itself, by somebody who was at `store`."""
        return cls(key=key, hlc=_stamp(now), wall=now, store=store)


_NOTHING = Shown()


def tell(
    connection: Connection, member: str, fields: Mapping[FieldName, ToldValue], entry: Entry, now: datetime
) -> set[str]:
    """Take in fields as an entry tells them; returns those that are another now."""
    known = {row.field: _told(row) for row in _fields(connection, [member])}
    changed: set[str] = set()
    for name, value in fields.items():
        hlc = counted(value.hlc, value.seen or None, now, entry.wall)
        told = Told(value=value.value, hlc=hlc, told=value.hlc, key=entry.key)
        before = known.get(name)
        if before is not None and later(before, told) == before:
            continue
        _keep(connection, member, name, told)
        if before is None or before.value != told.value:
            changed.add(name)
    return changed


def tell_here(connection: Connection, members: Mapping[str, Mapping[FieldName, str]], now: datetime) -> None:
    """The same told at the centre, which counts from now on."""
    stamp = _stamp(now)
    known = {(row.member, row.field): row for row in _fields(connection, list(members))}
    new: list[dict[str, Any]] = []
    for member, fields in members.items():
        for name, value in fields.items():
            before = known.get((member, name))
            if before is None:
                new.append(_row(member, name, Told(value=value or None, hlc=stamp, told=stamp, key="centre")))
            elif before.value != (value or None):
                hlc = counted(stamp, before.hlc or None, now, now)
                _keep(connection, member, name, Told(value=value or None, hlc=hlc, told=stamp, key="centre"))
    if new:
        connection.execute(insert(tables.profile_fields), new)


def keep_consents(
    connection: Connection, member: str, told: Sequence[ToldConsent], source: Source, now: datetime
) -> None:
    """Keep what was said to being written to: who, when, where, and shown which text."""
    known: defaultdict[str, list[ToldGrant]] = defaultdict(list)
    for row in _of_members(connection, tables.consents, [member]) if told else ():
        known[row.channel].append(_grant(row))
    rows = []
    for one in told:
        counts = _placed(one, source, known[one.channel], now)
        known[one.channel].append(counts)
        rows.append(
            {
                "member": member,
                "channel": one.channel,
                **{name: getattr(counts, name) for name in counts.__struct_fields__},
                "device": source.device,
                "store": source.store,
                "register": source.register,
                "operator": one.operator or None,
                "told_at": wall_text(source.wall),
                "received_at": now,
            }
        )
    if rows:
        connection.execute(insert(tables.consents), rows)


def _placed(told: ToldConsent, source: Source, known: Sequence[ToldGrant], now: datetime) -> ToldGrant:
    seen = told.seen or None
    grant = ToldGrant(
        state=told.state,
        hlc=counted(source.hlc, seen, now, source.wall),
        seen=bounded(seen, source.hlc, now, source.wall) if seen else "",
        told=source.hlc,
        key=source.key,
        text_version=told.text_version,
    )
    return placed(grant, known)


def consented(connection: Connection, member: str, key: str) -> bool:
    """Whether this entry's consent is kept already."""
    table = tables.consents.c
    return connection.execute(select(table.key).where(table.member == member, table.key == key)).first() is not None


def value_of(connection: Connection, member: str, field: FieldName) -> str | None:
    table = tables.profile_fields.c
    found: str | None = connection.execute(
        select(table.value).where(table.member == member, table.field == field)
    ).scalar_one_or_none()
    return found


def evidence(connection: Connection, member: str) -> Sequence[Row[Any]]:
    """All that was said to being written to, in the order in which it came."""
    table = tables.consents
    query = select(table).where(table.c.member == member).order_by(table.c.received_at, table.c.told, table.c.channel)
    return connection.execute(query).all()


def shown(connection: Connection, members: Sequence[str]) -> dict[str, Shown]:
    """What registers may hold of each of these."""
    fields: defaultdict[str, dict[str, Row[Any]]] = defaultdict(dict)
    for row in _fields(connection, members):
        fields[row.member][row.field] = row
    channels: defaultdict[str, defaultdict[str, Channel]] = defaultdict(lambda: defaultdict(Channel))
    for row in _of_members(connection, tables.consents, members):
        channels[row.member][row.channel] = merged(channels[row.member][row.channel], channel_of(_grant(row)))
    found = {member: _shown(fields[member], channels[member]) for member in {*fields, *channels}}
    return {member: found.get(member, _NOTHING) for member in members}


def move(connection: Connection, source: str, target: str) -> None:
    """What was told of `source` was told of `target`: their profiles and consents are one from now on."""
    known = {row.field: _told(row) for row in _fields(connection, [target])}
    for row in _fields(connection, [source]):
        told, before = _told(row), known.get(row.field)
        if before is None or later(before, told) == told:
            _keep(connection, target, row.field, told)
    connection.execute(delete(tables.profile_fields).where(tables.profile_fields.c.member == source))
    connection.execute(update(tables.consents).where(tables.consents.c.member == source).values(member=target))


def forget(connection: Connection, member: str) -> None:
    """Nothing that was told of a member is kept but that they consented, or did not any more."""
    connection.execute(delete(tables.profile_fields).where(tables.profile_fields.c.member == member))


def _shown(fields: Mapping[str, Row[Any]], channels: Mapping[str, Channel]) -> Shown:
    note = fields["note"].value if "note" in fields else None
    consents = [
        Consent(channel=name, state=current.state, text_version=current.text_version, hlc=channel.stamp)
        for name, channel in sorted(channels.items())
        if (current := channel.current) is not None
    ]
    stamps: dict[str, str] = {name: fields[name].hlc for name in _SHOWN if name in fields and fields[name].hlc}
    return Shown(note=(note or "")[:NOTE_CHARS], consents=tuple(consents), stamps=stamps)


def _keep(connection: Connection, member: str, name: str, told: Told) -> None:
    table = tables.profile_fields
    connection.execute(delete(table).where(table.c.member == member, table.c.field == name))
    connection.execute(insert(table).values(_row(member, name, told)))
    if name in _COLUMNS:
        members = tables.members
        connection.execute(update(members).where(members.c.id == member).values({name: _fitting(name, told.value)}))


def _stamp(now: datetime) -> str:
    return Hlc(ms=milliseconds(now), counter=0, node=CENTRE_NODE).text


def _fitting(name: str, value: str | None) -> str | None:
    """As much as a register shows."""
    return value[: 80 if name == "short_name" else 16] if value else None


def _row(member: str, name: str, told: Told) -> dict[str, Any]:
    return {"member": member, "field": name, "value": told.value, "hlc": told.hlc, "told": told.told, "key": told.key}


def _told(row: Row[Any]) -> Told:
    return Told(value=row.value, hlc=row.hlc, told=row.told, key=row.key)


def _grant(row: Row[Any]) -> ToldGrant:
    return ToldGrant(
        state=row.state, hlc=row.hlc, seen=row.seen, told=row.told, key=row.key, text_version=row.text_version
    )


def _fields(connection: Connection, members: Sequence[str]) -> Iterable[Row[Any]]:
    return _of_members(connection, tables.profile_fields, members)


def _of_members(connection: Connection, table: Any, members: Sequence[str]) -> Iterable[Row[Any]]:
    for start in range(0, len(members), AT_ONCE):
        some = among(table.c.member, members[start : start + AT_ONCE])
        yield from connection.execute(select(table).where(some)).all()
