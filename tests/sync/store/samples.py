"""A store in a folder of its own, and small values to keep in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loyalty.identity import key_of
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.member import Balance, Identifier, Member
from loyalty.receipt import Receipt
from sync.keys_linux import LinuxKeyKeeper
from sync.records import ReceiptBody, SignalBody, chain_next
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import Change, IngestRequest, IngestResponse, Outcome

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CAPTURED = Instant(wall=NOON, boot="boot-1", monotonic_ns=1_000)


class Clock:
    """A wall clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **step: float) -> None:
        self.now += timedelta(**step)


def keeper(folder: Path) -> LinuxKeyKeeper:
    return LinuxKeyKeeper(folder / "keys", {})


def opened(folder: Path, clock: Clock | None = None, *, ballast_bytes: int = 0) -> Store:
    return Store.open(folder / "store.db", keeper(folder), clock=clock or Clock(), ballast_bytes=ballast_bytes)


def receipt(number: int, *also: str) -> Receipt:
    return Receipt(
        key=key_of(f"pos:12/3/2026-11-22/{number}"),
        also=also,
        kind="sale",
        currency="EUR",
        total_minor=1000,
        number=str(number),
        issued_at=NOON,
    )


def claim(sale: Receipt, points: int, pending_until: datetime | None = None) -> LedgerEntry:
    return LedgerEntry(
        receipt=sale.key, rule="base", points=points, basis_minor=1000, pending_until=pending_until, why="a test"
    )


def capture(writing: Writing, sale: Receipt, member: str | None, *claims: LedgerEntry) -> None:
    """What the register does with a receipt, in one item."""
    writing.add_receipt(sale, member, claims, CAPTURED)
    writing.append("receipt", sale.key, ReceiptBody(receipt=sale, claims=claims))


def capturing(number: int) -> Callable[[Writing], None]:
    return lambda writing: capture(writing, receipt(number), None)


def signalling(what: str) -> Callable[[Writing], int]:
    """Appends a small entry under the key `what`; its `seq` is the result."""
    return lambda writing: writing.append("signal", what, SignalBody(what=what)).seq


def member(name: str, code: str, confirmed: int = 0) -> Member:
    return Member(
        member=name,
        identifiers=(Identifier(kind="card", code=code),),
        balance=Balance(confirmed=confirmed, spendable=confirmed),
    )


def upsert(pos: int, row: Member) -> Change:
    return Change(pos=pos, op="upsert", member=row.member, row=row)


def chain_through(batch: IngestRequest, seq: int) -> str:
    """The chain's h at `seq`, as a centre that got `batch` computes it."""
    reached = bytes.fromhex(batch.prev_hash)
    for entry in batch.entries:
        if entry.seq <= seq:
            reached = chain_next(reached, entry)
    return reached.hex()


def answer(batch: IngestRequest, through: int, *outcomes: Outcome) -> IngestResponse:
    return IngestResponse(
        centre_epoch="centre-1",
        acked_through=through,
        chain_hash=chain_through(batch, through),
        outcomes=outcomes,
        server_time=NOON,
        credit=100,
    )
