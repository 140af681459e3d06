"""The listener of the local API: how many may be connected, and how long one may stay that asks nothing whole.

Owns these limits. Never looks at what is asked (`agent.gate`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
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
    """What serves it, and lets go of a connection on which nothing is asked for `idle_s`. It unpacks no body."""
    return web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=stop_within_s,
        keepalive_timeout=idle_s,
        auto_decompress=False,
    )


class CappedSite(web.BaseSite):
    """A TCP listener with at most `most` connections. A further one takes the place of the oldest on which nobody was
    heard who is `known` here; where there is none it is closed at once, before it is read.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        known: Container[asyncio.BaseTransport] = (),
        most: int = MAX_CONNECTIONS,
    ) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._known = known
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
        if server is None:
            return _TooMany()
        held = [one for one in server.connections if one.transport is not None and not one.transport.is_closing()]
        if len(held) >= self._most:
            stranger = next((one for one in held if one.transport not in self._known), None)
            if stranger is None:
                return _TooMany()
            stranger.force_close()
        return server()


class _TooMany(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
