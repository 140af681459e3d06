"""Group commit: what is answered is durable, a bad item fails alone, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from sync.hlc import HybridClock
from sync.keys import STORE_KEY, STORE_KEY_BYTES
from sync.store.errors import StoreBusyError, StoreClosedError
from sync.store.rows import Committed
from sync.store.schema import migrate
from sync.store.sqlite import PAGE_BYTES, connect, make_durable
from sync.store.store import Store
from sync.store.witness import Witness
from sync.store.writer import MAX_BATCH_ITEMS, MAX_WAITING, GroupWriter
from sync.store.writing import Writing
from tests.sync.store.samples import CAPTURED, NOON, capture, keeper, opened, receipt, signalling


class Gate:
    """Holds the writer in one item, so that others have to wait behind it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, writing: Writing) -> None:
        self.reached.set()
        assert self.open.wait(10)


def keys_on_disk(folder: Path) -> list[str]:
    """What another connection sees: what was committed."""
    key = keeper(folder).find(STORE_KEY, STORE_KEY_BYTES)
    assert key is not None
    with closing(connect(folder / "store.db", key, read_only=True)) as other:
        return [row[0] for row in other.execute("SELECT key FROM entries ORDER BY number")]


async def test_an_answered_write_is_committed(store: Store, tmp_path: Path) -> None:
    for number in range(5):
        await store.write(signalling(f"s-{number}"))

        assert keys_on_disk(tmp_path) == [f"s-{written}" for written in range(number + 1)]


async def test_what_waits_shares_a_commit_and_each_gets_its_own_answer(store: Store) -> None:
    # given a writer that is busy
    commits: list[Committed] = []
    store.listen(commits.append)
    gate = Gate()
    first = asyncio.ensure_future(store.write(gate))
    await asyncio.to_thread(gate.reached.wait, 10)

    # when many wait for it
    waiting = [asyncio.ensure_future(store.write(signalling(f"s-{n}"))) for n in range(100)]
    await asyncio.sleep(0)
    gate.open.set()
    await first

    # then they need few commits, in order
    assert await asyncio.gather(*waiting) == list(range(1, 101))
    assert [committed.appended for committed in commits] == [0, MAX_BATCH_ITEMS, 100 - MAX_BATCH_ITEMS]


@pytest.mark.parametrize("bad_at", [0, 1, 4, 9])
@pytest.mark.parametrize("touches_tables", [False, True])
async def test_a_bad_item_fails_alone_and_leaves_nothing(store: Store, bad_at: int, touches_tables: bool) -> None:
    def item(writing: Writing, number: int) -> int:
        if number % 3 == 0:
            capture(writing, receipt(number), None)
            seq = writing.last_number()
        else:
            seq = signalling(f"s-{number}")(writing)
        if number == bad_at:
            if touches_tables:
                writing.keep_scan("4711", "card", None, CAPTURED)
                signalling("after")(writing)
            raise ValueError(f"item {number} is bad")
        return seq

    gate = Gate()
    first = asyncio.ensure_future(store.write(gate))
    await asyncio.to_thread(gate.reached.wait, 10)
    items = [asyncio.ensure_future(store.write(partial(item, number=number))) for number in range(10)]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    answers = await asyncio.gather(*items, return_exceptions=True)

    good = [number for number in range(10) if number != bad_at]
    assert isinstance(answers[bad_at], ValueError)
    assert [answers[number] for number in good] == list(range(1, 10))
    assert [entry.key for entry in store.queue()] == [
        receipt(number).key if number % 3 == 0 else f"s-{number}" for number in good
    ]
    assert store.unused_scans() == ()
    assert [number for number in range(10) if store.known_receipt([receipt(number).key])] == [
        number for number in good if number % 3 == 0
    ]


async def test_receipt_claims_entry_scan_and_spool_position_stand_or_fall_together(store: Store) -> None:
    def all_but_the_last_step(writing: Writing) -> None:
        capture(writing, receipt(1), "m-ana")
        writing.keep_scan("4711", "card", "m-ana", CAPTURED)
        writing.set_meta("name", "value")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.submit(all_but_the_last_step).result()

    assert store.known_receipt([receipt(1).key]) is None
    assert store.queue() == ()
    assert store.unused_scans() == ()
    assert store.meta("name") is None
    assert await store.write(signalling("next")) == 1


async def test_an_iteration_that_ends_in_an_item_reaches_its_caller(store: Store) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await store.write(lambda writing: next(iter(())))


async def test_a_cancelled_caller_breaks_nothing(store: Store) -> None:
    gate = Gate()
    first = asyncio.ensure_future(store.write(gate))
    await asyncio.to_thread(gate.reached.wait, 10)
    callers = [asyncio.ensure_future(store.write(signalling(f"s-{n}"))) for n in range(3)]
    await asyncio.sleep(0)

    callers[1].cancel()
    first.cancel()
    gate.open.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(answers[1], asyncio.CancelledError)
    assert [entry.key for entry in store.queue()] == ["s-0", "s-2"]


async def test_sixty_four_producers_lose_and_mix_up_nothing(store: Store) -> None:
    each = 20

    async def produce(producer: int) -> list[int]:
        return [await store.write(signalling(f"{producer}-{n}")) for n in range(each)]

    async with asyncio.TaskGroup() as group:
        producers = [group.create_task(produce(producer)) for producer in range(64)]

    by_seq = {entry.number: entry.key for entry in (*store.queue(), *store.queue(after=1000))}
    assert sorted(by_seq) == list(range(1, 64 * each + 1))
    for producer, task in enumerate(producers):
        assert [by_seq[seq] for seq in task.result()] == [f"{producer}-{n}" for n in range(each)]


