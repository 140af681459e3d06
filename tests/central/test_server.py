"""The serving process: live connections, periodic work, and how it ends."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from aiohttp import WSMsgType

from central.db import tables
from central.folder import DataFolder
from central.server import Server
from sync.wire import LiveHint
from tests.central.conftest import RunningCentre
from tests.central.till import NOON, receipt

ENDED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


async def test_every_listening_register_hears_that_the_feed_moved(centre: RunningCentre) -> None:
    tills = [await centre.till(register) for register in ("1", "2")]
    sockets = [await till.live() for till in tills]
    for socket in sockets:
        assert msgspec.json.decode((await socket.receive()).data, type=LiveHint).feed == 3
    answer = await tills[0].sell(receipt(1, code="TS0001"))
    for socket in sockets:
        assert msgspec.json.decode((await socket.receive()).data, type=LiveHint).feed == answer.outcomes[0].pos
        await socket.close()


async def test_a_register_that_connects_again_and_again_keeps_the_newest(centre: RunningCentre) -> None:
    till = await centre.till()
    sockets = [await till.live() for _ in range(3)]
    for socket in sockets:
        assert (await socket.receive()).type == WSMsgType.TEXT
    assert (await sockets[0].receive()).type in ENDED
    await till.sell(receipt(1, code="TS0001"))
    for socket in sockets[1:]:
        assert (await socket.receive()).type == WSMsgType.TEXT
        await socket.close()


async def test_a_live_connection_needs_a_signature(centre: RunningCentre) -> None:
    till = await centre.till()
    status, _ = await till.request("GET", "/v1/live", b"", headers={"Tillside-Device": till.device})
    assert status == 401


async def test_what_another_process_committed_is_placed_at_start(data: Path) -> None:
    # Given members imported while nobody served (see the fixture): changes without a position
    stop = asyncio.Event()
    started: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(Server(DataFolder(data), clock=lambda: NOON).run(started.set_result, stop))
    await started
    centre = RunningCentre(DataFolder(data), started.result(), None, lambda: NOON)  # type: ignore[arg-type]
    # Then they have one as soon as it serves
    assert [row.pos for row in centre.read(lambda c: c.execute(tables.changes.select()).all())] == [1, 2, 3]
    centre.database.close()
    stop.set()
    await running


async def test_a_failure_of_the_periodic_work_ends_the_process_loudly(data: Path) -> None:
    class BrokenClockError(Exception):
        pass

    ready = False

    def clock() -> datetime:
        if ready:
            raise BrokenClockError
        return NOON

    def started(_: object) -> None:
        nonlocal ready
        ready = True

    with pytest.raises(BrokenClockError):
        async with asyncio.timeout(10):
            await Server(DataFolder(data), clock=clock).run(started, asyncio.Event())
