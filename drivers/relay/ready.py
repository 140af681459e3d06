"""Waits until the kernel has bytes for the event loop, or takes some. Owns nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from drivers.relay.line import READ_BYTES


class Incoming:
    """What a connected socket has, for one task at a time.

    The event loop goes on watching the socket between two waits: to begin and end that takes longer than to read. It
    stops where bytes come that nobody waits for. Close this before the socket.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._is_watched = False
        self._heard: asyncio.Future[bytes] | None = None

    async def receive(self) -> bytes:
        """The next bytes, b"" at the end. Raises OSError. Cancelling it loses nothing."""
        # A wait that was cancelled may have heard something all the same.
        if self._heard is None or self._heard.cancelled():
            with suppress(BlockingIOError, InterruptedError):
                return self._socket.recv(READ_BYTES)
            self._heard = self._watch()
        data = await self._heard
        self._heard = None
        return data

    def close(self) -> None:
        if self._is_watched:
            self._is_watched = False
            asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def _watch(self) -> asyncio.Future[bytes]:
        loop = asyncio.get_running_loop()
        if not self._is_watched:
            self._is_watched = True
            loop.add_reader(self._socket.fileno(), self._read)
        return loop.create_future()

    def _read(self) -> None:
        heard = self._heard
        if heard is None or heard.done():
            self.close()
            return
        try:
            heard.set_result(self._socket.recv(READ_BYTES))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            heard.set_exception(error)


async def readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    await _ready(handle, loop.add_reader, loop.remove_reader)


async def writable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    await _ready(handle, loop.add_writer, loop.remove_writer)


async def _ready(handle: int, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    ready = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(handle, wake)
    try:
        await ready
    finally:
        remove(handle)
