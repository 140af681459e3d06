"""What a backup of the database does not take back: who was let in by which code, shut out, moved, or erased.

Owns the file beside the database, one JSON line for each, synced before the answer goes out; and putting all of it into
a database that may be older than it. A line is never changed or removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, insert, select, update

from central import devices, operations
from central.db import tables
from central.folder import FolderError
from loyalty.receipt import AwareDatetime
from loyalty.undecodable import UNDECODABLE
from sync.durable import sync_folder
from sync.wire import Erasure


class Enrolled(Struct, frozen=True, kw_only=True, tag_field="what", tag="enrolled"):
    """A code was used: its token is spent for ever, and this register has a key."""

    at: AwareDatetime
    token_hash: str
    device: str
    store: str
    register: str
    public_key: str


class Revoked(Struct, frozen=True, kw_only=True, tag_field="what", tag="revoked"):
    at: AwareDatetime
    device: str


class Moved(Struct, frozen=True, kw_only=True, tag_field="what", tag="moved"):
    at: AwareDatetime
    device: str
    store: str
    register: str


class Erased(Struct, frozen=True, kw_only=True, tag_field="what", tag="erased"):
    """Nothing that tells who the member is may come back; of the codes there are digests only."""

    at: AwareDatetime
    number: int
    member: str
    aliases: tuple[str, ...]
    codes: tuple[str, ...]


Fact = Enrolled | Revoked | Moved | Erased


class Journal:
    """`journal.jsonl` in the data folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, fact: Fact) -> None:
        """Durable when this returns. Two processes may write at once: a line is one write to the end of the file."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # A line that a crash cut short ends where this one begins.
            os.write(descriptor, b"\n" + msgspec.json.encode(fact) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(self.path.parent)

    def facts(self) -> tuple[Fact, ...]:
        """All of them, oldest first; a line that was cut short was never answered for. Raises FolderError."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise FolderError(f"{self.path} cannot be read ({error.strerror}); correct that and try again") from error
        found: list[Fact] = []
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=Fact))
            except UNDECODABLE:
                continue
        return tuple(found)


def replay(connection: Connection, facts: Iterable[Fact]) -> None:
    """Let the database know all of them; what it knows already stays as it is."""
    for fact in facts:
        match fact:
            case Enrolled():
                _let_in(connection, fact)
            case Revoked():
                devices.revoke(connection, fact.device, fact.at)
            case Moved():
                devices.put_at(connection, fact.device, fact.store, fact.register)
            case Erased():
                operations.erase_again(connection, _erasure(fact))


def enrolled(device: devices.Device, token: str, now: datetime) -> Enrolled:
    return Enrolled(
        at=now,
        token_hash=devices.token_hash(token),
        device=device.id,
        store=device.store,
        register=device.register,
        public_key=device.public_key,
    )


def erased(erasure: Erasure) -> Erased:
    return Erased(
        at=erasure.erased_at,
        number=erasure.number,
        member=erasure.member,
        aliases=erasure.aliases,
        codes=erasure.codes,
    )


def _erasure(fact: Erased) -> Erasure:
    return Erasure(number=fact.number, member=fact.member, aliases=fact.aliases, codes=fact.codes, erased_at=fact.at)


def _let_in(connection: Connection, fact: Enrolled) -> None:
    codes, registers = tables.enrolments, tables.devices
    spent = {"used_at": fact.at, "device": fact.device}
    known = connection.execute(select(codes.c.used_at).where(codes.c.token_hash == fact.token_hash)).one_or_none()
    if known is None:
        place = {"store": fact.store, "register": fact.register, "created_at": fact.at, "expires_at": fact.at}
        connection.execute(insert(codes).values(token_hash=fact.token_hash, **place, **spent))
    elif known.used_at is None:
        connection.execute(update(codes).where(codes.c.token_hash == fact.token_hash).values(spent))
    if connection.execute(select(registers.c.id).where(registers.c.id == fact.device)).first() is None:
        connection.execute(
            insert(registers).values(
                id=fact.device,
                store=fact.store,
                register=fact.register,
                public_key=fact.public_key,
                enrolled_at=fact.at,
                version="",
                platform="",
            )
        )
