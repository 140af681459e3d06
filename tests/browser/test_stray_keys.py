"""What is typed into the cashier page and was meant for the POS, or is a slow scanner's: nothing is done by it."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.stage import Stage, staged
from tests.browser.states import LATE, STATES

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# As a person types who looks elsewhere, or a slow scanner: a key each so many ms.
TYPED = """async ([keys, pauseMs]) => {
  for (const key of keys) {
    const code = /^[0-9]$/.test(key) ? `Digit${key}` : /^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : key;
    const target = document.activeElement ?? document.body;
    const event = new KeyboardEvent("keydown", { key, code, bubbles: true, cancelable: true });
    target.dispatchEvent(event);
    if (key === "Enter" && !event.defaultPrevented && target instanceof HTMLButtonElement) target.click();
    await new Promise((done) => setTimeout(done, pauseMs));
  }
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def stage(browser: Browser) -> Stage:
    return await staged(browser)


async def test_what_is_typed_in_passing_redeems_releases_and_removes_nothing(stage: Stage) -> None:
    # when a cashier means the POS and types into this window: quantities, an amount, corrections, a letter
    for state in (STATES["member"], STATES["reserved"], LATE):
        for typed in ("1 2 Enter", "2 0 0 Enter", "Delete Enter", "1 Backspace Enter", "l 1 Enter", "m Enter"):
            await stage.tell(state)
            await typed_in_passing(stage, typed, 90)

    assert stage.asked == []


@pytest.mark.parametrize("pause_ms", [60, 120, 150, 250])
async def test_no_article_number_amount_or_slow_scan_redeems_or_removes_at_any_speed(
    stage: Stage, pause_ms: int
) -> None:
    for state in (STATES["member"], STATES["reserved"]):
        for typed in ("1050", "10507", "105", "3", "2*", "12.50", "DELETE450", "TS1001", "4006381333931"):
            await stage.tell(state)
            keys = re.findall("DELETE|.", typed)
            await typed_in_passing(
                stage, " ".join(["Delete" if key == "DELETE" else key for key in keys] + ["Enter"]), pause_ms
            )
            # nor does an Enter of its own, for the POS, that comes after it
            await stage.confirm()
            await expect(stage.page.locator("#desk")).to_have_attribute("data-panel", "home")

    assert [call for call in stage.asked if call[1] != "/v1/scans"] == []


async def test_a_number_that_is_typed_slowly_opens_what_its_first_digit_is_for_and_closes_it(stage: Stage) -> None:
    await stage.tell(STATES["member"])
    desk = stage.page.locator("#desk")

    await stage.press("1")
    await expect(desk).to_have_attribute("data-panel", "reward")
    await stage.read()
    await stage.press("0")
    await expect(desk).to_have_attribute("data-panel", "home")

    # and whoever was too quick is told so
    await stage.read()
    await stage.page.evaluate(TYPED, [["1", "Enter"], 150])
    await expect(stage.page.locator("#said")).to_contain_text("that was too quick")
    await expect(desk).to_have_attribute("data-panel", "home")
    assert stage.asked == []


async def test_nobody_joins_by_a_stray_enter(stage: Stage) -> None:
    await stage.tell(STATES["unknown"])

    for typed in ("Enter Enter Enter", "n Enter"):
        await typed_in_passing(stage, typed, 90)
        await stage.press("Escape")

    assert stage.asked == []


async def test_who_joins_is_not_joined_by_an_enter_that_comes_with_the_name(stage: Stage) -> None:
    stage.answers["/v1/customer/join"] = (201, {"member": "p-1", "entries": 1})
    await stage.tell(STATES["unknown"])
    await stage.press("n")
    await stage.read()
    await stage.page.keyboard.type("Iva K", delay=70)
    await stage.page.keyboard.press("Enter")
    await stage.settle()
    assert stage.asked == []
    await expect(stage.page.locator("#short_name")).to_have_value("Iva K")

    await stage.confirm()

    assert stage.asked == [("POST", "/v1/customer/join", {"turn": 8, "short_name": "Iva K"})]


@pytest.mark.parametrize("key", ["n", "f", "m", "1", "Delete", "Backspace"])
async def test_no_key_takes_away_a_form_in_which_something_was_typed(stage: Stage, key: str) -> None:
    await stage.tell(STATES["unknown"])
    await stage.press("n")
    await stage.page.keyboard.type("Iva K", delay=70)
    await stage.settle()
    tick = stage.page.locator("#consent_sms")
    for place in (tick, stage.page.get_by_role("button", name="Back to the sale")):
        await place.focus()
        await stage.read()

        await stage.press(key)

        await expect(place).to_be_focused()
        await expect(stage.page.locator("#short_name")).to_have_value("Iva K")
    # but Space, which ticks
    await tick.focus()
    await stage.press(" ")
    await expect(tick).to_be_checked()


async def typed_in_passing(stage: Stage, typed: str, pause_ms: int) -> None:
    await stage.page.evaluate(TYPED, [typed.split(), pause_ms])
    await stage.settle()
