"""The serving process: live connections, periodic work, and how it ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from aiohttp import WSMsgType, web
from sqlalchemy import Connection

from central import devices, ledger
from central.certificates import RENEW_BEFORE, SERVER_LIFE
from central.db import tables
from central.db.database import Database
from central.devices import REQUEST_IDS_KEPT
from central.folder import DataFolder
from central.live import LiveConnection, LiveConnections
from central.server import CERTIFICATE_EVERY, FORGET_EVERY, MATURE_EVERY, MATURED_AT_ONCE, Server
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


class Line:
    """A register's end of a live connection: what it was sent, and whether it was shut."""

    def __init__(self) -> None:
        self.hints: list[int] = []
        self.shut = asyncio.Event()

    async def send_str(self, text: str) -> None:
        feed = msgspec.json.decode(text, type=LiveHint).feed
        assert isinstance(feed, int)
        self.hints.append(feed)

    async def close(self, **_why: object) -> None:
        self.shut.set()

    def __aiter__(self) -> Line:
        return self

    async def __anext__(self) -> None:
        await self.shut.wait()
        raise StopAsyncIteration


async def test_the_newest_connection_is_the_last_to_come_however_late_the_others_hear_where_the_feed_is() -> None:
    # Given three connections of a register, of which the first hears last
    lines, connections = [Line() for _ in range(3)], LiveConnections()
    known: list[asyncio.Future[int]] = [asyncio.get_running_loop().create_future() for _ in lines]
    serving = []
    for line, future in zip(lines, known, strict=True):
        connection = LiveConnection(cast("web.WebSocketResponse", line), "12")
        position = partial(asyncio.wait_for, future, None)
        serving.append(asyncio.create_task(connections.serve("d1", connection, position)))
        await asyncio.sleep(0)
    # When the feed moves in the meantime
    connections.announce(8, {"12"}.__contains__)
    for future in reversed(known):
        future.set_result(7)
        await asyncio.sleep(0.01)
    # Then the first is shut, and what the others were told last is the news
    assert [line.shut.is_set() for line in lines] == [True, False, False]
    assert [line.hints[-1] for line in lines[1:]] == [8, 8]
    for line in lines:
        line.shut.set()
    await asyncio.gather(*serving)
    assert connections.devices() == frozenset()


async def test_a_hint_is_waited_for_where_no_live_connection_can_stand(centre: RunningCentre) -> None:
    # Given a register that was told of all there is, and one that was not
    till, other = [await centre.till(register) for register in ("1", "2")]
    newest = (await till.changes()).next
    assert (await till.get(f"/v1/hint?after={newest - 1}&wait=20", LiveHint)).feed == newest
    assert await till.get(f"/v1/hint?after={newest}&wait=0", LiveHint) == LiveHint()
    # When it waits and the other sells
    waiting = asyncio.create_task(till.get(f"/v1/hint?after={newest}&wait=20", LiveHint))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    answer = await other.sell(receipt(1, code="TS0001"))
    # Then it hears of that at once
    assert (await waiting).feed == answer.outcomes[0].pos
    # And no request waits longer than is said
    status, _ = await till.request("GET", f"/v1/hint?after={newest}&wait=26", b"")
    assert status == 422


async def test_a_hint_that_is_waited_for_ends_with_its_device(centre: RunningCentre) -> None:
    till = await centre.till()
    newest = (await till.changes()).next
    waiting = asyncio.create_task(till.get(f"/v1/hint?after={newest}&wait=20", LiveHint))
    await asyncio.sleep(0.1)
    centre.write(lambda connection: devices.revoke(connection, till.device, NOON))
    async with asyncio.timeout(10):
        assert await waiting == LiveHint()


async def test_a_live_connection_needs_a_signature(centre: RunningCentre) -> None:
    till = await centre.till()
    status, _ = await till.request("GET", "/v1/live", b"", headers={"Tillside-Device": till.device})
    assert status == 401


