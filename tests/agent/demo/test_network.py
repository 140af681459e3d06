"""The cable that can be pulled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from agent.demo.network import Cable


@pytest.fixture
async def echo() -> AsyncIterator[tuple[str, int]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()


@contextlib.asynccontextmanager
async def connected(cable: Cable) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", cable.port)
    yield reader, writer
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_bytes_pass_both_ways_and_the_end_passes_too(echo: tuple[str, int]) -> None:
    async with Cable(echo) as cable, connected(cable) as (reader, writer):
        writer.write(b"hello")
        writer.write_eof()

        assert await reader.read() == b"hello"


async def test_a_pulled_cable_drops_what_stands_and_refuses_what_comes(echo: tuple[str, int]) -> None:
    async with Cable(echo) as cable:
        async with connected(cable) as (reader, writer):
            writer.write(b"a")
            assert await reader.read(1) == b"a"

            cable.cut()

            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        async with connected(cable) as (reader, _):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)

        cable.restore()

        async with connected(cable) as (reader, writer):
            writer.write(b"b")
            assert await reader.read(1) == b"b"
