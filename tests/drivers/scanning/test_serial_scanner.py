"""The scanner driver on real pseudo-terminals and sockets, as a supervisor runs it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from agent.demo.scanner import VirtualScanner
from drivers.clock import now
from drivers.scanning.driver import DriverOptionsError, ScanEvent, ScannerDriver
from drivers.scanning.framing import REMEDIES, ScanFrame
from drivers.scanning.hearing import MAX_SCANS_AHEAD
from drivers.scanning.port_scanner import PortOptions, PortScannerDriver
from drivers.scanning.scan import parse_scan
from drivers.scanning.serial_scanner import SerialScannerDriver
from drivers.transport.port import PortMissingError, PortUnpluggedError
from loyalty.instant import Instant


@pytest.fixture
def scanner(tmp_path: Path) -> Iterator[VirtualScanner]:
    with VirtualScanner(tmp_path / "scanner") as scanner:
        yield scanner


@pytest.fixture
def logs() -> Iterator[asyncio.Queue[dict[str, object]]]:
    """What is logged, as it is logged."""
    lines: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    def keep(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        lines.put_nowait(dict(line))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    yield lines
    structlog.reset_defaults()


class Running:
    """A driver that runs, and what it has emitted."""

    def __init__(self, driver: ScannerDriver) -> None:
        self.events: asyncio.Queue[ScanEvent] = asyncio.Queue()
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(driver.run(self.events.put, self.ready.set))

    async def text(self) -> str:
        return (await self.events.get()).scan.text


@asynccontextmanager
async def running(scanner: VirtualScanner, **options: object) -> AsyncIterator[Running]:
    running = Running(SerialScannerDriver({"name": "counter", "port": str(scanner.port), **options}, now, parse_scan))
    try:
        await running.ready.wait()
        yield running
    finally:
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)


async def test_a_scan_becomes_an_event_with_its_reader_and_its_instant(scanner: VirtualScanner) -> None:
    async with running(scanner) as driver:
        before = now()
        scanner.scan("M-00 1234", aim="]C0")
        event = await driver.events.get()

    assert event.reader == "counter"
    assert event.scan.member is not None
    assert event.scan.member.code == "M001234"
    assert event.at.ns_since(before) >= 0
    assert now().ns_since(event.at) >= 0


async def test_scans_in_pieces_and_in_one_go_come_in_order(scanner: VirtualScanner) -> None:
    async with running(scanner) as driver:
        scanner.send(b"]C0ONE\r\n]C0T")
        assert await driver.text() == "ONE"
        scanner.send(b"WO\r\n")
        assert await driver.text() == "TWO"


async def test_a_scan_made_while_the_agent_was_away_is_heard_when_it_starts(scanner: VirtualScanner) -> None:
    scanner.scan("EARLY")

    async with running(scanner) as driver:
        assert await driver.text() == "EARLY"


async def test_a_true_repeat_is_heard_once(scanner: VirtualScanner) -> None:
    async with running(scanner, repeat_ms=60_000) as driver:
        for code in ("A1", "A1", "A1", "B2", "A1"):
            scanner.scan(code)

        assert [await driver.text() for _ in range(3)] == ["A1", "B2", "A1"]


async def test_scans_keep_their_instants_and_are_kept_while_the_agent_is_busy(scanner: VirtualScanner) -> None:
    # given an agent that takes its time over the first scan
    heard: list[ScanEvent] = []
    first, go_on = asyncio.Event(), asyncio.Event()

    async def slow(event: ScanEvent) -> None:
        heard.append(event)
        first.set()
        await go_on.wait()

    ticks = 0
    second = asyncio.Event()

    def clock() -> Instant:
        nonlocal ticks
        ticks += 1
        if ticks == 5:  # one look at the beginning, two for each scan
            second.set()
        return Instant(wall=datetime(2026, 11, 22, tzinfo=UTC), boot="b", monotonic_ns=ticks)

    driver = SerialScannerDriver({"port": str(scanner.port), "repeat_ms": 0}, clock, parse_scan)
    task = asyncio.create_task(driver.run(slow, lambda: None))
    scanner.scan("FIRST")
    await first.wait()

    # when a second one comes meanwhile, and the device is pulled out
    scanner.scan("SECOND")
    await second.wait()
    heard_at = ticks
    listening = next(each for each in asyncio.all_tasks() if each.get_name().startswith("scanner "))
    scanner.unplug()
    await asyncio.wait([listening])
    go_on.set()
    with pytest.raises(PortUnpluggedError):
        await task

    # then it was heard at its own time, and nothing was lost with the device
    assert [event.scan.text for event in heard] == ["FIRST", "SECOND"]
    assert heard[1].at.monotonic_ns <= heard_at


async def test_an_unplugged_scanner_ends_the_run_and_works_again_when_plugged_in(scanner: VirtualScanner) -> None:
    async with running(scanner) as driver:
        scanner.unplug()
        with pytest.raises(PortUnpluggedError, match="Plug it in again"):
            await driver.task
    with pytest.raises(PortMissingError):
        await SerialScannerDriver({"port": str(scanner.port)}, now, parse_scan).run(driver.events.put, lambda: None)

    scanner.plug_in()

    async with running(scanner) as driver:
        scanner.scan("BACK")
        assert await driver.text() == "BACK"


async def test_cancelling_leaves_the_port_free(scanner: VirtualScanner) -> None:
    for _ in range(3):
        async with running(scanner) as driver:
            scanner.scan("CODE")
            assert await driver.text() == "CODE"


async def test_an_error_of_the_agent_ends_the_run_and_frees_the_port(scanner: VirtualScanner) -> None:
    async def broken(event: ScanEvent) -> None:
        raise LookupError(event.reader)

    scanner.scan("CODE")
    with pytest.raises(LookupError):
        await SerialScannerDriver({"port": str(scanner.port)}, now, parse_scan).run(broken, lambda: None)

    async with running(scanner) as driver:
        scanner.scan("NEXT")
        assert await driver.text() == "NEXT"


async def test_a_scanner_that_sends_no_suffix_is_understood_after_silence(scanner: VirtualScanner) -> None:
    async with running(scanner, suffix="", idle_ms=20) as driver:
        scanner.send(b"]C0CODE")

        assert await driver.text() == "CODE"


async def test_a_code_during_which_this_process_was_stopped_stays_whole(scanner: VirtualScanner) -> None:
    async with running(scanner, idle_ms=20) as driver:
        for _ in range(5):
            scanner.send(b"]C0M-00")
            await asyncio.sleep(0.002)
            scanner.send(b"1234\r")
            time.sleep(0.03)  # noqa: ASYNC251 — nobody looks for longer than a code may take
            assert await driver.text() == "M-001234"
            scanner.scan("between")
            assert await driver.text() == "between"


async def test_a_code_that_waits_half_read_for_a_busy_agent_stays_whole(scanner: VirtualScanner) -> None:
    # given an agent that takes longer over one scan than a code may take, and more scans than are read ahead
    heard: asyncio.Queue[str] = asyncio.Queue()
    go_on = asyncio.Event()

    async def slow(event: ScanEvent) -> None:
        await go_on.wait()
        await heard.put(event.scan.text)

    driver = SerialScannerDriver({"port": str(scanner.port), "idle_ms": 20}, now, parse_scan)
    task = asyncio.create_task(driver.run(slow, lambda: None))
    codes = [f"M-{number:03d}" for number in range(MAX_SCANS_AHEAD + 10)]
    scanner.send("".join(f"]C0{code}\r" for code in codes).encode() + b"]C0M-")
    await asyncio.sleep(0.03)

    # when the rest of a code comes before the agent goes on
    scanner.send(b"999\r")
    await asyncio.sleep(0.03)
    go_on.set()

    # then it is the code that was scanned
    assert [await heard.get() for _ in range(len(codes) + 1)] == [*codes, "M-999"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_torn_scan_is_dropped_and_reported_without_its_text(
    scanner: VirtualScanner, logs: asyncio.Queue[dict[str, object]]
) -> None:
    async with running(scanner, idle_ms=20) as driver:
        scanner.send(b"9876543")
        log = await logs.get()
        scanner.scan("WHOLE")
        assert await driver.text() == "WHOLE"

    assert (log["event"], log["reason"], log["reader"]) == ("scan_dropped", "suffix_missing", "counter")
    assert "suffix" in str(log["remedy"])
    assert "9876543" not in repr(log)


async def test_a_code_whose_beginning_was_lost_is_dropped_where_aim_identifiers_are_required(
    scanner: VirtualScanner, logs: asyncio.Queue[dict[str, object]]
) -> None:
    # given a scan whose first half went by before the agent was there
    scanner.send(b"001234\r")

    async with running(scanner, aim="required") as driver:
        scanner.scan("M-001234", aim="]C0")
        event = await driver.events.get()
        log = await logs.get()

    assert event.scan.text == "M-001234"
    assert driver.events.empty()
    assert (log["event"], log["reason"], log["times"]) == ("scan_dropped", "aim_missing", 1)
    assert "AIM identifiers" in str(log["remedy"])
    assert "001234" not in repr(log)


async def test_each_reason_is_reported_when_it_happens_and_only_then(
    scanner: VirtualScanner, logs: asyncio.Queue[dict[str, object]]
) -> None:
    async with running(scanner, aim="required", prefix="\x02") as driver:
        for sent in (b"\x02no aim\r", b"no prefix\r", b"\x02]C0A1\r", b"no prefix\r", b"\x02]C0B2\r"):
            scanner.send(sent)
            await asyncio.sleep(0.002)
        assert [await driver.text() for _ in range(2)] == ["A1", "B2"]

    told = [logs.get_nowait() for _ in range(logs.qsize())]
    assert {(log["reason"], log["times"]) for log in told} >= {("aim_missing", 1), ("prefix_missing", 2)}
    assert max(int(str(log["times"])) for log in told if log["reason"] == "aim_missing") == 1


async def test_the_second_message_of_a_composite_is_goods_and_a_repeat_of_it_is_one(scanner: VirtualScanner) -> None:
    async with running(scanner) as driver:
        for _ in range(3):  # a presentation scanner reads both again and again
            scanner.scan("4006381333931", aim="]E0")
            scanner.scan("10LOT7", aim="]e0")
        scanner.scan("M-001234", aim="]C0")
        goods, lot, card = [await driver.events.get() for _ in range(3)]

    assert goods.scan.identifier is not None
    assert lot.scan.identifier == goods.scan.identifier
    assert lot.scan.gs1 == {"01": "04006381333931", "10": "LOT7"}
    assert card.scan.member is not None


async def test_the_first_message_of_a_composite_is_not_held_back(scanner: VirtualScanner) -> None:
    async with running(scanner) as driver:
        scanner.scan("4006381333931", aim="]E0")

        assert await driver.text() == "4006381333931"


class LengthFramer:
    """Codes that begin with their length, as a byte."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._pending = b""

    def feed(self, data: bytes, at: Instant) -> list[ScanFrame]:
        self._pending += data
        frames = []
        while self._pending and len(self._pending) > self._pending[0]:
            end = 1 + self._pending[0]
            if self._pending[0] > 20:
                self.dropped["too_fast"] += 1
            else:
                frames.append(ScanFrame(data=self._pending[1:end], at=at))
            self._pending = self._pending[end:]
        return frames

    def idle(self, now: Instant) -> list[ScanFrame]:
        return []

    def idle_due_in_s(self, now: Instant) -> float | None:
        return None


