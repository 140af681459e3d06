"""The badge: how the register stands with its centre, in colour and in words, each word of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import pytest_asyncio
from msgspec.structs import replace
from playwright.async_api import Browser, expect

from agent.view import BadgeView, ProblemView
from tests.browser.stage import Stage, staged
from tests.browser.states import IDLE, KNOWN, NOW, OFFLINE, ONLINE

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NOT_ENROLLED = BadgeView(enrolled=False, online=False, since=None, queued=2)
SPOOL = ProblemView(kind="receipts", name="printer", problem="the spool cannot be read: start the relay")
TOLD = [
    (replace(IDLE, badge=ONLINE), "online", "online"),
    (replace(IDLE, badge=ONLINE, customer=KNOWN), "online", "online"),
    (replace(IDLE, badge=replace(ONLINE, queued=1)), "online", "online · 1 queued"),
    (replace(IDLE, badge=OFFLINE), "offline", "offline 12 min · 7 queued"),
    (replace(IDLE, badge=OFFLINE, customer=KNOWN), "offline", "offline 12 min · 7 queued · balance as of 10:42"),
    (replace(IDLE, badge=replace(OFFLINE, since=NOW - timedelta(hours=3), queued=0)), "offline", "offline 3 h"),
    (replace(IDLE, badge=replace(OFFLINE, since=NOW - timedelta(days=2))), "offline", "offline 2 days · 7 queued"),
    (replace(IDLE, badge=replace(OFFLINE, since=None)), "offline", "offline · 7 queued"),
    (replace(IDLE, badge=NOT_ENROLLED), "offline", "not enrolled: run “tillside enroll” · 2 queued"),
    (replace(IDLE, problems=(SPOOL,)), "attention", "needs attention · online"),
    (replace(IDLE, badge=OFFLINE, problems=(SPOOL,)), "attention", "needs attention · offline 12 min · 7 queued"),
]
MARK = """mark => {
  const { borderRadius, clipPath, transform, backgroundColor } = getComputedStyle(mark);
  return [[borderRadius, clipPath, transform].join(" "), backgroundColor];
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def stage(browser: Browser) -> Stage:
    return await staged(browser)


async def test_it_says_how_the_register_stands_with_its_centre(stage: Stage) -> None:
    for state, kind, words in TOLD:
        await stage.tell(state)

        await expect(stage.page.locator("#badge-text")).to_have_text(words)
        await expect(stage.page.locator("body")).to_have_attribute("data-badge", kind)


async def test_each_kind_has_a_mark_and_a_colour_of_its_own(stage: Stage) -> None:
    shapes, colours = set(), set()
    for kind in ("online", "offline", "attention", "silent"):
        state = next((state for state, given, _ in TOLD if given == kind), None)
        await stage.tell(state or IDLE)
        if state is None:
            await stage.fall_silent()
        shape, colour = await stage.page.locator("#badge .mark").evaluate(MARK)
        shapes.add(shape)
        colours.add(colour)

    assert len(shapes) == 4
    assert len(colours) == 3  # attention is as urgent as offline, and has another shape


async def test_attention_says_what_to_do(stage: Stage) -> None:
    await stage.tell(replace(IDLE, problems=(SPOOL,)))

    await expect(stage.page.locator("#problems li")).to_have_text(
        ["Receipts printer: the spool cannot be read: start the relay"]
    )
    # and no more once it is done
    await stage.tell(IDLE)
    await expect(stage.page.locator("#problems")).to_be_hidden()
    await expect(stage.page.locator("#badge-text")).to_have_text("online")


async def test_a_page_that_hears_nothing_says_since_when(browser: Browser) -> None:
    # given a page whose clock the test can move, and a register that has fallen silent
    context = await browser.new_context(timezone_id="Europe/Belgrade")
    page = await context.new_page()
    await page.clock.install(time=NOW)
    stage = Stage(page)
    await stage.open(frozen=False)
    await stage.tell(replace(IDLE, customer=KNOWN))
    badge = page.locator("#badge-text")
    await expect(badge).to_have_text("online")
    await stage.fall_silent()
    await expect(badge).to_have_text("not live: reconnecting…")

    await page.clock.fast_forward(3 * 60_000)

    await expect(badge).to_have_text("not live for 3 min")
    await expect(page.locator("#as-of")).to_have_text("last known 10:42")


async def test_a_page_says_that_it_connects_and_that_nobody_paired_it(stage: Stage) -> None:
    badge, body = stage.page.locator("#badge-text"), stage.page.locator("body")
    await expect(badge).to_have_text("connecting…")
    await expect(stage.page.locator("#name")).to_have_text("Tillside")
    stage.answers["/v1/ping"] = (403, {})
    await stage.hang_up()

    await expect(badge).to_have_text("not paired: run “tillside open”")
    await expect(body).to_have_attribute("data-badge", "silent")
