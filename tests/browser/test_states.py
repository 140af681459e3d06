"""Every state of both pages in every language, told to them as the register would: read, measured and judged by axe."""

from __future__ import annotations

import re
import zlib
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT
from msgspec.structs import replace
from playwright.async_api import Browser, Page, ViewportSize, expect

from agent.customer_screen import CustomerScreen, screen_of
from agent.page_routes import FOLDER
from agent.view import NoticeView, ProblemView, ReservedView
from tests.browser.measures import AMISS, CLIPPED, PALE
from tests.browser.scenes import GROUPS, PANELS, SCENES, leave, play
from tests.browser.stage import LOCALES, Stage, staged
from tests.browser.states import ANA, ASKING, ASKING_WHO, IDLE, STATES

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
VIOLATIONS = """async (rules) => {
  const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
  return violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html, failureSummary])]);
}"""
# What is fetched for the cashier page before it shows anything, in every language, as its files are and as a browser
# gets them; and what is fetched after that, as files. (A Cyrillic letter takes two bytes.) Nobody waits for the latter:
# what is said of points by telephone and of enrolling, sentences that the first of them would not hold, is there.
MAX_PAGE_BYTES, MAX_FETCHED_BYTES = 60_000, 22_000
MAX_LATER_BYTES = 21_000
SIZES = ((320, 560), (800, 600), (1024, 768))
# From this width on nothing needs to be scrolled to.
USUAL = 1024
# Width, height, dark. A window of 1024 × 768 that is zoomed to 200 % has half of that, and so has the strip.
LOOKS = {"strip": (320, 720, False), "zoomed": (512, 384, False), "whole": (1024, 768, True)}
ZOOMED_STRIP: ViewportSize = {"width": 160, "height": 360}


@pytest_asyncio.fixture(loop_scope="session")
async def stage(browser: Browser) -> Stage:
    return await staged(browser)


@pytest.mark.parametrize("language", LOCALES)
async def test_every_state_can_be_read_at_every_size(stage: Stage, language: str) -> None:
    for width, height in SIZES:
        await stage.page.set_viewport_size({"width": width, "height": height})
        for name, state in STATES.items():
            await stage.tell(replace(state, language=language))
            assert await stage.page.evaluate(AMISS) == [], (name, width)
            if width >= USUAL:
                assert await stage.page.evaluate("document.documentElement.scrollHeight <= innerHeight"), (name, width)


@pytest.mark.parametrize("language", LOCALES)
async def test_a_strip_at_twice_the_size_is_scrolled_down_alone(stage: Stage, language: str) -> None:
    await stage.page.set_viewport_size(ZOOMED_STRIP)
    for name, state in STATES.items():
        await stage.tell(replace(state, language=language))
        assert await stage.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


async def test_every_panel_can_be_read_beside_a_pos_in_every_language(browser: Browser) -> None:
    stage = await staged(browser, width=320, height=720)
    for name, scene in PANELS.items():
        await play(stage, scene)
        for language in LOCALES:
            await stage.tell(replace(scene.then or scene.told[-1], language=language))
            for measure in (AMISS, CLIPPED):
                assert await stage.page.evaluate(measure) == [], (name, language)
        await leave(stage, scene)


@pytest.mark.long
@pytest.mark.parametrize("group", GROUPS)
async def test_everybody_can_read_and_press_all_of_it_in_every_look(stage: Stage, group: str) -> None:
    await stage.page.emulate_media(reduced_motion="reduce")
    for name in GROUPS[group]:
        await play(stage, SCENES[name])
        for look, (width, height, dark) in LOOKS.items():
            await stage.page.set_viewport_size({"width": width, "height": height})
            await stage.page.emulate_media(color_scheme="dark" if dark else "light")
            for measure in (AMISS, CLIPPED, PALE):
                assert await stage.page.evaluate(measure) == [], (name, look)
            assert await stage.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, look)
            if look != "zoomed":
                assert await axe_finds(stage.page) == [], (name, look)
        await leave(stage, SCENES[name])


async def test_a_full_disk_is_told_in_words_of_the_page(stage: Stage) -> None:
    for kind, words in (("disk_full", "Sales are still kept"), ("disk_refuses", "New sales are kept once")):
        problem = ProblemView(kind=kind, name="", problem="the disk of /var/lib/tillside is full: free some space")

        await stage.tell(replace(IDLE, problems=(problem,)))

        await expect(stage.page.locator("#problems")).to_have_text(re.compile(f"^The disk is full. {words}"))
        await expect(stage.page.locator("#badge-text")).to_contain_text("needs attention")


