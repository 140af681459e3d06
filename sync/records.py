"""The entries a register writes, and the hash chain that binds them.

Owns the closed list of entry kinds, the shape of each body and the chain. An entry is immutable once
written: a correction is another entry with a `target`.
"""

from __future__ import annotations

import hashlib
import struct
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from loyalty.ledger import LedgerEntry
from loyalty.receipt import AwareDatetime, MemberReference, Receipt

EntryKind = Literal[
    "receipt",
    "attach",
    "detach",
    "void",
    "correct",
    "redeem",
    "release",
    "join",
    "profile",
    "consent",
    "alias",
    "allowance_return",
    "erased",
    "signal",
]
HexDigest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Salt = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]


class Entry(Struct, frozen=True, kw_only=True):
    """One numbered entry of a register's outbox.

    `seq` starts at 1 in each epoch. `key` is the idempotency key (for a receipt, its own). `kind` is an
    EntryKind; it is a plain text here so that an unknown one can be quarantined instead of breaking a
    batch. `wall` is the register's clock. `body` is the JSON exactly as hashed.
    """

    seq: int
    key: str
    kind: str
    hlc: str
    wall: AwareDatetime
    salt: Salt
    body: Raw


class ReceiptBody(Struct, frozen=True, kw_only=True):
    """Body of `receipt`. `claims` are the register's own evaluation, shown as provisional.

    `member` is the centre's member id where the register knew it; the code that was seen stands in
    `receipt.member`. `program` is the hash evaluated with, `as_of` the feed position of the member row.
    """

    receipt: Receipt
    member: str | UnsetType = UNSET
    claims: tuple[LedgerEntry, ...] = ()
    program: str | UnsetType = UNSET
    as_of: int | UnsetType = UNSET


class AttachBody(Struct, frozen=True, kw_only=True):
    """Body of `attach`: the member belongs to the receipt with key `target`."""

    target: str
    member: MemberReference


class CorrectBody(Struct, frozen=True, kw_only=True):
    """Body of `correct`: how the receipt with key `target`, which earned nothing, reads now that it is read right.

    `reading` is whole, as a `receipt` entry would have it, under the target's key.
    """

    target: str
    reading: ReceiptBody


class SignalBody(Struct, frozen=True, kw_only=True):
    """Body of `signal`: something happened at the register that is no transaction."""

    what: str
    member: MemberReference | UnsetType = UNSET


def chain_start(device: str, epoch: str) -> bytes:
    """h₀ of an epoch: SHA-256 over a label, the device and the epoch, so that no two chains share a start."""
    return hashlib.sha256(b"tillside-chain-1" + _text(device) + _text(epoch)).digest()


def chain_next(previous: bytes, entry: Entry) -> bytes:
    """hₙ = SHA-256(hₙ₋₁ ‖ seq, key, kind, hlc, wall, SHA-256(salt ‖ body)).

    `seq` is 8 bytes big-endian; a text is its UTF-8 length in 4 bytes big-endian and then itself; `wall`
    is its RFC 3339 text as `wall_text` writes it; the last part is the 32-byte digest.
    """
    digest = body_digest(entry.salt, bytes(entry.body))
    return hashlib.sha256(
        previous
        + struct.pack(">Q", entry.seq)
        + _text(entry.key)
        + _text(entry.kind)
        + _text(entry.hlc)
        + _text(wall_text(entry.wall))
        + digest
    ).digest()


def body_digest(salt: str, body: bytes) -> bytes:
    """SHA-256(salt ‖ body): what stays of a body after its erasure."""
    return hashlib.sha256(bytes.fromhex(salt) + body).digest()


def wall_text(wall: datetime) -> str:
    """The one text form of a wall time, as JSON carries it."""
    return msgspec.json.encode(wall).decode().strip('"')


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">I", len(encoded)) + encoded
