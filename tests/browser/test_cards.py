"""What a cashier sees of a card's state, and of scans that are nobody's, in a real Chromium."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from playwright.async_api import Page, WebSocketRoute, expect

from agent.view import (
    BadgeView,
    CustomerView,
    MemberView,
    NoticeView,
    PageState,
    PlaceView,
    SaleView,
)
from tests.agent.shop import receipt
from tests.browser.conftest import ANA, LOST, WORN
from tests.browser.measures import CONTRAST, CUT_OFF
from tests.browser.till import Till, card

pytestmark = pytest.mark.browser

LANGUAGES = tuple(json.loads((Path(__file__).parents[2] / "agent" / "page" / "strings.json").read_text()))
RULES = """
[[identification]]
name = "cards"
prefixes = ["TS", "900"]
[[identification]]
name = "numbers"
prefixes = ["29"]
lengths = [13]
check_digit = "gs1"
"""


@pytest.fixture
def settings() -> str:
    return RULES


async def test_a_blocked_card_is_refused_in_words_and_without_a_name(till: Till, page: Page) -> None:
    for code in (card(LOST), f"900{LOST:07}"):
        till.scan(code)
        await expect(page.locator("#name")).to_have_text("Blocked card …0055")
    await expect(page.locator("#message")).to_have_text("This card is blocked. Do not accept it; points are not given.")
    assert "Secret" not in await page.content()
    await expect(page.locator(".points")).to_be_hidden()

    # a sale with it is a sale without a card
    till.print(receipt(1))
    await expect(page.locator("#message")).to_have_text("Sale of 268.28 RSD without a card.")


async def test_a_blocked_card_leaves_the_sale_to_the_customer_before(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")

    till.scan(card(LOST))
    await expect(page.get_by_role("alert")).to_have_text(
        "Card …0055 is blocked. Do not accept it; the sale stays with the customer below."
    )
    await expect(page.locator("#name")).to_have_text("Ana P.")

    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+40")
    await expect(page.locator("#name")).to_have_text("Ana P.")
    await expect(page.locator("#notice")).to_be_hidden()


async def test_an_old_card_is_to_be_taken_in(till: Till, page: Page) -> None:
    till.scan(card(WORN))
    await expect(page.locator("#name")).to_have_text("Jelena M.")
    await expect(page.locator("#message")).to_have_text("Old card, replaced by …1234: take it in.")

    till.print(receipt(1))
    await expect(page.locator("#gave-points")).to_have_text("+26")
    await expect(page.locator("#message")).to_have_text("Old card, replaced by …1234: take it in.")


async def test_a_scan_that_is_nobodys_says_why_and_stays_out_of_the_way(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    notice = page.get_by_role("alert")

    till.scan("2900000000002")
    await expect(notice).to_have_text("Misread. Scan the card again.")
    till.scan(";E?", aim="")
    await expect(notice).to_have_text("The swipe was not read. Swipe again.")
    till.scan("4111111111111111")
    await expect(notice).to_have_text("That was a payment card, not a loyalty card.")
    await expect(page.locator("#name")).to_have_text("Ana P.")
    assert "411111" not in await page.content()

    # the next customer clears it
    till.scan(card(7))
    await expect(page.locator("#name")).to_have_text("Member 7")
    await expect(page.locator("#notice")).to_be_hidden()


async def test_a_label_that_no_rule_claims_changes_nothing(till: Till, page: Page) -> None:
    till.scan(card(ANA))
    await expect(page.locator("#name")).to_have_text("Ana P.")
    before = await page.locator("main").inner_text()

    till.scan("SHELF-42")
    till.scan("98765432101234")
    till.scan("4111111111111111")
    await expect(page.get_by_role("alert")).to_have_text("That was a payment card, not a loyalty card.")

    assert await page.locator("main").inner_text() == before


# ---- every state in every language, told to the page as the register would


MEMBER = MemberView(name="Ana Marija P.", tier="gold", confirmed=12480, pending=320, spendable=12000, as_of=None)
KNOWN = CustomerView(standing="known", ending="0077", member=MEMBER)
STATE = PageState(
    language="en",
    place=PlaceView(store="12", register="3"),
    badge=BadgeView(enrolled=True, online=True, since=None, queued=0),
)
SALE = SaleView(
    kind="sale", total_minor=26828, digits=2, currency="RSD", outcome="points", points=40, pending=40, current=True
)
HELD = replace(SALE, outcome="held", points=0, pending=0)
STATES = {
    "blocked": replace(STATE, customer=CustomerView(standing="blocked", ending="0055")),
    "blocked, short": replace(STATE, customer=CustomerView(standing="blocked", ending="")),
    "blocked beside": replace(STATE, customer=KNOWN, notice=NoticeView(kind="blocked", ending="0055")),
    "blocked at the sale": replace(
        STATE, customer=CustomerView(standing="blocked", ending="0055"), sale=replace(HELD, outcome="blocked")
    ),
    "replaced": replace(STATE, customer=replace(KNOWN, replaced_by="1234")),
    "replaced, short": replace(STATE, customer=replace(KNOWN, replaced_by="")),
    "replaced at the sale": replace(STATE, customer=replace(KNOWN, replaced_by="1234"), sale=SALE),
    "unissued": replace(STATE, customer=CustomerView(standing="unissued", ending="0001")),
    "unissued, short": replace(STATE, customer=CustomerView(standing="unissued", ending="")),
    "unissued at the sale": replace(STATE, customer=CustomerView(standing="unissued", ending="0001"), sale=HELD),
    "misread": replace(STATE, notice=NoticeView(kind="misread")),
    "swipe error": replace(STATE, customer=KNOWN, notice=NoticeView(kind="swipe_error")),
    "receipt known": replace(STATE, notice=NoticeView(kind="receipt_known")),
    "receipt old": replace(STATE, customer=KNOWN, notice=NoticeView(kind="receipt_code_old")),
    "receipt broken": replace(STATE, customer=KNOWN, sale=SALE, notice=NoticeView(kind="receipt_code_broken")),
    "payment card": replace(STATE, customer=KNOWN, sale=SALE, notice=NoticeView(kind="payment_card")),
}


class Register:
    """The register's side of the page's connection."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._sockets: asyncio.Queue[WebSocketRoute] = asyncio.Queue()
        self._socket: WebSocketRoute | None = None
        self._told = 0

    async def open(self, url: str) -> None:
        await self._page.route_web_socket("**/v1/events", self._sockets.put_nowait)
        await self._page.goto(url)
        self._socket = await self._sockets.get()
        await self.tell(STATE)

    async def tell(self, state: PageState) -> None:
        """Returns when the page shows it."""
        assert self._socket is not None
        self._told += 1
        marked = replace(state, place=PlaceView(store=f"N{self._told}", register="3"))
        self._socket.send(msgspec.json.encode(marked).decode())
        await expect(self._page.locator("#place")).to_contain_text(f"N{self._told} ")


