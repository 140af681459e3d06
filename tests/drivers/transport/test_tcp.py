"""TCP devices, on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from drivers.transport.port import PortMissingError, PortUnpluggedError, TransportClosedError
from drivers.transport.tcp import TcpTransport


class Device:
    """A device that listens on a port of this machine and keeps its side of the last connection."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.accepted: list[asyncio.StreamWriter] = []
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self.server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.accepted.append(writer)
        self.connected.set()

    async def stop(self) -> None:
        self.server.close()
        for writer in self.accepted:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        await self.server.wait_closed()


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    device = Device()
    await device.start()
    yield device
    await device.stop()


@pytest.fixture
async def port(device: Device) -> AsyncIterator[TcpTransport]:
    port = TcpTransport("127.0.0.1", device.port)
    await port.open()
    await device.connected.wait()
    yield port
    await port.close()


async def test_bytes_pass_both_ways(device: Device, port: TcpTransport) -> None:
    device.writer.write(b"scan\r")
    await port.write(b"beep")

    assert await port.read() == b"scan\r"
    assert await device.reader.readexactly(4) == b"beep"


async def test_a_device_that_hangs_up_is_unplugged(device: Device, port: TcpTransport) -> None:
    device.writer.write(b"bye")
    device.writer.close()

    assert await port.read() == b"bye"
    with pytest.raises(PortUnpluggedError, match="cable"):
        await port.read()


async def test_a_device_that_resets_is_unplugged(device: Device, port: TcpTransport) -> None:
    device.writer.transport.abort()

    async def write_for_ever() -> None:
        while True:  # the first bytes may still find room in the socket
            await port.write(b"x")

    with pytest.raises(PortUnpluggedError):
        await port.read()
    with pytest.raises(PortUnpluggedError):
        await write_for_ever()


async def test_close_ends_a_pending_read(port: TcpTransport) -> None:
    reading = asyncio.create_task(port.read())
    await asyncio.sleep(0)

    await port.close()

    with pytest.raises(TransportClosedError):
        await reading
    with pytest.raises(TransportClosedError):
        await port.write(b"x")


async def test_it_opens_again(device: Device, port: TcpTransport) -> None:
    await port.close()
    device.connected.clear()

    await port.open()
    await device.connected.wait()
    device.writer.write(b"again")

    assert await port.read() == b"again"


async def test_nobody_at_the_address_is_a_missing_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refused
        number = unused.getsockname()[1]

        with pytest.raises(PortMissingError, match=f"127.0.0.1:{number}"):
            await TcpTransport("127.0.0.1", number).open()
