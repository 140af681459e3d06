"""Every transport with a device at its far end, as the checks of transports want them."""

from __future__ import annotations

import asyncio
import os
import socket
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from drivers.transport.memory import memory_pair
from drivers.transport.port import Transport
from drivers.transport.serial import SerialTransport
from drivers.transport.tcp import TcpTransport

POLL_S = 0.001


class MemoryRig:
    """The far end of a wire in memory."""

    def __init__(self) -> None:
        self.transport: Transport
        self.transport, self.far = memory_pair()

    async def send(self, data: bytes) -> None:
        await self.far.write(data)

    async def receive(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            got += await self.far.read()
        return got

    async def unplug(self) -> None:
        self.far.unplug()

    async def plug_in(self) -> None:
        self.far.plug_in()

    @classmethod
    @asynccontextmanager
    async def made(cls) -> AsyncIterator[MemoryRig]:
        rig = cls()
        await rig.far.open()
        yield rig


class TerminalRig:
    """A pseudo-terminal, under the same link whenever it is plugged in."""

    def __init__(self, link: Path) -> None:
        self.transport: Transport = SerialTransport(str(link))
        self._link = link
        self._ends: tuple[int, int] | None = None

    async def send(self, data: bytes) -> None:
        assert self._ends is not None
        while data:
            try:
                data = data[os.write(self._ends[0], data) :]
            except BlockingIOError:
                await asyncio.sleep(POLL_S)

    async def receive(self, count: int) -> bytes:
        assert self._ends is not None
        got = b""
        while len(got) < count:
            try:
                got += os.read(self._ends[0], count - len(got))
            except BlockingIOError:
                await asyncio.sleep(POLL_S)
        return got

    async def unplug(self) -> None:
        if self._ends is not None:
            self._link.unlink()
            for end in self._ends:
                os.close(end)
            self._ends = None

    async def plug_in(self) -> None:
        ours, theirs = self._ends = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self._link.symlink_to(os.ttyname(theirs))

    @classmethod
    @asynccontextmanager
    async def made(cls, link: Path) -> AsyncIterator[TerminalRig]:
        rig = cls(link)
        await rig.plug_in()
        try:
            yield rig
        finally:
            await rig.unplug()


class NetworkRig:
    """A device that listens on this machine, on the same number whenever it is plugged in."""

    def __init__(self) -> None:
        self._number = 0
        self._server: asyncio.Server | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._connected = asyncio.Event()
        self.transport: Transport

    async def send(self, data: bytes) -> None:
        _, writer = await self._connection()
        writer.write(data)
        await writer.drain()

    async def receive(self, count: int) -> bytes:
        reader, _ = await self._connection()
        return await reader.readexactly(count)

    async def unplug(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._streams is not None:
            self._streams[1].close()
            with suppress(ConnectionError):
                await self._streams[1].wait_closed()
        self._server = self._streams = None
        self._connected.clear()

    async def plug_in(self) -> None:
        listening = socket.create_server(("127.0.0.1", self._number))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # no device has megabytes
        self._number = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=listening)
        if not hasattr(self, "transport"):
            self.transport = TcpTransport("127.0.0.1", self._number)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)
        self._streams = reader, writer
        self._connected.set()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await self._connected.wait()
        assert self._streams is not None
        return self._streams

    @classmethod
    @asynccontextmanager
    async def made(cls) -> AsyncIterator[NetworkRig]:
        rig = cls()
        await rig.plug_in()
        try:
            yield rig
        finally:
            await rig.unplug()