MORE_REMEDIES = {**REMEDIES, "too_fast": "Slow it down."}


class LengthScanner(PortScannerDriver[PortOptions]):
    """A model with a framing of its own: this is all there is to write."""

    options_type = PortOptions
    remedies = MORE_REMEDIES

    def framer(self) -> LengthFramer:
        return LengthFramer()


async def test_a_model_with_a_framing_of_its_own_inherits_all_else(
    scanner: VirtualScanner, logs: asyncio.Queue[dict[str, object]]
) -> None:
    running = Running(LengthScanner({"name": "length", "port": str(scanner.port)}, now, parse_scan))
    await running.ready.wait()
    scanner.send(b"\x02A1\x02A1\x02B2" + bytes([30]) + b"x" * 30 + b"\x10" + b"4111111111111111")

    assert [await running.text() for _ in range(3)] == ["A1", "B2", "411111******1111"], "repeats and cards are seen to"
    log = await logs.get()
    assert (log["reason"], log["remedy"]) == ("too_fast", "Slow it down.")
    scanner.unplug()
    with pytest.raises(PortUnpluggedError):
        await running.task


def test_options_of_the_built_in_framing_are_none_of_another_models() -> None:
    with pytest.raises(DriverOptionsError, match="no such option; known are name, port, baud"):
        LengthScanner({"port": "COM3", "suffix": "\r"}, now, parse_scan)