async def test_a_revoked_register_is_shut_out_while_the_upkeep_is_at_long_work(
    centre: RunningCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an upkeep that will not come to an end
    busy = asyncio.Event()

    async def long_work(_server: Server, _database: Database) -> None:
        busy.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Server, "_mature", long_work)
    till = await centre.till()
    socket = await till.live()
    assert (await socket.receive()).type == WSMsgType.TEXT
    centre.clock.now += MATURE_EVERY
    await busy.wait()
    # When the register is revoked
    centre.write(lambda connection: devices.revoke(connection, till.device, NOON))
    # Then its live connection is shut all the same
    async with asyncio.timeout(10):
        assert (await socket.receive()).type in ENDED


async def test_what_another_process_committed_is_placed_at_start(data: Path) -> None:
    # Given members imported while nobody served (see the fixture): changes without a position
    stop = asyncio.Event()
    started: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(Server(DataFolder(data), clock=lambda: NOON).run(started.set_result, stop))
    await started
    centre = RunningCentre(DataFolder(data), started.result(), None, lambda: NOON)  # type: ignore[arg-type]
    # Then they have one as soon as it serves
    assert [row.pos for row in centre.read(lambda c: c.execute(tables.feed.select()).all())] == [1, 2, 3]
    centre.database.close()
    stop.set()
    await running


async def until(reached: Callable[[], Any]) -> None:
    """Wait for the server's periodic work."""
    async with asyncio.timeout(10):
        while True:
            if await asyncio.to_thread(reached):
                return
            await asyncio.sleep(0.02)


async def test_the_certificate_is_renewed_while_it_serves(centre: RunningCentre) -> None:
    address = centre.folder.serving()["listen"]

    def presented() -> str:
        return ssl.get_server_certificate((address.host, address.port))

    # Given a register that is connected
    till = await centre.till()
    before = await asyncio.to_thread(presented)
    # When its end is less than a year away, and a day passes
    centre.clock.now = NOON + SERVER_LIFE - RENEW_BEFORE + timedelta(seconds=1)
    # Then new connections see a new one, of the same CA, and old connections go on
    await until(lambda: presented() != before)
    await till.heartbeat()
    # And it is not made anew every day
    after = await asyncio.to_thread(presented)
    centre.clock.now += CERTIFICATE_EVERY
    await until(lambda: centre.count(tables.requests) == 0)
    assert await asyncio.to_thread(presented) == after


async def test_a_certificate_that_cannot_be_renewed_does_not_end_the_server(
    centre: RunningCentre, capsys: pytest.CaptureFixture[str]
) -> None:
    till = await centre.till()
    centre.folder.ca_key.unlink()
    centre.clock.now = NOON + SERVER_LIFE - RENEW_BEFORE + timedelta(seconds=1)
    logged: list[str] = []

    def said() -> bool:
        logged.append(capsys.readouterr().out)
        return "certificate_not_renewed" in "".join(logged)

    await until(said)
    await till.heartbeat()


async def test_however_much_matures_at_once_is_confirmed_in_one_go(centre: RunningCentre) -> None:
    # Given more members than one transaction takes, with points that are due in a minute
    till = await centre.till()
    await till.sell(receipt(1, code="TS0001"))
    [given] = centre.read(lambda connection: connection.execute(tables.ledger.select()).mappings().all())
    names = [f"x{number}" for number in range(2 * MATURED_AT_ONCE + 1)]
    due = NOON + MATURE_EVERY

    def work(connection: Connection) -> None:
        connection.execute(tables.members.insert(), [{"id": name, "created_at": NOON} for name in names])
        connection.execute(
            tables.ledger.insert(),
            [
                {**given, "id": given["id"] + count, "member": name, "rule": name, "points": 1, "pending_until": due}
                for count, name in enumerate(names, start=1)
            ],
        )
        connection.execute(
            tables.balances.insert(),
            [{"member": name, "confirmed": 0, "pending": 1, "matures_at": due} for name in names],
        )

    centre.write(work)
    # When that minute has passed, and time stands still from there
    centre.clock.now += MATURE_EVERY
    # Then none of them is left for the next time
    await until(lambda: not centre.read(lambda connection: ledger.matured(connection, centre.clock.now, 1)))


async def test_old_request_ids_are_forgotten(centre: RunningCentre) -> None:
    till = await centre.till()
    await till.heartbeat()
    assert centre.count(tables.requests) == 2
    centre.clock.now += REQUEST_IDS_KEPT
    await till.heartbeat()
    centre.clock.now += FORGET_EVERY
    await until(lambda: centre.count(tables.requests) == 1)


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
