"""The outbox: numbered and chained entries, what the centre acknowledges, and a new epoch."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import pytest
from msgspec.structs import replace

from sync.hlc import parse_hlc
from sync.records import ReceiptBody, SignalBody, chain_start
from sync.store.errors import AckRefusedError, NoEpochError, UnknownEntryError
from sync.store.reading import MAX_LISTED, Reading
from sync.store.store import AT_ONCE, Store
from sync.store.writing import Writing
from sync.wire import IngestRequest, IngestResponse, Outcome
from tests.sync.store.samples import NOON, Clock, answer, capture, chain_through, opened, receipt, signalling

if TYPE_CHECKING:
    from sqlite3 import Connection


@dataclass(slots=True)
class Outbox:
    """A store with an epoch open."""

    store: Store

    async def append(self, *names: str) -> None:
        for name in names:
            await self.store.write(signalling(name))

    async def open_epoch(self, epoch: str, device: str = "device-1") -> None:
        await self.store.write(lambda writing: writing.open_epoch(epoch, device))

    async def acknowledge(self, response: IngestResponse) -> None:
        await self.store.write(lambda writing: writing.acknowledge(response))

    def batch(self, limit: int = 100) -> IngestRequest:
        found = self.store.next_batch(limit)
        assert found is not None
        return found

    def states(self) -> dict[str, str]:
        return {entry.key: entry.state for entry in self.store.queue()}


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return Outbox(store)


async def test_a_body_is_kept_as_it_was_hashed(store: Store) -> None:
    sale = receipt(1)

    entry = await store.write(lambda writing: writing.append("receipt", sale.key, ReceiptBody(receipt=sale)))

    assert store.entry(1) == entry
    assert msgspec.json.decode(entry.json, type=ReceiptBody).receipt == sale
    assert (entry.seq, entry.key, entry.kind, entry.wall) == (1, sale.key, "receipt", NOON)
    assert parse_hlc(entry.hlc).ms == int(NOON.timestamp() * 1000)


async def test_the_batch_starts_the_chain_of_its_epoch(outbox: Outbox) -> None:
    await outbox.append("a", "b")
    assert outbox.store.next_batch() is None

    await outbox.open_epoch("epoch-1")

    batch = outbox.batch()
    assert (batch.device, batch.epoch, batch.first_seq) == ("device-1", "epoch-1", 1)
    assert batch.prev_hash == chain_start("device-1", "epoch-1").hex()
    assert [(entry.seq, entry.key) for entry in batch.entries] == [(1, "a"), (2, "b")]


async def test_an_acknowledged_start_is_not_sent_again_and_the_chain_goes_on(outbox: Outbox) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append("a", "b", "c")
    whole = outbox.batch()

    await outbox.acknowledge(answer(whole, 2))

    rest = outbox.batch()
    assert (rest.first_seq, [entry.key for entry in rest.entries]) == (3, ["c"])
    assert rest.prev_hash == chain_through(whole, 2)
    assert chain_through(rest, 3) == chain_through(whole, 3)
    assert outbox.states() == {"a": "acknowledged", "b": "acknowledged", "c": "pending"}
    assert outbox.store.queued() == 1


async def test_an_acknowledgement_beyond_what_was_written_is_refused(outbox: Outbox) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append("a")
    batch = outbox.batch()

    with pytest.raises(AckRefusedError, match="acknowledged entry 2 and this register wrote 1"):
        await outbox.acknowledge(replace(answer(batch, 1), acked_through=2))
    assert outbox.store.queued() == 1


@pytest.mark.parametrize("kind", ["join", "profile"])
async def test_what_another_version_told_of_a_member_holds_up_no_acknowledgement(
    outbox: Outbox, kind: Literal["join", "profile"]
) -> None:
    """A centre that has two machines under one identity on hold acknowledges what it has not read."""
    await outbox.open_epoch("epoch-1")
    entry = await outbox.store.write(lambda writing: writing.append(kind, "told", SignalBody(what="of another shape")))
    await outbox.append("behind")

    await outbox.acknowledge(
        answer(outbox.batch(), 2, Outcome(seq=1, code="accepted"), Outcome(seq=2, code="accepted"))
    )

    assert outbox.states() == {"told": "acknowledged", "behind": "acknowledged"}
    assert outbox.store.entry(1).json == entry.json


async def test_an_acknowledgement_of_another_chain_is_refused(outbox: Outbox) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append("a", "b")
    batch = outbox.batch()

    for through, chain_hash in ((2, chain_through(batch, 1)), (1, "00" * 32), (0, chain_through(batch, 1))):
        with pytest.raises(AckRefusedError, match="chain differs"):
            await outbox.acknowledge(replace(answer(batch, through), chain_hash=chain_hash))
    assert outbox.store.queued() == 2


async def test_an_answer_heard_twice_or_late_changes_nothing(outbox: Outbox) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append("a", "b", "c")
    batch = outbox.batch()
    early, late = answer(batch, 1), answer(batch, 3, Outcome(seq=2, code="quarantined", detail="odd"))

    for response in (late, early, late):
        await outbox.acknowledge(response)

    state = outbox.store.epoch()
    assert state is not None
    assert (state.acked_through, state.last_seq, state.chain_hash) == (3, 3, chain_through(batch, 3))
    assert outbox.states() == {"a": "acknowledged", "b": "quarantined", "c": "acknowledged"}


async def test_nothing_can_be_acknowledged_before_an_epoch(outbox: Outbox) -> None:
    await outbox.append("a")

    with pytest.raises(NoEpochError):
        await outbox.acknowledge(
            IngestResponse(
                centre_epoch="c", acked_through=0, chain_hash="00" * 32, outcomes=(), server_time=NOON, credit=1
            )
        )


async def test_a_new_epoch_numbers_what_is_unacknowledged_from_one_under_the_same_keys(outbox: Outbox) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append("a", "b", "c")
    before = outbox.batch()
    await outbox.acknowledge(answer(before, 1))

    await outbox.open_epoch("epoch-2")
    await outbox.append("d")

    after = outbox.batch()
    assert [(entry.seq, entry.key) for entry in after.entries] == [(1, "b"), (2, "c"), (3, "d")]
    assert after.prev_hash == chain_start("device-1", "epoch-2").hex()
    assert [entry.body for entry in after.entries[:2]] == [entry.body for entry in before.entries[1:]]
    assert [entry.hlc for entry in after.entries[:2]] == [entry.hlc for entry in before.entries[1:]]
    await outbox.acknowledge(answer(after, 3))
    assert outbox.store.queued() == 0
    assert set(outbox.states().values()) == {"acknowledged"}


async def test_opening_the_live_epoch_again_changes_nothing(outbox: Outbox) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append("a")
    await outbox.acknowledge(answer(outbox.batch(), 1))

    await outbox.open_epoch("epoch-1")

    state = outbox.store.epoch()
    assert state is not None
    assert state.acked_through == 1


async def test_an_epoch_that_fails_to_open_leaves_the_numbers_alone(outbox: Outbox) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append("a")
    await outbox.acknowledge(answer(outbox.batch(), 1))

    def opens_and_fails(writing: Writing) -> None:
        writing.open_epoch("epoch-2", "device-1")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the item's own
        await outbox.store.write(opens_and_fails)

    assert await outbox.store.write(signalling("b")) == 2
    assert outbox.batch().epoch == "epoch-1"


async def test_a_batch_is_bounded_in_entries_and_bytes_but_never_empty(outbox: Outbox) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append(*(f"signal-{number}" for number in range(10)))
    size = len(outbox.batch().entries[0].json)

    def entries(limit: int, limit_bytes: int) -> int:
        batch = outbox.store.next_batch(limit, limit_bytes)
        return len(batch.entries) if batch is not None else 0

    assert entries(4, 100 * size) == 4
    assert entries(10, 3 * size) == 3
    assert entries(10, 3 * size - 1) == 2
    assert entries(10, 1) == 1


async def test_a_quarantined_entry_is_sent_again_on_request(outbox: Outbox) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append("a", "b")
    await outbox.acknowledge(answer(outbox.batch(), 2, Outcome(seq=1, code="quarantined", detail="unknown kind")))
    [refused] = outbox.store.queue(state="quarantined")
    assert (refused.key, refused.detail) == ("a", "unknown kind")
    assert outbox.store.count_quarantined() == 1

    again = await outbox.store.write(lambda writing: writing.requeue(refused.number))

    assert (again.seq, again.key, again.body) == (3, "a", outbox.store.entry(1).body)
    assert outbox.store.count_quarantined() == 0
    assert [entry.key for entry in outbox.store.queue(state="requeued")] == ["a"]
    assert [entry.key for entry in outbox.store.queue(state="pending")] == ["a"]
    with pytest.raises(UnknownEntryError):
        await outbox.store.write(lambda writing: writing.requeue(refused.number))


async def test_an_unknown_entry_is_named(store: Store) -> None:
    with pytest.raises(UnknownEntryError, match="no entry 7"):
        store.entry(7)


async def test_the_status_counts_what_waits_and_since_when(outbox: Outbox, clock: Clock) -> None:
    await outbox.open_epoch("epoch-1")
    await outbox.append("a")
    clock.forward(minutes=12)
    await outbox.append("b")
    await outbox.acknowledge(answer(outbox.batch(), 1))

    status = outbox.store.status()

    assert (status.queued, status.quarantined, status.keys) == (1, 0, "files, mode 0600")
    assert status.oldest_queued_at == clock.now
    assert status.file_bytes > 0


async def test_numbers_clock_and_epoch_go_on_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    with closing(opened(tmp_path, clock)) as store:
        first = Outbox(store)
        await first.open_epoch("epoch-1")
        await first.append("a", "b")
        await first.acknowledge(answer(first.batch(), 1))
        last = store.entry(2)

    clock.forward(days=-3650)
    with closing(opened(tmp_path, clock)) as store:
        second = Outbox(store)
        await second.append("c")
        batch = second.batch()

    assert [(entry.seq, entry.key) for entry in batch.entries] == [(2, "b"), (3, "c")]
    assert batch.entries[1].hlc > last.hlc
    assert parse_hlc(batch.entries[1].hlc).node == parse_hlc(last.hlc).node


async def test_a_listing_goes_on_where_it_ended(outbox: Outbox) -> None:
    await outbox.append(*(f"s-{number}" for number in range(7)))

    first = outbox.store.queue(limit=4)
    second = outbox.store.queue(after=first[-1].number, limit=4)

    assert [entry.key for entry in (*first, *second)] == [f"s-{number}" for number in range(7)]


async def test_a_captured_receipt_is_one_entry(store: Store) -> None:
    await store.write(lambda writing: capture(writing, receipt(1), None))

    [entry] = store.queue()
    assert (entry.kind, entry.key, entry.state, entry.seq) == ("receipt", receipt(1).key, "pending", 1)


class CountingConnection:
    """The store's reading connection, counting how often it gives each entry."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.given: Counter[int] = Counter()

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        rows = self._connection.execute(sql, parameters)
        if not sql.startswith("SELECT number, key"):
            return rows
        found = rows.fetchall()
        self.given.update(row[0] for row in found)
        return Found(found)


