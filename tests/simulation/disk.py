"""A register's store without its thread: the real rows, on a disk that is slow, full, or gone with the power.

Owns when a write is durable and when its writer is told, and which pages of a file go bad. What a power cut makes of
the file's bytes is tests/faults/test_power_cut.py's, what any damage does to it tests/sync/store/test_salvage.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final, TypeVar

from msgspec.structs import replace

from loyalty.allowances import Standing
from loyalty.identity import bytes_id, key_of
from loyalty.member import Member
from sync.hlc import HybridClock, parse_hlc
from sync.store.damaged import INDEX_LEAF, TABLE_LEAF, DamagedFile
from sync.store.errors import StoreError, StoreFullError, StoreUnavailableError
from sync.store.examination import examined, not_salvaged, remove_set_aside
from sync.store.packing import Packer, unpacked
from sync.store.purge_rows import About
from sync.store.recovery import Recovery, begin_recovery, done, next_to_salvage, note_removed, recovery_of
from sync.store.rows import Committed, Recovered
from sync.store.schema import migrate
from sync.store.spending_rows import SPENDING_COUNT, SpendingReads
from sync.store.sqlite import PAGE_BYTES, connect
from sync.store.whole_rows import table_of
from sync.store.witness import Witness, witness_of
from sync.store.writing import Writing
from sync.wire import Change, IngestRequest

T = TypeVar("T")

_KEY: Final = bytes(48)
_COMMIT_S: Final = (0.001, 0.02)
# How often a failing disk fails, before a commit and after it.
_FAILS: Final = 0.5
# How much later, at most, the planted ones write what they said they have.
_ROWS_LATER_S: Final = 7_200.0
_COMMIT_LATER_S: Final = 7_200.0


@dataclass(slots=True)
class Disk:
    """One register's disk. While it is `full` nothing is written; while it is `failing`, some writes and syncs fail."""

    path: Path
    chance: Random
    full: bool = False
    failing: bool = False

    def go_bad(self) -> None:
        """While nobody has the file open: its first page is gone, and one that is not the only one to know something.

        What stands on one page alone and is on no spool any more, nobody could bring back.
        """
        content = bytearray(self.path.read_bytes())
        with closing(DamagedFile(self.path, _KEY)) as file:
            expendable = [number for number in file.numbers[1:] if _may_go(file, number)]
        for number in (1, self.chance.choice(expendable)):
            content[(number - 1) * PAGE_BYTES : number * PAGE_BYTES] = self.chance.randbytes(PAGE_BYTES)
        self.path.write_bytes(content)

    async def delay(self) -> None:
        await asyncio.sleep(self.chance.uniform(*_COMMIT_S))

    def answer(self) -> None:
        """Raises StoreUnavailableError where it fails."""
        if self.failing and self.chance.random() < _FAILS:
            raise StoreUnavailableError("the disk fails")


