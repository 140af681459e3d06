"""A POS in a browser: a page of another origin calls the register with its token, and nobody else's page does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from sync.guesses import MAX_MISSES
from tests.browser.conftest import ANA
from tests.browser.till import Till, card, free_port

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# Status and body of a call as a page makes it; status 0 where the browser lets it read nothing.
CALL = """async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return [answer.status, answer.status === 204 ? null : await answer.json()];
  } catch { return [0, null]; }
}"""
# The first message of a socket, and what became of it.
LISTEN = """([url, names]) => new Promise((done) => {
  const socket = new WebSocket(url, names);
  socket.onmessage = (message) => { done([socket.protocol, JSON.parse(message.data).type]); socket.close(); };
  socket.onerror = () => done(["", null]);
})"""

# Asks as pictures are asked for, which tells no origin; done when all have failed.
PICTURES = """(urls) => Promise.all(urls.map((src) => new Promise((done) => {
  Object.assign(new Image(), { onload: done, onerror: done, src });
})))"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def origins(port: int) -> tuple[str, ...]:
    return (f"http://127.0.0.1:{port}",)


@pytest_asyncio.fixture(loop_scope="session")
async def shop(port: int) -> AsyncIterator[str]:
    """Serves a page at the origin that is let in; at `localhost` it is a stranger's."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>POS</title>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/", page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def call(page: Page, till: Till, path: str, **options: Any) -> tuple[int, Any]:
    status, body = await page.evaluate(CALL, [f"http://127.0.0.1:{till.port}{path}", options])
    return status, body


async def listen(page: Page, till: Till, *names: str) -> list[str | None]:
    told: list[str | None] = await page.evaluate(LISTEN, [f"ws://127.0.0.1:{till.port}/v1/events", list(names)])
    return told


async def made_token(till: Till, origin: str) -> tuple[str, str]:
    code, out, err = await till.command("pos-token", "--origin", origin, "--json")
    assert code == 0, err
    made = json.loads(out)
    return made["id"], made["token"]


async def test_a_page_that_is_let_in_sells_with_its_token_until_that_is_revoked(
    till: Till, browser: Browser, shop: str
) -> None:
    name, token = await made_token(till, shop)
    page = await browser.new_page()
    await page.goto(shop)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    assert await call(page, till, "/v1/ping", headers=headers) == (204, None)
    status, sale = await call(
        page, till, "/v1/sales", method="POST", headers={**headers, "Idempotency-Key": "1-open"}, body="{}"
    )
    assert (status, sale["state"]) == (201, "open")
    basket = {"kind": "sale", "currency": "RSD", "total_minor": 26828, "lines": []}
    status, priced = await call(
        page, till, f"/v1/sales/{sale['sale']}", method="PUT", headers=headers, body=json.dumps({"basket": basket})
    )
    assert (status, priced["sale"]) == (200, sale["sale"])
    status, known = await call(
        page,
        till,
        f"/v1/sales/{sale['sale']}/member",
        method="POST",
        headers=headers,
        body=json.dumps({"code": card(ANA)}),
    )
    assert (status, known["member"]["name"]) == (200, "Ana P.")
    assert await listen(page, till, "tillside", f"tillside.token.{token}") == ["tillside", "state"]

    code, _, err = await till.command("pos-token", "--revoke", name)
    assert code == 0, err
    status, problem = await call(page, till, "/v1/ping", headers=headers)
    assert (status, problem["title"]) == (403, "Forbidden")
    assert await listen(page, till, "tillside", f"tillside.token.{token}") == ["", None]


async def test_strangers_read_nothing_and_change_nothing_even_beside_an_open_cashier_page(
    till: Till, browser: Browser, shop: str, port: int
) -> None:
    _, token = await made_token(till, shop)
    headers = {"Authorization": f"Bearer {token}"}
    scan = json.dumps({"texts": [card(ANA)]})

    # given a tab of the browser in which the cashier page is paired, whose cookie goes to every port of this machine
    context = await browser.new_context()
    page, tab = await context.new_page(), await context.new_page()
    await page.goto(await till.pairing_url())
    await page.wait_for_selector("body[data-badge='offline']")
    for place in (f"http://localhost:{port}", shop):
        await tab.goto(place)
        # when it scans, without asking ahead or with what the cookie may
        for mode in ("no-cors", "cors"):
            status, _ = await call(tab, till, "/v1/scans", method="POST", mode=mode, credentials="include", body=scan)
            assert status == 0
        assert (await call(tab, till, "/v1/status", credentials="include"))[0] == 0
        assert await listen(tab, till) == ["", None]

    # and a stranger that got hold of the token
    await tab.goto(f"http://localhost:{port}")
    assert (await call(tab, till, "/v1/ping", headers=headers))[0] == 0
    assert await listen(tab, till, "tillside", f"tillside.token.{token}") == ["", None]

    # then the register noticed nothing, and what its own page scans it does notice
    await expect(page.locator("#name")).to_have_text("Ready")
    says_so = {"Content-Type": "application/json"}
    assert (await call(page, till, "/v1/scans", method="POST", headers=says_so, body=scan))[0] == 200
    await expect(page.locator("#name")).to_have_text("Ana P.")


async def test_a_page_of_another_port_counts_no_guesses_against_the_cashier(
    till: Till, browser: Browser, shop: str
) -> None:
    # given a tab at another port of this machine, beside the cashier page
    context = await browser.new_context()
    page, tab = await context.new_page(), await context.new_page()
    await page.goto(await till.pairing_url())
    await page.wait_for_selector("body[data-badge='offline']")
    await tab.goto(shop)

    # when it asks about more codes that nobody has than may be asked about, as pictures are asked for
    guesses = [f"http://127.0.0.1:{till.port}/v1/members/GUESS{number}" for number in range(MAX_MISSES + 10)]
    await tab.evaluate(PICTURES, guesses)

    # then the cashier page is asked as before
    says_so = {"Content-Type": "application/json"}
    typed = json.dumps({"typed": card(ANA)})
    assert (await call(page, till, "/v1/customer", method="POST", headers=says_so, body=typed))[0] == 204
    await expect(page.locator("#name")).to_have_text("Ana P.")
