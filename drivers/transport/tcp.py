"""A device that listens on TCP: network scanners, serial-to-Ethernet boxes, printers.

Owns one client connection. Never interprets a byte, and never connects again by itself: whoever
supervises the driver decides when.
"""

from __future__ import annotations

import asyncio
import socket

from drivers.transport.port import (
    INPUT_LIMIT_BYTES,
    PortMissingError,
    PortUnpluggedError,
    TransportClosedError,
)

CONNECT_DEADLINE_S = 5.0
WRITE_DEADLINE_S = 5.0
# A pulled network cable is noticed after IDLE + INTERVAL × COUNT seconds of silence.
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 15, 5, 3


class TcpTransport:
    """The `Transport` to `host`:`port`."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._name = f"{host}:{port}"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        await self.close()
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                self._streams = await asyncio.open_connection(self._host, self._port, limit=INPUT_LIMIT_BYTES)
        except OSError as error:  # TimeoutError is one
            raise PortMissingError(
                f"Nothing answers at {self._name}. Check that the device is on, and its address."
            ) from error
        connected = self._streams[1].get_extra_info("socket")
        # Set, it no longer grows by itself (to 32 MiB on Linux): what nobody reads is held back at the device.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, INPUT_LIMIT_BYTES)
        _keep_alive(connected)

    async def read(self) -> bytes:
        reader, _ = streams = self._opened()
        try:
            data = await reader.read(INPUT_LIMIT_BYTES)
        except OSError as error:
            self._refuse_closed(streams)
            raise self._gone() from error
        self._refuse_closed(streams)
        if not data:
            raise self._gone()
        return data

    async def write(self, data: bytes) -> None:
        _, writer = streams = self._opened()
        try:
            writer.write(data)
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await writer.drain()
        except OSError as error:
            self._refuse_closed(streams)
            raise self._gone() from error

    async def close(self) -> None:
        streams, self._streams = self._streams, None
        if streams is None:
            return
        _, writer = streams
        writer.close()  # ends a pending read, too
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await writer.wait_closed()
        except OSError:
            writer.transport.abort()  # it has failed, or takes no more

    def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            raise TransportClosedError(f"{self._name} is not open.")
        return self._streams

    def _refuse_closed(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        if self._streams is not streams:
            raise TransportClosedError(f"{self._name} was closed.")

    def _gone(self) -> PortUnpluggedError:
        return PortUnpluggedError(f"{self._name} ended the connection. Check that the device is on, and its cable.")


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    ):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
