"""The registers that listen, and the hints that they get.

Owns the live connections: how many a device may have, when one is gone, and whose register hears of
news. A hint is only ever a reason to look; what there is to see comes by the feed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import msgspec
from aiohttp import WSCloseCode, web
from msgspec import UNSET
from sqlalchemy import Connection

from central import granting, members, scopes
from central.db.database import Database
from central.feed import Placed
from sync.wire import ALLOWANCES_HINT, LiveHint

# A WebSocket that answers no ping for this long is gone.
HEARTBEAT_S = 20.0
# A connection that is shut has this long to say goodbye.
CLOSE_S = 0.5
# Live connections of one device: a register has one, and a second while it reconnects.
PER_DEVICE = 2
# A register sends nothing on its live connection.
MAX_MESSAGE_BYTES = 1024


def live_socket() -> web.WebSocketResponse:
    """The centre's end of a live connection."""
    return web.WebSocketResponse(heartbeat=HEARTBEAT_S, timeout=CLOSE_S, max_msg_size=MAX_MESSAGE_BYTES)


class Line(Protocol):
    """A register's end, as far as hints go down it: open for as long as it is iterated over."""

    async def send_str(self, data: str) -> None: ...

    async def close(self, *, code: int, message: bytes) -> object: ...

    def __aiter__(self) -> AsyncIterator[object]: ...


class AwaitedHint:
    """The end of a register that asked for the next hint beyond `after`: open until that came."""

    def __init__(self, after: int) -> None:
        self.hint = LiveHint()
        self._after = after
        self._ended = asyncio.Event()

    async def send_str(self, data: str) -> None:
        hint = msgspec.json.decode(data, type=LiveHint)
        if (hint.feed or 0) > self._after or hint.command:
            self.hint = hint
            self._ended.set()

    async def close(self, *, code: int, message: bytes) -> None:  # noqa: ARG002 - there is nobody to tell
        self._ended.set()

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        await self._ended.wait()
        raise StopAsyncIteration


class LiveConnection:
    """One register that listens. However many hints come while one is sent, only the newest goes next."""

    def __init__(self, socket: Line, store: str) -> None:
        self.socket = socket
        self.store = store
        self._pos: int | None = None
        self._has_allowances = False
        self._news = asyncio.Event()

    def announce(self, pos: int) -> None:
        self._pos = pos if self._pos is None else max(pos, self._pos)
        self._news.set()

    def announce_allowances(self) -> None:
        self._has_allowances = True
        self._news.set()

    async def tell(self) -> None:
        """Send hints until the connection is gone."""
        while True:
            await self._news.wait()
            self._news.clear()
            hint = LiveHint(
                feed=UNSET if self._pos is None else self._pos,
                command=ALLOWANCES_HINT if self._has_allowances else UNSET,
            )
            self._has_allowances = False
            await self.socket.send_str(msgspec.json.encode(hint).decode())

    async def shut(self, code: int, reason: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self.socket.close(code=code, message=reason)


class LiveConnections:
    """Who listens for hints. A hint is only ever a reason to look."""

    def __init__(self) -> None:
        self._of: dict[str, list[LiveConnection]] = {}

    async def serve(self, device: str, connection: LiveConnection, position: Callable[[], Awaitable[int]]) -> None:
        """Keep a connection until it ends, told first where the feed is; the oldest goes where a device has too many.

        It is kept before `position` is asked, so that no news falls between and the last to come is the newest.
        """
        listening = self._of.setdefault(device, [])
        listening.append(connection)
        telling = asyncio.create_task(connection.tell())
        try:
            connection.announce(await position())
            for old in listening[:-PER_DEVICE]:
                await old.shut(WSCloseCode.POLICY_VIOLATION, b"a newer connection of this device took over")
            async for _ in connection.socket:
                pass  # hints go down only
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            listening.remove(connection)
            if not listening:
                self._of.pop(device, None)

    def announce(self, pos: int, concerned: Callable[[str], bool]) -> None:
        """Tell those whose store is concerned how far the feed has come."""
        for listening in self._of.values():
            for connection in listening:
                if concerned(connection.store):
                    connection.announce(pos)

    def announce_allowances(self, devices: frozenset[str]) -> None:
        for device in devices:
            for connection in self._of.get(device, ()):
                connection.announce_allowances()

    def stands_at(self, device: str, store: str) -> None:
        """Where a register is now: from here on it hears of what concerns that store."""
        for connection in self._of.get(device, ()):
            connection.store = store

    def stores(self) -> frozenset[str]:
        return frozenset(connection.store for listening in self._of.values() for connection in listening)

    def devices(self) -> frozenset[str]:
        return frozenset(self._of)

    async def shut(self, devices: frozenset[str], reason: bytes) -> None:
        going = [connection for device in devices for connection in self._of.get(device, [])]
        await asyncio.gather(*(connection.shut(WSCloseCode.POLICY_VIOLATION, reason) for connection in going))

    async def shut_all(self) -> None:
        everyone = [connection for listening in self._of.values() for connection in listening]
        await asyncio.gather(*(one.shut(WSCloseCode.GOING_AWAY, b"the centre stops") for one in everyone))


async def tell_registers(database: Database, live: LiveConnections, placed: Placed) -> None:
    """A hint to the registers whose feed what was placed is about."""
    listening = live.stores()
    if not listening:
        return

    def work(connection: Connection) -> frozenset[str]:
        whose = sorted(placed.members)
        if members.erased_among(connection, whose):
            return frozenset(listening)  # any register may hold something of who is gone for all
        holding = scopes.stores_holding(connection, whose)
        return frozenset(
            store for store in listening if store in holding or scopes.scope_of(connection, store).store is None
        )

    concerned = await database.read(work)
    live.announce(placed.pos, concerned.__contains__)


async def tell_of_allowances(database: Database, live: LiveConnections) -> None:
    """A hint to the registers that were granted points, or are asked for some, and have not heard of it."""
    listening = live.devices()
    if listening:
        live.announce_allowances(
            await database.read(lambda connection: granting.not_told(connection, sorted(listening)))
        )