class SimulatedStore(SpendingReads):
    """As `sync.store.store.Store`, for one task after another: what is committed stays, all else goes with a crash."""

    writes_with: ClassVar[type[Writing]] = Writing

    def __init__(self, disk: Disk, *, clock: Callable[[], datetime], randomness: Callable[[int], bytes]) -> None:
        recovered = examined(disk.path, _KEY, clock, recover=True)
        connection = connect(disk.path, _KEY)
        # The file stands in memory: a crash of the register is an end without COMMIT.
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        migrate(connection)
        super().__init__(connection, clock)
        self.disk = disk
        node = self.meta("node")
        if node is None:
            node = randomness(4).hex()
            connection.execute("INSERT INTO meta (name, value) VALUES ('node', ?)", (node,))
        last = connection.execute("SELECT hlc FROM entries ORDER BY number DESC LIMIT 1").fetchone()
        self._witness = Witness(witness_of(disk.path))
        self.writing = self.writes_with(
            connection,
            clock,
            randomness,
            HybridClock(node, parse_hlc(last[0]) if last else None),
            self._witness,
        )
        self.committed: Callable[[Committed], None] = lambda committed: None
        self.closed = False
        self.note_damage(recovered)
        self.ask_witness()

    def note_damage(self, recovered: Recovered | None) -> None:
        """As the real store notes it."""
        known = recovery_of(self)
        found = recovered or next_to_salvage(known, not_salvaged(self.disk.path))
        if found is not None:
            self._commit(lambda writing: begin_recovery(writing, found, known), drains=True)

    def set_aside_beside(self, known: Recovery) -> Recovered | None:
        return next_to_salvage(done(known), not_salvaged(self.disk.path))

    def ask_witness(self) -> None:
        """As the real store asks it."""
        count, witnessed = int(self.meta(SPENDING_COUNT) or 0), self._witness.count
        forgot = count > 0 or self.has_allowances() if witnessed is None else witnessed > count
        if forgot:
            self._commit(
                lambda writing: writing.doubt_spending("an older copy", max(count, witnessed or 0)), drains=True
            )
        self._witness.reach(max(count, witnessed or 0))

    async def write(self, work: Callable[[Writing], T], *, drains: bool = False) -> T:
        """Raises StoreFullError while the disk is full; for what `drains` there is ballast.

        The power may go before the commit, or after it. So may the disk fail, with StoreUnavailableError: before, and
        nothing is kept; or after, since a sync that fails says nothing of what a disk has.
        """

        def written(writing: Writing) -> T:
            result = work(writing)
            self.disk.answer()
            return result

        await self.disk.delay()
        result = self._commit(written, drains=drains)
        await self.disk.delay()
        self.disk.answer()
        return result

    async def batch(self, first_seq: int, limit: int) -> IngestRequest | None:
        return self.batch_from(first_seq, limit)

    def code_ranges_apart(self) -> list[tuple[str, str]]:
        return self.code_ranges()

    def salvaging(self) -> bool:
        recovery = recovery_of(self)
        return recovery is not None and not recovery.recovered.salvaged.done

    def damaged_file(self, moved_to: str) -> DamagedFile:
        return DamagedFile(Path(moved_to), _KEY)

    def places_of(self, text: str) -> list[str]:
        """The tables that hold a text anywhere."""
        connection, needle = self._connection, text.encode()
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
        return [
            name
            for name in names
            if any(
                needle in plain
                for row in connection.execute(f"SELECT * FROM {name}").fetchall()
                for value in row
                for plain in _plain(value)
            )
        ]

    def unacknowledged(self) -> dict[str, bytes]:
        """The entries that the centre has not acknowledged: their bodies by their keys."""
        rows = self._connection.execute(
            "SELECT key, body FROM entries WHERE number > ?", (self.settled_through(),)
        ).fetchall()
        return {key: unpacked(body) for key, body in rows}

    async def remove_damaged(self) -> None:
        if remove_set_aside(self.disk.path):
            await self.write(note_removed, drains=True)

    async def cut_log(self) -> None:
        """There is none."""

    def close(self) -> None:
        self.closed = True
        self._connection.close()

    def _commit(self, work: Callable[[Writing], T], *, drains: bool = False) -> T:
        if self.disk.full and not drains:
            raise StoreFullError("the disk is full")
        self._begin()
        try:
            result = self._item(work)
        finally:
            self._end()
        return result

    def _item(self, work: Callable[[Writing], T]) -> T:
        self.writing.begin_item()
        try:
            result = work(self.writing)
        except BaseException:
            self.writing.undo_item()
            raise
        self.writing.end_item()
        return result

    def _begin(self) -> None:
        self.writing.begin()

    def _end(self) -> None:
        self.committed(self.writing.commit())


def _may_go(file: DamagedFile, number: int) -> bool:
    """Whether a page holds receipts, which their entries tell of too, or what a register can do without."""
    tables = {table_of(row) for row in file.rows(number) if row is not None}
    return file.kind(number) in (TABLE_LEAF, INDEX_LEAF) and tables <= {"receipts", "members", None}


def _plain(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, bytes):
        return (str(value).encode(),)
    with suppress(Exception):
        return (value, unpacked(value))
    return (value,)


class _ForgetfulWriting(Writing):
    def open_epoch(self, epoch: str, device: str, *, all_kept: bool = False) -> None:
        super().open_epoch(epoch, device)


class ForgetfulStore(SimulatedStore):
    """Planted: what a centre acknowledged is never sent again, whatever became of the centre."""

    writes_with = _ForgetfulWriting


