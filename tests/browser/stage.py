"""A page without a register: its real files under its real policy, told whatever state a test wants to see."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from playwright.async_api import Browser, Page, Route, WebSocketRoute, expect

from agent.api import headers_of
from agent.customer_screen import CustomerScreen
from agent.page_routes import FOLDER, MEDIA_TYPES
from agent.view import PageState
from tests.browser.states import NOW

AUTHORITY = "127.0.0.1:8787"
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Longer than a scanner leaves between two characters.
PERSON_MS = 60
# Longer than the page takes to show what Enter would confirm, and a person to have read it.
READ_MS = 450
PAGES = {"/": "index.html", "/customer": "customer.html"}


class Stage:
    """One tab. `asked` are the calls that the page made, under the `keys` of these, each answered with `answers` or
    204, and not at all where that is None; not those by which it looks whether the register is there, which a slow
    machine brings about.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[tuple[str, str, object]] = []
        self.keys: list[str | None] = []
        self.fetched: list[str] = []
        self.answers: dict[str, tuple[int, object] | None] = {}
        self._sockets: asyncio.Queue[WebSocketRoute] = asyncio.Queue()
        self._socket: WebSocketRoute | None = None

    async def open(self, path: str = "/", *, frozen: bool = True) -> None:
        """Its clock stands still, unless a test moves it."""
        if frozen:
            await self.page.clock.set_fixed_time(NOW)
        await self.page.route("**/*", self._serve)
        await self.page.route_web_socket("**/v1/*", self._sockets.put_nowait)
        await self.page.goto(f"http://{AUTHORITY}{path}")
        await self.reopened()

    async def reopened(self) -> None:
        """The page was loaded anew."""
        self._socket = await self._sockets.get()

    async def settle(self) -> None:
        """Returns when the page has done what the keys so far ask for."""
        await self.page.wait_for_timeout(PERSON_MS)
        await self.page.wait_for_load_state("networkidle")
        await self.page.evaluate(DRAWN)

    async def tell(self, state: PageState | CustomerScreen, *, lang: str = "") -> None:
        """Returns when the page has been drawn with it, in its language or the one that was chosen there."""
        while not self._sockets.empty():
            await self.reopened()  # on a slow machine the page called the register silent, and connected anew
        assert self._socket is not None
        self._socket.send(msgspec.json.encode(state).decode())
        await self.page.evaluate(DRAWN)
        await expect(self.page.locator("html")).to_have_attribute("lang", lang or LOCALES[state.language])
        await expect(self.page.locator("#desk[aria-busy=true]")).to_have_count(0)

    async def hang_up(self) -> None:
        """The register is gone."""
        assert self._socket is not None
        await self._socket.close()

    async def fall_silent(self) -> None:
        """The register is gone. Returns when the page, which showed something, has noticed."""
        await self.hang_up()
        await expect(self.page.locator("body")).to_have_attribute("data-live", "false")

    async def press(self, key: str) -> None:
        """A key as a person presses it: alone. Returns when the page has answered."""
        await self.page.keyboard.press(key)
        await self.settle()

    async def read(self) -> None:
        """Returns when a person has read what Enter would do."""
        await self.page.wait_for_timeout(READ_MS)

    async def confirm(self) -> None:
        """Enter, by a person who has read what it does."""
        await self.read()
        await self.press("Enter")

    async def _serve(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.startswith("/v1/"):
            if path != "/v1/ping":
                self.asked.append((route.request.method, path, route.request.post_data_json))
                self.keys.append(route.request.headers.get("idempotency-key"))
            answer = self.answers.get(path, (204, None))
            if answer is None:
                await route.abort()
                return
            status, body = answer
            await route.fulfill(status=status, body=msgspec.json.encode(body) if body is not None else "")
            return
        self.fetched.append(path)
        file = FOLDER / PAGES.get(path, path.removeprefix("/page/"))
        kind = MEDIA_TYPES.get(file.suffix, "text/html")
        await route.fulfill(status=200, body=file.read_bytes(), headers={**headers_of(AUTHORITY), "Content-Type": kind})


LOCALES = {
    file.stem.removeprefix("words-"): msgspec.json.decode(file.read_bytes())["locale"]
    for file in Path(FOLDER).glob("words-*.json")
}


async def staged(browser: Browser, *, width: int = 1024, height: int = 768, path: str = "/") -> Stage:
    context = await browser.new_context(viewport={"width": width, "height": height}, timezone_id="Europe/Belgrade")
    stage = Stage(await context.new_page())
    await stage.open(path)
    return stage
