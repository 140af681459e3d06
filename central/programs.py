"""Loyalty programs at the centre: published, signed, in force from when.

Owns which program a moment falls to. Never evaluates one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET, Struct
from sqlalchemy import Connection, func, insert, select, update

from central.db import tables
from loyalty.program import (
    Program,
    ProgramError,
    program_from_json,
    program_hash,
    program_json,
    unknown_tiers,
)
from loyalty.schedule import in_force_at
from sync import base64url
from sync.wire import MAX_ANNOUNCED, AnnouncedProgram, SignedProgram

# Programs kept decoded; a shop has a few alive at a time.
_DECODED = 32
# Programs that wait for their time. With the one in force and some before it they fit into what a register is told.
MAX_PLANNED = 8


class PublishedProgram(Struct, frozen=True, kw_only=True):
    hash: str
    program: Program


class Scheduled(NamedTuple):
    """A program and from when it holds; None for all that was before the next one."""

    valid_from: datetime | None
    hash: str
    program: Program


class Publication(Struct, frozen=True, kw_only=True):
    """That a program was published, and from when it holds."""

    valid_from: datetime | None
    hash: str
    published_at: datetime


class Head(Struct, frozen=True, kw_only=True):
    """What is shown of a program, which this version may not be able to read otherwise."""

    program: str
    time_zone: str = "UTC"


def publish(
    connection: Connection,
    program: Program,
    key: Ed25519PrivateKey,
    now: datetime,
    valid_from: datetime | None = None,
) -> str:
    """Put a program in force, now or at the time `valid_from`; returns its hash.

    Publishing an earlier one again brings it back. One that holds from the same time as another takes its place. The
    first that is put in force at once holds for all that was before, too. Raises ProgramError for one that asks
    for a tier that it does not have, for a time that is past, and for too many planned.
    """
    for wrong in unknown_tiers(program):
        raise ProgramError(wrong)
    known = publications(connection)
    if valid_from is not None:
        _check_time(known, valid_from, now)
    elif in_force_at(known, now) is not None:
        valid_from = now
    document, hashed = program_json(program), program_hash(program)
    if signed_program(connection, hashed) is None:
        signature = base64url.encoded(key.sign(document))
        connection.execute(insert(tables.programs).values(hash=hashed, document=document, signature=signature))
    connection.execute(insert(tables.publications).values(program=hashed, published_at=now, valid_from=valid_from))
    return hashed


def _check_time(known: Sequence[Publication], valid_from: datetime, now: datetime) -> None:
    if valid_from <= now:
        raise ProgramError(
            f"{valid_from.isoformat(timespec='minutes')} is past: name a time to come, or publish without a time to "
            "put the program in force now"
        )
    planned = [one for one in known if _is_planned(one, now) and one.valid_from != valid_from]
    if len(planned) >= MAX_PLANNED:
        raise ProgramError(
            f"{MAX_PLANNED} programs wait for their time already: withdraw one first (`tillside-central program show` "
            "lists them)"
        )


def withdraw(connection: Connection, named: str, now: datetime) -> tuple[Publication, ...]:
    """Take back a program that waits for its time, named by its hash or by how that begins.

    Returns the publications that were taken back. Raises ProgramError where no one program that waits is meant.
    """
    waiting = [one for one in publications(connection) if _is_planned(one, now)]
    meant = tuple(one for one in waiting if named and one.hash.startswith(named))
    if len({one.hash for one in meant}) != 1:
        raise ProgramError(
            f"{named!r} names {'several programs' if meant else 'no program'} that wait for their time; "
            "`tillside-central program show` lists them. To end one that is in force, publish another"
        )
    times = {one.valid_from for one in meant}
    rows = tables.publications
    connection.execute(
        update(rows).where(rows.c.valid_from.in_(times), rows.c.withdrawn_at.is_(None)).values(withdrawn_at=now)
    )
    return meant


def _is_planned(one: Publication, now: datetime) -> bool:
    return one.valid_from is not None and one.valid_from > now


def publications(connection: Connection) -> tuple[Publication, ...]:
    """All that hold or held or will, in order of time; of several from one time the last one published."""
    rows = tables.publications
    found = connection.execute(select(rows).where(rows.c.withdrawn_at.is_(None)).order_by(rows.c.id))
    by_time = {
        row.valid_from: Publication(valid_from=row.valid_from, hash=row.program, published_at=row.published_at)
        for row in found
    }
    first = [one for one in by_time.values() if one.valid_from is None]
    dated = [(one.valid_from, one) for one in by_time.values() if one.valid_from is not None]
    return (*first, *(one for _, one in sorted(dated, key=lambda pair: pair[0])))


def schedule(connection: Connection) -> tuple[Scheduled, ...]:
    """Every program that holds, held or will, in order of time."""
    known = publications(connection)
    documents = tables.programs
    rows = connection.execute(
        select(documents.c.hash, documents.c.document).where(documents.c.hash.in_({one.hash for one in known}))
    )
    decoded = {row.hash: _decoded(row.document) for row in rows}
    return tuple(Scheduled(one.valid_from, one.hash, decoded[one.hash]) for one in known)


def heads(connection: Connection) -> tuple[tuple[Publication, Head], ...]:
    """Every publication that holds, held or will, in order of time, with its program's name and zone."""
    documents = tables.programs
    known = publications(connection)
    rows = connection.execute(
        select(documents.c.hash, documents.c.document).where(documents.c.hash.in_({one.hash for one in known}))
    )
    read = {row.hash: msgspec.json.decode(row.document, type=Head) for row in rows}
    return tuple((one, read[one.hash]) for one in known)


