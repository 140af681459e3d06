"""`footprint`: what a register costs while nothing happens, with 100,000 members in its store.

The agent runs as a process of its own with a scanner, a receipt source and one cashier page open over the
WebSocket, as in a shop. `ready_s` is from starting the process to its ready line, with files in the page
cache. `rss_mb` is the resident set, `idle_core_percent` user and system time, both of the agent process.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import aiohttp

from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded
from tests.browser.till import Till, card, member

MEMBERS = 100_000
IDLE_S = 30.0
# After the start: imports, first scan and first page are done with by then.
SETTLE_S = 3.0
STARTS = 5


def run() -> Report:
    with disk_folder() as folder:
        machine = measured(folder)
        figures = asyncio.run(_measured(folder))
    return Report(name="footprint", figures={"members": MEMBERS, **figures}, machine=machine)


async def _measured(folder: Path) -> dict[str, int | float]:
    till = Till(folder)
    try:
        await till.seed(member(number) for number in range(MEMBERS))
        ready_s = [await _started(till) for _ in range(STARTS)]
        await till.start()
        idle_core_percent, rss_mb = await _idle(till)
    finally:
        await till.kill()
        till.close()
    # The first start of a freshly seeded store also reads it in; the middle one is what a restart costs.
    middle = sorted(ready_s)[STARTS // 2]
    return {
        "rss_mb": rounded(rss_mb),
        "idle_core_percent": rounded(idle_core_percent),
        "ready_s": rounded(middle),
        "slowest_ready_s": rounded(max(ready_s)),
    }


async def _started(till: Till) -> float:
    began = time.monotonic()
    await till.start()
    took = time.monotonic() - began
    await till.stop()
    return took


async def _idle(till: Till) -> tuple[float, float]:
    """Percent of a core over IDLE_S, and resident megabytes after it; one page watches meanwhile."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as page:
        async with page.get(await till.pairing_url()) as answer:
            answer.raise_for_status()
        async with page.ws_connect(f"http://127.0.0.1:{till.port}/v1/page") as socket:
            listening = asyncio.create_task(_listen(socket))
            till.scan(card(MEMBERS // 2))
            await asyncio.sleep(SETTLE_S)
            before, began = _cpu_s(till.pid), time.monotonic()
            await asyncio.sleep(IDLE_S)
            used, elapsed = _cpu_s(till.pid) - before, time.monotonic() - began
            resident_mb = rss_mb(till.pid)
            listening.cancel()
    return used / elapsed * 100, resident_mb


async def _listen(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


def _cpu_s(pid: int) -> float:
    """User and system seconds, `utime` and `stime` of proc(5); the name before them may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """What a process has in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2
