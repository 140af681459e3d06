"""What a cashier sees, in a real Chromium."""

from __future__ import annotations

import re
import signal

import pytest
from playwright.async_api import Page, expect

from tests.agent.shop import printed_return, receipt
from tests.browser.conftest import ANA, HOSTILE, HOSTILE_NAME
from tests.browser.measures import CONTRAST, CUT_OFF
from tests.browser.till import EAN_13, Till, card

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# The page's own rule: silent for 12 s is not live; it looks once a second.
SILENT_AFTER_MS = 14_000
RECONNECTED_WITHIN_MS = 20_000


async def text(page: Page, element: str) -> str:
    return (await page.locator(f"#{element}").text_content()) or ""


async def test_from_idle_over_scan_and_receipt_to_the_next_customer(till: Till, page: Page) -> None:
    # idle
    await expect(page.locator("#name")).to_have_text("Ready")
    await expect(page.locator("#place")).to_have_text("Store 12 · Register 3")
    await expect(page.locator("#badge-text")).to_have_text("not enrolled: run “tillside enroll”")

    # a scan
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    await expect(page.locator("#tier")).to_have_text("gold")
    assert [await text(page, field) for field in ("spendable", "pending")] == ["12,000", "320"]
    await expect(page.locator("#as-of")).to_have_text(re.compile(r"as of \d\d:\d\d"))

    # goods change nothing
    till.scan("4006381333931", aim=EAN_13)

    # a receipt
    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+40")
    await expect(page.locator("#gave-text")).to_contain_text("268.28 RSD")
    await expect(page.locator("#pending")).to_have_text("360")
    await expect(page.locator("#badge-text")).to_contain_text("1 queued")

    # the next customer
    till.scan(card(7))
    await expect(page.locator("#name")).to_have_text("Member 7")
    await expect(page.locator("#last-sale")).to_contain_text("268.28 RSD")
    assert not await page.locator("#gave-points").is_visible()


async def test_an_unknown_card_is_named_by_its_end_only(till: Till, page: Page) -> None:
    till.scan("98765432101234")

    await expect(page.locator("#name")).to_have_text("New card …1234")
    await expect(page.locator("#message")).to_have_text("Its points are kept until it has a member.")
    assert "98765" not in await page.content()


async def test_a_sale_without_a_card_and_a_return(till: Till, page: Page) -> None:
    till.print(receipt(1))
    await expect(page.locator("#message")).to_have_text("Sale of 268.28 RSD without a card.")

    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    till.print(receipt(2))
    await expect(page.locator("#gave-points")).to_have_text("+40")
    till.scan(card(7))
    await expect(page.locator("#name")).to_have_text("Member 7")
    till.print(receipt(3))
    await expect(page.locator("#gave-points")).to_have_text("+26")

    # a return takes back from whom the sale gave to, and the page says whom
    till.print(printed_return(4, of=2))
    await expect(page.locator("#gave-points")).to_have_text("−40")
    await expect(page.locator("#gave-text")).to_have_text("points taken back with 268.28 RSD")
    await expect(page.locator("#name")).to_have_text("Ana P.")


async def test_a_hostile_name_is_only_text(till: Till, page: Page) -> None:
    till.scan(card(HOSTILE))

    await expect(page.locator("#name")).to_have_text(HOSTILE_NAME)
    assert await page.title() == "Tillside"
    assert await page.locator("main img, main script, main b").count() == 0


async def test_a_register_that_dies_is_never_shown_as_fresh_and_comes_back_by_itself(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")

    await till.kill()
    await page.wait_for_selector("body[data-badge='silent'][data-live='false']")
    assert "not live" in await text(page, "badge-text")
    assert "last known" in await text(page, "as-of")

    await till.start()
    await page.wait_for_selector("body[data-badge='offline'][data-live='true']", timeout=RECONNECTED_WITHIN_MS)
    # the scan was kept, so the customer is still there
    await expect(page.locator("#name")).to_have_text("Ana P.")
    till.scan(card(7))
    await expect(page.locator("#name")).to_have_text("Member 7")


async def test_a_register_that_hangs_is_noticed_without_a_closed_connection(till: Till, page: Page) -> None:
    # given a page whose clock the test can move
    await page.clock.install()
    await page.goto(await till.pairing_url())
    await page.wait_for_selector("body[data-badge='offline']")

    till.signal(signal.SIGSTOP)
    try:
        await page.clock.fast_forward(SILENT_AFTER_MS)
        await page.wait_for_selector("body[data-badge='silent']")
    finally:
        till.signal(signal.SIGCONT)

    await page.wait_for_selector("body[data-badge='offline']", timeout=RECONNECTED_WITHIN_MS)


async def test_a_page_that_nobody_paired_shows_nothing(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    assert page.context.browser is not None
    stranger = await (await page.context.browser.new_context()).new_page()

    answer = await stranger.goto(f"http://127.0.0.1:{till.port}/")

    assert answer is not None
    assert answer.status == 403
    assert "Ana" not in await stranger.content()


async def test_the_page_runs_under_its_own_policy_and_loads_nothing_from_elsewhere(till: Till, page: Page) -> None:
    requested: list[str] = []
    violations: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: violations.append(message.text))
    await page.goto(await till.pairing_url())
    await page.wait_for_selector("body[data-badge='offline']")
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")

    assert requested
    assert all(url.startswith(f"http://127.0.0.1:{till.port}/") for url in requested)
    assert violations == []


async def test_it_can_be_read_at_every_size_by_day_and_by_night(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+40")
    assert await page.locator("[aria-live], [role=status], [role=alert]").count() >= 3

    for width, height in ((1280, 1024), (1024, 768), (800, 600), (360, 740), (320, 560)):
        await page.set_viewport_size({"width": width, "height": height})
        assert await page.evaluate(CUT_OFF) == [], (width, height)
    for dark in (False, True):
        await page.emulate_media(color_scheme="dark" if dark else "light")
        for element in _READ:
            assert await page.evaluate(CONTRAST, element) >= 4.5, (element, dark)


async def test_at_the_usual_size_a_sale_fits_without_scrolling(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+40")

    assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")


_READ = (
    "#name",
    "#tier",
    "#spendable",
    "#pending",
    "#as-of",
    "#place",
    "#badge-text",
    "#spendable-label",
    "#gave-text",
)
