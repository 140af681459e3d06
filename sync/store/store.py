"""The register's store: opening it, reading directly, writing through the one writer.

Owns the life of the file. The statements are in `reading.py` and `writing.py`, the batches in
`writer.py`, what is checked before a file is
trusted in `examination.py`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from sync.durable import private_folder
from sync.hlc import HybridClock, parse_hlc
from sync.keys import STORE_KEY, STORE_KEY_BYTES, KeyKeeper
from sync.store.damaged import DamagedFile
from sync.store.errors import StoreError, StoreUnavailableError, closed, unavailable
from sync.store.examination import (
    examined,
    files_of,
    key_is_kept,
    not_salvaged,
    remove_set_aside,
    suspect,
)
from sync.store.lock import StoreLock
from sync.store.reading import Parameters, Reading
from sync.store.recovery import Recovery, begin_recovery, done, next_to_salvage, note_removed, recovery_of
from sync.store.reserve import Reserve, ballast_of
from sync.store.rows import ChainPoint, Committed, DiskFull, Recovered, StoreStatus
from sync.store.schema import migrate
from sync.store.shedding import shed_some
from sync.store.spending_rows import SPENDING_COUNT, SpendingReads
from sync.store.sqlite import (
    CHECKPOINT_BYTES,
    DatabaseError,
    connect,
    is_full,
    is_storage_failure,
    make_durable,
    refuse_unsafe,
)
from sync.store.witness import Witness, witness_of
from sync.store.writer import GroupWriter
from sync.store.writing import Writing
from sync.wire import IngestRequest

T = TypeVar("T")
log = structlog.get_logger(__name__)

# Entries read and walked on the event loop (1 ms), where a scan or a receipt may be waiting; more of them in a thread.
AT_ONCE = 20

# On a full disk folding in the log may take this part of the ballast at most, so that draining never stops for it.
CHECKPOINT_PART = 4
# Where the disk is full, this many times the room that new sales need is made, so that none has to be refused.
SHED_AHEAD = 3
# A log that somebody is writing to is emptied a moment later.
CUT_ATTEMPTS = 20
CUT_AGAIN_AFTER_S = 0.05

_NODE = "node"
_NODE_BYTES = 4


def _now() -> datetime:
    return datetime.now(UTC)


def disk_full(ballast: Path, *, refusing: bool) -> str:
    """What a full disk means, for the cashier and the operator."""
    if refusing:
        done = "new sales are not kept here until then, the relay's spool and the POS keep theirs; what waits goes up"
    else:
        done = "what can be had again from the centre was given up, so that sales are still kept"
    return f"the disk of {ballast.parent} is full: free some space on it; {done}"


def _opened(make: Callable[[], Store], reserve: Reserve) -> Store:
    """A full disk may need the ballast for as much as opening the file."""
    try:
        return make()
    except DatabaseError as error:
        if not is_full(error):
            raise
        reserve.give_up()
    try:
        return make()
    except DatabaseError as error:
        raise unavailable("be opened", error) from error


class Store(SpendingReads):
    """One open store. Reads are direct and belong to one thread, the event loop's; writes may come from any."""

    def __init__(
        self,
        path: Path,
        key: bytes,
        keys: str,
        *,
        clock: Callable[[], datetime],
        randomness: Callable[[int], bytes],
        lock: StoreLock,
        reserve: Reserve,
    ) -> None:
        self.path = path
        self._key = key
        self._keys = keys
        self._randomness = randomness
        self._lock = lock
        self._clock = clock
        self._reserve = reserve
        self._witness = Witness(witness_of(path))
        self._closed = False
        self._refusing = self._shedding = self._shed_all = False
        self._last_writing = writing = self._writing()
        super().__init__(connect(path, key), clock)
        self._connection.execute("PRAGMA query_only = ON")
        self._tells_recovery = self.salvaging()
        self._writer = GroupWriter(writing, self._writing_again, failed=self._failed, refusal=self._refusal)

    @classmethod
    def open(
        cls,
        path: Path,
        keeper: KeyKeeper,
        *,
        clock: Callable[[], datetime] = _now,
        randomness: Callable[[int], bytes] = os.urandom,
        recover: bool = True,
        ballast_bytes: int = 0,
    ) -> Store:
        """Opens the store at `path`, making it the first time; call it before the event loop is busy.

        `ballast_bytes` of the disk are kept for the time when it is full.

        A corrupt file is renamed, never deleted, and a new one made: see `status().recovered`; without `recover`
        StoreCorruptError is raised instead. Raises SqliteUnsafeError, StoreInUseError, StoreKeyError,
        StoreTooNewError, StoreUnavailableError, SecretError.
        """
        refuse_unsafe()
        private_folder(path.parent)
        lock = StoreLock.take(path.with_name(path.name + ".lock"))
        try:
            key_is_kept(path, keeper)
            key = keeper.get_or_create(STORE_KEY, STORE_KEY_BYTES)
            recovered = examined(path, key, clock, recover=recover)
            reserve = Reserve(ballast_of(path), ballast_bytes)
            reserve.hold()
            make = partial(
                cls, path, key, keeper.where(), clock=clock, randomness=randomness, lock=lock, reserve=reserve
            )
            store = _opened(make, reserve)
        except BaseException:
            lock.release()
            raise
        try:
            if recover:
                store.note_damage(recovered)
            store.ask_witness()
        except BaseException:
            store.close()
            raise
        return store

    def note_damage(self, recovered: Recovered | None) -> None:
        """Has what can be read of files that were set aside come back, one after the other: of the one that was
        `recovered` now, and of those before it that were not done when the store that took their place was damaged.
        """
        known = recovery_of(self)
        found = recovered or next_to_salvage(known, not_salvaged(self.path))
        if found is None:
            return
        self._tells_recovery = True
        self.submit(lambda writing: begin_recovery(writing, found, known), drains=True).result()

    def ask_witness(self) -> None:
        """Where the witness tells of more than this database does, or is gone, nothing is spent.

        That ends with the next epoch, which the centre opens: no allowance of an earlier one is used in it.
        """
        count, witnessed = int(self.meta(SPENDING_COUNT) or 0), self._witness.count
        if witnessed is None and (count > 0 or self.has_allowances()):
            why = f"{witness_of(self.path)} is gone, which tells whether this database is the newest"
        elif witnessed is not None and witnessed > count:
            why = f"this database is older than {witness_of(self.path)}, as if it had been put back from a copy"
        else:
            self._witness.reach(count)
            return
        reached = max(count, witnessed or 0)
        self.submit(lambda writing: writing.doubt_spending(why, reached), drains=True).result()
        self._witness.reach(reached)

    def is_witnessed(self) -> bool:
        """Whether the witness could be written when points were used or freed last."""
        return not self._witness.problem

    def is_sure(self) -> bool:
        """Whether points may be spent without asking the centre."""
        return self.is_witnessed() and self.spending_doubted() is None

    def unsure_because(self) -> str:
        """Why nothing may be spent here, for the operator; empty where it may."""
        return self._witness.problem or self.spending_doubted() or ""

    async def write(self, work: Callable[[Writing], T], *, drains: bool = False) -> T:
        """Runs `work` in the writer's thread, inside a transaction, and returns its result once it is durable.

        Either all that it wrote is kept or nothing. What `work` raises comes out here; a full or failing disk
        raises StoreUnavailableError, too many waiting writes StoreBusyError. On a full disk only work that `drains`
        is done, StoreFullError is raised for the rest. A caller that is cancelled may or may not have written.
        """
        return await self._writer.write(work, drains=drains)

    def submit(self, work: Callable[[Writing], T], *, drains: bool = False) -> Future[T]:
        """`write` for threads."""
        return self._writer.submit(work, drains=drains)

    def listen(self, committed: Callable[[Committed], None]) -> None:
        """Calls `committed` on the running event loop after every commit, before the writers of it go on."""
        self._writer.listen(committed)

    async def batch(self, first_seq: int, limit: int) -> IngestRequest | None:
        """`batch_from` without holding up the event loop, however large it is or long the chain before `first_seq`."""
        if limit <= AT_ONCE and self.steps_to(first_seq - 1) <= AT_ONCE:
            return self.batch_from(first_seq, limit)
        batch, self._walked = await asyncio.to_thread(self._batch_apart, first_seq, limit)
        return batch

    def status(self) -> StoreStatus:
        """What `status` says of the store; cheap enough to ask after every commit."""
        return StoreStatus(
            queued=self.queued(),
            oldest_queued_at=self.oldest_queued_at(),
            quarantined=self.count_quarantined(),
            epoch=self.epoch(),
            feed=self.feed(),
            keys=self._keys,
            file_bytes=sum(file.stat().st_size for file in files_of(self.path) if file.exists()),
            recovered=self._recovered(),
            spending=self.spending_status(unsure_because=self.unsure_because()),
            disk_full=self.disk_full,
        )

    @property
    def disk_full(self) -> DiskFull | None:
        """What a full disk means here; None where there is room. Costs nothing."""
        if self._reserve.held:
            return None
        refuses = self._refusing
        return DiskFull(refuses_sales=refuses, said=disk_full(self._reserve.path, refusing=refuses))

    def _recovered(self) -> Recovered | None:
        """Told until the start after the one at which all that can be read was brought back."""
        recovery = recovery_of(self) if self._tells_recovery else None
        return recovery.recovered if recovery is not None else None

    def damaged_file(self, moved_to: str) -> DamagedFile:
        """What `status().recovered` names, to be read page by page; for a thread. Raises OSError."""
        return DamagedFile(Path(moved_to), self._key)

    def set_aside_beside(self, known: Recovery) -> Recovered | None:
        """Which damaged file has its turn once one is done."""
        return next_to_salvage(done(known), not_salvaged(self.path))

    def salvaging(self) -> bool:
        """Whether more may come back of a damaged file."""
        recovery = recovery_of(self)
        return recovery is not None and not recovery.recovered.salvaged.done

    async def remove_damaged(self) -> None:
        """Deletes every file that was set aside as damaged: it cannot be written without who is erased.

        Raises StoreUnavailableError.
        """
        try:
            removed = await asyncio.to_thread(remove_set_aside, self.path)
        except OSError as error:
            raise StoreUnavailableError(
                f"{error.filename} cannot be deleted ({error.strerror}), and a member in it is erased; delete it"
            ) from error
        if removed:
            await self.write(note_removed, drains=True)

    def close(self) -> None:
        """Writes what waits, then closes the file; again, it does nothing. What is asked later: StoreClosedError."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        self._connection.close()
        self._lock.release()

    def _rows(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        if self._closed:
            raise closed()
        try:
            return super()._rows(sql, parameters)
        except DatabaseError as error:
            self._blame_disk(error)
            raise

    async def cut_log(self) -> None:
        """Folds the write-ahead log into the file and empties it, so that no page of before is left in it.

        Raises StoreUnavailableError where somebody reads or writes all the time.
        """
        for attempt in range(CUT_ATTEMPTS):
            if await asyncio.to_thread(self._cut_log):
                return
            await asyncio.sleep(CUT_AGAIN_AFTER_S * (attempt + 1))
        raise StoreUnavailableError("the store's log cannot be emptied: close what else reads the file")

    def _cut_log(self) -> bool:
        with closing(connect(self.path, self._key)) as connection:
            busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            return not busy

    def count_members_apart(self) -> int:
        """`count_members` for a thread: it reads a whole table."""
        return self._apart(lambda reading: reading.count_members())

    def code_ranges_apart(self) -> list[tuple[str, str]]:
        """`code_ranges` for a thread: it reads a whole table."""
        return self._apart(lambda reading: reading.code_ranges())

    def _batch_apart(self, first_seq: int, limit: int) -> tuple[IngestRequest | None, ChainPoint | None]:
        return self._apart(lambda reading: (reading.batch_from(first_seq, limit), reading.walked))

    def _apart(self, read: Callable[[Reading], T]) -> T:
        """`read` in a thread: on a connection of its own, since this one belongs to the event loop's."""
        try:
            with closing(connect(self.path, self._key, read_only=True)) as connection:
                return read(Reading(connection, self._clock, self._walked))
        except DatabaseError as error:
            self._blame_disk(error)
            raise

    def _blame_disk(self, error: Exception) -> None:
        """Raises StoreUnavailableError where the disk failed, rather than one statement."""
        if is_storage_failure(error):
            suspect(self.path)
            raise unavailable("read", error) from error

    # In the writer's thread

    def _failed(self, error: Exception) -> None:
        """A disk without room gives up the ballast, and the store what can be had again."""
        self._shedding = False
        if is_full(error) and self._reserve.held and self._reserve.size:
            self._reserve.give_up()
            self._shed_soon()

    def _refusal(self, writing: Writing) -> str | None:
        """Why nothing new is taken before this batch, if it is not. Room is made before it has come to that."""
        if self._reserve.held:
            self._shed_all = self._refusing = False
            return None
        free = writing.free_bytes()
        if not self._reserve.has_room(free, times=SHED_AHEAD):
            self._shed_soon()
        self._refusing = self._shed_all and not self._reserve.has_room(free)
        return disk_full(self._reserve.path, refusing=True) if self._refusing else None

    def _shed_soon(self) -> None:
        """Closed meanwhile, nothing is given up."""
        if not self._shedding:
            with suppress(StoreError):
                self.submit(self._shed, drains=True)
                self._shedding = True

    def _shed(self, writing: Writing) -> None:
        """Gives up some at a time, until there is room or nothing more to give up."""
        self._shedding = False
        if self._reserve.has_room(writing.free_bytes(), times=SHED_AHEAD):
            self._shed_all = False
            return
        self._shed_all = not shed_some(writing)
        if not self._shed_all:
            log.warning("disk_full_shedding", free_in_store=writing.free_bytes())
            self._shed_soon()

    def _writing_again(self) -> Writing:
        """After the disk failed: a connection whose commit or sync failed is not trusted with another."""
        suspect(self.path)
        writing = self._writing()
        confirmed = self._last_writing.committed_number
        if writing.committed_number < confirmed:
            writing.discard()
            raise StoreUnavailableError(
                f"the disk lost entries that it had confirmed (up to {confirmed}): replace it; the register keeps "
                "nothing more on it until it is restarted"
            )
        self._last_writing = writing
        return writing

    def _writing(self) -> Writing:
        """The writing connection with the numbers and the clock as they are on the disk."""
        connection = connect(self.path, self._key)
        make_durable(connection, min(CHECKPOINT_BYTES, self._reserve.size // CHECKPOINT_PART or CHECKPOINT_BYTES))
        migrate(connection)
        row = connection.execute("SELECT value FROM meta WHERE name = ?", (_NODE,)).fetchone()
        if row is None:
            row = (self._randomness(_NODE_BYTES).hex(),)
            connection.execute("INSERT INTO meta (name, value) VALUES (?, ?)", (_NODE, row[0]))
        last = connection.execute("SELECT hlc FROM entries ORDER BY number DESC LIMIT 1").fetchone()
        hybrid = HybridClock(row[0], parse_hlc(last[0]) if last else None)
        return Writing(connection, self._clock, self._randomness, hybrid, self._witness)
