"""Scanners that are pulled out in the middle of anything: no scan is lost, and none is heard twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from agent.booking import checkout_of
from agent.demo.scanner import VirtualScanner
from agent.desk import Desk
from agent.scans import ScanIntake
from agent.supervisor import Clocks, Supervisor, Worker
from agent.view import PlaceView
from drivers.clock import boot_id, now
from drivers.scanning.driver import Emit, Ready, ScanEvent
from drivers.scanning.scan import parse_scan
from drivers.scanning.serial_scanner import SerialScannerDriver
from drivers.transport.memory import MemoryTransport, memory_pair
from drivers.transport.port import Transport
from drivers.transport.ports import SerialDevice, transport_for
from loyalty.instant import Instant
from sync.loop import LookedUp
from tests.agent.shop import BOOT, Shop
from tests.faults.virtual_time import VirtualTimeLoop

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
SCANS = 10_000
TERMINAL_SCANS = 200
SEED = 20261122


class VirtualClock:
    """The time of the running loop."""

    def seconds(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.seconds())

    def __call__(self) -> Instant:
        return Instant(wall=self.wall(), boot=BOOT, monotonic_ns=int(self.seconds() * 1e9))


@asynccontextmanager
async def supervised(driver: Callable[[], SerialScannerDriver], emit: Emit, clocks: Clocks) -> AsyncIterator[Readiness]:
    """The driver as a register runs it: a new one whenever it fails."""
    readiness = Readiness()

    async def run(ready: Ready) -> None:
        def is_ready() -> None:
            ready()
            readiness.now.set()

        await driver().run(emit, is_ready)

    supervisor = Supervisor([Worker(name="counter", kind="scanner", run=run)], clocks, lambda: None)
    task = asyncio.create_task(supervisor.run())
    try:
        yield readiness
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Readiness:
    """Whether the scanner can be used, as the cashier page shows it."""

    def __init__(self) -> None:
        self.now = asyncio.Event()


# In memory, by virtual time


class MemoryScannerDriver(SerialScannerDriver):
    """The driver, at one end of a wire in memory."""

    end: ClassVar[MemoryTransport]

    def transport(self) -> Transport:
        return self.end


class Cashier:
    """Scans codes one after another at the far end of a wire that gets pulled, and scans again what broke off."""

    def __init__(self, far: MemoryTransport, readiness: Readiness, chance: random.Random) -> None:
        self.unplugged = 0
        self.torn = 0
        self._ready = readiness.now
        self._far = far
        self._chance = chance

    async def scan(self, code: str) -> None:
        sent = f"]C0{code}".encode() + self._chance.choice([b"\r", b"\r\n"])
        needed = sent.index(b"\r") + 1
        while True:
            await self._ready.wait()
            end = self._broken_off(sent)
            await self._send(sent[:end])
            if end < len(sent):
                await self._pull()
            if end >= needed:
                return
            self.torn += 1

    def _broken_off(self, sent: bytes) -> int:
        """Where the cable is pulled while `sent` goes out; hardly ever at all."""
        return self._chance.randrange(len(sent)) if self._chance.random() < 0.1 else len(sent)

    async def _send(self, data: bytes) -> None:
        while data:
            size = self._chance.randrange(1, 20)
            await self._far.write(data[:size])
            data = data[size:]
            await asyncio.sleep(self._chance.choice([0, 0, 0.001, 0.02]))

    async def _pull(self) -> None:
        """Or the scanner stops in the middle of a code, as when it is dropped, and goes on with the next one."""
        if self._chance.random() < 0.2:
            await asyncio.sleep(1.5)
            return
        self.unplugged += 1
        self._ready.clear()
        self._far.unplug()
        await self._far.close()
        await asyncio.sleep(self._chance.choice([0, 0.01, 3]))
        self._far.plug_in()
        await self._far.open()


async def a_day_of_scans(chance: random.Random) -> tuple[list[str], list[str], Cashier]:
    """Codes that were scanned, those that were heard, and by whom."""
    near, far = memory_pair()
    MemoryScannerDriver.end = near
    await far.open()
    clock = VirtualClock()
    heard: list[str] = []

    async def emit(event: ScanEvent) -> None:
        heard.append(event.scan.text)
        await asyncio.sleep(chance.choice([0, 0, 0, 0.005, 0.3]))  # the agent's disk

    def driver() -> MemoryScannerDriver:
        return MemoryScannerDriver({"name": "counter", "port": "in memory"}, clock, parse_scan)

    codes = [f"M-{number:06d}" for number in range(SCANS)]
    clocks = Clocks(monotonic_s=clock.seconds, now=clock.wall, sleep=asyncio.sleep, chance=chance.random)
    async with supervised(driver, emit, clocks) as readiness:
        cashier = Cashier(far, readiness, chance)
        for code in codes:
            await cashier.scan(code)
        await asyncio.sleep(60)
    return codes, heard, cashier


def test_ten_thousand_scans_with_unplugs_in_between_are_heard_once_each() -> None:
    print("seed", SEED)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        scanned, heard, cashier = runner.run(a_day_of_scans(random.Random(SEED)))

    assert heard == scanned
    assert cashier.unplugged > SCANS / 20
    assert cashier.torn > SCANS / 20


# On real terminals, in real time


class UsbScannerDriver(SerialScannerDriver):
    """The driver, on a machine whose USB devices are those of the test."""

    plugged: ClassVar[list[SerialDevice]]

    def transport(self) -> Transport:
        return transport_for(self.options.port, devices=lambda: self.plugged)


async def test_a_scanner_that_comes_back_under_another_number_loses_nothing(tmp_path: Path) -> None:
    print("seed", SEED)
    chance = random.Random(SEED)
    events: asyncio.Queue[ScanEvent] = asyncio.Queue()

    def driver() -> UsbScannerDriver:
        return UsbScannerDriver({"name": "counter", "port": "usb:serial=AB12"}, now, parse_scan)

    async def soon(_seconds: float) -> None:
        await asyncio.sleep(0.001)

    UsbScannerDriver.plugged = []
    heard: list[str] = []
    clocks = Clocks(monotonic_s=lambda: 0.0, now=lambda: START, sleep=soon, chance=chance.random)
    async with supervised(driver, events.put, clocks) as readiness:
        pending = [f"M-{number:04d}" for number in range(TERMINAL_SCANS)]
        while pending:
            with VirtualScanner(tmp_path / f"ttyUSB{chance.randrange(4)}") as scanner:
                path = str(scanner.port)
                UsbScannerDriver.plugged = [
                    SerialDevice(name="ttyUSB", path=path, vid=0x1EAB, pid=0x1A03, serial="AB12")
                ]
                await readiness.now.wait()
                for code in pending[: chance.randrange(1, 10)]:
                    scanner.scan(code, aim="]C0")
                    heard.append((await events.get()).scan.text)
                    pending.remove(code)
                if pending:
                    scanner.send(f"]C0{pending[0]}".encode()[: chance.randrange(1, 9)])
                readiness.now.clear()
                UsbScannerDriver.plugged = []

    assert heard == [f"M-{number:04d}" for number in range(TERMINAL_SCANS)]
    assert events.empty()


# Through the register


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


async def test_five_scans_in_a_second_are_all_kept_and_the_last_is_shown(shop: Shop, tmp_path: Path) -> None:
    await shop.seed()
    desk = Desk(
        language="en",
        place=PlaceView(store=None, register=None),
        clock=now,
        find_member=shop.store.member_by_code,
        checkout=checkout_of(shop.store, boot_id()),
        schedule=asyncio.get_running_loop().call_later,
    )

    async def centre_is_away(_code: str) -> LookedUp:
        return LookedUp()

    intake = ScanIntake(store=shop.store, desk=desk, lookup=centre_is_away, guesses=lambda: True)
    taken: asyncio.Queue[ScanEvent] = asyncio.Queue()

    async def take(event: ScanEvent) -> None:
        await intake.take(event)
        await taken.put(event)

    with VirtualScanner(tmp_path / "scanner") as scanner:
        driver = SerialScannerDriver({"name": "counter", "port": str(scanner.port)}, now, parse_scan)
        running = asyncio.create_task(driver.run(take, lambda: None))
        # no pause at all between them is harder than a fifth of a second
        for code in ("TS1001", "TS1002", "TS1001", "TS1002", "TS1001"):
            scanner.scan(code, aim="]C0")
        events = [await taken.get() for _ in range(5)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await intake.settled()

    assert [event.scan.text for event in events] == ["TS1001", "TS1002", "TS1001", "TS1002", "TS1001"]
    assert [kept.code for kept in shop.store.unused_scans()] == ["TS1001", "TS1002", "TS1001", "TS1002", "TS1001"]
    customer = desk.state().customer
    assert customer is not None
    assert customer.standing == "known"