async def test_prefix_and_suffix_can_be_set(scanner: VirtualScanner) -> None:
    async with running(scanner, prefix="\x02", suffix="\x03") as driver:
        scanner.send(b"\x02A\rB\x03")

        assert (await driver.events.get()).scan.problems == ("control_characters_removed",)


async def test_a_scanner_on_the_network_is_the_same() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"]C0NETWORK\r")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    running = Running(SerialScannerDriver({"port": f"tcp://127.0.0.1:{port}"}, now, parse_scan))

    assert await running.text() == "NETWORK"
    with pytest.raises(PortUnpluggedError):
        await running.task
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("options", "key", "problem"),
    [
        ({}, "port", "is needed"),
        ({"port": ""}, "port", "length >= 1"),
        ({"port": 3}, "port", "expected str"),
        ({"port": "COM3", "bauds": 9600}, "bauds", "known are name, port, baud"),
        ({"port": "COM3", "baud": "fast"}, "baud", "expected int"),
        ({"port": "COM3", "parity": "mark"}, "parity", "'mark' is none of 'none', 'even', 'odd'"),
        ({"port": "COM3", "stop_bits": 3}, "stop_bits", "3 is none of 1, 2"),
        ({"port": "COM3", "prefix": "Ђ"}, "prefix", "single bytes"),
        ({"port": "tcp://host"}, "port", "tcp://host:port"),
        ({"port": "tcp://host:99999"}, "port", "tcp://host:port"),
        ({"port": "tcp://:4000"}, "port", "tcp://host:port"),
        ({"port": "usb:1900"}, "port", "usb:serial="),
        ({"port": "COM3", "aim": "always"}, "aim", "'always' is none of 'optional', 'required'"),
    ],
)
def test_a_wrong_option_names_its_key(options: dict[str, object], key: str, problem: str) -> None:
    with pytest.raises(DriverOptionsError, match=problem) as caught:
        SerialScannerDriver(options, now, parse_scan)

    assert caught.value.key == key
