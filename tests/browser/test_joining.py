"""Joining by telephone, from the cashier's key to points on the new member: two real pages, a register and a centre."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Page, expect
from sqlalchemy import select

from central.db import tables
from central.join_page.words import LANGUAGES, words_of
from loyalty.program import Program
from tests.agent.shop import receipt
from tests.browser.measures import AMISS
from tests.browser.stage import READ_MS
from tests.browser.test_shift import DISCOUNT
from tests.browser.test_states import axe_finds
from tests.browser.till import QR, Till, free_port
from tests.sync.centre import Centre, program, running_centre

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/#(?:[2-9A-Z]{4}-){5}[2-9A-Z]{4}")


@pytest_asyncio.fixture(loop_scope="session")
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_centre(tmp_path / "centre", join=f"127.0.0.1:{free_port()}") as centre:
        fifty = {"id": "fifty", "title": "50 off", "cost": 200, "discount_minor": 5000, "offline": "allowance"}
        centre.publish(msgspec.convert(msgspec.to_builtins(program()) | {"rewards": [fifty]}, Program))
        yield centre


@pytest_asyncio.fixture(loop_scope="session")
async def till(tmp_path: Path, centre: Centre) -> AsyncIterator[Till]:
    """A register that is enrolled there."""
    (tmp_path / "till").mkdir()
    till = Till(tmp_path / "till")
    await till.start()
    yield till
    await till.kill()
    till.close()


def members_of(centre: Centre) -> list[str]:
    return list(centre.database.read_now(lambda connection: connection.scalars(select(tables.members.c.id)).all()))


async def online(till: Till, centre: Centre, browser: Browser) -> Page:
    page = await browser.new_page(viewport={"width": 1024, "height": 768})
    await page.goto(await till.pairing_url())
    code, _, errors = await till.command("enroll", centre.code())
    assert code == 0, errors
    await page.wait_for_selector("body[data-badge='online']")
    await expect(page.locator("#keys")).to_contain_text("Join by phone")
    return page


async def scanned(page: Page, folder: Path) -> str:
    """What a camera reads of the screen."""
    await expect(page.locator(".qr")).to_be_visible()
    picture = folder / "screen.png"
    await page.screenshot(path=picture)
    (found,) = zxingcpp.read_barcodes(Image.open(picture))
    assert ADDRESS.fullmatch(found.text)
    return found.text


async def card_on(phone: Page, folder: Path) -> str:
    """What a scanner reads of the code that somebody leaves with."""
    picture = folder / "telephone.png"
    await phone.screenshot(path=picture, full_page=True)
    (found,) = zxingcpp.read_barcodes(Image.open(picture))
    assert re.fullmatch("W[2-9A-Z]{23}", found.text)
    assert await phone.evaluate(AMISS) == []
    return str(found.text)


async def test_from_the_cashiers_key_to_points_on_the_new_member(
    till: Till, centre: Centre, browser: Browser, tmp_path: Path
) -> None:
    # Given a customer without a card
    page = await online(till, centre, browser)
    customer = await browser.new_page(viewport={"width": 800, "height": 600})
    await customer.goto(await till.pairing_url("customer"))
    await page.keyboard.press("j")
    await expect(page.locator("#name")).to_have_text("Join by phone")
    await expect(customer.locator("#message")).to_have_text("Scan and join: the points of this purchase are yours.")
    address = await scanned(page, tmp_path)
    assert await scanned(customer, tmp_path) == address

    # When they join while their goods are scanned
    phone = await (await browser.new_context(viewport={"width": 360, "height": 640}, locale="de-AT")).new_page()
    asked: list[str] = []
    phone.on("request", lambda request: asked.append(request.url))
    await phone.goto(address)
    await expect(phone.get_by_label("Code")).to_have_value(address.rpartition("#")[2])
    assert "#" not in phone.url
    await phone.get_by_label("Vorname").fill("Iva P.")
    await phone.get_by_label("Telefon").fill("+381 64 123 4567")
    await phone.get_by_label("SMS").check()
    await phone.get_by_role("button", name="Mitmachen").click()
    await expect(phone.get_by_role("heading")).to_have_text("Willkommen")
    wallet = await card_on(phone, tmp_path)

    # Then the till knows them before they pay, and the sale's points are theirs
    await expect(page.locator("#name")).to_have_text("Iva P.")
    await expect(customer.locator("#name")).to_have_text("Iva P.")
    await expect(customer.locator(".qr")).to_have_count(0)
    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+268")
    await expect(page.locator("#badge-text")).to_have_text("online")
    (member,) = [one for one in members_of(centre) if one.startswith("j-")]
    await expect(page.locator("#spendable")).to_have_text("268")
    assert sum(centre.counted(member).values()) == 268

    # And next time by the picture that they took of their card
    await page.keyboard.press("Delete")
    await expect(page.locator("#name")).to_have_text("Ready")
    till.scan(wallet, aim=QR)
    await expect(page.locator("#name")).to_have_text("Iva P.")

    # And it spends their points, as a card does
    await page.wait_for_timeout(READ_MS)
    await page.keyboard.press("1")
    await expect(page.locator("#desk .amount")).to_have_text("50.00\u00a0RSD")
    await page.wait_for_timeout(READ_MS)
    await page.keyboard.press("Enter")
    await expect(page.locator(".reserved .amount")).to_have_text("50.00\u00a0RSD")
    await expect(customer.locator("#reserved")).to_have_text("50 off: −50,00\u00a0RSD")
    till.print(receipt(2, total="218,28").replace(*DISCOUNT))
    await expect(page.locator("#gave-reward")).to_have_text("The receipt shows the discount: the reward is given.")
    await expect(page.locator("#gave-points")).to_have_text("+218")
    await expect(page.locator("#badge-text")).to_have_text("online")
    await page.keyboard.press("Delete")
    till.scan(wallet, aim=QR)
    await expect(page.locator("#spendable")).to_have_text("286")
    assert not any(secret in url for url in asked for secret in (address.rpartition("#")[2], "641234567", "Iva"))


async def test_a_sale_without_a_network_is_theirs_once_both_came_to_the_centre(
    till: Till, centre: Centre, browser: Browser, tmp_path: Path
) -> None:
    page = await online(till, centre, browser)
    await page.keyboard.press("j")
    address = await scanned(page, tmp_path)
    # shown again where the agent was killed in mid-sale
    await till.kill()
    await till.start()
    await expect(page.locator("#name")).to_have_text("Join by phone")
    await page.wait_for_selector("body[data-live='true']")
    assert await scanned(page, tmp_path) == address

    till.print(receipt(1))
    await expect(page.locator("#gave-text")).to_have_text(re.compile("points are kept"))
    # it stands there while they pack
    assert await scanned(page, tmp_path) == address
    phone = await (await browser.new_context(locale="en-GB", java_script_enabled=False)).new_page()
    await phone.goto(address)
    await phone.get_by_label("Code").fill(address.rpartition("#")[2].lower())
    await phone.get_by_label("E-mail", exact=True).fill("iva@example.com")
    await phone.get_by_role("button", name="Join").click()
    await expect(phone.get_by_role("heading")).to_have_text("Welcome")

    await expect(page.locator("#spendable")).to_have_text("268")


@pytest.mark.parametrize(("width", "dark"), [(320, False), (1024, True)])
async def test_the_join_page_can_be_read_by_everybody(centre: Centre, browser: Browser, width: int, dark: bool) -> None:
    join = centre.folder.settings().join
    assert join is not None
    context = await browser.new_context(
        viewport={"width": width, "height": 640}, color_scheme="dark" if dark else "light", bypass_csp=True
    )
    page = await context.new_page()
    for language in LANGUAGES:
        await page.goto(f"{join.url}?language={language}")
        await expect(page.get_by_role("heading")).to_have_text(words_of(language)["title"])
        assert await page.evaluate(AMISS) == [], language
        assert await axe_finds(page) == [], language
    await page.get_by_label("Code").fill("J")
    await page.get_by_role("button").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await axe_finds(page) == []
    await expect(page.get_by_label("Code")).to_be_focused()


async def test_another_language_keeps_the_code(centre: Centre, browser: Browser) -> None:
    join = centre.folder.settings().join
    assert join is not None
    page = await browser.new_page()
    await page.goto(f"{join.url}#J234")
    await page.get_by_role("link", name="Slovenščina").click()
    await expect(page.get_by_role("heading")).to_have_text(words_of("sl")["title"])
    await expect(page.get_by_label("Koda")).to_have_value("J234")
