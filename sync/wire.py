"""Requests and answers between register and centre, as typed JSON.

Owns the shapes of the sync protocol and its compression (zstd above 1 KiB). Never sends anything.
"""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from loyalty.member import CardState, Member
from loyalty.receipt import AwareDatetime
from sync.compression import zstd
from sync.records import MAX_SEQ, Entry, HexDigest
from sync.turns import pieces

COMPRESS_ABOVE_BYTES = 1024
# Receipts repeat what those before them had: the fastest level takes half the time of the usual one, and makes less.
REQUEST_LEVEL = 1
# Of one ingest batch; and before a centre's credit said that it takes more than it once did.
MAX_ENTRIES = 2_000
FIRST_ENTRIES = 500
# A batch of entries of a few KiB each; a snapshot chunk stays below this too.
MAX_BODY_BYTES = 16 * 1024 * 1024
# Programs that a register is told of, and tells of: the one in force, those planned, and some that were before.
MAX_ANNOUNCED = 16
# What a register tells of its workers and of what is wrong: a page shows no more, and a heartbeat stays small.
MAX_WORKERS_TOLD = 16
MAX_REASONS_TOLD = 4
MAX_TOLD_CHARS = 300
# Allowances that a register has at once; the centre grants it no more.
MAX_HELD = 100_000

PublicKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""Ed25519 public key: 32 raw bytes in unpadded URL-safe base64."""


class Facts(Struct, frozen=True, kw_only=True):
    """What a register says of itself when it enrols or opens an epoch."""

    version: str
    platform: str
    hostname: str | UnsetType = UNSET


class EnrolRequest(Struct, frozen=True, kw_only=True):
    """`replaces` is the device that this machine was until now, which its signature over the request proves;
    `register` which one of its store it is, where the code leaves that open.
    """

    token: str
    public_key: PublicKey
    facts: Facts
    replaces: str | UnsetType = UNSET
    register: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET


class EnrolResponse(Struct, frozen=True, kw_only=True):
    """`program_key` is the Ed25519 key that signs programs; `replaced` the device that is refused since, in whose place
    this one is.
    """

    device: str
    store: str
    register: str
    centre_epoch: str
    program_key: PublicKey
    server_time: AwareDatetime
    replaced: str | UnsetType = UNSET


class EpochRequest(Struct, frozen=True, kw_only=True):
    """Opens a live epoch; `previous`, `through` and `hash` tell where the last one ended."""

    previous: str | UnsetType = UNSET
    through: int = 0
    hash: HexDigest | UnsetType = UNSET
    facts: Facts


class EpochResponse(Struct, frozen=True, kw_only=True):
    epoch: str
    centre_epoch: str
    server_time: AwareDatetime


class IngestRequest(Struct, frozen=True, kw_only=True):
    device: str
    epoch: str
    first_seq: Annotated[int, Meta(ge=1, le=MAX_SEQ)]
    prev_hash: HexDigest
    entries: Annotated[tuple[Entry, ...], Meta(max_length=MAX_ENTRIES)]


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one entry. `pos` is the feed position that shows its effect."""

    seq: int
    code: Literal["accepted", "duplicate", "quarantined"]
    detail: str | UnsetType = UNSET
    pos: int | UnsetType = UNSET


class IngestResponse(Struct, frozen=True, kw_only=True):
    """`acked_through` is the high-water mark, `chain_hash` the chain's h there, `credit` entries allowed next."""

    centre_epoch: str
    acked_through: int
    chain_hash: HexDigest
    outcomes: tuple[Outcome, ...]
    server_time: AwareDatetime
    credit: int


class Change(Struct, frozen=True, kw_only=True):
    """One change of the feed; `row` goes with `upsert` only."""

    pos: int
    op: Literal["upsert", "leave", "erase"]
    member: str
    row: Member | UnsetType = UNSET


class ChangesResponse(Struct, frozen=True, kw_only=True):
    """Ask again with `after=next`, at once where `more`. `as_of` is when the centre read this."""

    centre_epoch: str
    changes: tuple[Change, ...]
    next: int
    more: bool
    as_of: AwareDatetime


