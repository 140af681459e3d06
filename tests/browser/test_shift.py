"""A cashier's shift with keyboard and scanner alone, at a POS that knows nothing of us, and no network at all."""

from __future__ import annotations

import signal

import msgspec
import pytest
from playwright.async_api import Browser, Page, expect

from loyalty.program import Program, program_from_json
from tests.agent.shop import PROGRAM, receipt
from tests.browser.conftest import ANA
from tests.browser.stage import PERSON_MS, READ_MS
from tests.browser.till import Till, card

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RECONNECTED_WITHIN_MS = 20_000
REWARDS = program_from_json(
    msgspec.json.encode(
        msgspec.to_builtins(PROGRAM)
        | {
            "rewards": [
                {
                    "id": "fifty",
                    "title": "50 off",
                    "cost": 500,
                    "discount_minor": 5000,
                    "offline": "floor",
                    "floor_points": 1,
                },
            ]
        }
    )
)
# The till's line for a discount that the cashier keyed.
DISCOUNT = (b"1 x 218,28  218,28\n", b"1 x 268,28  268,28\nPOPUST  -50,00\n")


@pytest.fixture
def program() -> Program:
    return REWARDS


async def press(page: Page, *keys: str) -> None:
    for key in keys:
        await page.keyboard.press(key)
        await page.wait_for_timeout(READ_MS)


async def confirm(page: Page) -> None:
    """Enter, by a person who has read what it does."""
    await page.wait_for_timeout(READ_MS)
    await page.keyboard.press("Enter")


async def typed(page: Page, text: str) -> None:
    """Text, by a person who sees the field that it goes into."""
    field = page.locator("input:focus")
    await expect(field).to_be_visible()
    await page.keyboard.type(text, delay=PERSON_MS)
    await expect(field).to_have_value(text)


async def type_like_a_scanner(page: Page, code: str) -> None:
    """Keys as Chromium gets them from a keyboard: through the system's own events, a few milliseconds apart."""
    await page.keyboard.type(code)
    await page.keyboard.press("Enter")


async def test_a_shift(till: Till, page: Page) -> None:
    name, said, gave = page.locator("#name"), page.locator("#said"), page.locator("#gave-reward")

    # a reward: its key and Enter; the receipt shows the discount
    till.scan(card(ANA))
    await expect(name).to_have_text("Ana P.")
    await press(page, "1")
    await confirm(page)
    await expect(page.locator(".reserved .amount")).to_have_text("50.00\u00a0RSD")
    await expect(page.locator("#spendable")).to_have_text("11,500")
    till.print(receipt(1, total="218,28").replace(*DISCOUNT))
    await expect(gave).to_have_text("The receipt shows the discount: the reward is given.")

    # again, and the cashier forgets to key it
    till.scan(card(ANA))
    await expect(page.locator("#desk .choices button")).to_have_count(1)
    await press(page, "1")
    await confirm(page)
    await expect(page.locator(".reserved")).to_be_visible()
    # over a reload of the page and a restart of the agent it stays reserved
    await page.reload()
    await expect(page.locator(".reserved")).to_be_visible()
    await till.kill()
    await page.wait_for_selector("body[data-badge='silent']")
    await till.start()
    await page.wait_for_selector("body[data-live='true']", timeout=RECONNECTED_WITHIN_MS)
    await expect(page.locator(".reserved")).to_be_visible()
    till.print(receipt(2))
    await expect(gave).to_have_text("The receipt shows no discount: the points can be spent again.")
    await expect(page.locator("#spendable")).to_have_text("11,500")

    # a customer who is late with the card, at a keyboard scanner; whoever was served is only shown still
    await press(page, "Delete")
    await expect(name).to_have_text("Ready")
    till.print(receipt(3))
    await expect(page.locator("#message")).to_have_text("Sale of 268.28\u00a0RSD without a card.")
    await press(page, "l")
    await type_like_a_scanner(page, card(7))
    await expect(name).to_have_text("Member 7")
    await press(page, "1")
    await confirm(page)
    await expect(page.locator("#gave-points")).to_have_text("+26")

    # the wrong customer, taken away and found by number
    till.scan(card(8))
    await expect(name).to_have_text("Member 8")
    await press(page, "Delete")
    await confirm(page)
    await expect(said).to_have_text("Removed. Scan again to bring them back.")
    await press(page, "f")
    await typed(page, card(9))
    await press(page, "Enter")
    await expect(name).to_have_text("Member 9")


async def test_a_new_card_joins_at_the_till(till: Till, page: Page) -> None:
    till.scan("98765432101234")
    await expect(page.locator("#name")).to_have_text("New card …1234")

    await press(page, "n")
    await typed(page, "Iva K")
    await confirm(page)

    await expect(page.locator("#name")).to_have_text("Iva K")
    till.print(receipt(4))
    await expect(page.locator("#gave-points")).to_have_text("+26")


async def test_who_joins_after_their_receipt_has_its_points_at_once(till: Till, page: Page) -> None:
    till.scan("98765432101234")
    await expect(page.locator("#name")).to_have_text("New card …1234")
    till.print(receipt(4))
    await expect(page.locator("#gave-text")).to_have_text("Sale of 268.28\u00a0RSD: points are kept for this card.")

    await press(page, "n")
    await typed(page, "Iva K")
    await confirm(page)

    await expect(page.locator("#name")).to_have_text("Iva K")
    await expect(page.locator("#gave-points")).to_have_text("+26")
    await expect(page.locator("#pending")).to_have_text("26")


async def test_what_was_reserved_for_a_late_customer_comes_back_and_is_said_to(till: Till, page: Page) -> None:
    till.print(receipt(5))
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    await press(page, "1")
    await confirm(page)
    await expect(page.locator("#spendable")).to_have_text("11,500")

    await press(page, "l", "1")
    await confirm(page)

    await expect(page.locator("#said")).to_have_text("The points can be spent again.")
    await expect(page.locator("#gave-points")).to_have_text("+40")
    await expect(page.locator("#spendable")).to_have_text("12,000")


async def test_a_register_that_stalls_redeems_once(till: Till, page: Page) -> None:
    # given a register that is stopped as the cashier redeems
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    await press(page, "1")
    till.signal(signal.SIGSTOP)
    await confirm(page)
    await expect(page.locator("#said")).to_have_text("No answer yet: try again. The sale can go on.")

    # when it goes on while they try again
    await confirm(page)
    till.signal(signal.SIGCONT)

    # then they have it once
    await expect(page.locator(".reserved .amount")).to_have_text("50.00\u00a0RSD")
    await expect(page.locator("#desk")).to_have_attribute("data-panel", "home")
    await expect(page.locator("#spendable")).to_have_text("11,500")


async def test_the_customer_sees_themselves_alone(till: Till, page: Page, browser: Browser) -> None:
    display = await (await browser.new_context()).new_page()
    url = (await till.pairing_url("customer")).rstrip("/")
    await display.goto(url)
    await expect(display.locator("#name")).to_have_text("Welcome")
    assert display.url.endswith("/customer")

    till.scan(card(ANA))
    await expect(display.locator("#name")).to_have_text("Ana P.")
    await expect(display.locator("#spendable")).to_have_text("12,000")
    await expect(page.locator("#name")).to_have_text("Ana P.")
    await press(page, "1")
    await confirm(page)
    await expect(display.locator("#reserved")).to_have_text("50 off: −50.00\u00a0RSD")
    till.print(receipt(1))
    await expect(display.locator("#gave-points")).to_have_text("+40")

    refused = await display.goto(f"http://127.0.0.1:{till.port}/")
    assert refused is not None
    assert refused.status == 403
