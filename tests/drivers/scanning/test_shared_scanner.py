"""The driver of a scanner that the relay carries, on spools as the relay writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drivers.clock import now
from drivers.receipts.spool_source import SpoolPosition, SpoolReader
from drivers.registry import load_scanner
from drivers.relay.clock import Moment
from drivers.relay.spool import (
    Job,
    Origin,
    SpoolWriter,
    encode_record,
    read_acknowledged,
    segment_name,
    segment_numbers,
)
from drivers.scanning.driver import DriverOptionsError, Keeping, ScanEvent
from drivers.scanning.scan import parse_scan
from drivers.scanning.shared_scanner import MAX_UNKEPT, SharedScannerDriver, scans_taken
from loyalty.instant import Instant

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
WAIT_S = 20.0


def at(seconds: float) -> Instant:
    return Instant(wall=START + timedelta(seconds=seconds), boot="boot", monotonic_ns=round(seconds * 1e9))


class Relay:
    """What the relay does to its folder."""

    def __init__(self, folder: Path) -> None:
        self._writer = SpoolWriter(folder, cap_bytes=1_000_000)

    def keeps(self, *codes: str, seconds: float = 0.0, apart_s: float = 10.0) -> None:
        records = []
        for number, code in enumerate(codes):
            moment = at(seconds + number * apart_s)
            captured = Moment(wall=moment.wall, monotonic_ns=moment.monotonic_ns)
            job = Job(payload=code.encode(), length=len(code), ended_by="suffix", captured=captured)
            records.append(encode_record(job, Origin(register="3", connection="1-scanner", boot="boot"), late=False))
        assert self._writer.keep(records).count == len(codes)

    def stop(self) -> None:
        self._writer.close()


class Running:
    """A driver that runs, and what it has emitted."""

    def __init__(self, folder: Path) -> None:
        self.events: asyncio.Queue[ScanEvent] = asyncio.Queue()
        self.ready = asyncio.Event()
        driver = SharedScannerDriver({"name": "counter", "spool": str(folder)}, now, parse_scan)
        self.task = asyncio.create_task(driver.run(self.events.put, self.ready.set))

    async def next(self) -> ScanEvent:
        return await asyncio.wait_for(self.events.get(), WAIT_S)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    run = Running(folder)
    try:
        yield run
    finally:
        run.task.cancel()
        await asyncio.gather(run.task, return_exceptions=True)


def test_it_is_installed_as_shared() -> None:
    assert load_scanner("shared") is SharedScannerDriver


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"name": "counter"}, "spool"),
        ({"name": "counter", "spool": ""}, "spool"),
        ({"spool": "x", "port": "y"}, "port"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], key: str) -> None:
    with pytest.raises(DriverOptionsError) as refused:
        SharedScannerDriver(options, now, parse_scan)

    assert refused.value.key == key


async def test_a_code_becomes_a_shared_scan_of_the_moment_at_which_it_was_made(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    async with running(tmp_path) as driver:
        await asyncio.wait_for(driver.ready.wait(), WAIT_S)
        relay.keeps("]C0M001234", seconds=5)
        event = await driver.next()

    assert (event.reader, event.shared, event.at) == ("counter", True, at(5))
    assert event.scan.member is not None
    assert event.scan.member.code == "M001234"


async def test_what_waited_is_taken_in_order_before_it_is_ready(tmp_path: Path) -> None:
    Relay(tmp_path).keeps("M1", "M2", "M3")

    async with running(tmp_path) as driver:
        await asyncio.wait_for(driver.ready.wait(), WAIT_S)
        texts = [driver.events.get_nowait().scan.text for _ in range(driver.events.qsize())]

    assert texts == ["M1", "M2", "M3"]


async def test_what_was_taken_is_not_taken_again(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    relay.keeps("M1")
    async with running(tmp_path) as first:
        await asyncio.wait_for(first.ready.wait(), WAIT_S)
    relay.keeps("M2", seconds=60)

    async with running(tmp_path) as second:
        assert (await second.next()).scan.text == "M2"


async def test_a_code_is_taken_again_where_the_agent_ended_before_it_said_so(tmp_path: Path) -> None:
    # given an agent that is killed while it takes the second code
    Relay(tmp_path).keeps("M1", "M2")
    taken: list[ScanEvent] = []
    never = asyncio.Event()

    async def emit(event: ScanEvent) -> None:
        taken.append(event)
        if len(taken) == 2:
            never.set()
            await asyncio.Event().wait()

    driver = SharedScannerDriver({"name": "counter", "spool": str(tmp_path)}, now, parse_scan)
    task = asyncio.create_task(driver.run(emit, lambda: None))
    await asyncio.wait_for(never.wait(), WAIT_S)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    # then it comes again, with the same moment, and the first does not
    async with running(tmp_path) as again:
        event = await again.next()
        await asyncio.wait_for(again.ready.wait(), WAIT_S)
        assert again.events.empty()
    assert (event.scan.text, event.at) == ("M2", taken[1].at)


class SlowDisk:
    """An agent whose scans are durable when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.keeping: dict[str, asyncio.Future[None]] = {}
        driver = SharedScannerDriver({"name": "counter", "spool": str(folder)}, now, parse_scan)
        self.task = asyncio.create_task(driver.run(self.take, lambda: None))

    async def take(self, event: ScanEvent) -> Keeping:
        text = event.scan.text
        self.keeping[text] = asyncio.get_running_loop().create_future()
        self.heard.put_nowait(text)
        return self.keeping[text]

    async def hears(self, count: int) -> list[str]:
        return [await asyncio.wait_for(self.heard.get(), WAIT_S) for _ in range(count)]

    async def ends(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_what_is_not_durable_yet_comes_again_with_all_behind_it(tmp_path: Path) -> None:
    # given four scans, of which the disk has kept the first and the third
    Relay(tmp_path).keeps("M1", "M2", "M3", "M4")
    agent = SlowDisk(tmp_path)
    assert await agent.hears(4) == ["M1", "M2", "M3", "M4"]
    agent.keeping["M3"].set_result(None)
    agent.keeping["M1"].set_result(None)
    await acknowledged(tmp_path, 1)
    # when the agent ends, which writes nothing more
    agent.keeping["M2"].cancel()
    await agent.ends()
    # then all from the second on come again
    again = SlowDisk(tmp_path)
    assert await again.hears(3) == ["M2", "M3", "M4"]
    # and none, once they are durable
    for keeping in again.keeping.values():
        keeping.set_result(None)
    await asyncio.wait_for(scans_taken(tmp_path, within_s=WAIT_S), WAIT_S)
    await again.ends()
    async with running(tmp_path) as third:
        await asyncio.wait_for(third.ready.wait(), WAIT_S)
        assert third.events.empty()


async def test_a_disk_that_hangs_for_long_leaves_further_scans_in_the_folder(tmp_path: Path) -> None:
    codes = [f"M{number}" for number in range(MAX_UNKEPT + 2)]
    Relay(tmp_path).keeps(*codes)
    agent = SlowDisk(tmp_path)
    assert await agent.hears(MAX_UNKEPT) == codes[:MAX_UNKEPT]
    await asyncio.sleep(0.02)
    assert agent.heard.empty()
    # when the first is durable, there is room for one
    agent.keeping["M0"].set_result(None)
    assert await agent.hears(1) == [codes[MAX_UNKEPT]]
    await agent.ends()


async def acknowledged(folder: Path, count: int) -> None:
    """Returns once just so many scans are said to be taken."""
    reader = SpoolReader(folder)
    positions = [job.position for job in reader.read_after(SpoolPosition())]
    async with asyncio.timeout(WAIT_S):
        while read_acknowledged(folder) != (positions[count - 1].segment, positions[count - 1].offset):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_true_repeat_is_one_scan(tmp_path: Path) -> None:
    Relay(tmp_path).keeps("M1", "M1", "M1", "M2", "M1", apart_s=0.3)

    async with running(tmp_path) as driver:
        await asyncio.wait_for(driver.ready.wait(), WAIT_S)
        texts = [driver.events.get_nowait().scan.text for _ in range(driver.events.qsize())]

    assert texts == ["M1", "M2", "M1"]


async def test_a_torn_record_is_no_scan_and_the_next_one_is(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    relay.keeps("M1")
    relay.stop()
    segment = tmp_path / segment_name(segment_numbers(tmp_path)[0])
    segment.write_bytes(segment.read_bytes() + segment.read_bytes()[:40])
    Relay(tmp_path).keeps("M2", seconds=60)

    async with running(tmp_path) as driver:
        assert [(await driver.next()).scan.text for _ in range(2)] == ["M1", "M2"]


async def test_a_folder_that_comes_later_is_read_then(tmp_path: Path) -> None:
    async with running(tmp_path / "scans") as driver:
        await asyncio.wait_for(driver.ready.wait(), WAIT_S)
        Relay(tmp_path / "scans").keeps("M1")

        assert (await driver.next()).scan.text == "M1"


# Before a receipt is booked


async def test_a_receipt_waits_for_scans_that_wait(tmp_path: Path) -> None:
    Relay(tmp_path).keeps("M1", "M2")
    waiting = asyncio.create_task(scans_taken(tmp_path))
    async with running(tmp_path) as driver:
        await asyncio.wait_for(waiting, WAIT_S)

        assert driver.events.qsize() == 2


async def test_a_receipt_does_not_wait_where_nothing_waits(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "scans")
    await scans_taken(tmp_path / "missing", within_s=WAIT_S)
    relay.keeps("M1")
    async with running(tmp_path / "scans") as driver:
        await asyncio.wait_for(driver.ready.wait(), WAIT_S)

    await scans_taken(tmp_path / "scans", within_s=WAIT_S)


async def test_a_receipt_waits_for_many_scans_as_long_as_they_are_taken(tmp_path: Path) -> None:
    Relay(tmp_path).keeps(*(f"M{number}" for number in range(40)))
    waiting = asyncio.create_task(scans_taken(tmp_path, within_s=1.0))
    taken: list[str] = []

    async def slow(event: ScanEvent) -> None:
        await asyncio.sleep(0.001)
        taken.append(event.scan.text)

    driver = SharedScannerDriver({"name": "counter", "spool": str(tmp_path)}, now, parse_scan)
    task = asyncio.create_task(driver.run(slow, lambda: None))
    await asyncio.wait_for(waiting, WAIT_S)

    assert len(taken) == 40
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_receipt_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    Relay(tmp_path).keeps("M1")

    await asyncio.wait_for(scans_taken(tmp_path, within_s=0.02), WAIT_S)
