"""One TCP connection as the kernel has it. Owns waiting for a socket; buffers nothing itself, so that a
side which takes no more stops the other one, and errors come after the bytes before them.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

# Read at a time, and what the kernel may buffer in each direction (it doubles this for its own needs).
READ_BYTES: Final = 64 * 1024
KERNEL_BUFFER_BYTES: Final = 64 * 1024
# A peer that vanished without a word is found out after 30 + 3 × 10 seconds.
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A TCP address; `str` writes it as the command line reads it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Line:
    """One connected socket. One task may receive and one may send at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)

    @classmethod
    async def reach(cls, endpoint: Endpoint) -> Line:
        """Connect, trying each address of a host name in turn. Raises OSError."""
        failure = OSError(f"{endpoint.host} has no address")
        for family, kind, protocol, _, address in await _addresses(endpoint):
            connecting = socket.socket(family, kind, protocol)
            try:
                connecting.setblocking(False)
                connecting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
                await asyncio.get_running_loop().sock_connect(connecting, address)
            except OSError as error:
                connecting.close()
                failure = error
            except BaseException:
                connecting.close()
                raise
            else:
                return cls(connecting)
        raise failure

    async def receive(self) -> bytes:
        """The next bytes, b"" when the peer has said its last. Raises OSError. Cancelling it loses nothing."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(BlockingIOError, InterruptedError):
                return self._socket.recv(READ_BYTES)
            await _ready(self._socket, loop.add_reader, loop.remove_reader)

    async def send(self, data: bytes) -> None:
        """Give all of `data` to the kernel. Raises OSError."""
        loop = asyncio.get_running_loop()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except (BlockingIOError, InterruptedError):
                await _ready(self._socket, loop.add_writer, loop.remove_writer)

    def finish_sending(self) -> None:
        """Nothing more comes from this side; the peer may still answer."""
        with suppress(OSError):  # the peer has ended the connection already
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Close so that the peer's next call fails, as one with a dead machine does."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._socket.close()


async def _addresses(endpoint: Endpoint) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    try:  # a numeric address needs no thread
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return list(found)


async def _ready(waiting: socket.socket, add: Callable[..., None], remove: Callable[[socket.socket], bool]) -> None:
    ready = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(waiting, wake)
    try:
        await ready
    finally:
        remove(waiting)
