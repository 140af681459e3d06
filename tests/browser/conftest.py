"""One register process and one paired page for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from loyalty.member import Balance
from tests.agent.shop import PROGRAM
from tests.browser.chromium import CHROMIUM, launched
from tests.browser.till import Till, member

ANA = 77
HOSTILE = 66
HOSTILE_NAME = "<img src=x onerror=\"document.title='owned'\">{{7*7}}<script>document.title='owned'</script>"


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not here: apt-get install chromium")
    till = Till(tmp_path)
    ana = member(ANA, name="Ana P.", tier="gold", balance=Balance(confirmed=12480, pending=320, spendable=12000))
    hostile = member(HOSTILE, name=HOSTILE_NAME, tier="<b>gold</b>")
    await till.seed([*(member(number) for number in range(20)), ana, hostile], PROGRAM)
    await till.start()
    yield till
    await till.kill()
    till.close()


@pytest.fixture
async def page(till: Till) -> AsyncIterator[Page]:
    """The cashier page, paired as `tillside open` pairs it."""
    async with async_playwright() as playwright, launched(playwright) as browser:
        page = await browser.new_page(viewport={"width": 1024, "height": 768})
        await page.goto(await till.pairing_url())
        await page.wait_for_selector("body[data-badge='offline']")
        yield page