@pytest.mark.parametrize("dark", [False, True])
async def test_everybody_can_read_the_customer_view(browser: Browser, dark: bool) -> None:
    stage = await staged(browser, path="/customer")
    await stage.page.emulate_media(color_scheme="dark" if dark else "light")
    for screen in dict.fromkeys(msgspec.json.encode(screen_of(state)) for state in STATES.values()):
        await stage.tell(msgspec.json.decode(screen, type=CustomerScreen))
        await judge(stage, screen.decode())
    await stage.fall_silent()
    await judge(stage, "silent")


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (1024, 600), (800, 600), (1920, 1080)])
async def test_the_code_to_scan_and_the_points_below_it_are_on_the_screen(
    browser: Browser, width: int, height: int
) -> None:
    stage = await staged(browser, width=width, height=height, path="/customer")
    some = (ReservedView(reward="r5", title="5 € off", points=500, discount_minor=500),)
    for customer in (ASKING, replace(ASKING, member=replace(ANA, reserved=some)), ASKING_WHO):
        for language in LOCALES:
            await stage.tell(screen_of(replace(IDLE, language=language, customer=customer)))
            await expect(stage.page.locator(".qr")).to_be_visible()
            assert await stage.page.evaluate("document.documentElement.scrollHeight <= innerHeight"), language


async def judge(stage: Stage, name: str) -> None:
    for measure in (AMISS, CLIPPED, PALE):
        assert await stage.page.evaluate(measure) == [], name
    assert await axe_finds(stage.page) == [], name


async def test_the_customer_view_of_a_silent_register_shows_nobody(browser: Browser) -> None:
    stage = await staged(browser, path="/customer")
    await stage.tell(screen_of(STATES["sale"]))
    await expect(stage.page.locator("#name")).to_have_text(ANA.name or "")
    await expect(stage.page.locator("#gave")).to_be_visible()

    await stage.fall_silent()

    await expect(stage.page.locator("#name")).to_have_text("Welcome")
    for part in ("tier", "message", "as-of", "reserved"):
        await expect(stage.page.locator(f"#{part}")).to_be_empty()
    for part in ("spendable", "gave"):
        await expect(stage.page.locator(f"#{part}")).to_be_hidden()


async def axe_finds(page: Page) -> list[Any]:
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    found: list[Any] = await page.evaluate(VIOLATIONS, AXE_RULES)
    return found


async def test_a_notice_whose_words_come_with_the_panels_is_shown_once_these_are_here(browser: Browser) -> None:
    stage = await staged(browser)
    await stage.tell(replace(IDLE, notice=NoticeView(kind="enrolled")))
    await expect(stage.page.locator("#notice")).to_have_text("This register is enrolled.")
    # and where the page is loaded while it is shown
    await stage.page.reload()
    await stage.reopened()
    await stage.tell(replace(IDLE, notice=NoticeView(kind="granted")))
    await expect(stage.page.locator("#notice")).to_have_text("The points are here: the reward can be given.")


async def test_what_a_state_carries_is_only_text(stage: Stage) -> None:
    hostile: Any = "<img src=x onerror=\"document.title='owned'\">"
    for state in STATES.values():
        customer = state.customer
        if customer is not None:
            member = customer.member
            if member is not None:
                rewards = tuple(replace(one, title=hostile) for one in member.rewards)
                member = replace(member, name=hostile, note=hostile, tier=hostile, rewards=rewards)
            customer = replace(customer, ending=hostile, replaced_by=hostile, member=member)
        await stage.tell(replace(state, customer=customer, notice=NoticeView(kind="blocked", ending=hostile)))

    assert await stage.page.title() == "Tillside"
    assert await stage.page.locator("body img").count() == 0


@pytest.mark.parametrize("language", LOCALES)
async def test_the_page_is_small(browser: Browser, language: str) -> None:
    # given a browser that was told this language before
    stage = await staged(browser)
    await stage.page.evaluate(f"localStorage.setItem('language', '{language}')")
    stage.fetched.clear()

    # when the page is loaded, and only then told of the register
    await stage.page.reload()
    await stage.reopened()
    await stage.page.wait_for_load_state("networkidle")
    first = contents(stage.fetched)
    await stage.tell(STATES["member"], lang=LOCALES[language])
    await stage.page.wait_for_load_state("networkidle")
    await stage.press("f")
    every = contents(stage.fetched)

    # then nothing was fetched that is not needed to show it, no other language, and little more afterwards
    assert f"words-{language}.json" in first
    assert len([name for name in every if name.startswith("words-")]) == 1
    assert "panels.js" in every.keys() - first.keys()
    size = sum(map(len, first.values()))
    assert size < MAX_PAGE_BYTES, first.keys()
    assert sum(len(zlib.compress(content)) for content in first.values()) < MAX_FETCHED_BYTES, first.keys()
    assert sum(map(len, every.values())) - size < MAX_LATER_BYTES, every.keys()


def contents(fetched: list[str]) -> dict[str, bytes]:
    """The files behind the addresses that a page fetched, once each."""
    names = {"index.html" if path == "/" else path.removeprefix("/page/") for path in fetched}
    return {name: (FOLDER / name).read_bytes() for name in names}
