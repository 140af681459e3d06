"""What a register without a network and its centre tell each other by a member's telephone: an ask, and a grant.

Owns both as the text of a QR code: letters and digits alone, which take least room there and which a keyboard scanner
types. An ask is signed by the register's own key and sealed under the key that a centre shares with its registers, so
that whoever reads the address learns nothing. A grant is signed by the key that signs programs, and names nobody: whose
it is can be told by who has the key of codes. So is what it tells of a member whom the register does not know, for an
ask that names their card. Never says whether points may be spent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Annotated, Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta, Struct

from loyalty.undecodable import UNDECODABLE
from sync import base64url
from sync.signing import is_signed

# Both codes are read whole by a telephone, and by a till's imager from a telephone.
MAX_CODE_CHARS: Final = 700
# Bytes of randomness that tell an ask from all others.
NONCE_BYTES: Final = 16
# `drivers.scanning.grant_codes` knows it, too.
GRANT_PREFIX: Final = "TILLSIDE-GRANT:"
# Allowances in one grant, so that its picture stays small: those that were on their way to the register, and a new one.
MAX_PARTS: Final = 4
# Grants of one member by telephone in one outage, so that the picture of the next ask stays small.
MAX_HAS: Final = 8
# Of the name of a member whom the register does not know: first name and initial, in any letters.
MAX_NAME_CHARS: Final = 24
_MAX_CARD_CHARS: Final = 128
_MAX_SEALED_BYTES: Final = 256
_SIGNATURE_BYTES: Final = 64
_SEAL_NONCE_BYTES: Final = 12
_WHOSE_BYTES: Final = 12
# What is signed says what it is: neither is a request, a program, or the other.
_ASK_MARK: Final = b"tillside ask by telephone 1\n"
_GRANT_MARK: Final = b"tillside grant by telephone 1\n"
_TOLD_MARK: Final = b"tillside member by telephone 1\n"

Bytes16 = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
_Id = Annotated[bytes, Meta(min_length=1, max_length=130)]
_Points = Annotated[int, Meta(ge=1, le=10**14)]
_Balance = Annotated[int, Meta(ge=-(10**14), le=10**14)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]


class MalformedCodeError(ValueError):
    """A text is no code of this kind, or was not read whole."""


class Signer(Protocol):
    """An Ed25519 private key."""

    def sign(self, data: bytes, /) -> bytes: ...


class Ask(Struct, frozen=True, kw_only=True):
    """A register wants `points` of a member, who stands at it, in its live `epoch`.

    `after` is the number of the last allowance that it has heard of, and `has` are those of the member that it was
    granted so before and has heard of no other way. `through` is the last entry of its chain when it asked, `nonce` of
    this ask alone.

    Of a card that the register does not know it tells the `code`, in normal form, in place of member and points: whose
    it is the centre says, and how many points whoever asks.
    """

    device: str
    epoch: str
    member: str
    points: int
    after: int
    through: int
    nonce: bytes
    has: tuple[str, ...] = ()
    code: str = ""

    @property
    def allowance(self) -> str:
        """The id of what is set aside for it: one ask, asked as often as it may be, is one allowance."""
        named = f"{self.device}\0{self.epoch}\0{self.member}\0{self.points}\0".encode()
        if self.code:
            named += f"{self.code}\0".encode()
        return hashlib.sha256(_ASK_MARK + named + self.nonce).hexdigest()[:32]


class Part(Struct, frozen=True, kw_only=True):
    """An allowance of so many points."""

    allowance: str
    points: int


class Told(Struct, frozen=True, kw_only=True):
    """What a register that does not know a member is told of them, with the balance `at` a time in whole seconds.

    `spendable` is without what is set aside, as in the member's row.
    """

    member: str
    short_name: str
    tier: str
    confirmed: int
    pending: int
    spendable: int
    at: int


class Grant(Struct, frozen=True, kw_only=True):
    """What a device may spend in one epoch of the points of `whose` (`whose_points`), for the ask with that nonce.

    For an ask that names a card `whose` is of its code, and `sealed` tells of the member (`told_in`).
    """

    device: str
    epoch: str
    nonce: bytes
    whose: bytes
    parts: tuple[Part, ...]
    sealed: bytes = b""

    @property
    def points(self) -> int:
        return sum(part.points for part in self.parts)


class SignedAsk(Struct, frozen=True, kw_only=True):
    """An ask as it was read; nothing of it holds before its signature is checked."""

    ask: Ask
    document: bytes
    signature: bytes

    def is_by(self, public_key: str) -> bool:
        return _is_signed(_ASK_MARK + self.document, self.signature, public_key)


class _AskOnWire(Struct, frozen=True, array_like=True):
    device: _Id
    epoch: _Id
    member: Annotated[bytes, Meta(max_length=130)]
    points: _Count
    after: _Count
    through: _Count
    nonce: Bytes16
    has: Annotated[tuple[_Id, ...], Meta(max_length=MAX_HAS)] = ()
    code: Annotated[str, Meta(max_length=_MAX_CARD_CHARS)] = ""


class _PartOnWire(Struct, frozen=True, array_like=True):
    allowance: _Id
    points: _Points


class _GrantOnWire(Struct, frozen=True, array_like=True):
    device: _Id
    epoch: _Id
    nonce: Bytes16
    whose: Annotated[bytes, Meta(min_length=_WHOSE_BYTES, max_length=_WHOSE_BYTES)]
    parts: Annotated[tuple[_PartOnWire, ...], Meta(min_length=1, max_length=MAX_PARTS)]
    sealed: Annotated[bytes, Meta(max_length=_MAX_SEALED_BYTES)] = b""


class _ToldOnWire(Struct, frozen=True, array_like=True):
    member: _Id
    short_name: str
    tier: str
    confirmed: _Balance
    pending: _Balance
    spendable: _Balance
    at: _Count


def ask_code(ask: Ask, key: Signer, code_key: str, randomness: Callable[[int], bytes]) -> str:
    """The code of an ask, signed by the register's `key` and sealed under the centre's key of codes."""
    document = msgspec.msgpack.encode(
        _AskOnWire(
            device=_packed(ask.device),
            epoch=_packed(ask.epoch),
            member=_packed(ask.member) if ask.member else b"",
            points=ask.points,
            after=ask.after,
            through=ask.through,
            nonce=ask.nonce,
            has=tuple(map(_packed, ask.has)),
            code=ask.code,
        )
    )
    nonce = randomness(_SEAL_NONCE_BYTES)
    sealed = _seal(code_key).encrypt(nonce, key.sign(_ASK_MARK + document) + document, None)
    return _text(nonce + sealed)


def read_ask(code: str, code_key: str) -> SignedAsk:
    """Raises MalformedCodeError of what nobody with the key of codes sealed."""
    raw = _raw(code)
    try:
        plain = _seal(code_key).decrypt(raw[:_SEAL_NONCE_BYTES], raw[_SEAL_NONCE_BYTES:], None)
    except (InvalidTag, ValueError) as error:
        raise MalformedCodeError("no register of this centre made the code") from error
    signature, document = plain[:_SIGNATURE_BYTES], plain[_SIGNATURE_BYTES:]
    try:
        read = msgspec.msgpack.decode(document, type=_AskOnWire)
        ask = Ask(
            device=_unpacked(read.device),
            epoch=_unpacked(read.epoch),
            member=_unpacked(read.member) if read.member else "",
            points=read.points,
            after=read.after,
            through=read.through,
            nonce=read.nonce,
            has=tuple(map(_unpacked, read.has)),
            code=read.code,
        )
    except (*UNDECODABLE, ValueError) as error:
        raise MalformedCodeError("this is no ask") from error
    if bool(ask.code) == bool(ask.member) or bool(ask.member) != bool(ask.points):
        raise MalformedCodeError("it names neither a member with points nor a card alone")
    return SignedAsk(ask=ask, document=document, signature=signature)


def grant_code(grant: Grant, key: Signer) -> str:
    """The code of a grant, signed by the key that signs programs."""
    document = msgspec.msgpack.encode(
        _GrantOnWire(
            device=_packed(grant.device),
            epoch=_packed(grant.epoch),
            nonce=grant.nonce,
            whose=grant.whose,
            parts=tuple(_PartOnWire(allowance=_packed(one.allowance), points=one.points) for one in grant.parts),
            sealed=grant.sealed,
        )
    )
    return GRANT_PREFIX + _text(key.sign(_GRANT_MARK + document) + document)


def read_grant(text: str, public_key: str) -> Grant:
    """What the centre whose programs `public_key` proves granted. Raises MalformedCodeError of everything else."""
    if not text.startswith(GRANT_PREFIX):
        raise MalformedCodeError("this is no grant")
    raw = _raw(text.removeprefix(GRANT_PREFIX).strip())
    signature, document = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not _is_signed(_GRANT_MARK + document, signature, public_key):
        raise MalformedCodeError("it was not read whole, or another centre's key signed it")
    try:
        read = msgspec.msgpack.decode(document, type=_GrantOnWire)
        parts = tuple(Part(allowance=_unpacked(one.allowance), points=one.points) for one in read.parts)
        device, epoch = _unpacked(read.device), _unpacked(read.epoch)
    except (*UNDECODABLE, ValueError) as error:
        raise MalformedCodeError("this version cannot read the grant") from error
    return Grant(device=device, epoch=epoch, nonce=read.nonce, whose=read.whose, parts=parts, sealed=read.sealed)


def whose_points(member: str, code_key: str) -> bytes:
    """What stands for a member in a grant, which anybody may see."""
    return hmac.digest(bytes.fromhex(code_key), _GRANT_MARK + member.encode(), "sha256")[:_WHOSE_BYTES]


def whose_card(code: str, code_key: str) -> bytes:
    """What stands in a grant for a card that the register does not know, by its code in normal form."""
    return hmac.digest(bytes.fromhex(code_key), _TOLD_MARK + b"code\0" + code.encode(), "sha256")[:_WHOSE_BYTES]


def seal_told(told: Told, nonce: bytes, code_key: str) -> bytes:
    """What a grant tells of a member, for the ask with that nonce; only who has the key of codes can read it.

    The nonce of the cipher follows from what is sealed, so that the same ask answered with another balance has another.
    """
    document = msgspec.msgpack.encode(
        _ToldOnWire(
            member=_packed(told.member),
            short_name=told.short_name[:MAX_NAME_CHARS],
            tier=told.tier,
            confirmed=told.confirmed,
            pending=told.pending,
            spendable=told.spendable,
            at=told.at,
        )
    )
    own = hmac.digest(_told_key(code_key), b"nonce\0" + nonce + document, "sha256")[:_SEAL_NONCE_BYTES]
    return own + AESGCM(_told_key(code_key)).encrypt(own, document, nonce)


def told_in(grant: Grant, code_key: str) -> Told:
    """Raises MalformedCodeError where it tells of nobody, or not for this ask."""
    own, sealed = grant.sealed[:_SEAL_NONCE_BYTES], grant.sealed[_SEAL_NONCE_BYTES:]
    try:
        document = AESGCM(_told_key(code_key)).decrypt(own, sealed, grant.nonce)
        read = msgspec.msgpack.decode(document, type=_ToldOnWire)
        member = _unpacked(read.member)
    except (InvalidTag, *UNDECODABLE, ValueError) as error:
        raise MalformedCodeError("this version cannot read whom the grant tells of") from error
    return Told(
        member=member,
        short_name=read.short_name,
        tier=read.tier,
        confirmed=read.confirmed,
        pending=read.pending,
        spendable=read.spendable,
        at=read.at,
    )


def _told_key(code_key: str) -> bytes:
    return hmac.digest(bytes.fromhex(code_key), _TOLD_MARK, "sha256")


def _seal(code_key: str) -> AESGCM:
    return AESGCM(hmac.digest(bytes.fromhex(code_key), _ASK_MARK, "sha256"))


def _is_signed(document: bytes, signature: bytes, public_key: str) -> bool:
    return is_signed(document, base64url.encoded(signature), public_key)


def _text(raw: bytes) -> str:
    return base64.b32encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    """Raises MalformedCodeError."""
    try:
        if len(text) <= MAX_CODE_CHARS:
            return base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        pass
    raise MalformedCodeError("this is no code of ours, or was not read whole")


# An id that is written in hexadecimal digits takes half the room.
_HEX, _TEXT = b"\1", b"\0"


def _packed(name: str) -> bytes:
    try:
        raw = bytes.fromhex(name)
    except ValueError:
        raw = b""
    return _HEX + raw if raw and raw.hex() == name else _TEXT + name.encode()


def _unpacked(packed: bytes) -> str:
    """Raises ValueError."""
    kind, raw = packed[:1], packed[1:]
    if kind not in (_HEX, _TEXT) or not raw:
        raise ValueError("this is no id")
    return raw.hex() if kind == _HEX else raw.decode()
