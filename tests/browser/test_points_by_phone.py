"""Points that lie elsewhere, brought by a member's telephone to a register without a network: two registers, a centre,
the cashier page, the customer view and the page on the telephone.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Page, expect
from sqlalchemy import select

from central import ledger, operations
from central.db import tables
from central.folder import JoinSettings
from loyalty.program import Program
from tests.agent.shop import receipt
from tests.browser.measures import AMISS
from tests.browser.test_keys import SCANNED
from tests.browser.test_shift import DISCOUNT, confirm, press
from tests.browser.test_states import axe_finds
from tests.browser.till import QR, Till, free_port
from tests.faults.proxy import FaultyProxy
from tests.sync.centre import Centre, program, running_centre, utc_now

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MEMBER, OTHER = "TS00001", "TS00002"
FIFTY = {"id": "fifty", "title": "50 off", "cost": 200, "discount_minor": 5000, "offline": "allowance"}
# A register gives back within seconds what it is asked for.
TRIES, AGAIN_AFTER_MS = 40, 500
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/p/[A-Z2-7]+")


@pytest_asyncio.fixture(loop_scope="session")
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_centre(tmp_path / "centre", join=f"127.0.0.1:{free_port()}") as centre:
        centre.publish(msgspec.convert(msgspec.to_builtins(program()) | {"rewards": [FIFTY]}, Program))
        yield centre


@pytest_asyncio.fixture(loop_scope="session")
async def network(centre: Centre) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy("127.0.0.1", centre.port) as proxy:
        yield proxy


@pytest_asyncio.fixture(loop_scope="session")
async def tills(tmp_path: Path, centre: Centre, network: FaultyProxy) -> AsyncIterator[tuple[Till, Till]]:
    """The second reaches the centre by `network`."""
    async with AsyncExitStack() as stack:
        made = []
        for register, url in (("3", centre.url), ("4", f"https://127.0.0.1:{network.port}")):
            (tmp_path / register).mkdir()
            till = Till(tmp_path / register)
            stack.callback(till.close)
            await till.start()
            stack.push_async_callback(till.kill)
            code, _, errors = await till.command("enroll", centre.code(register, url=url))
            assert code == 0, errors
            made.append(till)
        yield made[0], made[1]


async def read_of(page: Page, folder: Path) -> str:
    """What a camera, or a scanner, reads of the screen."""
    await expect(page.locator(".qr")).to_be_visible()
    picture = folder / "screen.png"
    await page.screenshot(path=picture)
    (found,) = zxingcpp.read_barcodes(Image.open(picture))
    return str(found.text)


async def opened(till: Till, browser: Browser) -> Page:
    page = await browser.new_page(viewport={"width": 1024, "height": 768})
    await page.goto(await till.pairing_url())
    await page.wait_for_selector("body[data-badge='online']")
    return page


async def cut_off(tills: tuple[Till, Till], network: FaultyProxy, browser: Browser) -> tuple[Page, Page]:
    """Both cashier pages: of the register at which all of a member's points lie, and of the other, where they stand now
    and which has no network any more.
    """
    home, away = tills
    other, page = await opened(home, browser), await opened(away, browser)
    home.scan(MEMBER)
    await expect(other.locator("#name")).to_have_text("M 1")
    home.print(receipt(1))
    await expect(other.locator("#spendable")).to_have_text("268")
    await expect(other.locator("#badge-text")).to_have_text("online")
    away.scan(MEMBER)
    await expect(page.locator("#spendable")).to_have_text("68")
    await network.take_down()
    await expect(page.locator("body")).to_have_attribute("data-badge", "offline")
    await expect(page.locator("#desk .choices small")).to_have_text(["needs the centre"])
    return other, page


async def granted_by(phone: Page, address: str, folder: Path) -> str:
    """What the centre grants whoever opens the address, once the register that had the points gave them back."""
    await phone.goto(address)
    await expect(phone.locator("strong").last).to_have_text("Punkte: 200 · Kasse 12/4")
    await phone.get_by_role("button", name="Zurücklegen").click()
    await expect(phone.get_by_role("alert")).to_contain_text("liegen an anderen Kassen")
    assert await axe_finds(phone) == []
    for _ in range(TRIES):
        await phone.wait_for_timeout(AGAIN_AFTER_MS)
        await phone.get_by_role("button", name="Noch einmal").click()
        await phone.wait_for_load_state()
        if await phone.locator(".qr").count():
            break
    await expect(phone.get_by_role("heading")).to_have_text("Zeig das der Kasse")
    assert await phone.evaluate(AMISS) == []
    return await read_of(phone, folder)


async def test_a_telephone_brings_the_points_to_a_register_without_a_network(
    tills: tuple[Till, Till], centre: Centre, network: FaultyProxy, browser: Browser, tmp_path: Path
) -> None:
    # Given a member who wants a reward where none of their points are, and no network is
    home, away = tills
    other, page = await cut_off(tills, network, browser)
    customer = await browser.new_page(viewport={"width": 800, "height": 600})
    await customer.goto(await away.pairing_url("customer"))

    # When the cashier chooses it, and the member's telephone asks
    await press(page, "1")
    await confirm(page)
    await expect(page.locator("#desk")).to_contain_text("The customer scans this with their phone")
    await expect(customer.locator("#message")).to_have_text("Scan this with your phone, then show it to the till.")
    for shown in (page, customer):
        assert await shown.evaluate(AMISS) == []
    address = await read_of(page, tmp_path)
    assert (await read_of(customer, tmp_path), ADDRESS.fullmatch(address) is not None) == (address, True)
    phone = await (await browser.new_context(viewport={"width": 360, "height": 640}, locale="de-AT")).new_page()
    grant = await granted_by(phone, address, tmp_path)

    # Then no other register takes what it grants, nor this one for anybody else, or what was not read whole
    home.scan(grant, aim=QR)
    await expect(other.locator("#notice")).to_have_text("These points are for another register.")
    away.scan(OTHER)
    await expect(page.locator("#name")).to_have_text("M 2")
    away.scan(grant, aim=QR)
    await expect(page.locator("#notice")).to_have_text("These points are another member’s. Scan their card first.")
    away.scan(MEMBER)
    await expect(page.locator("#name")).to_have_text("M 1")
    away.scan(grant[:-1] + ("A" if grant[-1] != "A" else "B"), aim=QR)
    await expect(page.locator("#notice")).to_contain_text("not read whole")

    # And by a scanner that types into the page, the reward can be given at once
    await page.evaluate(SCANNED, [grant, "Enter"])
    await expect(page.locator("#notice")).to_have_text("The points are here: the reward can be given.")
    await expect(customer.locator(".qr")).to_have_count(0)
    await expect(page.locator("#desk .choices small")).to_have_count(0)
    await press(page, "1")
    await confirm(page)
    await expect(page.locator(".reserved .amount")).to_have_text("50.00\u00a0RSD")
    away.print(receipt(2, total="218,28").replace(*DISCOUNT))
    await expect(page.locator("#gave-reward")).to_have_text("The receipt shows the discount: the reward is given.")

    # And only once, also when the centre hears of it
    away.scan(MEMBER)
    away.scan(grant, aim=QR)
    await expect(page.locator("#notice")).to_have_text("These points came here before.")
    await expect(page.locator("#desk .choices")).to_have_count(0)
    network.bring_up()
    await expect(page.locator("#badge-text")).to_have_text("online", timeout=30_000)
    held = select(tables.allowances).where(tables.allowances.c.member == "m1", tables.allowances.c.state == "spent")
    rows = centre.database.read_now(lambda connection: connection.execute(held).all())
    assert [(row.granted, row.used) for row in rows] == [(200, 200)]
    balance = centre.database.read_now(lambda connection: operations.show(connection, "m1", utc_now())).member.balance
    assert balance.confirmed == 268 - 200 + 218
    assert centre.database.read_now(lambda connection: ledger.check_balances(connection, utc_now())) == []


async def test_a_card_that_the_register_does_not_know_is_asked_about_and_its_reward_given(
    tills: tuple[Till, Till], centre: Centre, network: FaultyProxy, browser: Browser, tmp_path: Path
) -> None:
    # Given somebody who became a member, and got their points, where there is a network
    home, away = tills
    other, page = await cut_off(tills, network, browser)
    centre.add_members(7, 1)
    card = "TS00007"
    home.scan(card)
    await expect(other.locator("#name")).to_have_text("M 7")
    home.print(receipt(3))
    await expect(other.locator("#spendable")).to_have_text("268")

    # When their card is scanned where there is none, the telephone tells whose it is and asks for a reward
    away.scan(card)
    await expect(page.locator("body")).to_have_attribute("data-phase", "unknown")
    await press(page, "P")
    await expect(page.locator("#desk")).to_contain_text("The customer scans this with their phone")
    assert await page.evaluate(AMISS) == []
    address = await read_of(page, tmp_path)
    assert ADDRESS.fullmatch(address) is not None
    phone = await (await browser.new_context(viewport={"width": 360, "height": 640}, locale="de-AT")).new_page()
    for _ in range(TRIES):
        await phone.goto(address)
        await expect(phone.locator("strong").last).to_contain_text("· Kasse 12/4")
        assert await phone.evaluate(AMISS) == []
        assert await axe_finds(phone) == []
        await phone.get_by_role("button", name="50 off · Punkte: 200").click()
        await phone.wait_for_load_state()
        if await phone.locator(".qr").count():
            break
        await phone.wait_for_timeout(AGAIN_AFTER_MS)
    await expect(phone.get_by_role("heading")).to_have_text("Zeig das der Kasse")
    away.scan(await read_of(phone, tmp_path), aim=QR)

    # Then the register knows them, and the reward is given
    await expect(page.locator("#name")).to_have_text("M 7")
    await expect(page.locator("#desk .choices small")).to_have_count(0)
    await press(page, "1")
    await confirm(page)
    await expect(page.locator(".reserved .amount")).to_have_text("50.00\u00a0RSD")
    away.print(receipt(5, total="218,28").replace(*DISCOUNT))
    await expect(page.locator("#gave-reward")).to_have_text("The receipt shows the discount: the reward is given.")

    # And the centre finds it right
    network.bring_up()
    await expect(page.locator("#badge-text")).to_have_text("online", timeout=30_000)
    held = select(tables.allowances).where(tables.allowances.c.member == "m7", tables.allowances.c.state == "spent")
    rows = centre.database.read_now(lambda connection: connection.execute(held).all())
    assert [(row.granted, row.used) for row in rows] == [(200, 200)]
    assert centre.database.read_now(lambda connection: ledger.check_balances(connection, utc_now())) == []


async def test_the_page_on_the_telephone_can_be_read_by_everybody(centre: Centre, browser: Browser) -> None:
    join: JoinSettings | None = centre.folder.settings().join
    assert join is not None
    phone = await (await browser.new_context(viewport={"width": 320, "height": 560})).new_page()
    await phone.goto(f"{join.url}p/ABC234")
    await expect(phone.get_by_role("alert")).to_contain_text("This is no code of ours")
    assert await phone.evaluate(AMISS) == []
    assert await axe_finds(phone) == []