class SnapshotChunk(Struct, frozen=True, kw_only=True):
    """`sha256` is over the chunk as served (zstd of JSON lines, a Change each)."""

    url: str
    sha256: HexDigest
    rows: int


class SnapshotResponse(Struct, frozen=True, kw_only=True):
    """`as_of` is the feed position to go on from, `made_at` when the centre read its rows.

    `scope` names what the rows are of, in letters, digits and `._~-`; changes are asked for with it.
    """

    centre_epoch: str
    as_of: int
    made_at: AwareDatetime
    scope: str
    chunks: tuple[SnapshotChunk, ...]


class MemberResponse(Struct, frozen=True, kw_only=True):
    """Answer to `GET /v1/members/{code}`."""

    pos: int
    row: Member


class Erasure(Struct, frozen=True, kw_only=True):
    """A member of whom nothing may be kept that tells who they are, by the ids that meant them.

    `number` counts from 1 and is never given twice, not even by a centre that was restored. `codes` are digests of the
    codes that named the member (`loyalty.addresses.hidden_code`).
    """

    number: int
    member: str
    aliases: tuple[str, ...]
    codes: tuple[str, ...]
    erased_at: AwareDatetime


class ErasuresResponse(Struct, frozen=True, kw_only=True):
    """Erasures in the order of their numbers. Ask again after the last one, at once where `more`."""

    centre_epoch: str
    erasures: tuple[Erasure, ...]
    more: bool


class GrantedAllowance(Struct, frozen=True, kw_only=True):
    """Points of a member that this register may spend in `epoch` without asking (`loyalty.allowances`).

    `number` grows with each that a device is given. `recalled` asks it to give back what it does not need now. With
    `voucher` and `reward` the points are uses of that voucher, good until `expires_at`, and `member` is empty where it
    is for whoever shows it.
    """

    number: int
    allowance: str
    member: str
    epoch: str
    points: Annotated[int, Meta(ge=1)]
    recalled: bool = False
    voucher: HexDigest | UnsetType = UNSET
    reward: str | UnsetType = UNSET
    expires_at: AwareDatetime | UnsetType = UNSET


class HeldAllowance(Struct, frozen=True, kw_only=True):
    """An allowance that a register has, and what it used of it, told or not."""

    allowance: str
    member: str
    epoch: str
    points: int
    used: int
    voucher: HexDigest | UnsetType = UNSET
    reward: str | UnsetType = UNSET
    expires_at: AwareDatetime | UnsetType = UNSET


class Wanted(Struct, frozen=True, kw_only=True):
    """A member stands at the till and wants a reward for so many points, or for one use of a `voucher`, by its id.

    None are asked for (0) where the register holds enough, and the reward is given only with the centre's word.
    """

    member: str
    points: Annotated[int, Meta(ge=0, le=10**14)]
    voucher: HexDigest | UnsetType = UNSET


class AllowancesRequest(Struct, frozen=True, kw_only=True):
    """`POST /v1/allowances`: what was granted after number `after`, and `want` besides, now.

    `held` are all that the register has of its live epoch; it goes along when the centre has another epoch than before.
    """

    epoch: str
    after: Annotated[int, Meta(ge=0)]
    want: Wanted | UnsetType = UNSET
    held: Annotated[tuple[HeldAllowance, ...], Meta(max_length=MAX_HELD)] | UnsetType = UNSET


NotGranted = Literal["unknown", "elsewhere", "used", "expired", "revoked", "foreign"]
"""Why a centre does not grant what is wanted: nobody issued the voucher; another register holds what is lacking; the
voucher was used up, is over, was revoked, or is another member's."""


class AllowancesResponse(Struct, frozen=True, kw_only=True):
    """Ask again with `after=next`, at once where `more`. One that is asked back comes again, under a new number.

    `refused` says, for a cashier, why what was wanted is not among them; `refused_because` the same for the register,
    where it is one of `NotGranted`. A newer centre may have further ones.
    """

    centre_epoch: str
    allowances: tuple[GrantedAllowance, ...]
    next: int
    more: bool
    refused: str | UnsetType = UNSET
    refused_because: str | UnsetType = UNSET


class NothingGranted(Struct, frozen=True, kw_only=True):
    """What a centre said that granted nothing: `detail` in words for a cashier, `reason` one of `NotGranted` or ''."""

    detail: str
    reason: str = ""


