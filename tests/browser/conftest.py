"""One register process and one paired page for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from loyalty.member import Balance, CardState, Identifier
from loyalty.program import Program
from tests.agent.shop import PROGRAM
from tests.browser.chromium import CHROMIUM, launched
from tests.browser.till import Till, card, member

ANA = 77
HOSTILE = 66
LOST = 55
WORN = 56
HOSTILE_NAME = "<img src=x onerror=\"document.title='owned'\">{{7*7}}<script>document.title='owned'</script>"


def cards(number: int, state: CardState, *, replaced_by: str = "") -> tuple[Identifier, ...]:
    """One card with the number that is encoded on it and the one that is printed."""
    codes = (card(number), f"900{number:07}")
    return tuple(
        Identifier(kind="card", code=code, card=codes[0], state=state, replaced_by=replaced_by) for code in codes
    )


@pytest.fixture
def settings() -> str:
    """Further tables of the register's settings file."""
    return ""


@pytest.fixture
def origins() -> tuple[str, ...]:
    """Whose pages may call it, besides its own."""
    return ()


@pytest_asyncio.fixture(loop_scope="session")
async def till(tmp_path: Path, settings: str, origins: tuple[str, ...], program: Program) -> AsyncIterator[Till]:
    till = Till(tmp_path, settings=settings, origins=origins)
    ana = member(ANA, name="Ana P.", tier="gold", balance=Balance(confirmed=12480, pending=320, spendable=12000))
    lost = member(LOST, name="Secret", identifiers=cards(LOST, "blocked"))
    worn = member(WORN, name="Jelena M.", identifiers=cards(WORN, "replaced", replaced_by="1234"))
    hostile = member(HOSTILE, name=HOSTILE_NAME, tier="<b>gold</b>")
    await till.seed([*(member(number) for number in range(20)), ana, hostile, lost, worn], program)
    await till.start()
    yield till
    await till.kill()
    till.close()


@pytest.fixture
def program() -> Program:
    return PROGRAM


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One for all tests of a worker: a browser takes seconds to start, a context nothing."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not here: apt-get install chromium")
    async with async_playwright() as playwright, launched(playwright) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """It, with nothing left of other tests."""
    yield chromium
    for context in chromium.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(till: Till, browser: Browser) -> Page:
    """The cashier page, paired as `tillside open` pairs it."""
    page = await browser.new_page(viewport={"width": 1024, "height": 768})
    await page.goto(await till.pairing_url())
    await page.wait_for_selector("body[data-badge='offline']")
    return page
