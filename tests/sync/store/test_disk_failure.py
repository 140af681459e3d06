"""A disk that is full or refuses to write: no answer without durability, and writing goes on by itself afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from central import operations
from loyalty.receipt import Receipt
from sync.store.errors import StoreFullError, StoreUnavailableError
from sync.store.examination import files_of
from sync.store.purge_rows import ERASURES_THROUGH
from sync.store.reserve import PART_OF_DISK, Disk, Reserve, ballast_of
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import FIRST_ENTRIES
from tests.faults.figures import Figures, Tell
from tests.machine import MountDisk
from tests.sync.centre import program, register, running_centre, utc_now
from tests.sync.store.samples import CAPTURED, NOON, answer, capture, capturing, opened, receipt

TMPFS_BYTES = 4 * 1024 * 1024
ROOM_BYTES = 200_000


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest, mount_disk: MountDisk) -> Path:
    return mount_disk(tmp_path / "disk", getattr(request, "param", TMPFS_BYTES))


def figures(fault: str, refused: int, answered: set[str], store: Store) -> Figures:
    """What a store has of the receipts that it answered for, by key, after it refused some."""
    there = [entry.key for entry in store.queue(limit=1000)]
    once = set(there)
    return Figures(
        row=17,
        fault=fault,
        points=refused,
        acknowledged=len(answered),
        lost=len(answered - once),
        double=len(there) - len(once),
    )


def fill_up(folder: Path) -> Path:
    """Leaves no byte free."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


