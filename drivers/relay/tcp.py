"""POS and printer on the network: TCP connections as the kernel has them.

Owns waiting for sockets, how a connection ends, and where the relay listens. Buffers nothing itself.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from drivers.relay.line import Arrival
from drivers.relay.ready import Incoming, writable

# What the kernel may buffer in each direction (it doubles this for its own needs).
KERNEL_BUFFER_BYTES: Final = 64 * 1024
BACKLOG: Final = 16
# A printer on the same network answers in milliseconds; a POS gives up after some seconds.
REACH_WITHIN_S: Final = 5.0
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


class TcpLine:
    """The `Line` of one connected socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._incoming = Incoming(connected)
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)

    @classmethod
    async def reach(cls, endpoint: Endpoint) -> TcpLine:
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
        return await self._incoming.receive()

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except (BlockingIOError, InterruptedError):
                await writable(self._socket.fileno())

    def finish_sending(self) -> None:
        with suppress(OSError):  # the peer has ended the connection already
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._incoming.close()
        self._socket.close()

    def reset(self) -> None:
        """The peer's next call fails, as one with a dead machine does."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()


class TcpOutlet:
    """A printer on the network. It gets a connection for each of the POS's."""

    stays = False

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def name(self) -> str:
        return str(self._endpoint)

    async def reach(self) -> TcpLine:
        try:
            async with asyncio.timeout(REACH_WITHIN_S):
                return await TcpLine.reach(self._endpoint)
        except TimeoutError as error:
            raise OSError(errno.ETIMEDOUT, f"no answer within {REACH_WITHIN_S:g} s") from error

    async def close(self) -> None:
        """Connections close with those of the POS."""


class TcpInlet:
    """Where a POS connects to: what `listen` opens, or has from somebody who holds it open."""

    is_wire = False

    def __init__(self, name: str, listen: Callable[[], socket.socket]) -> None:
        self._name = name
        self._listen = listen
        self._listening: socket.socket | None = None

    @property
    def name(self) -> str:
        """As the command line names it; once it listens, the address that it really has."""
        return self._name if self._listening is None else str(_address(self._listening))

    def start(self) -> None:
        listening = self._listen()
        listening.setblocking(False)
        # Set here, it holds for every accepted connection: the POS feels the printer's pace, not our memory.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER_BYTES)
        self._listening = listening

    async def take(self) -> Arrival:
        assert self._listening is not None  # noqa: S101  it has started
        connected, address = await asyncio.get_running_loop().sock_accept(self._listening)
        return Arrival(line=TcpLine(connected), pos=address[0])

    async def close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()


def listen(endpoint: Endpoint) -> socket.socket:
    """A listening socket. Raises OSError where the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((endpoint.host, endpoint.port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _address(listening: socket.socket) -> Endpoint:
    host, port = listening.getsockname()[:2]
    return Endpoint(host=host, port=port)


async def _addresses(endpoint: Endpoint) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    try:  # a numeric address needs no thread
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return list(found)
