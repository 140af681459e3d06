"""The proxy does to a connection exactly what it was told, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import FINE, REFUSED, SILENT, Fault, FaultyProxy

# A side that waits for a byte which never comes must not hang a test.
PATIENCE_S = 5.0


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that says everything back, and closes when it was told everything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def proxied(fault_of: Callable[[int], Fault]) -> AsyncIterator[FaultyProxy]:
    async with echo() as port, FaultyProxy("127.0.0.1", port, fault_of) as proxy:
        yield proxy


async def exchange(proxy: FaultyProxy, request: bytes) -> bytes:
    """Everything that comes back for `request` before the connection ends in any way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    received = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(request)
            writer.write_eof()
            while piece := await reader.read(65536):
                received += piece
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return bytes(received)


@pytest.mark.parametrize("size", [0, 1, 4096, 300_000])
async def test_without_a_fault_every_byte_passes(size: int) -> None:
    async with proxied(lambda _: FINE) as proxy:
        assert await exchange(proxy, b"x" * size) == b"x" * size


async def test_a_delay_changes_no_byte() -> None:
    async with proxied(lambda _: Fault(delay_s=0.001)) as proxy:
        assert await exchange(proxy, b"hello" * 2000) == b"hello" * 2000


async def test_a_refused_connection_gives_nothing() -> None:
    async with proxied(lambda _: REFUSED) as proxy:
        assert await exchange(proxy, b"hello") == b""


async def test_a_silent_connection_takes_everything_and_answers_nothing() -> None:
    async with proxied(lambda _: SILENT) as proxy:
        assert await exchange(proxy, b"hello") == b""


@pytest.mark.parametrize("position", [0, 1, 5000])
async def test_an_answer_is_cut_at_its_position(position: int) -> None:
    async with proxied(lambda _: Fault(cut_answer_after=position)) as proxy:
        received = await exchange(proxy, bytes(range(256)) * 40)

    # What was on its way when the connection was reset may be lost; never more than the position comes
    assert len(received) <= position
    assert (bytes(range(256)) * 40).startswith(received)


async def test_a_request_is_cut_at_its_position() -> None:
    heard = bytearray()
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                heard.extend(piece)
        except ConnectionError:
            pass
        writer.close()
        ended.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, FaultyProxy("127.0.0.1", port, lambda _: Fault(cut_request_after=3)) as proxy:
        assert await exchange(proxy, b"abcdef") == b""
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()

    assert b"abc".startswith(heard)


async def test_bytes_are_doubled() -> None:
    async with proxied(lambda _: Fault(double_answer_at=2)) as proxy:
        assert await exchange(proxy, b"abc") == b"abcabc"
    async with proxied(lambda _: Fault(double_request_at=0)) as proxy:
        assert await exchange(proxy, b"abc") == b"abcabc"


async def test_each_connection_has_its_own_fault() -> None:
    async with proxied(lambda number: REFUSED if number == 1 else FINE) as proxy:
        assert [await exchange(proxy, b"x") for _ in range(3)] == [b"x", b"", b"x"]
        assert proxy.connections == 3


async def test_what_stands_falls_silent_and_stays_open() -> None:
    async with proxied(lambda _: FINE) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"

        proxy.fall_silent()
        writer.write(b"y")
        assert await exchange(proxy, b"z") == b"z"
        assert not reader.at_eof()
        writer.transport.abort()


async def test_the_far_side_is_done_and_still_listens() -> None:
    async with proxied(lambda _: FINE) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"

        proxy.half_close()
        assert await reader.read() == b""
        for _ in range(3):  # a side that is gone would answer the first with a reset
            writer.write(b"y")
            await writer.drain()
            assert await exchange(proxy, b"z") == b"z"
        writer.transport.abort()


async def test_the_network_goes_and_comes_back() -> None:
    async with proxied(lambda _: FINE) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"

        await proxy.take_down()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.transport.abort()
        assert await exchange(proxy, b"x") == b""

        proxy.bring_up()
        assert await exchange(proxy, b"x") == b"x"
