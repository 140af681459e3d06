"""The sockets of those who watch a register: pages, or programs of the POS.

Owns how many of a kind there may be, and that one who does not read, or may no more, is let go of. Never knows what is
told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from aiohttp import WSCloseCode, web

from agent.answers import problem
from agent.cross_origin import SUBPROTOCOL

# The page calls the register silent after 12 s without a word.
ALIVE_EVERY_S: Final = 5.0
ALIVE: Final = b'{"type":"alive"}'
# A cashier page, the customer view, and room for a page that was loaded anew before its old socket was missed.
MAX_PAGES: Final = 8
# A POS, and what its makers watch it with. None of them takes a page's place, and no page one of theirs.
MAX_LISTENERS: Final = 8
MAX_INCOMING_MESSAGE_BYTES: Final = 4096
# Who does not read for so long is gone, or as good as; whoever comes back is told what they missed.
SENT_WITHIN_S: Final = 10.0

Send = Callable[[bytes], Awaitable[None]]


class _NoMoreError(Exception):
    """Whoever listens would not be let in any more."""


class Watchers:
    """All of one kind that are open now, `most` at once; `may_still` says whether one may be told more."""

    def __init__(
        self, most: int, may_still: Callable[[web.Request], bool], *, sent_within_s: float = SENT_WITHIN_S
    ) -> None:
        self._most = most
        self._may_still = may_still
        self._sent_within_s = sent_within_s
        self._open: dict[web.WebSocketResponse, web.Request] = {}
        self._closing: set[asyncio.Task[bool]] = set()

    async def serve(self, request: web.Request, tell: Callable[[Send], Awaitable[None]]) -> web.StreamResponse:
        """Keep a socket until it ends, beside `tell`, which sends to it for ever."""
        if len(self._open) >= self._most:
            detail = f"{self._most} of these are open already: close one, or wait until one that is gone was missed."
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)
        socket = web.WebSocketResponse(
            max_msg_size=MAX_INCOMING_MESSAGE_BYTES, compress=False, protocols=(SUBPROTOCOL,)
        )
        await socket.prepare(request)
        self._open[socket] = request
        telling = asyncio.create_task(self._tell(request, socket, tell))
        try:
            async for _ in socket:
                pass  # nobody has anything to say; reading is what notices that they left
        finally:
            telling.cancel()
            del self._open[socket]
        return socket

    async def leave(self, _application: web.Application) -> None:
        """Tells everyone that the register goes."""
        for socket in tuple(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    def look_again(self) -> None:
        """Lets go of those who may no more, now and not only at the next word to them."""
        for socket, request in self._open.items():
            if not self._may_still(request):
                closing = asyncio.create_task(socket.close(code=WSCloseCode.POLICY_VIOLATION))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    async def _tell(
        self, request: web.Request, socket: web.WebSocketResponse, tell: Callable[[Send], Awaitable[None]]
    ) -> None:
        async def send(message: bytes) -> None:
            if not self._may_still(request):
                raise _NoMoreError
            async with asyncio.timeout(self._sent_within_s):
                await socket.send_str(message.decode())

        try:
            with suppress(ConnectionError):
                await tell(send)
        except _NoMoreError:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # a goodbye would not be read either


async def changed_or_alive(changed: asyncio.Event, send: Send) -> None:
    """Until there is news; as long as there is none, a sign of life now and then."""
    while True:
        try:
            await asyncio.wait_for(changed.wait(), ALIVE_EVERY_S)
        except TimeoutError:
            await send(ALIVE)
        else:
            changed.clear()
            return