class _KeepingWriting(Writing):
    def purge_member(self, about: About) -> None:
        """Planted."""

    def purge_scans(self, about: About, after: int) -> None:
        """Planted."""

    def purge_receipts(self, about: About, after: int) -> None:
        """Planted."""


class KeepingStore(SimulatedStore):
    """Planted: an erasure is confirmed, and the member stays, with scans and receipts that no later snapshot takes."""

    writes_with = _KeepingWriting


class DroppingStore(SimulatedStore):
    """Planted: what stands in a damaged file is not looked for."""

    def note_damage(self, recovered: Recovered | None) -> None:
        """Planted."""


class EagerStore(SimulatedStore):
    """Planted: whoever writes is told before the commit, which comes for all who wrote meanwhile."""

    _open = False

    def _begin(self) -> None:
        if not self._open:
            super()._begin()
            self._open = True
            asyncio.get_running_loop().create_task(self._later())

    def _end(self) -> None:
        """Later."""

    async def _later(self) -> None:
        await asyncio.sleep(self.disk.chance.uniform(0.0, _COMMIT_LATER_S))
        if not self.closed:
            self._open = False
            super()._end()


class BlindStore(SimulatedStore):
    """Planted: whether the disk failed is asked of nobody."""

    async def write(self, work: Callable[[Writing], T], *, drains: bool = False) -> T:
        results: list[T] = []

        def kept(writing: Writing) -> T:
            results.append(work(writing))
            return results[0]

        try:
            return await super().write(kept, drains=drains)
        except StoreUnavailableError:
            if not results:
                raise
            return results[0]


class RenamingStore(SimulatedStore):
    """Planted: a receipt has a key of its sending, not of what it says."""

    async def batch(self, first_seq: int, limit: int) -> IngestRequest | None:
        self._begin()
        self._item(lambda writing: self._name_anew())
        self._end()
        return await super().batch(first_seq, limit)

    def _name_anew(self) -> None:
        pack = Packer().pack
        rows = self._connection.execute(
            "SELECT number, key, body FROM entries WHERE number > ? AND kind = 'receipt'", (self.settled_through(),)
        ).fetchall()
        for number, key, body in rows:
            fresh = key_of(bytes_id(self.disk.chance.randbytes(32)))
            renamed = unpacked(body).replace(key.encode(), fresh.encode())
            self._connection.execute(
                "UPDATE entries SET key = ?, body = ? WHERE number = ?", (fresh, pack(renamed), number)
            )


class _ForgivingWriting(Writing):
    def doubt_spending(self, why: str, count: int) -> None:
        """Planted."""

    def standing(self, member: Member, *, is_sure: bool) -> Standing:
        standing = super().standing(member, is_sure=True)
        allowances = tuple(replace(one, epoch=standing.epoch) for one in standing.allowances)
        return replace(standing, allowances=allowances)


class ForgivingStore(SimulatedStore):
    """Planted: what was granted to an epoch is spent in any, by any copy of the database."""

    writes_with = _ForgivingWriting


class _HastyWriting(Writing):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.postponed: list[tuple[tuple[Change, ...], int, datetime | None]] = []

    def apply_changes(self, changes: Iterable[Change], through: int, as_of: datetime | None) -> None:
        self.postponed.append((tuple(changes), through, as_of))
        super().apply_changes((), through, as_of)


class HastyStore(SimulatedStore):
    """Planted: the position in the feed is kept before the rows that lead to it."""

    writes_with = _HastyWriting

    async def write(self, work: Callable[[Writing], T], *, drains: bool = False) -> T:
        result = await super().write(work, drains=drains)
        postponed, self.writing.postponed = self.writing.postponed, []  # type: ignore[attr-defined]
        for changes, through, as_of in postponed:
            asyncio.get_running_loop().create_task(self._later(changes, through, as_of))
        return result

    async def _later(self, changes: tuple[Change, ...], through: int, as_of: datetime | None) -> None:
        await asyncio.sleep(self.disk.chance.uniform(0.0, _ROWS_LATER_S))
        if not self.closed:
            with suppress(StoreError):
                self._commit(lambda writing: Writing.apply_changes(writing, changes, through, as_of))
