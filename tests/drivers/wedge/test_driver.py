"""The driver `wedge` on a machine in memory, as a supervisor runs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import structlog

from drivers.clock import now
from drivers.registry import load_scanner
from drivers.scanning.driver import DriverOptionsError, ScanEvent
from drivers.scanning.hearing import MAX_SCANS_AHEAD
from drivers.scanning.scan import parse_scan
from drivers.transport.port import PortAmbiguousError, PortBusyError, PortMissingError, PortUnpluggedError
from drivers.wedge.backend import VirtualKeyboard, WedgeDevice
from drivers.wedge.driver import WedgeDriver
from drivers.wedge.encode import encode
from drivers.wedge.events import DeviceEvent, KeyEvent
from drivers.wedge.memory_backend import MemoryMachine, MemoryScanner
from loyalty.identification import IdentificationRule
from loyalty.instant import Instant
from tests.drivers.wedge.keys import MS


@pytest.fixture
def machine() -> MemoryMachine:
    return MemoryMachine()


@pytest.fixture
def scanner(machine: MemoryMachine) -> MemoryScanner:
    return machine.plug_in("Scanner", nodes=2, by_id="/dev/input/by-id/usb-Scanner-event-kbd", serial="A1")


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

    def __init__(self, driver: WedgeDriver) -> None:
        self.events: asyncio.Queue[ScanEvent] = asyncio.Queue()
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(driver.run(self.events.put, self.ready.set))

    async def text(self) -> str:
        return (await self.events.get()).scan.text


@asynccontextmanager
async def running(machine: MemoryMachine, **options: object) -> AsyncIterator[Running]:
    driver = WedgeDriver({"name": "counter", "device": "usb:serial=A1", **options}, now, parse_scan, backend=machine)
    running = Running(driver)
    try:
        await running.ready.wait()
        yield running
    finally:
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)


def scan(scanner: MemoryScanner, text: str, layout: str = "us", *, suffix: str = "enter", step_ns: int = 1000) -> None:
    """Type `text` so that its last key is now."""
    keys = encode(layout, text, suffix=suffix or None, step_ns=step_ns)  # type: ignore[arg-type]
    start_ns = time.monotonic_ns() - keys[-1].at_ns
    scanner.type([KeyEvent(code=key.code, value=key.value, at_ns=key.at_ns + start_ns) for key in keys], nodes=(0, 1))


async def test_a_scan_becomes_a_shared_event_with_its_reader_and_its_instant(
    machine: MemoryMachine, scanner: MemoryScanner
) -> None:
    async with running(machine, layout="de") as driver:
        before = now()
        scan(scanner, "]C0M-00 1234", "de")
        event = await driver.events.get()

    assert event.reader == "counter"
    assert event.shared
    assert (event.scan.aim, event.scan.text) == ("]C0", "M-00 1234")
    assert event.scan.member is not None
    assert event.scan.member.code == "M001234"
    assert event.at.boot == before.boot
    assert abs(event.at.ns_since(before)) < 1_000 * MS
    assert abs((event.at.wall - before.wall).total_seconds()) < 1


async def test_the_pos_hears_every_key_and_the_device_is_never_grabbed(
    machine: MemoryMachine, scanner: MemoryScanner
) -> None:
    async with running(machine) as driver:
        scan(scanner, "M1")
        await driver.text()

        assert scanner.grabbed_by is None
        assert [key.code for key in machine.pos if key.value] == [42, 50, 2, 28]


async def test_five_scans_at_once_come_in_order_each_at_its_time(
    machine: MemoryMachine, scanner: MemoryScanner
) -> None:
    async with running(machine) as driver:
        for number in range(5):
            scan(scanner, f"]C0M{number}")
        events = [await driver.events.get() for _ in range(5)]

    assert [event.scan.text for event in events] == [f"M{number}" for number in range(5)]
    assert [event.at.monotonic_ns for event in events] == sorted({event.at.monotonic_ns for event in events})


async def test_a_true_repeat_is_heard_once(machine: MemoryMachine, scanner: MemoryScanner) -> None:
    async with running(machine, repeat_ms=60_000) as driver:
        for code in ("A1", "A1", "A1", "B2", "A1"):
            scan(scanner, code)

        assert [await driver.text() for _ in range(3)] == ["A1", "B2", "A1"]


async def test_the_second_message_of_a_composite_is_goods(machine: MemoryMachine, scanner: MemoryScanner) -> None:
    async with running(machine) as driver:
        scan(scanner, "]E04006381333931")
        scan(scanner, "]e010ABC123")
        scan(scanner, "]E04006381333931")
        scan(scanner, "]e010ABC123")
        scan(scanner, "END")
        _, second, end = [await driver.events.get() for _ in range(3)]

    assert end.scan.text == "END"
    assert second.scan.identifier is not None
    assert second.scan.identifier.kind == "gtin"


async def test_rules_in_force_are_asked_at_each_scan(machine: MemoryMachine, scanner: MemoryScanner) -> None:
    rules: list[IdentificationRule] = []
    options = {"device": "usb:serial=A1"}
    driver = Running(WedgeDriver(options, now, lambda raw: parse_scan(raw, rules), backend=machine))
    await driver.ready.wait()
    scan(scanner, "2900000000001")
    first = await driver.events.get()
    rules.append(IdentificationRule(name="cards", prefixes=("290",), lengths=(13,)))
    scan(scanner, "2900000000018")
    second = await driver.events.get()
    driver.task.cancel()
    await asyncio.gather(driver.task, return_exceptions=True)

    assert first.scan.member is None
    assert second.scan.member is not None
    assert second.scan.member.claimed
    assert second.reader == "usb:serial=A1"


async def test_scans_are_kept_while_the_agent_is_busy_and_none_is_lost_with_the_device(
    machine: MemoryMachine, scanner: MemoryScanner
) -> None:
    heard: list[str] = []
    go_on = asyncio.Event()

    async def slow(event: ScanEvent) -> None:
        heard.append(event.scan.text)
        await go_on.wait()

    count = 2 * MAX_SCANS_AHEAD
    driver = WedgeDriver({"device": "Scanner", "repeat_ms": 0}, now, parse_scan, backend=machine)
    task = asyncio.create_task(driver.run(slow, lambda: None))
    await asyncio.sleep(0)
    for number in range(count):
        scan(scanner, f"C{number}")
        await asyncio.sleep(0)
    assert len(heard) == 1
    scanner.unplug()
    go_on.set()

    with pytest.raises(PortUnpluggedError):
        await task
    assert heard == [f"C{number}" for number in range(count)]


async def test_an_unplugged_scanner_ends_the_run_and_is_found_again_under_another_number(
    machine: MemoryMachine, scanner: MemoryScanner
) -> None:
    for name in ("usb:serial=A1", "/dev/input/by-id/usb-Scanner-event-kbd", "Scanner"):
        before = scanner.device.nodes
        async with running(machine, device=name) as driver:
            scanner.unplug()
            with pytest.raises(PortUnpluggedError, match="Plug it in again"):
                await driver.task
        with pytest.raises(PortMissingError):
            await WedgeDriver({"device": name}, now, parse_scan, backend=machine).run(driver.events.put, lambda: None)

        scanner.plug_in()

        assert scanner.device.nodes != before
        async with running(machine, device=name) as driver:
            scan(scanner, "BACK")
            assert await driver.text() == "BACK"


async def test_a_code_torn_by_unplugging_at_any_key_is_not_heard(
    machine: MemoryMachine, scanner: MemoryScanner
) -> None:
    keys = encode("us", "]C0M1")
    for cut in range(len(keys) - 2):
        async with running(machine) as driver:
            scanner.type(keys[:cut])
            scanner.unplug()
            with pytest.raises(PortUnpluggedError):
                await driver.task
            assert driver.events.empty()
        scanner.plug_in()


async def test_a_forbidden_and_an_ambiguous_device_end_the_run(machine: MemoryMachine, scanner: MemoryScanner) -> None:
    async def emit(event: ScanEvent) -> None:
        raise AssertionError(event.reader)

    scanner.may_open = False
    with pytest.raises(PortBusyError):
        await WedgeDriver({"device": "Scanner"}, now, parse_scan, backend=machine).run(emit, lambda: None)
    machine.plug_in("Scanner")
    with pytest.raises(PortAmbiguousError):
        await WedgeDriver({"device": "Scanner"}, now, parse_scan, backend=machine).run(emit, lambda: None)


async def test_cancelling_leaves_the_device_closed(machine: MemoryMachine, scanner: MemoryScanner) -> None:
    for _ in range(3):
        async with running(machine) as driver:
            scan(scanner, "CODE")
            assert await driver.text() == "CODE"
        assert scanner._listeners == []


async def test_an_error_of_the_agent_ends_the_run_and_closes_the_device(
    machine: MemoryMachine, scanner: MemoryScanner
) -> None:
    async def broken(event: ScanEvent) -> None:
        raise LookupError(event.reader)

    driver = WedgeDriver({"device": "Scanner"}, now, parse_scan, backend=machine)
    task = asyncio.create_task(driver.run(broken, lambda: None))
    await asyncio.sleep(0)
    scan(scanner, "CODE")

    with pytest.raises(LookupError):
        await task
    assert scanner._listeners == []


async def test_a_scanner_that_sends_no_suffix_is_understood_after_silence(
    machine: MemoryMachine, scanner: MemoryScanner
) -> None:
    async with running(machine, suffix="none", idle_ms=20) as driver:
        scan(scanner, "CODE", suffix="")

        assert await driver.text() == "CODE"


class LateWedge:
    """A device whose `reads` come one after another; None is a read that sees nothing yet."""

    def __init__(self, *reads: list[DeviceEvent] | None) -> None:
        self.device = WedgeDevice(name="Late", nodes=("/dev/input/event0",))
        self._reads = list(reads)

    async def read(self) -> list[DeviceEvent]:
        if self._reads and (events := self._reads.pop(0)) is not None:
            return events
        await asyncio.Event().wait()
        return []

    async def grab(self, into: VirtualKeyboard) -> None:
        raise AssertionError(into)

    async def close(self) -> None:
        pass


class LateMachine(MemoryMachine):
    def __init__(self, wedge: LateWedge) -> None:
        super().__init__()
        self._wedge = wedge

    async def open(self, device: str) -> LateWedge:  # type: ignore[override]
        assert device
        return self._wedge


async def test_keys_that_waited_while_the_event_loop_was_busy_are_one_code() -> None:
    # given half a code, long ago, whose other half came in time but is seen only after its time is over
    keys = encode("us", "CODE", step_ns=1)
    wedge = LateWedge(list(keys[:4]), None, list(keys[4:]))
    clock_ns = iter(range(0, 10**12, 10**10))

    def clock() -> Instant:
        return Instant(wall=datetime(2026, 11, 22, tzinfo=UTC), boot="b", monotonic_ns=next(clock_ns))

    driver = Running(WedgeDriver({"device": "X"}, clock, parse_scan, backend=LateMachine(wedge)))

    assert await driver.text() == "CODE"
    driver.task.cancel()
    await asyncio.gather(driver.task, return_exceptions=True)


async def test_what_people_type_on_the_same_device_is_ignored_where_that_is_set(
    machine: MemoryMachine, scanner: MemoryScanner, logs: asyncio.Queue[dict[str, object]]
) -> None:
    async with running(machine, typed="ignore") as driver:
        scan(scanner, "4711", step_ns=40 * MS)
        scan(scanner, "12")
        scan(scanner, "M12345")

        assert await driver.text() == "M12345"
    assert logs.empty()


async def test_a_torn_scan_is_dropped_and_reported_without_its_text(
    machine: MemoryMachine, scanner: MemoryScanner, logs: asyncio.Queue[dict[str, object]]
) -> None:
    async with running(machine, idle_ms=20) as driver:
        scan(scanner, "9876543", suffix="")
        log = await logs.get()
        scan(scanner, "WHOLE")
        assert await driver.text() == "WHOLE"

    assert (log["event"], log["reason"], log["reader"]) == ("scan_dropped", "suffix_missing", "counter")
    assert "ENTER" in str(log["remedy"])
    assert "9876543" not in repr(log)


async def test_lost_events_and_missing_aim_identifiers_are_reported(
    machine: MemoryMachine, scanner: MemoryScanner, logs: asyncio.Queue[dict[str, object]]
) -> None:
    async with running(machine, aim="required") as driver:
        scanner.lose_events(at_ns=time.monotonic_ns())
        scan(scanner, "LOST")
        scan(scanner, "M1")
        scan(scanner, "]C0M2")
        assert await driver.text() == "M2"

    reasons = {str(line["reason"]) for line in [logs.get_nowait() for _ in range(logs.qsize())]}
    assert reasons == {"events_lost", "aim_missing"}


async def test_ten_thousand_scans_with_unplugs_between_them_lose_none(
    machine: MemoryMachine, scanner: MemoryScanner
) -> None:
    heard = 0
    for batch in range(20):
        async with running(machine) as driver:
            for number in range(500):
                scan(scanner, f"M{batch}-{number}")
                assert await driver.text() == f"M{batch}-{number}"
                heard += 1
            scanner.unplug()
            with pytest.raises(PortUnpluggedError):
                await driver.task
        scanner.plug_in()

    assert heard == 10_000


@pytest.mark.parametrize(
    ("options", "key", "problem"),
    [
        ({}, "device", "is needed"),
        ({"device": ""}, "device", "length >= 1"),
        ({"device": "usb:12:34"}, "device", "usb:serial="),
        ({"device": "X", "port": "COM3"}, "port", "known are name, device, layout"),
        ({"device": "X", "layout": "uk"}, "layout", "'uk' is none of 'us', 'de', 'fr', 'si', 'hr', 'rs'"),
        ({"device": "X", "layout": "rs-cyrillic"}, "layout", "is none of"),
        ({"device": "X", "prefix": "cr"}, "prefix", "'cr' is none of 'none', 'enter', 'tab'"),
        ({"device": "X", "suffix": "cr"}, "suffix", "cr"),
        ({"device": "X", "typed": True}, "typed", "is none of 'keep', 'ignore'"),
        ({"device": "X", "idle_ms": 5}, "idle_ms", ">= 20"),
        ({"device": "X", "repeat_ms": -1}, "repeat_ms", ">= 0"),
    ],
)
def test_a_wrong_option_names_its_key(options: dict[str, object], key: str, problem: str) -> None:
    with pytest.raises(DriverOptionsError, match=problem) as caught:
        WedgeDriver(options, now, parse_scan)

    assert caught.value.key == key


def test_it_is_found_as_wedge() -> None:
    assert load_scanner("wedge") is WedgeDriver


@pytest.mark.parametrize(("platform", "error"), [("win32", DriverOptionsError), ("darwin", DriverOptionsError)])
def test_other_systems_are_told_what_to_do(
    platform: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)

    with pytest.raises(error, match="USB-CDC"):
        WedgeDriver({"device": "X"}, now, parse_scan)
