"""What the page does beside showing: it beeps where something needs a look, and moves; each can be had without."""

from __future__ import annotations

import pytest
import pytest_asyncio
from msgspec.structs import replace
from playwright.async_api import Browser, expect

from agent.customer_screen import screen_of
from agent.view import NoticeView
from tests.browser.stage import Stage, staged
from tests.browser.states import IDLE, STATES
from tests.browser.test_keys import scan

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# Counts what is played; a machine without a loudspeaker plays nothing.
LISTENS = "() => { window.heard = 0; OscillatorNode.prototype.start = () => { window.heard += 1; }; }"
HEARD = "window.heard"
# Ids of what moves, or would.
MOVING = """() => [...document.querySelectorAll("*")].filter((element) => {
  const { animationName, transitionDuration } = getComputedStyle(element);
  return animationName !== "none" || transitionDuration !== "0s";
}).map((element) => element.id)"""


@pytest_asyncio.fixture(loop_scope="session")
async def stage(browser: Browser) -> Stage:
    stage = await staged(browser)
    stage.answers["/v1/scans"] = (200, {"heard": "goods"})
    return stage


async def test_what_needs_a_look_is_heard_unless_sounds_are_off(stage: Stage) -> None:
    page = stage.page
    await page.evaluate(LISTENS)
    await stage.tell(STATES["member"])
    await stage.press("Escape")

    # with sounds on: a scan that belongs elsewhere, and a card that is blocked; good news is silent
    await scan(stage, "4006381333931")
    await page.wait_for_function("window.heard === 1")
    await stage.tell(STATES["blocked beside"])
    await page.wait_for_function("window.heard === 2")
    await stage.tell(replace(IDLE, notice=NoticeView(kind="voucher")))
    await stage.tell(STATES["sale"])

    # when the cashier turns them off
    await stage.press("m")
    await stage.read()
    await stage.press("s")
    await expect(page.locator("#desk button").first).to_have_text("SSounds: off")
    await scan(stage, "4006381333931")
    await expect(page.locator("#said")).to_contain_text("Those are goods")
    await stage.tell(STATES["blocked beside"])
    await stage.settle()

    # then nothing is heard any more, here or after a reload
    assert await page.evaluate(HEARD) == 2
    await page.reload()
    await stage.reopened()
    await page.evaluate(LISTENS)
    await stage.tell(IDLE)
    await scan(stage, "4006381333931")
    await stage.tell(STATES["blocked beside"])
    await stage.settle()
    assert await page.evaluate(HEARD) == 0


@pytest.mark.parametrize("path", ["/", "/customer"])
async def test_nothing_moves_where_somebody_asked_for_less_of_it(browser: Browser, path: str) -> None:
    stage = await staged(browser, path=path)
    await stage.tell(STATES["sale"] if path == "/" else screen_of(STATES["sale"]))
    assert await stage.page.evaluate(MOVING) == ["gave"]

    await stage.page.emulate_media(reduced_motion="reduce")

    assert await stage.page.evaluate(MOVING) == []
