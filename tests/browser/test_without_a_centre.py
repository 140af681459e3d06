"""An enrolled register whose centre goes away: what was set aside is redeemed, what was not is refused in good time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from loyalty.program import Program
from tests.agent.shop import receipt
from tests.browser.test_shift import DISCOUNT, confirm, press
from tests.browser.till import Till
from tests.faults.proxy import FINE, SILENT, FaultyProxy
from tests.sync.centre import Centre, program, running_centre

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MEMBER = "TS00001"
SET_ASIDE = {"id": "fifty", "title": "50 off", "cost": 200, "discount_minor": 5000, "offline": "allowance"}
BY_ITS_WORD = {"id": "forty", "title": "40 off", "cost": 100, "discount_minor": 4000, "offline": "refuse"}


class Network:
    """Between the register and its centre. `silent`: connections are taken, and nobody answers."""

    def __init__(self, centre: Centre) -> None:
        self.silent = False
        self.proxy = FaultyProxy("127.0.0.1", centre.port, lambda _: SILENT if self.silent else FINE)

    def fall_silent(self) -> None:
        self.silent = True
        self.proxy.fall_silent()


@pytest_asyncio.fixture(loop_scope="session")
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_centre(tmp_path / "centre") as centre:
        given = msgspec.to_builtins(program()) | {"rewards": [SET_ASIDE, BY_ITS_WORD]}
        centre.publish(msgspec.convert(given, Program))
        yield centre


@pytest_asyncio.fixture(loop_scope="session")
async def network(centre: Centre) -> AsyncIterator[Network]:
    network = Network(centre)
    async with network.proxy:
        yield network


@pytest_asyncio.fixture(loop_scope="session")
async def till(tmp_path: Path, centre: Centre, network: Network) -> AsyncIterator[Till]:
    (tmp_path / "till").mkdir()
    till = Till(tmp_path / "till")
    await till.start()
    code, _, errors = await till.command("enroll", centre.code(url=f"https://127.0.0.1:{network.proxy.port}"))
    assert code == 0, errors
    yield till
    await till.kill()
    till.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(till: Till, browser: Browser) -> Page:
    """The cashier page, with a member at the till who has 268 points, all of them counted by the centre."""
    page = await browser.new_page(viewport={"width": 1024, "height": 768})
    await page.goto(await till.pairing_url())
    badge = page.locator("#badge-text")
    await expect(badge).to_have_text("online")
    till.scan(MEMBER)
    await expect(page.locator("#name")).to_have_text("M 1")
    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+268")
    await expect(page.locator("#spendable")).to_have_text("268")
    await press(page, "Delete")
    till.scan(MEMBER)
    await expect(page.locator("#desk .choices button")).to_have_count(2)
    await expect(badge).to_have_text("online")
    return page


async def test_what_was_set_aside_is_redeemed_without_a_network(till: Till, network: Network, page: Page) -> None:
    # given a reward whose points the centre set aside for this register, and one that needs its word
    hints = page.locator("#desk .choices small")
    await expect(hints).to_have_text(["needs the centre"])

    # when the network is gone
    await network.proxy.take_down()
    await expect(page.locator("body")).to_have_attribute("data-badge", "offline")
    await expect(page.locator("#badge-text")).to_contain_text("balance as of")

    # then the one is refused, the sale goes on with the other, and its receipt confirms it
    await press(page, "2")
    await confirm(page)
    await expect(page.locator("#said")).to_have_text("This reward needs the centre, which does not answer.")
    await press(page, "Escape", "1")
    await confirm(page)
    await expect(page.locator(".reserved .amount")).to_have_text("50.00\u00a0RSD")
    await expect(page.locator("#spendable")).to_have_text("68")
    till.print(receipt(2, total="218,28").replace(*DISCOUNT))
    await expect(page.locator("#gave-reward")).to_have_text("The receipt shows the discount: the reward is given.")
    await expect(page.locator("#badge-text")).to_contain_text("queued")

    # and the centre counts the same once it hears of it
    network.proxy.bring_up()
    await expect(page.locator("#badge-text")).to_have_text("online", timeout=30_000)
    await press(page, "Delete")
    till.scan(MEMBER)
    await expect(page.locator("#spendable")).to_have_text("286")


async def test_a_centre_that_does_not_answer_keeps_nobody_waiting(network: Network, page: Page) -> None:
    # given a connection that stands, over which nothing comes any more
    network.fall_silent()

    await press(page, "2")
    await confirm(page)

    # the register says so itself, before the page gives it up
    await expect(page.locator("#said")).to_have_text("This reward needs the centre, which does not answer.")
    await press(page, "Escape")
    await expect(page.locator("#desk h2")).to_have_text("Rewards now")
