"""The fleet page in a real browser: it opens, is narrowed, and follows what happens by itself."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect
from sqlalchemy import Connection, update

from central import operations
from central.db import tables
from tests.browser.fleet import CHAIN, NEW, OLD, fill
from tests.sync.centre import Centre, running_centre, utc_now

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def opened(browser: Browser, centre: Centre, path: str, *, width: int = 1440, height: int = 900) -> Page:
    """A page of the centre, for whom its one-time link let in."""
    at = centre.folder.serving()["admin"]
    link = centre.write(lambda c: operations.admin_link(c, at, utc_now(), secrets.token_bytes))
    page = await browser.new_page(viewport={"width": width, "height": height})
    await page.goto(link.open)
    await page.goto(f"http://{at}{path}")
    return page


async def test_the_fleet_is_narrowed_and_follows_by_itself(browser: Browser, tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        centre.write(lambda connection: fill(connection, utc_now()))
        page = await opened(browser, centre, "/fleet")
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        registers = page.locator("table.fleet tbody")
        await expect(registers).to_have_count(len(CHAIN))

        await page.get_by_label("Store").select_option("31")
        await page.get_by_label("Version").select_option(OLD)
        await page.get_by_role("button", name="Filter").click()
        await expect(registers).to_have_count(1)
        await page.get_by_label("Store").select_option("17")
        await page.get_by_label("Version").select_option(NEW)
        await page.get_by_label("Show").select_option("problems")
        await page.get_by_role("button", name="Filter").click()
        await expect(registers).to_have_count(1)
        await expect(page.get_by_text("/dev/ttyACM0 is not there")).to_be_visible()

        # When the scanner is plugged in again, the page says so without being loaded anew
        await page.evaluate("window.same = true")
        await page.get_by_text("Revoke…").click()
        centre.write(_well)
        await page.evaluate("refresh()")
        await expect(registers).to_have_count(1)  # a form is open: nothing moves under somebody's hand
        await page.get_by_text("Revoke…").click()
        await expect(page.get_by_text("None of 12 registers is so.")).to_be_visible(timeout=30_000)
        await expect(page.locator("#live-state")).to_contain_text("Live")
        assert await page.evaluate("window.same")
        assert complaints == []


def _well(connection: Connection) -> None:
    connection.execute(
        update(tables.devices).where(tables.devices.c.store == "17").values(state=None, last_contact=utc_now())
    )


async def test_the_page_says_when_it_no_longer_follows(browser: Browser, tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        page = await opened(browser, centre, "/fleet")
        # a centre that is busy or fails for a moment has ended nothing
        answers = [503, 500]

        async def fails(route: Route) -> None:
            await route.fulfill(status=answers.pop(0), body="no")

        await page.route("**/fleet", fails)
        for status in (503, 500):
            await page.evaluate("refresh()")
            await expect(page.locator("#live-state")).to_contain_text(f"The centre failed ({status})")
        await page.unroute("**/fleet")
        await page.evaluate("refresh()")
        await expect(page.locator("#live-state")).to_contain_text("Live, ")
        await page.context.clear_cookies()
        await page.evaluate("refresh()")
        await expect(page.locator("#live-state")).to_contain_text("The session has ended")
    await page.evaluate("refresh()")
    await expect(page.locator("#live-state")).to_contain_text("The centre does not answer")
