"""A socket that stays watched between two waits gives each byte once, whenever a wait is cancelled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from drivers.relay.ready import Incoming


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Incoming, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    incoming = Incoming(ours)
    try:
        yield incoming, theirs
    finally:
        incoming.close()
        ours.close()
        theirs.close()


async def turns(count: int) -> None:
    """The event loop turns so often."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_bytes_come_in_order_whether_they_are_waited_for_or_not() -> None:
    async def heard() -> list[bytes]:
        async with connected() as (incoming, theirs):
            chunks = []
            for number in range(20):
                waiting = asyncio.create_task(incoming.receive())
                await turns(number % 4)
                theirs.send(b"%d" % number)
                chunks.append(await waiting)
                theirs.send(b"and")
                await turns(number % 3)  # the loop may see them while nobody waits
                chunks.append(await incoming.receive())
            return chunks

    assert asyncio.run(heard()) == [chunk for number in range(20) for chunk in (b"%d" % number, b"and")]


@pytest.mark.parametrize("before", range(3))
@pytest.mark.parametrize("after", range(4))
def test_a_wait_that_is_cancelled_loses_nothing(before: int, after: int) -> None:
    async def heard() -> bytes:
        async with connected() as (incoming, theirs):
            waiting = asyncio.create_task(incoming.receive())
            await turns(before)
            theirs.send(b"one")
            await turns(after)
            waiting.cancel()
            got = b""
            with suppress(asyncio.CancelledError):
                got = await waiting
            theirs.send(b"two")
            theirs.close()
            while more := await incoming.receive():
                got += more
            return got

    assert asyncio.run(heard()) == b"onetwo"


def test_the_loop_sleeps_while_nobody_waits_for_what_is_there() -> None:
    async def looked() -> int:
        async with connected() as (incoming, theirs):
            waiting = asyncio.create_task(incoming.receive())
            await turns(1)
            theirs.send(b"one")
            await waiting
            theirs.send(b"two")
            await turns(2)
            return len(asyncio.get_running_loop()._selector.get_map())  # type: ignore[attr-defined]

    assert asyncio.run(looked()) == 1, "only the loop's own"


def test_the_end_is_said_as_often_as_it_is_asked_for() -> None:
    async def heard() -> list[bytes]:
        async with connected() as (incoming, theirs):
            waiting = asyncio.create_task(incoming.receive())
            await turns(1)
            theirs.close()
            return [await waiting, await incoming.receive()]

    assert asyncio.run(heard()) == [b"", b""]


def test_an_error_comes_to_who_waits() -> None:
    async def heard() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
        ours.setblocking(False)
        incoming = Incoming(ours)
        waiting = asyncio.create_task(incoming.receive())
        await turns(1)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        try:
            await waiting
        finally:
            incoming.close()
            ours.close()
            listening.close()

    with pytest.raises(ConnectionResetError):
        asyncio.run(heard())
