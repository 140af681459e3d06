"""What was acknowledged is kept for a centre that comes back from an older backup, for a time and within a size."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from sync.records import chain_start
from sync.store.kept_rows import KEPT_FOR, MAX_KEPT_BYTES, ROW_BYTES
from sync.store.store import Store
from sync.wire import Outcome
from tests.sync.store.samples import NOON, answer, signalling

DAY = timedelta(days=1)


async def sold(store: Store, count: int, at: datetime, *outcomes: Outcome) -> None:
    """Entries that the centre has since `at`."""
    for number in range(count):
        await store.write(signalling(f"{at:%d}-{number}"))
    batch = store.next_batch()
    assert batch is not None
    told = replace(answer(batch, batch.entries[-1].seq, *outcomes), server_time=at)
    await store.write(lambda writing: writing.acknowledge(told))


async def shed(store: Store, kept_for: timedelta = KEPT_FOR, max_bytes: int = MAX_KEPT_BYTES) -> None:
    while await store.write(lambda writing: writing.shed(kept_for, max_bytes)):
        pass


def keys(store: Store) -> list[str]:
    return [entry.key for entry in store.queue()]


async def test_what_is_kept_too_long_goes_by_the_centres_clock_and_what_waits_stays(store: Store) -> None:
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    for day in range(4):
        await sold(store, 2, NOON + day * DAY)
    await store.write(signalling("waits"))

    await shed(store, kept_for=2 * DAY)

    assert keys(store) == [*(f"{22 + day}-{number}" for day in (1, 2, 3) for number in (0, 1)), "waits"]
    assert store.queued() == 1
    # And the chain goes on from where it was
    await store.write(signalling("more"))
    batch = store.next_batch()
    assert batch is not None
    assert batch.first_seq == 9


async def test_of_too_much_the_oldest_goes_first_and_the_newest_hour_stays(store: Store) -> None:
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    for day in range(3):
        await sold(store, 3, NOON + day * DAY)

    await shed(store, max_bytes=6 * (ROW_BYTES + 30))
    assert keys(store) == [f"{22 + day}-{number}" for day in (1, 2) for number in range(3)]

    await shed(store, max_bytes=0)
    assert keys(store) == [f"24-{number}" for number in range(3)]


async def test_what_the_centre_refused_stays_for_a_person(store: Store) -> None:
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    await sold(store, 2, NOON, Outcome(seq=1, code="quarantined", detail="no"))
    await sold(store, 1, NOON + 90 * DAY)

    await shed(store)

    assert [(entry.key, entry.state) for entry in store.queue()] == [
        ("22-0", "quarantined"),
        (f"{NOON + 90 * DAY:%d}-0", "acknowledged"),
    ]
    again = await store.write(lambda writing: writing.requeue(1))
    assert again.key == "22-0"


async def test_a_new_epoch_for_a_restored_centre_sends_all_that_is_kept_again(store: Store) -> None:
    # Given entries of four days, of which the first day's are gone, and one that was refused and sent again
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    for day in range(4):
        refused = (Outcome(seq=3, code="quarantined", detail="no"),) if day == 1 else ()
        await sold(store, 2, NOON + day * DAY, *refused)
    await store.write(lambda writing: writing.requeue(3))
    await shed(store, kept_for=2 * DAY)
    # When the centre is another
    await store.write(lambda writing: writing.open_epoch("epoch-2", "device-1", all_kept=True))
    # Then all that is kept waits, from 1 on, under the same keys
    batch = store.next_batch()
    assert batch is not None
    assert [entry.seq for entry in batch.entries] == list(range(1, 8))
    assert [entry.key for entry in batch.entries] == [*(f"{22 + d}-{n}" for d in (1, 2, 3) for n in (0, 1)), "23-0"]
    assert batch.prev_hash == chain_start("device-1", "epoch-2").hex()
    assert store.queued() == 7
    # And what it says now counts; what was sent again since stays so
    told = answer(batch, 7, Outcome(seq=1, code="quarantined", detail="no"), Outcome(seq=2, code="duplicate"))
    await store.write(lambda writing: writing.acknowledge(replace(told, server_time=NOON + 5 * DAY)))
    assert store.queued() == 0
    assert [entry.state for entry in store.queue()] == ["requeued", *["acknowledged"] * 6]
    # And the time for which it is kept begins anew
    await shed(store, kept_for=2 * DAY)
    assert len(keys(store)) == 7


async def test_a_rewind_to_what_is_not_kept_is_not_possible(store: Store) -> None:
    await store.write(lambda writing: writing.open_epoch("epoch-1", "device-1"))
    for day in range(4):
        await sold(store, 2, NOON + day * DAY)
    whole = store.batch_from(5)
    assert whole is not None

    await shed(store, kept_for=2 * DAY)

    assert store.batch_from(1) is None
    # From where the chain is known it goes on
    assert store.batch_from(5) == whole