def zone(connection: Connection) -> ZoneInfo:
    """That of the newest program: in which shops read times."""
    known = heads(connection)
    return ZoneInfo(known[-1][1].time_zone if known else "UTC")


def announced(connection: Connection) -> tuple[AnnouncedProgram, ...]:
    """What registers are told: the newest programs in order of time, as many as they may be told."""
    newest = publications(connection)[-MAX_ANNOUNCED:]
    return tuple(AnnouncedProgram(program=one.hash, valid_from=one.valid_from or UNSET) for one in newest)


def hash_in_force(connection: Connection, at: datetime) -> str | None:
    found = in_force_at(publications(connection), at)
    return None if found is None else found.hash


def program_in_force(connection: Connection, at: datetime) -> PublishedProgram | None:
    """The program that holds at a moment."""
    hashed = hash_in_force(connection, at)
    return None if hashed is None else published(connection, hashed)


def published(connection: Connection, hashed: str) -> PublishedProgram | None:
    """The program with this hash, if it was ever published here."""
    document = connection.execute(
        select(tables.programs.c.document).where(tables.programs.c.hash == hashed)
    ).scalar_one_or_none()
    return None if document is None else PublishedProgram(hash=hashed, program=_decoded(document))


def newest_first(connection: Connection) -> Iterator[Program]:
    """Every program that was ever published here, also one that was withdrawn or replaced; the last one first."""
    rows, documents = tables.publications, tables.programs
    query = select(documents.c.hash).join(rows, rows.c.program == documents.c.hash)
    latest = query.group_by(documents.c.hash).order_by(func.max(rows.c.id).desc())
    for hashed in connection.execute(latest).scalars().all():
        found = published(connection, hashed)
        if found is not None:
            yield found.program


def published_hashes(connection: Connection) -> frozenset[str]:
    """All programs that were ever published here."""
    return frozenset(connection.execute(select(tables.programs.c.hash)).scalars())


def signed_program(connection: Connection, hashed: str) -> SignedProgram | None:
    row = connection.execute(select(tables.programs).where(tables.programs.c.hash == hashed)).one_or_none()
    if row is None:
        return None
    return SignedProgram(hash=row.hash, program=row.document.decode(), signature=row.signature)


@lru_cache(maxsize=_DECODED)
def _decoded(document: bytes) -> Program:
    return program_from_json(document)
