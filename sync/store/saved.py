"""Rows of a damaged file that are whole, on their way into the store that took its place: plain values."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from loyalty.identification import MemberKind
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.receipt import Entry as MemberEntry
from loyalty.receipt import Receipt
from sync.wire import Change, SignedProgram


class SavedEntry(Struct, frozen=True, kw_only=True):
    """An entry of a damaged file, its columns as they stand there."""

    number: int
    key: str
    kind: str
    hlc: str
    wall: str
    salt: str
    body: bytes


class SavedReceipt(Struct, frozen=True, kw_only=True):
    """A receipt of a damaged file. `original` is the key of the receipt that it returns.

    `entry` says whether its own entry is known to be at the centre, waits, or could not be read.
    """

    receipt: Receipt
    member: str | None
    claims: tuple[LedgerEntry, ...]
    captured: Instant
    original: str | None = None
    entry: Literal["settled", "waits", "lost"] = "waits"


class SavedScan(Struct, frozen=True, kw_only=True):
    """A member code that belongs to no receipt yet."""

    code: str
    kind: MemberKind
    entry: MemberEntry
    member: str | None
    at: Instant
    reader: str


class SavedItem(Struct, frozen=True, kw_only=True):
    """What waited in quarantine."""

    source: str
    reason: str
    detail: str
    raw: bytes
    captured: Instant | None
    receipt: str | None


class SavedWaiting(Struct, frozen=True, kw_only=True):
    """A receipt of a further source that waits for its partner."""

    source: str
    receipt: Receipt
    captured: Instant
    content: str
    said: datetime
    arrived: datetime


class SavedFact(Struct, frozen=True, kw_only=True):
    """Something that the centre signed and the register keeps under a name."""

    name: str
    value: str


Saved = SavedEntry | SavedReceipt | SavedScan | SavedItem | SavedWaiting | SavedFact | SignedProgram | Change
"""A row of a damaged file that is whole; a `Change` is a member."""
