"""Brings back what can be read of a damaged store into the one that took its place, while the register works.

Owns what of a damaged file's whole rows is of use, and in which order they come: what the centre has not got first.
An entry goes again under its old key, so whatever was sent before counts once. How far a source was read is not brought
back: what a source still has is read again, and is known by its keys. Never changes the damaged file
(`sync.store.damaged` reads it), and never judges a row (`sync.store.whole_rows` does).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeVar

import structlog
from msgspec import UNSET, Struct
from msgspec.structs import replace

from loyalty.identity import identity_keys
from sync.records import ReceiptBody
from sync.store.damaged import DamagedFile, Row
from sync.store.errors import QuarantineFullError
from sync.store.examination import note_salvaged
from sync.store.recovery import Recovery, finish_recovery, keep_recovery, recovery_of
from sync.store.rows import Salvaged
from sync.store.saved import (
    Saved,
    SavedEntry,
    SavedFact,
    SavedItem,
    SavedReceipt,
    SavedScan,
    SavedWaiting,
)
from sync.store.store import Store
from sync.store.whole_rows import (
    BROKEN,
    SHAPES,
    receipt_of_entry,
    table_of,
    whole_entry,
    whole_fact,
    whole_item,
    whole_member,
    whole_program,
    whole_receipt,
    whole_scan,
    whole_waiting,
)
from sync.store.writing import Writing
from sync.wire import Change, SignedProgram

# Rows put into the store in one transaction; a receipt may be waiting behind it.
ROWS_AT_ONCE: Final = 50
# Pages or rows looked at before the rest of the register has its turn.
LOOKED_AT_ONCE: Final = 200

# What comes after entries and receipts, in this order.
_OTHERS: Final[dict[str, Callable[[Row], Saved | None]]] = {
    "scans": whole_scan,
    "waiting": whole_waiting,
    "meta": whole_fact,
    "programs": whole_program,
    "quarantine": whole_item,
    "members": whole_member,
}

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Piece(Struct, frozen=True, kw_only=True):
    """Some rows to put into the store together, none where it only is somebody else's turn.

    `reached` is the last row id of `table`. From `receipts_back` on a receipt that comes again is known.
    """

    table: str = ""
    saved: tuple[Saved, ...] = ()
    reached: int = 0
    receipts_back: bool = False


async def salvage(store: Store, *, receipts_back: Callable[[], None]) -> None:
    """Goes on with what `store.status().recovered` names until it is done, and with what was set aside before it and
    was not: files are as long as they are, and no longer.

    `receipts_back` is called once a receipt that comes again would be known. Raises StoreError; called again, it goes
    on.
    """
    try:
        while (recovery := recovery_of(store)) is not None and not recovery.recovered.salvaged.done:
            then = await asyncio.to_thread(store.set_aside_beside, recovery)
            recovery = await _salvaged(store, recovery, receipts_back if then is None else _not_yet)
            # Where the disk takes no note, all of it comes back once more after the next damage, and counts once.
            with suppress(OSError):
                await asyncio.to_thread(note_salvaged, Path(recovery.recovered.moved_to))
            await store.write(partial(finish_recovery, recovery=recovery, then=then))
    finally:
        receipts_back()


def _not_yet() -> None:
    """Receipts of an older file are still to come."""


async def _salvaged(store: Store, recovery: Recovery, receipts_back: Callable[[], None]) -> Recovery:
    """What came back of a file, once all did that can be read."""
    moved_to = recovery.recovered.moved_to
    try:
        file = await asyncio.to_thread(store.damaged_file, moved_to)
    except OSError as error:
        log.error("salvage_impossible", file=moved_to, error=type(error).__name__)
        return recovery
    reader = Reader(file, recovery.reached)
    pieces = reader.pieces()
    try:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            if piece.saved:
                recovery = await store.write(partial(bring_back, recovery=recovery, piece=piece, lost=reader.lost))
            if piece.receipts_back:
                receipts_back()
    finally:
        file.close()
    came = recovery.recovered.salvaged.brought_back
    salvaged = replace(reader.lost, brought_back=came)
    log.info("salvaged", file=moved_to, lost_pages=salvaged.lost_pages, lost_rows=salvaged.lost_rows, **came)
    return replace(recovery, recovered=replace(recovery.recovered, salvaged=salvaged))


# -- into the store --------------------------------------------------------------------------------


def bring_back(writing: Writing, *, recovery: Recovery, piece: Piece, lost: Salvaged) -> Recovery:
    """Puts some rows into the store, and with them how far the salvage is. What is here already stays as it is."""
    came: Counter[str] = Counter(recovery.recovered.salvaged.brought_back)
    for saved in piece.saved:
        came.update(_put(writing, saved))
    salvaged = replace(lost, brought_back=dict(came))
    recovery = Recovery(
        recovered=replace(recovery.recovered, salvaged=salvaged),
        item=recovery.item,
        reached={**recovery.reached, piece.table: piece.reached},
    )
    keep_recovery(writing, recovery)
    return recovery


def _put(writing: Writing, saved: Saved) -> Iterable[str]:
    """What was put in, by name."""
    match saved:
        case SavedEntry():
            writing.append_again(saved)
            return ("entries",)
        case SavedReceipt():
            return _put_receipt(writing, saved)
        case SavedScan() | SavedWaiting():
            return (_put_waiting(writing, saved),)
        case SavedItem():
            with suppress(QuarantineFullError):  # the damaged file keeps it
                writing.quarantine(
                    saved.source, saved.reason, saved.detail, saved.raw, captured=saved.captured, receipt=saved.receipt
                )
                return ("quarantined",)
        case SignedProgram():
            writing.keep_program(saved)
            return ("programs",)
        case SavedFact() if writing.meta(saved.name) is None:
            writing.set_meta(saved.name, saved.value)
            return ("facts",)
        case Change() if writing.bring_back_member(saved):
            return ("members",)
    return ()


def _put_waiting(writing: Writing, saved: SavedScan | SavedWaiting) -> str:
    """A scan that waits for its receipt, or a receipt that waits for its partner."""
    if isinstance(saved, SavedScan):
        writing.keep_scan(saved.code, saved.kind, saved.member, saved.at, reader=saved.reader, entry=saved.entry)
        return "scans"
    writing.add_waiting(
        saved.source, saved.receipt, saved.captured, content=saved.content, said=saved.said, arrived=saved.arrived
    )
    return "waiting receipts"


def _put_receipt(writing: Writing, saved: SavedReceipt) -> Iterator[str]:
    receipt, original = saved.receipt, saved.original
    if writing.known_receipt(identity_keys(receipt)) is not None:
        return
    if original is not None and writing.known_receipt((original,)) is None:
        original = None
    settled = saved.entry == "settled"
    writing.add_receipt(receipt, saved.member, saved.claims, saved.captured, original, settled=settled)
    yield "receipts"
    if saved.entry == "lost":
        body = ReceiptBody(receipt=receipt, member=saved.member or UNSET, claims=saved.claims)
        writing.append("receipt", receipt.key, body)
        yield "entries made again"


# -- out of the damaged file -----------------------------------------------------------------------


class Reader:
    """What is whole in a damaged file, piece by piece. It blocks: for a thread."""

    def __init__(self, file: DamagedFile, reached: dict[str, int]) -> None:
        self.lost = Salvaged()
        self._file = file
        self._reached = reached
        self._pages: dict[str, list[tuple[int, int]]] = {table: [] for table in SHAPES}
        self._epoch_id = 0
        # The greatest number that the centre is known to have.
        self._settled = 0
        # Of receipts' entries that can be read: which wait for the centre, which are there, the newest of those.
        self._waiting: set[str] = set()
        self._at_centre: set[str] = set()
        self._newest_there = ""

    def pieces(self) -> Iterator[Piece]:
        yield from self._look()
        yield from _pieces("entries", self._waiting_entries())
        known_through = yield from self._known_through()
        yield from _pieces("receipts", self._receipts(known_through))
        if self._lost_something:
            yield from _pieces("receipts", self._receipts_of_entries())
        yield Piece(receipts_back=True)
        for table, whole in _OTHERS.items():
            yield from _pieces(table, self._others(table, whole))

    @property
    def _lost_something(self) -> bool:
        return bool(self.lost.lost_pages or self.lost.lost_rows)

    def _look(self) -> Iterator[Piece]:
        """What is on which page, and through which number the centre has everything."""
        unreadable = []
        numbers = self._file.numbers
        for count, number in enumerate(numbers, start=1):
            if self._file.kind(number) is None:
                unreadable.append(number)
            else:
                self._note(number)
            if count % LOOKED_AT_ONCE == 0:
                yield Piece()
        found = self._file.find_misplaced(unreadable)
        for number in found:
            self._note(number)
        self.lost = Salvaged(pages=len(numbers), lost_pages=len(unreadable) - len(found))

    def _note(self, number: int) -> None:
        known = ((row, table_of(row)) for row in self._file.rows(number) if row is not None)
        row, table = next(((row, table) for row, table in known if table is not None), (None, None))
        if row is None or table is None:
            return
        self._pages[table].append((row.rowid or 0, number))
        if table == "epochs":
            for each in self._file.rows(number):
                self._note_epoch(each)

    def _note_epoch(self, row: Row | None) -> None:
        if row is None or table_of(row) != "epochs" or (row.rowid or 0) <= self._epoch_id:
            return
        self._epoch_id = row.rowid or 0
        base, acked = row.values[3:5]
        if isinstance(base, int) and isinstance(acked, int):
            self._settled = base + acked

    def _rows(self, table: str) -> Iterator[Row | None]:
        """Rows in the order of their ids; None for each that cannot be read."""
        for _, number in sorted(self._pages[table]):
            for row in self._file.rows(number):
                yield row if row is not None and table_of(row) == table else None

    def _whole(self, table: str, whole: Callable[[Row], T], *, counted: bool = True) -> Iterator[tuple[Row, T] | None]:
        """Rows that make sense; None for each of the others, which is `counted` as lost."""
        for row in self._rows(table):
            try:
                found = (row, whole(row)) if row is not None else None
            except BROKEN:
                found = None
            if found is None and counted:
                self.lost = replace(self.lost, lost_rows=self.lost.lost_rows + 1)
            yield found

    def _waiting_entries(self) -> Iterator[tuple[int, Saved] | None]:
        reached = self._reached.get("entries", 0)
        for found in self._whole("entries", whole_entry):
            if found is None:
                yield None
                continue
            entry = found[1]
            waits = entry.number > self._settled
            if entry.kind == "receipt":
                (self._waiting if waits else self._at_centre).add(entry.key)
                self._newest_there = self._newest_there if waits else entry.key
            # Older images of pages may hold a row twice.
            yield (entry.number, entry) if waits and entry.number > reached else None
            reached = max(reached, entry.number)

    def _known_through(self) -> Generator[Piece, None, int]:
        """The id of the newest receipt that the centre is known to have: those before it are there too."""
        if self._newest_there and self._lost_something:
            for count, found in enumerate(self._whole("receipts", whole_receipt, counted=False), start=1):
                if found is not None and found[1].receipt.key == self._newest_there:
                    return found[0].rowid or 0
                if count % LOOKED_AT_ONCE == 0:
                    yield Piece()
        return 0

    def _receipts(self, known_through: int) -> Iterator[tuple[int, Saved] | None]:
        """In the order in which they were booked, so that a return comes after what it returns."""
        keys: dict[int, str] = {}
        for found in self._whole("receipts", whole_receipt):
            if found is None:
                yield None
                continue
            row, saved = found
            rowid = row.rowid or 0
            keys[rowid] = saved.receipt.key
            returned = row.values[2]
            yield (
                rowid,
                replace(
                    saved,
                    original=keys.get(returned) if isinstance(returned, int) else None,
                    entry=self._entry_of(saved.receipt.key, after_known=rowid > known_through),
                ),
            )

    def _entry_of(self, key: str, *, after_known: bool) -> Literal["settled", "waits", "lost"]:
        if key in self._waiting:
            return "waits"
        return "lost" if after_known and key not in self._at_centre and self._lost_something else "settled"

    def _receipts_of_entries(self) -> Iterator[tuple[int, Saved] | None]:
        """Receipts whose own row could not be read, from the entry that tells the centre of them."""
        for found in self._whole("entries", receipt_of_entry, counted=False):
            saved = found[1] if found is not None else None
            if found is None or saved is None:
                yield None
                continue
            yield found[0].rowid or 0, replace(saved, entry=self._entry_of(saved.receipt.key, after_known=False))

    def _others(self, table: str, whole: Callable[[Row], Saved | None]) -> Iterator[tuple[int, Saved] | None]:
        reached = self._reached.get(table, 0)
        for found in self._whole(table, whole):
            if found is None or found[1] is None or 0 < (found[0].rowid or 0) <= reached:
                yield None
            else:
                yield found[0].rowid or 0, found[1]


def _pieces(table: str, found: Iterator[tuple[int, Saved] | None]) -> Iterator[Piece]:
    while some := list(islice(found, ROWS_AT_ONCE)):
        whole = [one for one in some if one is not None]
        yield Piece(
            table=table,
            saved=tuple(saved for _, saved in whole),
            reached=max((rowid for rowid, _ in whole), default=0),
        )
