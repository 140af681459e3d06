"""What a cashier sees of a card's state, and of scans that are nobody's, in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.agent.shop import receipt
from tests.browser.conftest import ANA, LOST, WORN
from tests.browser.till import Till, card

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RULES = """
[[identification]]
name = "cards"
prefixes = ["TS", "900"]
[[identification]]
name = "numbers"
prefixes = ["29"]
lengths = [13]
check_digit = "gs1"
"""


@pytest.fixture
def settings() -> str:
    return RULES


async def test_a_blocked_card_is_refused_in_words_and_without_a_name(till: Till, page: Page) -> None:
    for code in (card(LOST), f"900{LOST:07}"):
        till.scan(code)
        await expect(page.locator("#name")).to_have_text("Blocked card …0055")
    await expect(page.locator("#message")).to_have_text("Do not accept this card. It earns no points.")
    assert "Secret" not in await page.content()
    await expect(page.locator(".points")).to_be_hidden()

    # a sale with it is a sale without a card
    till.print(receipt(1))
    await expect(page.locator("#message")).to_have_text("Sale of 268.28 RSD without a card.")


async def test_a_blocked_card_leaves_the_sale_to_the_customer_before(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")

    till.scan(card(LOST))
    await expect(page.get_by_role("alert")).to_have_text(
        "Card …0055 is blocked. Do not accept it; the sale stays with the customer below."
    )
    await expect(page.locator("#name")).to_have_text("Ana P.")

    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+40")
    await expect(page.locator("#name")).to_have_text("Ana P.")
    await expect(page.locator("#notice")).to_be_hidden()


async def test_an_old_card_is_to_be_taken_in(till: Till, page: Page) -> None:
    till.scan(card(WORN))
    await expect(page.locator("#name")).to_have_text("Jelena M.")
    await expect(page.locator("#message")).to_have_text("Old card, replaced by …1234: take it in.")

    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+26")
    await expect(page.locator("#message")).to_have_text("Old card, replaced by …1234: take it in.")


async def test_a_scan_that_is_nobodys_says_why_and_stays_out_of_the_way(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    notice = page.get_by_role("alert")

    till.scan("2900000000002")
    await expect(notice).to_have_text("Misread. Scan the card again.")
    till.scan(";E?", aim="")
    await expect(notice).to_have_text("The swipe was not read. Swipe again.")
    till.scan("4111111111111111")
    await expect(notice).to_have_text("That was a payment card, not a loyalty card.")
    await expect(page.locator("#name")).to_have_text("Ana P.")
    assert "411111" not in await page.content()

    # the next customer clears it
    till.scan(card(7))
    await expect(page.locator("#name")).to_have_text("Member 7")
    await expect(page.locator("#notice")).to_be_hidden()


async def test_a_label_that_no_rule_claims_changes_nothing(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    before = await page.locator("main").inner_text()

    till.scan("SHELF-42")
    till.scan("98765432101234")
    till.scan("4111111111111111")
    await expect(page.get_by_role("alert")).to_have_text("That was a payment card, not a loyalty card.")

    assert await page.locator("main").inner_text() == before
