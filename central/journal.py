"""What a backup of the database does not take back: who was let in by which code, shut out, moved, or erased.

Owns the file beside the database, one JSON line for each, synced before the answer goes out; putting all of it into
a database that may be older than it; and finding what a database knows that it lacks, as when a process was killed
between the two. A line is never changed or removed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, insert, select, update

from central import devices, erasing, operations
from central.db import tables
from central.enrolling import token_hash
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

    def note(self, *facts: Fact) -> None:
        """Durable when this returns, all of them or none. Raises FolderError.

        Two processes may write at once: each waits for the other, so that what one takes back is its own.
        """
        # A line that a crash cut short ends where this one begins.
        lines = b"".join(b"\n" + msgspec.json.encode(fact) + b"\n" for fact in facts)
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _append(descriptor, lines)
            finally:
                os.close(descriptor)
            sync_folder(self.path.parent)
        except OSError as error:
            raise FolderError(
                f"{self.path} cannot be written ({error.strerror}), so that a restored backup would forget this; "
                "correct that, and do the same again"
            ) from error

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


def _append(descriptor: int, content: bytes) -> None:
    """All of it, or nothing: a full disk takes a part without an error. The caller has the file to itself."""
    end = os.fstat(descriptor).st_size
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, end)
        raise


def missing(connection: Connection, facts: Iterable[Fact], now: datetime) -> tuple[Fact, ...]:
    """What a database knows and these facts do not tell.

    A process that is killed after its commit leaves such; whoever asked for it had no answer, and may not ask again.
    """
    tokens: set[str] = set()
    revoked: set[str] = set()
    members: set[str] = set()
    places: dict[str, tuple[str, str]] = {}
    for fact in facts:
        match fact:
            case Enrolled():
                tokens.add(fact.token_hash)
                places[fact.device] = (fact.store, fact.register)
            case Revoked():
                revoked.add(fact.device)
            case Moved():
                places[fact.device] = (fact.store, fact.register)
            case Erased():
                members.add(fact.member)
    codes, registers = tables.enrolments, tables.devices
    let_in = select(codes.c.token_hash, codes.c.used_at, registers).join(registers, registers.c.id == codes.c.device)
    found: list[Fact] = []
    for row in connection.execute(let_in.order_by(codes.c.used_at)):
        here = (row.store, row.register)
        place = {"device": row.id, "store": row.store, "register": row.register}
        if row.token_hash not in tokens:
            found.append(Enrolled(at=row.used_at, token_hash=row.token_hash, public_key=row.public_key, **place))
        elif places.get(row.id, here) != here:
            found.append(Moved(at=now, **place))
        if row.revoked_at is not None and row.id not in revoked:
            found.append(Revoked(at=row.revoked_at, device=row.id))
    found += [erased(one) for one in erasing.every(connection) if one.member not in members]
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
        token_hash=token_hash(token),
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
