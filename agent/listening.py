"""The listener of the local API: how many may be connected, and how long one may stay that asks nothing whole.

Owns these limits. Never looks at what is asked (`agent.gate`).
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

# 16 sockets of those who watch, the six connections of a browser's pages, a POS's few, and as many again for each.
MAX_CONNECTIONS: Final = 64
# A page and a POS ask again, or connect again, at no cost on one machine. A request's head has to be whole within this,
# too, however it trickles in: from when the connection was opened, or answered last.
IDLE_S: Final = 60.0
# On one machine the largest body takes milliseconds.
BODY_WITHIN_S: Final = 10.0


def runner_of(application: web.Application, *, stop_within_s: float, idle_s: float = IDLE_S) -> web.AppRunner:
    """What serves it, and lets go of a connection on which nothing is asked for `idle_s`."""
    return web.AppRunner(application, access_log=None, shutdown_timeout=stop_within_s, keepalive_timeout=idle_s)


class CappedSite(web.BaseSite):
    """A TCP listener with at most `most` connections: a further one is closed at once, before it is read."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, *, most: int = MAX_CONNECTIONS) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._most = most

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listens. Raises OSError."""
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(self._protocol, self._host, self._port)

    def _protocol(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None or len(server.connections) >= self._most:
            return _TooMany()
        return server()


class _TooMany(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
