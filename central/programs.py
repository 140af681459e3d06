"""Loyalty programs at the centre: published, signed, in force.

Owns which program a receipt is evaluated with. Never evaluates one.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from sqlalchemy import Connection, insert, select

from central.db import tables
from loyalty.program import Program, ProgramError, not_yet_at_centre, program_from_json, program_hash, program_json
from sync import base64url
from sync.wire import SignedProgram

# Programs kept decoded; a shop has one or two alive at a time.
_DECODED = 32


class PublishedProgram(Struct, frozen=True, kw_only=True):
    hash: str
    program: Program


def publish(connection: Connection, program: Program, key: Ed25519PrivateKey, now: datetime) -> str:
    """Put a program in force; returns its hash. Publishing an earlier one again brings it back.

    Raises ProgramError for one whose rules need what the centre does not keep yet: none is left out silently.
    """
    unkept = not_yet_at_centre(program)
    if unkept:
        raise ProgramError(
            f"{', '.join(unkept)}: the centre does not evaluate this yet; take it out to publish the program "
            "(`tillside evaluate` shows already what it gives)"
        )
    document, hashed = program_json(program), program_hash(program)
    known = connection.execute(
        select(tables.programs.c.hash).where(tables.programs.c.hash == hashed)
    ).scalar_one_or_none()
    if known is None:
        signature = base64url.encoded(key.sign(document))
        connection.execute(insert(tables.programs).values(hash=hashed, document=document, signature=signature))
    connection.execute(insert(tables.publications).values(program=hashed, published_at=now))
    return hashed


def hash_in_force(connection: Connection) -> str | None:
    return connection.execute(
        select(tables.publications.c.program).order_by(tables.publications.c.id.desc()).limit(1)
    ).scalar_one_or_none()


def program_in_force(connection: Connection) -> PublishedProgram | None:
    hashed = hash_in_force(connection)
    return None if hashed is None else published(connection, hashed)


def published(connection: Connection, hashed: str) -> PublishedProgram | None:
    """The program with this hash, if it was ever published here."""
    document = connection.execute(
        select(tables.programs.c.document).where(tables.programs.c.hash == hashed)
    ).scalar_one_or_none()
    return None if document is None else PublishedProgram(hash=hashed, program=_decoded(document))


def signed_program(connection: Connection, hashed: str) -> SignedProgram | None:
    row = connection.execute(select(tables.programs).where(tables.programs.c.hash == hashed)).one_or_none()
    if row is None:
        return None
    return SignedProgram(hash=row.hash, program=row.document.decode(), signature=row.signature)


@lru_cache(maxsize=_DECODED)
def _decoded(document: bytes) -> Program:
    return program_from_json(document)