async def test_a_full_disk_refuses_every_write_of_the_batch_and_recovers_by_itself(
    small_disk: Path, tell: Tell
) -> None:
    with closing(opened(small_disk, ballast_bytes=TMPFS_BYTES)) as store:
        await store.write(capturing(0))
        ballast = fill_up(small_disk)

        # when the disk is full
        answers: list[object] = []
        while not any(isinstance(answer, Exception) for answer in answers):
            start = len(answers)
            answers += await asyncio.gather(
                *(store.write(capturing(number)) for number in range(start + 1, start + 21)), return_exceptions=True
            )
        refused = [number for number, answer in enumerate(answers, start=1) if isinstance(answer, Exception)]
        assert all(
            isinstance(answer, StoreUnavailableError) and "free some space" in str(answer)
            for answer in answers
            if isinstance(answer, Exception)
        )

        # then reading goes on, nothing refused was kept, everything answered was
        answered = {receipt(number).key for number in range(len(answers) + 1) if number not in refused}
        tell(figures("a full disk", len(refused), answered, store))
        assert {entry.key for entry in store.queue()} == answered
        with pytest.raises(StoreUnavailableError):
            await asyncio.gather(*(store.write(capturing(number)) for number in range(1000, 1100)))

        # and with space there again writing goes on
        ballast.unlink()
        await store.write(capturing(refused[0]))
        numbers = [entry.number for entry in store.queue()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert receipt(refused[0]).key in {entry.key for entry in store.queue()}
    with closing(opened(small_disk, ballast_bytes=TMPFS_BYTES)) as store:
        assert store.status().recovered is None
        assert store.known_receipt([receipt(refused[0]).key]) is not None


async def until_refused(store: Store, start: int) -> int:
    """Sells until the disk is full; how many were kept."""
    for number in range(start, start + 3000):
        try:
            await store.write(capturing(number))
        except StoreFullError:
            return number - start
        except StoreUnavailableError:
            continue
    raise AssertionError("the disk never got full")


async def test_on_a_full_disk_nothing_new_is_taken_and_what_waits_can_still_go_up(small_disk: Path) -> None:
    # given a register with a queue, and the reserve that it keeps
    with closing(opened(small_disk, ballast_bytes=TMPFS_BYTES)) as store:
        await store.write(lambda writing: writing.open_epoch("e-1", "device-1"))
        for number in range(20):
            await store.write(capturing(number))
        assert (small_disk / "store.db.ballast").stat().st_size == TMPFS_BYTES // PART_OF_DISK
        assert store.status().disk_full is None
        filling = fill_up(small_disk)

        # when it sells until it may not
        await until_refused(store, 20)

        # then that is said, the reserve is given up for it, and the centre's answers are taken in to the last entry
        full = store.disk_full
        assert full is not None
        assert full.refuses_sales
        assert "free some space" in full.said
        assert not (small_disk / "store.db.ballast").exists()
        while (batch := store.next_batch(50)) is not None:
            said = answer(batch, batch.first_seq + len(batch.entries) - 1)
            await store.write(partial(Writing.acknowledge, response=said), drains=True)
        assert store.queued() == 0
        with pytest.raises(StoreFullError, match="disk"):
            await store.write(capturing(9000))

        # and with room again it sells and keeps a reserve, by itself
        filling.unlink()
        await store.write(capturing(9000))
        assert store.status().disk_full is None
        assert (small_disk / "store.db.ballast").exists()
        assert store.queued() == 1


@pytest.mark.parametrize("small_disk", [4 * TMPFS_BYTES], indirect=True)
async def test_a_queue_on_a_full_disk_goes_up_whatever_the_centre_has_to_tell(small_disk: Path, tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        # given a register that sold until its disk was full, while its centre was away
        started = partial(register, small_disk, centre, ballast_bytes=4 * TMPFS_BYTES)
        async with started() as till:
            await till.until(lambda: till.loop.state.online and till.confirmed("TS00005") is not None)
        async with started(exchanging=False) as till:
            await asyncio.gather(*(till.store.write(capturing(number)) for number in range(FIRST_ENTRIES + 100)))
            filling = fill_up(small_disk)
            await until_refused(till.store, FIRST_ENTRIES + 100)
            assert till.store.queued() > FIRST_ENTRIES
            # somebody else took a part of what the ballast left: what draining frees is not room enough for sales
            (small_disk / "log").write_bytes(bytes(4 * TMPFS_BYTES // PART_OF_DISK // 2))

            # when the centre is there again, with a program to announce, an erasure, and news of members
            announced = centre.publish(program(points=2))
            erasure = centre.write(lambda connection: operations.erase_member(connection, "m1", utc_now()))
            centre.add_members(6, 1)
            exchanging = asyncio.create_task(till.loop.run(lambda: None))
            await till.until(lambda: till.store.queued() == 0 or exchanging.done())

            # then all of the queue goes up, and the erasure is carried out
            assert till.store.queued() == 0
            assert int(till.store.meta(ERASURES_THROUGH) or 0) == erasure.number
            with pytest.raises(StoreFullError):
                await till.store.write(capturing(9000))

            # and with room again the rest comes by itself
            filling.unlink()
            await till.until(lambda: announced in till.store.held_programs() and till.confirmed("TS00006") is not None)
            exchanging.cancel()
            await asyncio.wait({exchanging})


async def test_a_disk_that_is_full_once_more_refuses_nothing_before_it_gave_up_what_there_is(small_disk: Path) -> None:
    # given a disk that was full, with nothing to give up, and has room again
    with closing(opened(small_disk, ballast_bytes=TMPFS_BYTES)) as store:
        filling = fill_up(small_disk)
        await until_refused(store, 0)
        filling.unlink()
        await store.write(capturing(3000))
        assert store.status().disk_full is None

        # when there are used scans, and it is full once more
        def scanned(writing: Writing) -> None:
            for _ in range(3000):
                writing.consume_scan(writing.keep_scan("CARD1", "card", None, CAPTURED))

        await store.write(scanned)
        fill_up(small_disk)
        answers: list[object] = []
        while store.status().disk_full is None:
            numbers = range(4000 + len(answers), 4100 + len(answers))
            answers += await asyncio.gather(*(store.write(capturing(n)) for n in numbers), return_exceptions=True)

        # then sales fail with the disk, if at all, and none is refused
        assert not any(isinstance(answer, StoreFullError) for answer in answers)


@pytest.mark.parametrize("ballast_bytes", [0, 100_000])
async def test_a_ballast_of_another_size_is_not_left_on_the_disk(tmp_path: Path, ballast_bytes: int) -> None:
    opened(tmp_path, ballast_bytes=300_000).close()

    with closing(opened(tmp_path, ballast_bytes=ballast_bytes)) as store:
        ballast = ballast_of(store.path)
        assert (ballast.stat().st_size if ballast.exists() else 0) == ballast_bytes
        assert store.status().disk_full is None


def test_a_ballast_of_another_size_goes_where_there_is_no_room_for_the_new_one(tmp_path: Path) -> None:
    ballast = tmp_path / "store.db.ballast"
    ballast.write_bytes(bytes(300_000))

    reserve = Reserve(ballast, 100_000, lambda _: Disk(total=1 << 30, free=0))

    assert not reserve.hold()
    assert not ballast.exists()


async def test_what_can_be_had_again_is_given_up_before_a_sale_is(small_disk: Path) -> None:
    # given used scans, and entries that the centre has had for hours
    with closing(opened(small_disk, ballast_bytes=TMPFS_BYTES)) as store:
        await store.write(lambda writing: writing.open_epoch("e-1", "device-1"))
        for hour in range(6):
            for number in range(40):
                await store.write(partial(capture, sale=wordy(hour * 40 + number), member=None))
            batch = store.next_batch()
            assert batch is not None
            said = replace(answer(batch, batch.first_seq + 39), server_time=NOON + timedelta(hours=hour))
            await store.write(partial(Writing.acknowledge, response=said))
        scan = await store.write(lambda writing: writing.keep_scan("CARD1", "card", None, CAPTURED))
        await store.write(lambda writing: writing.consume_scan(scan, "used"))
        before = len(store.queue(limit=1000))
        fill_up(small_disk)

        kept = await until_refused(store, 1000)

        # then those were given up, from the oldest on, before anything was refused; what waits is all there
        shed = before - len(store.queue(state="acknowledged", limit=1000))
        assert shed >= 100
        assert kept > 100
        assert len(store.queue(state="pending", limit=1000)) > 100
        assert all(store.known_receipt([wordy(number).key]) is not None for number in range(240))


def wordy(number: int) -> Receipt:
    """A receipt of some size, which does not compress away."""
    dice = random.Random(number)
    return replace(receipt(number), operator=dice.randbytes(600).hex())


def limited(folder: Path) -> dict[str, list[int]]:
    """Run in a process of its own: writes up to a file size limit, against it, and after it was lifted."""
    told: dict[str, list[int]] = {"kept": [], "refused": [], "after": []}
    with closing(opened(folder)) as store:
        _write(store, range(5), told["kept"], told["refused"])
        biggest = max(file.stat().st_size for file in files_of(folder / "store.db"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (biggest + ROOM_BYTES, resource.RLIM_INFINITY))
        number = 5
        while len(told["refused"]) < 3:
            _write(store, range(number, number + 1), told["kept"], told["refused"])
            number += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        _write(store, range(number, number + 5), told["after"], told["refused"])
    return told


def _write(store: Store, numbers: range, kept: list[int], refused: list[int]) -> None:
    for number in numbers:
        try:
            store.submit(capturing(number)).result()
            kept.append(number)
        except StoreUnavailableError:
            refused.append(number)


def test_a_file_size_limit_is_a_visible_refusal_and_passes(tmp_path: Path, tell: Tell) -> None:
    program = (
        "import json, sys; from pathlib import Path; from tests.sync.store.test_disk_failure import limited; "
        "print(json.dumps(limited(Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        check=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109
    )

    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["after"]) == 5
    assert len(told["refused"]) == 3
    with closing(opened(tmp_path)) as store:
        assert store.status().recovered is None
        answered = [receipt(number).key for number in (*told["kept"], *told["after"])]
        tell(figures("a file size limit", len(told["refused"]), set(answered), store))
        assert [entry.key for entry in store.queue()] == answered
