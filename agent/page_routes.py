"""The pages, their files, and what they are told.

Owns what a browser is given. Never renders data into HTML: a page gets JSON and writes it as text. Never decides who
may ask (`agent.api`).
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import structlog
from aiohttp import web

from agent.access import Access
from agent.answers import problem
from agent.customer_screen import CustomerScreen
from agent.desk import Desk
from agent.inspection import NotFoundError
from agent.openapi import Route
from agent.view import PageState
from agent.watching import Send, Watchers, changed_or_alive
from sync.keys import SecretError

FOLDER = Path(__file__).parent / "page"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml"}

log = structlog.get_logger(__name__)


class PageRoutes:
    """Handlers for the cashier page and the customer view of one register."""

    def __init__(self, access: Access, desk: Desk, watchers: Watchers) -> None:
        self._access = access
        self._desk = desk
        self._watchers = watchers
        self._index, self._customer = (_File(FOLDER / name, "text/html") for name in ("index.html", "customer.html"))
        self._assets = {
            file.name: _File(file, MEDIA_TYPES[file.suffix]) for file in FOLDER.iterdir() if file.suffix in MEDIA_TYPES
        }

    def routes(self) -> tuple[Route, ...]:
        get = "GET"
        return (
            Route(method=get, path="/", handler=self._page, summary="The cashier page.", page=True),
            Route(
                method=get,
                path="/customer",
                handler=self._customer_page,
                summary="What the customer sees, on a display of their own.",
                page=True,
                display=True,
            ),
            Route(
                method=get,
                path="/page/{file}",
                handler=self._asset,
                summary="A file of the pages.",
                page=True,
                display=True,
            ),
            Route(
                method=get,
                path="/pair",
                handler=self._pair,
                summary="Spends a pairing code: sets the page's cookie and leads to the page.",
                status=303,
                query=("code",),
                open=True,
            ),
            Route(
                method=get,
                path="/v1/page",
                handler=self._told,
                summary="WebSocket: a PageState at once and after every change, and a sign of life in between.",
                answer=PageState,
                status=101,
                page=True,
            ),
            Route(
                method=get,
                path="/v1/display",
                handler=self._display,
                summary="The same for the customer view: a CustomerScreen, which has nothing of the cashier's.",
                answer=CustomerScreen,
                status=101,
                page=True,
                display=True,
            ),
            Route(
                method=get,
                path="/v1/ping",
                handler=self._ping,
                summary="Whether the caller is known here; costs nothing.",
                status=204,
                page=True,
                display=True,
                pos=True,
            ),
        )

    async def _page(self, request: web.Request) -> web.Response:
        return self._index.answer(request)

    async def _customer_page(self, request: web.Request) -> web.Response:
        return self._customer.answer(request)

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        if name not in self._assets:
            raise NotFoundError("the page has no such file")
        return self._assets[name].answer(request)

    async def _pair(self, request: web.Request) -> web.Response:
        view = self._access.redeem(request.query.get("code", ""))
        if view is None:
            return problem(HTTPStatus.FORBIDDEN, "This address was used or is too old: run `tillside open` again.")
        try:
            cookie = await asyncio.to_thread(self._access.admit, view)
        except (SecretError, OSError) as error:
            log.error("page_not_admitted", error=type(error).__name__)
            detail = "The state folder takes no more files: make room on its disk, then run `tillside open` again."
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)
        place, name = ("/", self._access.cookie_name)
        if view == "customer":
            place, name = ("/customer", self._access.display_cookie_name)
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": place})
        response.set_cookie(name, cookie, httponly=True, samesite="Strict", path="/")
        return response

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _told(self, request: web.Request) -> web.StreamResponse:
        return await self._watch(request, lambda: self._desk.told)

    async def _display(self, request: web.Request) -> web.StreamResponse:
        return await self._watch(request, lambda: self._desk.screen)

    async def _watch(self, request: web.Request, told: Callable[[], bytes]) -> web.StreamResponse:
        async def tell(send: Send) -> None:
            """The newest state whenever it changes; a slow reader misses what was in between, never the last."""
            with self._desk.watching() as changed:
                while True:
                    await send(told())
                    await changed_or_alive(changed, send)

        return await self._watchers.serve(request, tell)


class _File:
    """A file of the pages, compressed once: to do that for each answer took longer than sending it."""

    def __init__(self, path: Path, media_type: str) -> None:
        self._whole = path.read_bytes()
        self._compressed = gzip.compress(self._whole, mtime=0)
        self._media_type = media_type

    def answer(self, request: web.Request) -> web.Response:
        """As the browser takes it: a third of its size, where that reads what is compressed."""
        taken = "gzip" in request.headers.get("Accept-Encoding", "")
        return web.Response(
            body=self._compressed if taken else self._whole,
            content_type=self._media_type,
            charset="utf-8",
            headers={"Content-Encoding": "gzip"} if taken else None,
        )