@pytest.fixture
async def told(till: Till, page: Page) -> Register:
    register = Register(page)
    await register.open(await till.pairing_url())
    return register


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_state_can_be_read_at_every_size_by_day_and_by_night(
    told: Register, page: Page, language: str
) -> None:
    for name, state in STATES.items():
        await told.tell(replace(state, language=language))
        said = await page.locator("body").inner_text()
        assert "undefined" not in said, name
        assert "{" not in said, name
        assert "null" not in said, name
        for width, height in ((1280, 1024), (1024, 768), (800, 600), (320, 560)):
            await page.set_viewport_size({"width": width, "height": height})
            assert await page.evaluate(CUT_OFF) == [], (name, width)
        await page.set_viewport_size({"width": 1024, "height": 768})
        assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight"), name
        for dark in (False, True):
            await page.emulate_media(color_scheme="dark" if dark else "light")
            for element in ("#notice", "#name", "#message", "#gave-text"):
                if await page.locator(element).is_visible():
                    assert await page.evaluate(CONTRAST, element) >= 4.5, (name, element, dark)


async def test_what_a_state_carries_is_only_text(told: Register, page: Page) -> None:
    hostile: Any = "<img src=x onerror=\"document.title='owned'\">"
    for state in STATES.values():
        customer = state.customer
        if customer is not None:
            customer = replace(customer, ending=hostile, replaced_by=hostile)
        await told.tell(replace(state, customer=customer, notice=NoticeView(kind="blocked", ending=hostile)))

    assert await page.title() == "Tillside"
    assert await page.locator("body img").count() == 0