UNANSWERED: Final = NothingGranted(detail="")
"""A centre was asked, and said nothing in time."""


class AnnouncedProgram(Struct, frozen=True, kw_only=True):
    """A program by its hash, and from when it holds; without `valid_from` for all that was before the next one."""

    program: HexDigest
    valid_from: AwareDatetime | UnsetType = UNSET


class HeldProgram(Struct, frozen=True, kw_only=True):
    """A program that the centre announced, as one register has it: `refused` says why it cannot be used there."""

    program: HexDigest
    refused: str | UnsetType = UNSET


class GivenUp(Struct, frozen=True, kw_only=True):
    """A release that a register went back from, or would not take, and why."""

    version: str
    reason: str


class WorkerState(Struct, frozen=True, kw_only=True):
    """A scanner, a source of receipts or another worker of a register: `ready`, `starting`, `failing`, or `lent`."""

    kind: str
    name: str
    condition: str


class RegisterState(Struct, frozen=True, kw_only=True):
    """How a register is, as its own `tillside status` says: nothing about members.

    `reasons` say why the verdict is not `healthy` and what to do; `scans` of member codes and `receipts` are those
    since midnight there.
    """

    verdict: str
    reasons: tuple[str, ...] = ()
    workers: tuple[WorkerState, ...] = ()
    scans: int = 0
    receipts: int = 0


class HeartbeatRequest(Struct, frozen=True, kw_only=True):
    """`reasons` counts by reason what the register itself set aside; the rest of `quarantined` the centre refused.

    `programs` are those that the register holds, and those that it refused; absent where it does not tell.
    `templates_refused` says why the templates of the config are not in force there; absent where they are. `epoch` is
    the one that the register is in; absent before it has one. `given_up` are releases that it does not take any more.
    `sent_at` is the register's own clock, `state` how it is; absent where it does not tell.
    """

    version: str
    queued: int
    quarantined: int
    oldest_queued_at: AwareDatetime | UnsetType = UNSET
    reasons: dict[str, int] | UnsetType = UNSET
    programs: tuple[HeldProgram, ...] | UnsetType = UNSET
    templates_refused: str | UnsetType = UNSET
    given_up: tuple[GivenUp, ...] | UnsetType = UNSET
    epoch: str | UnsetType = UNSET
    sent_at: AwareDatetime | UnsetType = UNSET
    state: RegisterState | UnsetType = UNSET

    def __post_init__(self) -> None:
        for moment in (self.oldest_queued_at, self.sent_at):
            if moment is not UNSET and not MINYEAR < moment.year < MAXYEAR:
                raise ValueError("a time that not every clock can show")


class HeartbeatResponse(Struct, frozen=True, kw_only=True):
    """`program`, `config` and `item_map` are the hashes of what is in force, `feed` the newest position.

    `schedule` are the programs that a register should hold, in order of time: receipts go by their own. `erasures` is
    the number of the newest one, `code_key` makes codes of telephone numbers and addresses (`loyalty.addresses`).
    `join_url` is where people join by telephone with a code (`loyalty.join_codes`); absent where they cannot.
    `phone_url`, with the code of an ask appended, is where they have points granted to a register without a network
    (`sync.phone_codes`). `scope` is what the register should hold members of, as a snapshot names it. `allowances`
    grows when one is granted to it or asked back. `release` is the version that the register should run, as far as it
    can prove it; absent where it is on its own. `log_s` is for how many seconds its log should say everything; absent
    where it need not.
    `acked_through` is the mark of the `epoch` that the register named; None where that has ended. `store` and
    `register` are where it stands, which may be elsewhere than it was enrolled.
    """

    centre_epoch: str
    server_time: AwareDatetime
    program: HexDigest | UnsetType = UNSET
    schedule: tuple[AnnouncedProgram, ...] | UnsetType = UNSET
    config: HexDigest | UnsetType = UNSET
    item_map: HexDigest | UnsetType = UNSET
    feed: int
    erasures: int | UnsetType = UNSET
    code_key: HexDigest | UnsetType = UNSET
    join_url: str | UnsetType = UNSET
    phone_url: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    allowances: int | UnsetType = UNSET
    release: str | UnsetType = UNSET
    log_s: int | UnsetType = UNSET
    epoch: str | UnsetType = UNSET
    acked_through: int | UnsetType | None = UNSET
    store: str | UnsetType = UNSET
    register: str | UnsetType = UNSET

    @property
    def announced(self) -> tuple[AnnouncedProgram, ...]:
        """The schedule; a centre of before schedules names the program in force alone."""
        if self.schedule is not UNSET:
            return self.schedule
        return (AnnouncedProgram(program=self.program),) if self.program else ()