@dataclass(slots=True)
class Found:
    rows: list[Any]

    def fetchall(self) -> list[Any]:
        return self.rows


async def acknowledged(outbox: Outbox, count: int) -> str:
    """Fills the live epoch with `count` entries that the centre has; the chain's h there."""

    def many(writing: Writing) -> None:
        for number in range(count):
            signalling(f"s-{number}")(writing)

    await outbox.open_epoch("epoch-1")
    await outbox.store.write(many)
    response = answer(outbox.batch(limit=count), count)
    await outbox.acknowledge(response)
    return response.chain_hash


async def test_a_rewind_reads_each_entry_twice_at_most(outbox: Outbox) -> None:
    # Given a long epoch, acknowledged to its end
    count = 20_000
    end = await acknowledged(outbox, count)
    connection = CountingConnection(outbox.store._connection)
    reading = Reading(cast("Connection", connection), Clock())
    # When the centre asks for all of it again, batch by batch
    first_seq, chain_hash = 1, chain_start("device-1", "epoch-1").hex()
    while first_seq <= count:
        batch = reading.batch_from(first_seq, 500)
        assert batch is not None
        # Then each batch follows from the one before
        assert (batch.first_seq, batch.prev_hash) == (first_seq, chain_hash)
        chain_hash = chain_through(batch, count)
        first_seq += len(batch.entries)
    # And no entry was read more than once for its batch and once for the chain
    assert chain_hash == end
    assert set(connection.given) == set(range(1, count + 1))
    assert max(connection.given.values()) <= 2


