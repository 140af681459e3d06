"""`scan_to_page`: from the scanner's first byte on a real pty to the changed text in a real Chromium.

A register process of its own, with a million members in its encrypted store, reads the pty, looks the member up, keeps
the scan durably and tells the page over its WebSocket. The clock starts before the bytes are written; it stops when
a MutationObserver sees the customer's name change. Both ends are CLOCK_MONOTONIC: Chromium says on that
clock when the page began, and `performance.now()` counts from there. `next_frame_*` is when Chromium then
draws its next frame; a headless one draws 60 a second.

`ready_*` is from the start of a navigation to the first state on the page, files and all, in a browser that has
nothing of it. `page_bytes` is what that fetches, as the files are, and `later_bytes` what is fetched afterwards, before
anybody asks for it. `rss_mb` of the agent and `heap_mb` of the page are
taken after the first scans, and `…_after` when `steady_scans` more were made as fast as they are taken.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from contextlib import closing
from pathlib import Path

from playwright.async_api import Browser, CDPSession, Page, async_playwright

from sync.keys import keeper_for
from sync.store.store import Store
from tests.bench.footprint import rss_mb
from tests.bench.lookup import MEMBERS, code_of, fill
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded
from tests.browser.chromium import launched
from tests.browser.till import Till

WARM_UP = 20
SCANS = 300
LOADS = 20
STEADY_SCANS = 10_000
# Scans on their way at once: fewer than the checkout keeps unused.
BURST = 10
# Between scans, so that they meet every phase of timers and frames.
PAUSE_S = (0.03, 0.08)
SEED = 20261122
SEEN_WITHIN_S = 5.0
CARDS = '[[identification]]\nname = "cards"\nprefixes = ["29"]\nlengths = [12]\n'

# One promise per scan, kept on the window while the scan is made: nothing polls the page meanwhile.
_EXPECT = """text => {
  const name = document.getElementById("name");
  window.shown = new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      if (name.textContent !== text) return;
      const seen = performance.now();
      observer.disconnect();
      requestAnimationFrame(() => resolve([seen, performance.now()]));
    });
    observer.observe(name, { childList: true, characterData: true, subtree: true });
  });
}"""
_SHOWN = "() => window.shown"
# Bytes of files that were there at a moment, and of those after it.
_FETCHED = """ready => {
  const files = performance.getEntries().filter((one) => one.decodedBodySize !== undefined);
  const sum = (some) => some.reduce((total, one) => total + one.decodedBodySize, 0);
  return [sum(files.filter((one) => one.responseEnd <= ready)), sum(files.filter((one) => one.responseEnd > ready))];
}"""
# Before anything of the page: when the badge first says how the register is.
_READY = """
  window.ready = new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      if (document.body?.dataset.badge !== "offline") return;
      observer.disconnect();
      resolve(performance.now());
    });
    observer.observe(document, { attributes: true, childList: true, subtree: true });
  });