class SignedProgram(Struct, frozen=True, kw_only=True):
    """`GET /v1/programs/{hash}`: the program's JSON as text and an Ed25519 signature over its bytes."""

    hash: HexDigest
    program: str
    signature: str


class SignedConfig(Struct, frozen=True, kw_only=True):
    """`GET /v1/config`: the config in force as JSON text, SHA-256 and an Ed25519 signature over its bytes."""

    hash: HexDigest
    config: str
    signature: str


class SignedItemMap(Struct, frozen=True, kw_only=True):
    """`GET /v1/item-maps/{hash}`: the map's JSON as text and an Ed25519 signature over its bytes."""

    hash: HexDigest
    item_map: str
    signature: str


# What the centre says on a live connection where it has granted something to a register, or asks it back.
ALLOWANCES_HINT: Final = "allowances"


# A request may wait so long for a hint, where no live connection is let through: most proxies end one that is silent
# for twice as long.
MAX_HINT_WAIT_S = 25


class LiveHint(Struct, frozen=True, kw_only=True):
    """A WebSocket message, or the answer to who waits for one: a hint only, never the truth."""

    feed: int | UnsetType = UNSET
    command: str | UnsetType = UNSET


class Refusal(Struct, frozen=True, kw_only=True):
    """RFC 9457 problem document."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | UnsetType = UNSET


class SequenceGap(Refusal, frozen=True, kw_only=True):
    """409 of ingest: the entries before these have not come. Send again from `expected_seq`."""

    expected_seq: int


class NobodysCode(Refusal, frozen=True, kw_only=True):
    """404 of members: nobody has this code. `card` is the state of a card of ours that has it all the same."""

    card: CardState | UnsetType = UNSET


def packed(request: IngestRequest) -> bytes:
    """A batch as JSON, made in pieces."""
    parts = [
        b",".join([msgspec.json.encode(request.entries[index]) for index in piece])
        for piece in pieces(len(request.entries))
    ]
    whole = msgspec.json.encode(replace(request, entries=()))
    return b"%b%b]}" % (whole.removesuffix(b"]}"), b",".join(parts))


class BodyTooLargeError(ValueError):
    """A body is larger than MAX_BODY_BYTES once decompressed."""


def compress(body: bytes) -> tuple[bytes, str | None]:
    """The bytes to send and their Content-Encoding (None when sent as they are)."""
    if len(body) <= COMPRESS_ABOVE_BYTES:
        return body, None
    return zstd.compress(body, level=REQUEST_LEVEL), "zstd"


def compress_always(body: bytes) -> bytes:
    """`body` as one zstd frame, whatever its size: the form of a snapshot chunk."""
    return zstd.compress(body)


def decompress(body: bytes, encoding: str | None) -> bytes:
    """The inverse, never making more than MAX_BODY_BYTES.

    Raises BodyTooLargeError, or ValueError for an unknown encoding or a broken frame.
    """
    if encoding in (None, "", "identity"):
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError(f"body exceeds {MAX_BODY_BYTES} bytes")
        return body
    if encoding != "zstd":
        raise ValueError(f"Content-Encoding {encoding!r} is not known; send zstd or none")
    decompressor = zstd.ZstdDecompressor()
    try:
        plain = decompressor.decompress(body, max_length=MAX_BODY_BYTES)
    except zstd.ZstdError as error:
        raise ValueError("the body is no zstd frame") from error
    if decompressor.needs_input:
        raise ValueError("the body's zstd frame is cut off")
    if not decompressor.eof:
        raise BodyTooLargeError(f"body exceeds {MAX_BODY_BYTES} bytes")
    if decompressor.unused_data:
        raise ValueError("the body is more than one zstd frame")
    return plain