def test_threads_write_too(store: Store) -> None:
    def produce(producer: int) -> list[int]:
        return [store.submit(signalling(f"{producer}-{n}")).result() for n in range(10)]

    with ThreadPoolExecutor(64) as pool:
        seqs = [seq for given in pool.map(produce, range(64)) for seq in given]

    assert sorted(seqs) == list(range(1, 641))
    assert store.last_number() == 640


async def test_too_many_waiting_writes_are_refused_and_the_others_kept(store: Store) -> None:
    gate = Gate()
    first = store.submit(gate)
    await asyncio.to_thread(gate.reached.wait, 10)
    waiting = [store.submit(signalling("s")) for _ in range(MAX_WAITING)]

    with pytest.raises(StoreBusyError, match="wait for the disk"):
        await store.write(signalling("one too many"))

    gate.open.set()
    first.result(10)
    assert [answer.result(10) for answer in waiting] == list(range(1, MAX_WAITING + 1))


def test_closing_writes_what_waits_and_refuses_what_comes_later(tmp_path: Path) -> None:
    store = opened(tmp_path)
    gate = Gate()
    store.submit(gate)
    assert gate.reached.wait(10)
    waiting = [store.submit(signalling("s")) for _ in range(200)]
    gate.open.set()

    store.close()

    assert [answer.result(0) for answer in waiting] == list(range(1, 201))
    with pytest.raises(StoreClosedError):
        store.submit(signalling("late"))


async def test_a_store_can_be_closed_twice_and_then_says_that_it_is_closed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.close()
    # Given a file that took the number of the store's lock
    other = (tmp_path / "other").open("wb")
    # When it is closed again
    store.close()
    # Then nothing of others is closed
    other.write(b"x")
    other.close()
    # And whatever is asked is answered by name
    with pytest.raises(StoreClosedError, match="start the register again"):
        store.queued()
    with pytest.raises(StoreClosedError):
        await store.batch(1000, 1)
    with pytest.raises(StoreClosedError):
        await store.write(signalling("late"))


async def test_a_listener_hears_what_changed_before_its_writer_goes_on(store: Store) -> None:
    heard: list[Committed] = []
    store.listen(heard.append)

    await store.write(lambda writing: capture(writing, receipt(1), "m-ana"))

    assert heard == [Committed(appended=1, members=frozenset({"m-ana"}))]


class Recording:
    """A transaction that keeps what it is driven to do."""

    def __init__(self, done: list[str], *, rests: bool = True) -> None:
        self.done = done
        self._rests = rests

    def begin(self) -> None:
        self.done.append("begin")

    def begin_item(self) -> None: ...
    def end_item(self) -> None: ...
    def undo_item(self) -> None: ...

    def commit(self) -> Committed:
        self.done.append("commit")
        return Committed(appended=0, members=frozenset())

    def rest(self) -> None:
        self.done.append("rest")
        if not self._rests:
            raise OSError("the disk failed")

    def discard(self) -> None:
        self.done.append("discard")


def test_the_writer_rests_when_nobody_waits() -> None:
    # given more than one commit takes, waiting behind one
    done: list[str] = []
    writer = GroupWriter(Recording(done), lambda: Recording(done))
    reached, goes_on = threading.Event(), threading.Event()

    def gate(_: Recording) -> None:
        reached.set()
        assert goes_on.wait(10)

    first = writer.submit(gate)
    assert reached.wait(10)
    waiting = [writer.submit(lambda _: None) for _ in range(MAX_BATCH_ITEMS + 1)]

    # when all of it is written
    goes_on.set()
    for answer in (first, *waiting):
        answer.result(10)
    writer.close()

    # then nobody waited for a rest
    assert done[: done.index("rest")] == ["begin", "commit"] * 3
    assert done[-1] == "discard"


def test_a_rest_that_fails_is_nobodys_error_and_the_next_write_has_another_connection() -> None:
    done: list[str] = []
    failures: list[Exception] = []
    writer = GroupWriter(Recording([], rests=False), lambda: Recording(done), failed=failures.append)

    writer.submit(lambda _: None).result(10)
    while not failures:
        time.sleep(0.001)
    writer.submit(lambda _: None).result(10)
    writer.close()

    assert done[:2] == ["begin", "commit"]
    assert [str(error) for error in failures] == ["the disk failed"]


def test_no_commit_has_to_fold_in_the_log_where_the_writer_may_rest(tmp_path: Path) -> None:
    # given a log that a commit would fold in at so many pages
    pages = 64
    connection = connect(tmp_path / "store.db", bytes(48))
    make_durable(connection, pages * PAGE_BYTES)
    migrate(connection)
    witness = Witness(tmp_path / "witness")
    writing = Writing(connection, lambda: NOON, bytes, HybridClock("00000000", None), witness)

    def log() -> int:
        return int(connection.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()[1])

    grown, begun_anew = [], 0
    for number in range(100):
        writing.begin()
        writing.begin_item()
        signalling(f"s-{number}")(writing)
        writing.end_item()
        writing.commit()
        written = log()
        grown.append(written)

        # when it rests after each
        writing.rest()
        begun_anew += log() < written

    # then it stays below that, is begun anew each time, and what was for that is not there
    assert max(grown) < pages
    assert begun_anew > 1
    assert writing.meta("") is None
    assert writing.last_number() == 100
    writing.discard()