"""


def run() -> Report:
    with disk_folder() as folder:
        machine = measured(folder)
        figures = asyncio.run(_measured(folder))
    return Report(name="scan_to_page", figures={"scans": SCANS, "members": MEMBERS, **figures}, machine=machine)


async def _measured(folder: Path) -> dict[str, int | float]:
    till = Till(folder, settings=CARDS)
    try:
        await asyncio.to_thread(_seed, folder / "state")
        await till.start()
        async with async_playwright() as playwright, launched(playwright) as browser:
            ready = await _loads(till, browser)
            page = await browser.new_page()
            await page.goto(await till.pairing_url())
            await page.wait_for_function("document.body.dataset.badge === 'offline'")
            times = await _scans(till, page, await _began_ms(page))
            steady = await _steady(till, page)
    finally:
        await till.kill()
        till.close()
    seen, drawn = ([pair[index] for pair in times] for index in (0, 1))
    return {
        "p50_ms": rounded(statistics.median(seen)),
        "p99_ms": rounded(_p99(seen)),
        "next_frame_p50_ms": rounded(statistics.median(drawn)),
        "next_frame_p99_ms": rounded(_p99(drawn)),
        **ready,
        **steady,
    }


def _seed(state: Path) -> None:
    with closing(Store.open(state / "store.db", keeper_for(state))) as store:
        fill(store, MEMBERS)


async def _loads(till: Till, browser: Browser) -> dict[str, int | float]:
    """How soon the page is there, each time in a browser that was never there."""
    times, fetched, later = [], 0, 0
    for _ in range(LOADS):
        context = await browser.new_context()
        await context.add_init_script(_READY)
        page = await context.new_page()
        await page.goto(await till.pairing_url())
        times.append(await asyncio.wait_for(page.evaluate("() => window.ready"), SEEN_WITHIN_S))
        await page.wait_for_load_state("networkidle")
        fetched, later = await page.evaluate(_FETCHED, times[-1])
        await context.close()
    return {
        "ready_p50_ms": rounded(statistics.median(times)),
        "ready_max_ms": rounded(max(times)),
        "page_bytes": fetched,
        "later_bytes": later,
    }


async def _scans(till: Till, page: Page, began_ms: float) -> list[tuple[float, float]]:
    """Milliseconds from the first byte to the changed text and to the next frame, scan by scan."""
    chance = random.Random(SEED)
    times = []
    for number in _customers(chance, WARM_UP + SCANS):
        await page.evaluate(_EXPECT, _name(number))
        await asyncio.sleep(chance.uniform(*PAUSE_S))
        scanned_ms = time.monotonic() * 1000
        till.scan(code_of(number))
        seen, drawn = await asyncio.wait_for(page.evaluate(_SHOWN), SEEN_WITHIN_S)
        times.append((began_ms + seen - scanned_ms, began_ms + drawn - scanned_ms))
    return times[WARM_UP:]


async def _steady(till: Till, page: Page) -> dict[str, int | float]:
    """What agent and page hold before and after many scans."""
    rss, heap = rss_mb(till.pid), await _heap_mb(page)
    customers = _customers(random.Random(SEED + 1), STEADY_SCANS)
    for start in range(0, STEADY_SCANS, BURST):
        burst = customers[start : start + BURST]
        await page.evaluate(_EXPECT, _name(burst[-1]))
        for number in burst:
            till.scan(code_of(number))
        await asyncio.wait_for(page.evaluate(_SHOWN), SEEN_WITHIN_S)
    return {
        "steady_scans": STEADY_SCANS,
        "rss_mb": rounded(rss),
        "rss_mb_after": rounded(rss_mb(till.pid)),
        "heap_mb": rounded(heap),
        "heap_mb_after": rounded(await _heap_mb(page)),
    }


def _customers(chance: random.Random, count: int) -> list[int]:
    """Members in any order, none with the name of one shortly before: a change of name belongs to one scan."""
    names = [number % _NAMES for number in range(count)]
    return [name + _NAMES * chance.randrange(MEMBERS // _NAMES) for name in names]


# So many names there are in the store (`tests.bench.lookup`).
_NAMES = 997


def _name(number: int) -> str:
    return f"Ana {number % _NAMES}"


async def _heap_mb(page: Page) -> float:
    """What the page's script holds, without what is only not yet swept up."""
    session: CDPSession = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    return float((await session.send("Runtime.getHeapUsage"))["usedSize"]) / 1e6


async def _began_ms(page: Page) -> float:
    """When the page's `performance.now()` was 0, on CLOCK_MONOTONIC; checked against this process's clock."""
    session: CDPSession = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    answer = await session.send("Performance.getMetrics")
    began_ms: float = {metric["name"]: metric["value"] for metric in answer["metrics"]}["NavigationStart"] * 1000
    before = time.monotonic() * 1000
    now: float = began_ms + await page.evaluate("performance.now()")
    after = time.monotonic() * 1000
    if not before - 1 <= now <= after + 1:
        raise RuntimeError(f"Chromium's clock is not this machine's: {before} ≤ {now} ≤ {after} does not hold")
    return began_ms


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
