"""`scan`: from a scan's first byte on a real pty to the member with the balance to show, in a store of 100,000.

The way is the register's: port, framing, identification rules, encrypted store, on the agent's event loop. The
clock starts before the bytes are written, and stops when `emit` has the member. `parse_per_s` is one core's `parse`
of what a shop scans: cards, goods with and without GS1, links and swipes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import statistics
import time
import tty
from collections.abc import Iterator
from contextlib import closing, contextmanager

import uvloop

from agent.recognition import Recognition
from drivers.clock import now
from drivers.scanning.driver import ScanEvent
from drivers.scanning.serial_scanner import SerialScannerDriver
from loyalty.identification import IdentificationRule
from sync.keys_linux import LinuxKeyKeeper
from sync.store.store import Store
from tests.bench.lookup import code_of, fill
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded

MEMBERS = 100_000
WARM_UP = 50
SCANS = 2_000
# Between scans, so that they meet every phase of threads and timers.
PAUSE_S = (0.001, 0.006)
HEARD_WITHIN_S = 5.0
PARSE_FOR_S = 1.0
SEED = 20261122

RULES = (
    IdentificationRule(name="cards", prefixes=("29",), lengths=(12,)),
    IdentificationRule(name="app", kind="wallet", symbologies=("qr",), pattern="https://shop.example/m/{code}"),
    IdentificationRule(name="weighed", kind="goods", symbologies=("ean13",), prefixes=("2",)),
)
SHOPPING = (
    b"]C0290000123456",
    b"]E04006381333931",
    b"]E02912345012345",
    b"]d2010400638133393110LOT7\x1d17271231",
    b"]Q1https://shop.example/m/778899",
    b"]Q1https://id.gs1.org/01/04006381333931/10/LOT7",
    b"%B290000123456^MEMBER^?;290000123456=?",
)


def run() -> Report:
    recognition = Recognition(RULES)
    with disk_folder() as folder:
        machine = measured(folder)
        with closing(Store.open(folder / "store.db", LinuxKeyKeeper(folder / "keys", {}))) as store:
            fill(store, MEMBERS)
            taken_ms = sorted(uvloop.run(_scanned_ms(store, recognition)))
    return Report(
        name="scan",
        figures={
            "scans": SCANS,
            "members": MEMBERS,
            "p50_ms": rounded(statistics.median(taken_ms)),
            "p99_ms": rounded(taken_ms[SCANS * 99 // 100]),
            "max_ms": rounded(taken_ms[-1]),
            "parse_per_s": rounded(_parsed_per_s(recognition)),
        },
        machine=machine,
    )


async def _scanned_ms(store: Store, recognition: Recognition) -> list[float]:
    """Milliseconds from the first byte to the member, scan by scan."""
    identified: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    is_ready = asyncio.Event()

    async def emit(event: ScanEvent) -> None:
        code = event.scan.member
        found = store.member_by_code(code.code) if code is not None else None
        at = time.perf_counter()
        if code is None or found is None:
            raise LookupError(event.scan)
        identified.put_nowait((code.code, at))

    chance = random.Random(SEED)
    taken_ms = []
    with _terminal() as (scanner, path):
        driver = SerialScannerDriver({"name": "counter", "port": path}, now, recognition.parse)
        running = asyncio.create_task(driver.run(emit, is_ready.set))
        await is_ready.wait()
        # No code twice in a row: it would be a repeat.
        for number in chance.sample(range(MEMBERS), WARM_UP + SCANS):
            await asyncio.sleep(chance.uniform(*PAUSE_S))
            began = time.perf_counter()
            os.write(scanner, f"]C0{code_of(number)}\r".encode())
            code, at = await asyncio.wait_for(identified.get(), HEARD_WITHIN_S)
            if code != code_of(number):
                raise LookupError(code)
            taken_ms.append((at - began) * 1000)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return taken_ms[WARM_UP:]


@contextmanager
def _terminal() -> Iterator[tuple[int, str]]:
    """The scanner's end of a pty, and the path of the other one."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    try:
        yield ours, os.ttyname(theirs)
    finally:
        os.close(theirs)
        os.close(ours)


def _parsed_per_s(recognition: Recognition) -> float:
    scans = 0
    codes = itertools.cycle(SHOPPING)
    began = time.perf_counter()
    while time.perf_counter() - began < PARSE_FOR_S:
        for raw in itertools.islice(codes, 100 * len(SHOPPING)):
            recognition.parse(raw)
        scans += 100 * len(SHOPPING)
    return scans / (time.perf_counter() - began)
