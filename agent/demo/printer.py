"""A network receipt printer that keeps what it would print. Owns port 9100's manners; draws nothing."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from drivers.escpos.framing import EscposFramer, Frame

READ_BYTES: Final = 64 * 1024
# Answers to DLE EOT 1…4 of a printer that is on, has paper and no error: bits 1 and 4 are always set.
_ALL_WELL: Final = b"\x12"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class VirtualPrinter:
    """Listens on a port of 127.0.0.1, keeps each connection's bytes and answers DLE EOT.

    `bytes_per_s` makes it as slow as one that really prints. `on_cut` is called at each cut, before the
    next bytes are read.
    """

    def __init__(self, *, bytes_per_s: int | None = None, on_cut: Callable[[], None] | None = None) -> None:
        self.connections: list[bytearray] = []
        self.cuts = 0
        self._bytes_per_s = bytes_per_s
        self._on_cut = on_cut
        self._server: asyncio.Server | None = None
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """HOST:PORT, the same after it was switched off and on."""
        return f"127.0.0.1:{self._port}"

    @property
    def printed(self) -> bytes:
        """All bytes, connection after connection."""
        return b"".join(self.connections)

    async def switch_on(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def switch_off(self) -> None:
        """As a pulled plug: open connections break, new ones are refused."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        paper = bytearray()
        self.connections.append(paper)
        self._writers.add(writer)
        framer = EscposFramer()
        with suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                paper += data
                for frame in framer.feed(data):
                    self._obey(frame, writer)
                await writer.drain()
                if self._bytes_per_s is not None:
                    await asyncio.sleep(len(data) / self._bytes_per_s)
        self._writers.discard(writer)
        writer.close()

    def _obey(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        if frame.name == "DLE EOT":
            writer.write(_ALL_WELL)
        elif frame.is_cut:
            self.cuts += 1
            if self._on_cut is not None:
                self._on_cut()
