"""One thread that writes: group commit without waiting.

Owns the queue, the batches and the answers. What is waiting when the disk is free goes into one commit;
nobody waits for company. An answer is given only after COMMIT returned. Never knows what is written.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

import structlog

from sync.store.errors import StoreBusyError, StoreFullError, StoreUnavailableError, closed, unavailable
from sync.store.rows import Committed
from sync.store.sqlite import is_storage_failure

log = structlog.get_logger(__name__)

# Items that share one commit, and how long such a batch may be put together before its commit starts.
MAX_BATCH_ITEMS = 64
MAX_BATCH_NS = 4_000_000
# Items that wait for the writer; beyond it the disk is not keeping up and a caller must hold back.
MAX_WAITING = 10_000

Answer = asyncio.Future[Any] | ThreadFuture[Any]


class Transaction(Protocol):
    """What the writer drives: a batch of items, each undone by itself if it fails."""

    def begin(self) -> None: ...
    def begin_item(self) -> None: ...
    def end_item(self) -> None: ...
    def undo_item(self) -> None: ...
    def commit(self) -> Committed: ...
    def rest(self) -> None: ...
    def discard(self) -> None: ...


W = TypeVar("W", bound=Transaction)
T = TypeVar("T")


Item = tuple[Callable[[W], Any], Answer, bool]
"""Work, who waits for it, and whether it is done on a full disk too."""
Told = tuple[Answer, Any, BaseException | None]
"""What one item's caller is told: a result or an error."""


class GroupWriter(Generic[W]):
    """Runs works one after another in the thread that owns the writing connection.

    `connect` opens that connection again after the disk `failed`. Where `refusal` says before a batch that there is no
    room for anything new, only what drains is done, and everybody else is told.
    """

    def __init__(
        self,
        transaction: W,
        connect: Callable[[], W],
        *,
        failed: Callable[[Exception], None] = lambda _error: None,
        refusal: Callable[[W], str | None] = lambda _transaction: None,
    ) -> None:
        self._connect = connect
        self._failed = failed
        self._refusal = refusal
        self._transaction: W | None = transaction
        self._waiting: SimpleQueue[Item[W] | None] = SimpleQueue()
        self._held_over: list[Item[W]] = []
        self._listener: tuple[asyncio.AbstractEventLoop, Callable[[Committed], None]] | None = None
        self._door = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def write(self, work: Callable[[W], T], *, drains: bool = False) -> asyncio.Future[T]:
        """Runs `work` in the writer; the future has its result once it is durable."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(work, answer, drains)
        return answer

    def submit(self, work: Callable[[W], T], *, drains: bool = False) -> ThreadFuture[T]:
        """`write` for threads."""
        answer: ThreadFuture[T] = ThreadFuture()
        self._put(work, answer, drains)
        return answer

    def listen(self, committed: Callable[[Committed], None]) -> None:
        """Calls `committed` on the running event loop after every commit; one listener, the last to ask."""
        self._listener = (asyncio.get_running_loop(), committed)

    def close(self) -> None:
        """Writes what waits, then ends the thread."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def _put(self, work: Callable[[W], Any], answer: Answer, drains: bool) -> None:
        # Nothing may come after the mark that ends the thread: nobody would answer it.
        with self._door:
            if self._closed:
                raise closed()
            if self._waiting.qsize() >= MAX_WAITING:
                raise StoreBusyError(f"{MAX_WAITING} writes wait for the disk; check its health, then try again")
            self._waiting.put((work, answer, drains))

    # In the writer's thread

    def _run(self) -> None:
        ending = False
        while not ending:
            batch, ending = self._gather()
            if batch:
                self._write(batch)
            if not self._held_over and self._waiting.empty():
                self._rest()
        while self._held_over:
            self._write(self._held_over)
        if self._transaction is not None:
            self._transaction.discard()

    def _gather(self) -> tuple[list[Item[W]], bool]:
        """What waits now, at least one; and whether the store is being closed."""
        batch, self._held_over = self._held_over, []
        try:
            while len(batch) < MAX_BATCH_ITEMS:
                item = self._waiting.get(block=not batch)
                if item is None:
                    return batch, True
                batch.append(item)
        except Empty:
            pass
        return batch, False

    def _write(self, batch: list[Item[W]]) -> None:
        self._held_over = []
        try:
            if self._transaction is None:
                self._transaction = self._connect()
            outcomes = self._run_items(self._transaction, batch)
            committed = self._transaction.commit()
        except Exception as error:  # noqa: BLE001 - whatever broke the commit, no caller may be left waiting
            self._abandon(batch, error)
        else:
            self._answer(outcomes, committed)

    def _rest(self) -> None:
        """Nobody waits: what is to be done now and then is done now."""
        try:
            if self._transaction is not None:
                self._transaction.rest()
        except Exception as error:  # noqa: BLE001 - whatever broke it, the next one begins on a connection that works
            self._abandon([], error)

    def _run_items(self, transaction: W, batch: list[Item[W]]) -> list[Told]:
        refused = self._refusal(transaction)
        transaction.begin()
        outcomes: list[Told] = []
        commit_by_ns = time.monotonic_ns() + MAX_BATCH_NS
        for index, (work, answer, drains) in enumerate(batch):
            if index and time.monotonic_ns() > commit_by_ns:
                self._held_over = batch[index:]
                break
            if refused is not None and not drains:
                outcomes.append((answer, None, StoreFullError(refused)))
            elif not answer.cancelled():
                outcomes.append(_run_item(transaction, work, answer))
        return outcomes

    def _abandon(self, batch: list[Item[W]], error: Exception) -> None:
        """Nothing of the batch was kept; the connection is opened again for the next one."""
        self._held_over = []
        if self._transaction is not None:
            self._transaction.discard()
            self._transaction = None
        log.error("store_unavailable", reason=str(error), items=len(batch))
        self._failed(error)
        self._answer([(answer, None, _caused(error)) for _, answer, _ in batch], None)

    def _answer(self, outcomes: list[Told], committed: Committed | None) -> None:
        """One wake-up of each event loop, however many of its tasks wait."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Told]] = {}
        for told in outcomes:
            answer = told[0]
            if isinstance(answer, ThreadFuture):
                _tell_thread(answer, told[1], told[2])
            else:
                by_loop.setdefault(answer.get_loop(), []).append(told)
        listener = self._listener
        if listener and committed is not None:
            by_loop.setdefault(listener[0], [])
        for loop, tasks in by_loop.items():
            listening = listener[1] if listener and listener[0] is loop else None
            # A loop that was closed has nobody waiting any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell_tasks, tasks, listening, committed)


def _caused(error: Exception) -> StoreUnavailableError:
    failure = unavailable("write", error)
    failure.__cause__ = error
    return failure


def _run_item(transaction: Transaction, work: Callable[[Any], Any], answer: Answer) -> Told:
    """Runs one item; its own failure stays its own, a failure of the disk is everybody's."""
    transaction.begin_item()
    try:
        result = work(transaction)
        transaction.end_item()
    except BaseException as error:
        if is_storage_failure(error):
            raise
        transaction.undo_item()
        # No future takes a StopIteration.
        return answer, None, RuntimeError(repr(error)) if isinstance(error, StopIteration) else error
    return answer, result, None


def _tell_thread(answer: ThreadFuture[Any], result: object, error: BaseException | None) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


def _tell_tasks(
    outcomes: list[Told], listening: Callable[[Committed], None] | None, committed: Committed | None
) -> None:
    for answer, result, error in outcomes:
        if answer.done():
            continue
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)
    if listening is not None and committed is not None:
        listening(committed)
