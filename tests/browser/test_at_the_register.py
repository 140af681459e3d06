"""Scans in a row, scans while somebody types, and another language: a real page at a real register."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Request, expect

from tests.agent.shop import receipt
from tests.browser.conftest import ANA
from tests.browser.stage import PERSON_MS
from tests.browser.test_keys import SCANNED
from tests.browser.test_shift import press, typed
from tests.browser.till import Till, card

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# Five cards, each typed by a keyboard scanner, and how long that took.
IN_A_ROW = f"""(codes) => {{
  const scanned = {SCANNED}, started = performance.now();
  for (const code of codes) scanned([code, "Enter"]);
  return performance.now() - started;
}}"""


async def asked_by(page: Page) -> list[tuple[str, Any]]:
    """What the page asks the register to do, from now on."""
    asked: list[tuple[str, Any]] = []

    def note(request: Request) -> None:
        if request.method != "GET":
            asked.append((request.url.partition("/v1/")[2], request.post_data_json))

    page.on("request", note)
    return asked


async def test_five_scans_within_a_second_are_five_customers_and_the_last_is_served(till: Till, page: Page) -> None:
    asked = await asked_by(page)
    codes = [card(number) for number in range(1, 6)]

    # by a keyboard scanner, into this page
    assert await page.evaluate(IN_A_ROW, codes) < 1000
    await expect(page.locator("#name")).to_have_text("Member 5")
    assert asked == [("scans", {"texts": [code]}) for code in codes]
    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+26")
    await expect(page.locator("#name")).to_have_text("Member 5")

    # by the register's own
    for code in reversed(codes):
        till.scan(code)
    await expect(page.locator("#name")).to_have_text("Member 1")
    till.print(receipt(2))
    await expect(page.locator("#gave-points")).to_have_text("+26")
    await expect(page.locator("#name")).to_have_text("Member 1")


async def test_who_is_scanned_while_the_cashier_types_is_served_and_nothing_typed_is_sent(
    till: Till, page: Page
) -> None:
    # given a cashier who looks for somebody by number
    await press(page, "f")
    await typed(page, "064")
    asked = await asked_by(page)

    # when a keyboard scanner types a card into the same window
    await page.evaluate(SCANNED, [card(ANA), "Enter"])

    # then the card is served, and the field is gone with what was in it
    await expect(page.locator("#name")).to_have_text("Ana P.")
    await expect(page.locator("#typed")).to_have_count(0)
    assert asked == [("scans", {"texts": [card(ANA)]})]

    # and so it is by the register's own scanner, in the middle of joining
    till.scan("98765432101234")
    await expect(page.locator("#name")).to_have_text("New card …1234")
    await press(page, "n")
    await typed(page, "Iva")
    till.scan(card(7))
    await expect(page.locator("#name")).to_have_text("Member 7")
    await expect(page.locator("#short_name")).to_have_count(0)
    assert len(asked) == 1


async def test_a_language_is_switched_in_mid_sale_and_at_this_window_alone(
    till: Till, page: Page, browser: Browser
) -> None:
    other = await (await browser.new_context()).new_page()
    await other.goto(await till.pairing_url())
    till.scan(card(ANA))
    for window in (page, other):
        await expect(window.locator("#name")).to_have_text("Ana P.")

    await press(page, "m", "3", "Escape")

    # the same customer, in another alphabet, numbers and all
    html = page.locator("html")
    await expect(html).to_have_attribute("lang", "sr-Cyrl-RS")
    await expect(page.locator("#name")).to_have_text("Ana P.")
    await expect(page.locator("#spendable")).to_have_text("12.000")
    await expect(page.locator("#badge-text")).to_have_text(re.compile("[а-я]"))
    await expect(other.locator("#spendable")).to_have_text("12,000")
    till.print(receipt(1))
    await expect(page.locator("#gave-text")).to_have_text("поена за ову куповину од 268,28\u00a0RSD")

    # it stays over a reload, and the next one is a key away
    await page.reload()
    await expect(html).to_have_attribute("lang", "sr-Cyrl-RS")
    await expect(page.locator("#gave-text")).to_contain_text("поена")
    await press(page, "m", "6", "Escape")
    await page.wait_for_timeout(PERSON_MS)
    await expect(page.locator("#gave-text")).to_contain_text("Punkte")
