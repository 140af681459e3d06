"""What the store gives and takes: plain values, no rows of any database."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from loyalty.allowances import Draw
from loyalty.identification import MemberKind
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.receipt import Entry as MemberEntry
from loyalty.receipt import MemberReference, Receipt
from loyalty.rewards import LineDiscount

# What a register counts of a day.
Counted = Literal["scans", "receipts"]
EntryState = Literal["pending", "acknowledged", "quarantined", "requeued"]


class SourcePosition(Struct, frozen=True, kw_only=True):
    """How far a spool was read: the byte `offset` after the last job taken from `segment`."""

    segment: int
    offset: int


class StoredReceipt(Struct, frozen=True, kw_only=True):
    """A receipt this register captured. `member` is the centre's id.

    `returns` gave some of it back, and `reversed` is what they took.
    """

    receipt: Receipt
    member: str | None
    claims: tuple[LedgerEntry, ...]
    reversed: tuple[LedgerEntry, ...]
    returns: tuple[Receipt, ...]
    captured: Instant


class KeptScan(Struct, frozen=True, kw_only=True):
    """A member code that was scanned and belongs to no receipt yet. `member` is the centre's id, if known."""

    id: int
    code: str
    kind: MemberKind
    entry: MemberEntry
    member: str | None
    at: Instant
    reader: str


Resolution = Literal["read", "not_a_receipt", "dismissed"]


class Quarantined(Struct, frozen=True, kw_only=True):
    """Something that could not be read or believed, kept for a person. `size` is that of the raw bytes.

    `receipt` is the key of a receipt that is booked and earns nothing for that reason.
    """

    id: int
    source: str
    reason: str
    detail: str
    at: datetime
    size: int
    receipt: str | None = None


class KeptItem(Struct, frozen=True, kw_only=True):
    """The same with its bytes, and what became of it. `captured` is when the source heard it."""

    item: Quarantined
    raw: bytes
    captured: Instant
    resolved_at: datetime | None = None
    resolved_as: Resolution | None = None
    note: str | None = None


class QueuedEntry(Struct, frozen=True, kw_only=True):
    """An entry as `queue list` shows it.

    `number` is the register's own and never changes; `seq` is its number in the live epoch, None for one
    settled before it. `size` is what it takes in the store.
    """

    number: int
    seq: int | None
    key: str
    kind: str
    wall: datetime
    state: EntryState
    pos: int | None
    detail: str | None
    size: int


class WaitingReceipt(Struct, frozen=True, kw_only=True):
    """A receipt of a further source that waits for the authoritative one's. `arrived` is when it began to wait."""

    id: int
    source: str
    arrived: datetime
    captured: Instant
    receipt: Receipt


class AnsweredCall(Struct, frozen=True, kw_only=True):
    """The first answer to a call, and the digest of what was asked."""

    digest: str
    answer: bytes


SaleState = Literal["open", "closed", "ended"]
RedemptionState = Literal["reserved", "confirmed", "released", "lapsed"]
"""Chosen; given; taken back by the cashier; let go of because its sale ended without a receipt."""


class AllowanceCursor(Struct, frozen=True, kw_only=True):
    """Through which number grants were taken in, and which centre counted them."""

    number: int
    centre_epoch: str | None


class KeptSale(Struct, frozen=True, kw_only=True):
    """A sale that a POS opened, or the page: what it is of so far, and whose.

    `touched` is when its basket was last told; `receipt` the key of the one that closed it; `ended` is without any.
    """

    id: str
    by_page: bool
    state: SaleState
    touched: Instant
    member: MemberReference | None = None
    receipt: str | None = None
    basket: Receipt | None = None


class KeptRedemption(Struct, frozen=True, kw_only=True):
    """A reward that was chosen for a sale: what it costs and takes off, and the allowances that it draws from.

    `member` is the centre's id, `program` the hash by which it was offered, `entered` how the member was told. With a
    `voucher`, by its id, it draws uses of that. `receipt` is the key of the one that shows it, or that suspended its
    sale. `reserved` is the instant of `at`; None of one from before it was kept.
    """

    id: str
    sale: str
    member: str
    reward: str
    times: int
    points: int
    discount_minor: int
    lines: tuple[LineDiscount, ...] = ()
    draws: tuple[Draw, ...] = ()
    state: RedemptionState = "reserved"
    program: str | None = None
    receipt: str | None = None
    at: datetime
    entered: MemberEntry | None = None
    voucher: str | None = None
    reserved: Instant | None = None


class SpendingStatus(Struct, frozen=True, kw_only=True):
    """What `status` says of spending: allowances of the live epoch, the points and the vouchers left of them, and what
    is open.

    `unsure_because` says why nothing may be spent; empty where it may.
    """

    allowances: int
    points: int
    vouchers: int
    open_sales: int
    reserved: int
    unsure_because: str


class EpochState(Struct, frozen=True, kw_only=True):
    """The live epoch. `chain_hash` is the chain's h at `acked_through`; `last_seq` the last entry written."""

    epoch: str
    device: str
    acked_through: int
    chain_hash: str
    last_seq: int


class ChainPoint(Struct, frozen=True, kw_only=True):
    """The chain's h at `seq` of `epoch`."""

    epoch: str
    seq: int
    hash: bytes


class FeedState(Struct, frozen=True, kw_only=True):
    """How far the member cache follows the centre, and when the centre last said so; what its snapshot was of."""

    position: int
    as_of: datetime | None
    centre_epoch: str | None
    scope: str | None = None


class Salvaged(Struct, frozen=True, kw_only=True):
    """What came back of a damaged file so far, rows by what they are (`sync.store.salvage` names them).

    `lost_pages` of its `pages` could not be read, nor could `lost_rows` of the others.
    """

    done: bool = False
    pages: int = 0
    lost_pages: int = 0
    lost_rows: int = 0
    brought_back: dict[str, int] = {}


class Recovered(Struct, frozen=True, kw_only=True):
    """The store found at start was corrupt and was renamed; what can be read of it is brought back meanwhile.

    `removed` where the file went since, with a member who was erased.
    """

    moved_to: str
    reason: str
    salvaged: Salvaged = Salvaged()
    removed: bool = False


class DiskFull(Struct, frozen=True, kw_only=True):
    """There is no room on the disk: whether new sales are refused for it, and what that means and what to do."""

    refuses_sales: bool
    said: str


class StoreStatus(Struct, frozen=True, kw_only=True):
    """What `status` says of the store. `queued` counts entries the centre has not acknowledged."""

    queued: int
    oldest_queued_at: datetime | None
    quarantined: int
    epoch: EpochState | None
    feed: FeedState
    keys: str
    file_bytes: int
    recovered: Recovered | None
    spending: SpendingStatus
    disk_full: DiskFull | None


class Committed(Struct, frozen=True, kw_only=True):
    """One durable batch: how many entries it added to the outbox, and whose row or claims changed."""

    appended: int
    members: frozenset[str]
