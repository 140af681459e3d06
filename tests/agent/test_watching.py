"""Who does not read is let go of, and keeps nobody from being told."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web

from agent.watching import Send, Watchers
from tests.browser.till import free_port

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def test_one_that_never_reads_is_let_go_of() -> None:
    watchers, port, sent = Watchers(1, lambda _request: True, sent_within_s=0.2), free_port(), 0

    async def tell(send: Send) -> None:
        nonlocal sent
        while True:
            await send(b"x" * 65_536)
            sent += 1

    async def watched(request: web.Request) -> web.StreamResponse:
        return await watchers.serve(request, tell)

    application = web.Application()
    application.router.add_get("/", watched)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    with socket.create_connection(("127.0.0.1", port)) as idle:
        idle.sendall(HANDSHAKE)
        async with asyncio.timeout(10):
            while not sent or watchers._open:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.01)
    await runner.cleanup()
    assert sent * 65_536 < 64 * 1024 * 1024, "it was not kept in memory either"
