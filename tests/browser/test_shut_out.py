"""A browser that is forgotten shows nobody any more, and says what to do; one that is paired anew goes on."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import ANA
from tests.browser.till import Till, card

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_forgotten_browser_shows_nobody_and_one_that_is_paired_anew_goes_on(
    till: Till, browser: Browser
) -> None:
    # given a cashier page and a customer view that show a member
    context = await browser.new_context()
    page, view, other = [await context.new_page() for _ in range(3)]
    await page.goto(await till.pairing_url())
    await view.goto(await till.pairing_url("customer"))
    till.scan(card(ANA))
    for one in (page, view):
        await expect(one.locator("#name")).to_have_text("Ana P.")

    # when
    assert (await till.command("open", "--forget", "all"))[0] == 0

    # then
    await expect(page.locator("#badge-text")).to_have_text("not paired: run “tillside open”")
    await expect(page.locator("#name")).to_have_text("Tillside")
    for part in ("#tier", "#progress", "#points", "#desk", "#elsewhere", "#gave", "#notice", "footer"):
        await expect(page.locator(part)).to_be_hidden()
    await expect(view.locator("#name")).not_to_contain_text("Ana")

    # a tab of the same browser is paired: this one finds its way back
    await other.goto(await till.pairing_url())
    for one in (other, page):
        await expect(one.locator("#name")).to_have_text("Ana P.", timeout=20_000)
