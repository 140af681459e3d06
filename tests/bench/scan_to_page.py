"""`scan_to_page`: from the scanner's first byte on a real pty to the changed text in a real Chromium.

A register process of its own reads the pty, looks the member up in its encrypted store, keeps the scan
durably and tells the page over its WebSocket. The clock starts before the bytes are written; it stops when
a MutationObserver sees the customer's name change. Both ends are CLOCK_MONOTONIC: Chromium says on that
clock when the page began, and `performance.now()` counts from there. `next_frame_*` is when Chromium then
draws its next frame; a headless one draws 60 a second.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from pathlib import Path

from playwright.async_api import CDPSession, Page, async_playwright

from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded
from tests.browser.chromium import launched
from tests.browser.till import Till, card, member

MEMBERS = 10_000
WARM_UP = 20
SCANS = 300
# Between scans, so that they meet every phase of timers and frames.
PAUSE_S = (0.03, 0.08)
SEED = 20261122
SEEN_WITHIN_S = 5.0

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


def run() -> Report:
    with disk_folder() as folder:
        machine = measured(folder)
        times = asyncio.run(_measured(folder))
    seen, drawn = ([pair[index] for pair in times] for index in (0, 1))
    return Report(
        name="scan_to_page",
        figures={
            "scans": len(times),
            "members": MEMBERS,
            "p50_ms": rounded(statistics.median(seen)),
            "p99_ms": rounded(_p99(seen)),
            "next_frame_p50_ms": rounded(statistics.median(drawn)),
            "next_frame_p99_ms": rounded(_p99(drawn)),
        },
        machine=machine,
    )


async def _measured(folder: Path) -> list[tuple[float, float]]:
    """Milliseconds from the first byte to the changed text and to the next frame, scan by scan."""
    till = Till(folder)
    try:
        await till.seed(member(number) for number in range(MEMBERS))
        await till.start()
        async with async_playwright() as playwright, launched(playwright) as browser:
            page = await browser.new_page()
            await page.goto(await till.pairing_url())
            await page.wait_for_function("document.body.dataset.badge === 'offline'")
            began_ms = await _began_ms(page)
            return await _scans(till, page, began_ms)
    finally:
        await till.kill()
        till.close()


async def _scans(till: Till, page: Page, began_ms: float) -> list[tuple[float, float]]:
    chance = random.Random(SEED)
    # Every scan names someone else, so that every name on the page belongs to one scan.
    numbers = chance.sample(range(MEMBERS), WARM_UP + SCANS)
    times = []
    for number in numbers:
        await page.evaluate(_EXPECT, f"Member {number}")
        await asyncio.sleep(chance.uniform(*PAUSE_S))
        scanned_ms = time.monotonic() * 1000
        till.scan(card(number))
        seen, drawn = await asyncio.wait_for(page.evaluate(_SHOWN), SEEN_WITHIN_S)
        times.append((began_ms + seen - scanned_ms, began_ms + drawn - scanned_ms))
    return times[WARM_UP:]


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
