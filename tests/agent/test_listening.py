"""One more connection than may be is closed, and one that asks nothing is let go of."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import closing, suppress

from aiohttp import web

from agent.listening import CappedSite, runner_of
from tests.browser.till import free_port

ASKED = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# Whatever takes longer never comes.
WAIT_S = 20.0


async def served(port: int, *, idle_s: float, most: int) -> web.AppRunner:
    """Whoever has asked is known."""
    known: set[asyncio.BaseTransport] = set()

    async def answer(request: web.Request) -> web.Response:
        if request.transport is not None:
            known.add(request.transport)
        return web.Response(text="here")

    application = web.Application()
    application.router.add_get("/", answer)
    runner = runner_of(application, stop_within_s=1, idle_s=idle_s)
    await runner.setup()
    await CappedSite(runner, "127.0.0.1", port, known=known, most=most).start()
    return runner


async def asked(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which somebody known was answered."""
    reading, writing = await asyncio.open_connection("127.0.0.1", port)
    await ask(reading, writing)
    return reading, writing


async def ask(reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
    writing.write(ASKED)
    assert (await reading.readuntil(b"here")).startswith(b"HTTP/1.1 200")


async def test_one_too_many_is_closed_and_gets_in_once_another_has_left() -> None:
    port = free_port()
    runner = await served(port, idle_s=WAIT_S * 2, most=2)
    async with asyncio.timeout(WAIT_S):
        held = [await asked(port) for _ in range(2)]
        reading, writing = await asyncio.open_connection("127.0.0.1", port)
        with closing(writing):
            assert await reading.read() == b""

        # who is in is served meanwhile
        await ask(*held[1])

        held[0][1].close()
        assert runner.server is not None
        while len(runner.server.connections) > 1:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.01)
        _, writing = await asked(port)
        writing.close()
        held[1][1].close()
    await runner.cleanup()


async def test_who_says_nothing_keeps_nobody_out() -> None:
    # given somebody known, and as many strangers that hold a connection each as there is room for
    port = free_port()
    runner = await served(port, idle_s=WAIT_S * 2, most=4)
    async with asyncio.timeout(WAIT_S):
        known = await asked(port)
        strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        # when others come
        others = [await asked(port) for _ in range(2)]
        # then the strangers that came first have left for them, and nobody else
        for reading, _ in strangers[:2]:
            assert await reading.read() == b""
        for one in (known, *others):
            await ask(*one)
        await ask(*strangers[2])
        for _, writing in (known, *strangers, *others):
            writing.close()
    await runner.cleanup()


async def test_a_head_that_trickles_in_has_no_longer_than_one_that_does_not_come() -> None:
    port = free_port()
    runner = await served(port, idle_s=0.3, most=8)
    async with asyncio.timeout(WAIT_S):
        reading, writing = await asyncio.open_connection("127.0.0.1", port)

        async def trickle() -> None:
            for byte in itertools.chain(ASKED[:-2], itertools.repeat(ord("x"))):
                writing.write(bytes([byte]))
                await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        with closing(writing), suppress(ConnectionError):
            assert await reading.read() == b""
        trickling.cancel()
    await runner.cleanup()


async def test_a_connection_on_which_nothing_is_asked_is_closed() -> None:
    port = free_port()
    runner = await served(port, idle_s=0.1, most=8)
    async with asyncio.timeout(WAIT_S):
        for asked in (b"", ASKED):
            reading, writing = await asyncio.open_connection("127.0.0.1", port)
            with closing(writing):
                writing.write(asked)
                assert (await reading.read())[:12] == (b"HTTP/1.1 200" if asked else b"")
    await runner.cleanup()
