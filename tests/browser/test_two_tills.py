"""Two tills of one store in one browser: a member is the same at both, and what is done at one is only done there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.agent.shop import receipt
from tests.browser.stage import READ_MS
from tests.browser.till import Till
from tests.sync.centre import Centre, running_centre

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_centre(tmp_path / "centre") as centre:
        yield centre


@pytest_asyncio.fixture(loop_scope="session")
async def tills(tmp_path: Path, centre: Centre) -> AsyncIterator[tuple[Till, Till]]:
    async with AsyncExitStack() as stack:
        made = []
        for register in ("3", "4"):
            (tmp_path / register).mkdir()
            till = Till(tmp_path / register)
            stack.callback(till.close)
            await till.start()
            stack.push_async_callback(till.kill)
            code, _, errors = await till.command("enroll", centre.code(register))
            assert code == 0, errors
            made.append(till)
        yield made[0], made[1]


async def opened(till: Till, page: Page) -> Page:
    await page.goto(await till.pairing_url())
    await page.wait_for_selector("body[data-badge='online']")
    return page


async def test_two_tills_in_one_browser(tills: tuple[Till, Till], browser: Browser) -> None:
    # Given both cashier pages in one browser, as windows beside each other
    context = await browser.new_context()
    one, other = [await opened(till, await context.new_page()) for till in tills]
    await expect(one.locator("#place")).to_have_text("Store 12 · Register 3")
    await expect(other.locator("#place")).to_have_text("Store 12 · Register 4")

    # When one member shops at both, and another only at one
    tills[0].scan("TS00001")
    await expect(one.locator("#name")).to_have_text("M 1")
    await expect(other.locator("#name")).to_have_text("Ready")
    tills[1].scan("TS00002")
    await expect(other.locator("#name")).to_have_text("M 2")
    await expect(one.locator("#name")).to_have_text("M 1")

    # Then each till's receipt is its own customer's
    tills[0].print(receipt(1))
    await expect(one.locator("#gave-points")).to_have_text("+268")
    await expect(other.locator("#gave")).to_be_hidden()

    # And what was earned at one is there at the other
    await other.keyboard.press("Delete")
    await expect(other.locator("#desk .amount")).to_have_text("M 2")
    await other.wait_for_timeout(READ_MS)
    await other.keyboard.press("Enter")
    await expect(other.locator("#name")).to_have_text("Ready")
    tills[1].scan("TS00001")
    await expect(other.locator("#name")).to_have_text("M 1")
    await expect(other.locator("#spendable")).to_have_text("268")

    # And one that is gone does not silence the other
    await tills[0].kill()
    await one.wait_for_selector("body[data-badge='silent']")
    await expect(other.locator("body")).to_have_attribute("data-badge", "online")
    tills[1].print(receipt(2))
    await expect(other.locator("#gave-points")).to_have_text("+268")