async def test_a_walk_is_good_for_its_own_epoch_and_for_what_comes_after_it(outbox: Outbox) -> None:
    await acknowledged(outbox, 20)
    honest = {first_seq: Reading(outbox.store._connection, Clock()).batch_from(first_seq, 5) for first_seq in (3, 12)}
    # When it is asked for a later place and then for an earlier one
    assert {first_seq: outbox.store.batch_from(first_seq, 5) for first_seq in (12, 3)} == honest
    # And in another epoch the old chain says nothing
    await outbox.open_epoch("epoch-2")
    await outbox.append("a", "b")
    await outbox.acknowledge(answer(outbox.batch(), 2))
    batch = outbox.store.batch_from(1, 5)
    assert batch is not None
    assert batch.prev_hash == chain_start("device-1", "epoch-2").hex()


async def test_a_long_walk_leaves_the_event_loop_free(outbox: Outbox) -> None:
    count = 250 * AT_ONCE
    end = await acknowledged(outbox, count)
    await outbox.append("one more")
    asked = asyncio.create_task(outbox.store.batch(count, 5))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    batch = asked.result()
    assert batch is not None
    assert chain_through(batch, count) == end
    assert turns > 10
    # And the next batch is not walked to again
    assert outbox.store.steps_to(count) == 1


async def test_a_long_acknowledgement_is_walked_to_its_end(outbox: Outbox) -> None:
    count = MAX_LISTED + 5

    def many(writing: Writing) -> None:
        for number in range(count):
            signalling(f"s-{number}")(writing)

    await outbox.open_epoch("epoch-1")
    await outbox.store.write(many)

    await outbox.acknowledge(answer(outbox.batch(limit=count), count))

    assert outbox.store.queued() == 0
