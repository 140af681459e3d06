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
from msgspec.structs import replace

from loyalty.allowances import Draw
from loyalty.identification import MemberKind
from loyalty.ledger import LedgerEntry
from loyalty.member import MAX_POINTS
from loyalty.receipt import AwareDatetime, MemberReference, Receipt
from loyalty.receipt import Entry as Entered

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
Stamp = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}-[0-9a-f]{8}$")]
"""A reading of a hybrid logical clock (`sync.hlc`)."""

MemberId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
FieldName = Literal["short_name", "language", "note", "phone", "email", "address", "birth_date"]
"""What is told of a person. All but the first three stay at the centre."""
ConsentChannel = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
ConsentState = Literal["granted", "withdrawn"]
FieldValue = Annotated[str, Meta(min_length=1, max_length=500)]
TextVersion = Annotated[str, Meta(max_length=64)]
# Of a join, and of one edit.
MAX_CODES = 8
MAX_CHANNELS = 16
# Of an entry in its epoch: what 64 bits with a sign hold.
MAX_SEQ = 2**63 - 1
# Of an erasure: what 32 bits with a sign hold.
MAX_ERASURE = 2**31 - 1
# Allowances that one redemption draws from.
MAX_DRAWS = 64
# Rewards that one redemption gives at once.
MAX_TIMES = 10**6
# Of a release.
MAX_BECAUSE_CHARS = 200


class Entry(Struct, frozen=True, kw_only=True):
    """One numbered entry of a register's outbox.

    `seq` starts at 1 in each epoch. `key` is the idempotency key (for a receipt, its own). `kind` is an
    EntryKind; it is a plain text here so that an unknown one can be quarantined instead of breaking a
    batch. `wall` is the register's clock. `body` is the JSON exactly as hashed. An entry whose body does not travel,
    or is no more, has `digest` in the place of `salt` and `body`; its place in the chain is the same.
    """

    seq: Annotated[int, Meta(ge=0, le=MAX_SEQ)]
    key: str
    kind: str
    hlc: str
    wall: AwareDatetime
    salt: Salt | UnsetType = UNSET
    body: Raw | UnsetType = UNSET
    digest: HexDigest | UnsetType = UNSET

    def __post_init__(self) -> None:
        whole = self.salt is not UNSET and self.body is not UNSET
        if whole == (self.digest is not UNSET) or (self.salt is UNSET) != (self.body is UNSET):
            raise ValueError("an entry has salt and body, or their digest")

    @property
    def body_digest(self) -> bytes:
        """SHA-256(salt ‖ body), 32 bytes."""
        if self.salt is UNSET or self.body is UNSET:
            return bytes.fromhex(self.digest or "")
        return body_digest(self.salt, bytes(self.body))

    @property
    def json(self) -> bytes:
        """The body as hashed; empty where the entry has its digest only."""
        return b"" if self.body is UNSET else bytes(self.body)

    def without_body(self) -> Entry:
        """The same with its digest in the place of the body."""
        return replace(self, salt=UNSET, body=UNSET, digest=self.body_digest.hex())


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


class ToldValue(Struct, frozen=True, kw_only=True):
    """One field as somebody told it at `hlc`; null takes it away. `seen` is the stamp of the value they were shown."""

    value: FieldValue | None
    hlc: Stamp
    seen: Stamp | UnsetType = UNSET


class ToldConsent(Struct, frozen=True, kw_only=True):
    """What a person said to being written to on one channel, shown the text of `text_version`.

    `seen` is the stamp of the consent that the register showed: a grant counts only if it saw the latest withdrawal.
    `operator` is who asked.
    """

    channel: ConsentChannel
    state: ConsentState
    text_version: TextVersion
    seen: Stamp | UnsetType = UNSET
    operator: TextVersion | UnsetType = UNSET


class ToldCode(Struct, frozen=True, kw_only=True):
    """A code that names a member from now on."""

    kind: MemberKind
    code: Annotated[str, Meta(min_length=1, max_length=255)]


class JoinBody(Struct, frozen=True, kw_only=True):
    """Body of `join`: somebody joined at this register, under an id that it made and that names them for ever.

    The centre finds out whether it knows them already, by any of `codes`.
    """

    provisional_id: MemberId
    fields: dict[FieldName, ToldValue] = {}
    consent: Annotated[tuple[ToldConsent, ...], Meta(max_length=MAX_CHANNELS)] = ()
    codes: Annotated[tuple[ToldCode, ...], Meta(max_length=MAX_CODES)] = ()


class ProfileBody(Struct, frozen=True, kw_only=True):
    """Body of `profile`: fields of a member as they were told at this register."""

    member: MemberId
    fields: dict[FieldName, ToldValue]


class ConsentBody(ToldConsent, frozen=True, kw_only=True):
    """Body of `consent`: the same of a known member."""

    member: MemberId


class AliasBody(Struct, frozen=True, kw_only=True):
    """Body of `alias`: `code` is one more code of a member; with `of`, one more number of that card."""

    member: MemberId
    code: ToldCode
    of: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET


class RedeemBody(Struct, frozen=True, kw_only=True):
    """Body of `redeem`: a reward was given, under the entry's key for ever; whatever the centre thinks, it was.

    `receipt` is the key of the sale that shows it; absent where none came. `points` are what it cost in all, `drawn`
    what of them was set aside for this register; the rest went by the balance. `program` is the hash it was offered by.
    `voucher` is the id of the one that brought it, of those that a centre issued; then `drawn` are uses of that.
    """

    member: MemberId
    reward: Annotated[str, Meta(min_length=1, max_length=48)]
    times: Annotated[int, Meta(ge=1, le=MAX_TIMES)]
    points: Annotated[int, Meta(ge=0, le=MAX_POINTS)]
    discount_minor: Annotated[int, Meta(ge=0, le=MAX_POINTS)]
    drawn: Annotated[tuple[Draw, ...], Meta(max_length=MAX_DRAWS)] = ()
    voucher: HexDigest | UnsetType = UNSET
    receipt: str | UnsetType = UNSET
    program: HexDigest | UnsetType = UNSET
    at: AwareDatetime
    entry_method: Entered | UnsetType = UNSET
    operator: TextVersion | UnsetType = UNSET


class ReleaseBody(Struct, frozen=True, kw_only=True):
    """Body of `release`: the redemption with the key `target` did not take place after all; its points come back."""

    target: str
    because: Annotated[str, Meta(max_length=MAX_BECAUSE_CHARS)] = ""


class AllowanceReturnBody(Struct, frozen=True, kw_only=True):
    """Body of `allowance_return`: the register spends nothing more of this allowance; `points` were not spent.

    Of a voucher they are its uses.
    """

    allowance: Annotated[str, Meta(min_length=1, max_length=64)]
    points: Annotated[int, Meta(ge=0, le=MAX_POINTS)]


class ErasedBody(Struct, frozen=True, kw_only=True):
    """Body of `erased`: nothing of this member is at the register any more; `erasure` is its number at the centre."""

    member: MemberId
    erasure: Annotated[int, Meta(ge=1, le=MAX_ERASURE)]


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
    return hashlib.sha256(
        previous
        + struct.pack(">Q", entry.seq)
        + _text(entry.key)
        + _text(entry.kind)
        + _text(entry.hlc)
        + _text(wall_text(entry.wall))
        + entry.body_digest
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
