"""The forms of the admin pages in a real browser, which says itself where a form comes from."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from central import cards, operations
from tests.sync.centre import running_centre, utc_now

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_form_does_what_it_says(browser: Browser, tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        at = centre.folder.serving()["admin"]
        link = centre.write(lambda c: operations.admin_link(c, at, utc_now(), secrets.token_bytes))
        page = await browser.new_page()
        await page.goto(link.open)
        await page.goto(f"http://{at}/cards?q=TS00001")

        await page.get_by_text("Block…").click()
        await page.get_by_role("button", name="Accept this card no more").click()

        await expect(page.get_by_role("button", name="Unblock").first).to_be_visible()
        card = centre.database.read_now(lambda connection: cards.named(connection, "TS00001"))
        assert card.state == "blocked"
