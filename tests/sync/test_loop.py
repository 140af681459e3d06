"""What the loop owes to whoever supervises it; its work is shown in test_against_centre.py."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import cast

import pytest
from msgspec.structs import replace

from sync.client import CentreClient
from sync.errors import CentreRefusedError
from sync.loop import SyncLoop
from sync.store.errors import StoreClosedError
from sync.store.store import Store
from sync.wire import (
    MAX_HINT_WAIT_S,
    UNANSWERED,
    AllowancesRequest,
    AllowancesResponse,
    ChangesResponse,
    EpochRequest,
    EpochResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    LiveHint,
    NothingGranted,
    SnapshotChunk,
    SnapshotResponse,
    Wanted,
)
from tests.faults.proxy import REFUSED, FaultyProxy
from tests.faults.virtual_time import VirtualTimeLoop
from tests.simulation.disk import Disk, SimulatedStore
from tests.sync.centre import FACTS, receipt, register, running_centre


async def test_what_the_store_raises_comes_out_as_itself(tmp_path: Path) -> None:
    async with (
        running_centre(tmp_path / "centre") as centre,
        register(tmp_path / "till", centre, exchanging=False) as till,
    ):
        till.close_store()

        with pytest.raises(StoreClosedError):
            await till.loop.run(lambda: None)


async def test_it_is_ready_before_the_centre_is_reached(tmp_path: Path) -> None:
    ready = asyncio.Event()
    async with (
        running_centre(tmp_path / "centre") as centre,
        FaultyProxy("127.0.0.1", centre.port, lambda _: REFUSED) as network,
        register(tmp_path / "till", centre, url=f"https://127.0.0.1:{network.port}", exchanging=False) as till,
    ):
        running = asyncio.create_task(till.loop.run(ready.set))
        await ready.wait()
        assert not till.loop.state.online

        running.cancel()
        await asyncio.wait({running})


class Closing:
    """A centre that has no news, behind something that ends each live connection as soon as it stands."""

    def __init__(self, now: datetime) -> None:
        self.asked: Counter[str] = Counter()
        self._now = now

    async def heartbeat(self, _request: HeartbeatRequest) -> HeartbeatResponse:
        self.asked["heartbeat"] += 1
        return HeartbeatResponse(centre_epoch="c1", server_time=self._now, feed=0)

    async def open_epoch(self, _request: EpochRequest) -> EpochResponse:
        return EpochResponse(epoch="e1", centre_epoch="c1", server_time=self._now)

    async def snapshot(self, _last: str | None, _as_of: int) -> SnapshotResponse:
        return SnapshotResponse(centre_epoch="c1", as_of=0, made_at=self._now, scope="all", chunks=())

    async def changes(self, _after: int, _limit: int, _scope: str) -> ChangesResponse:
        return ChangesResponse(centre_epoch="c1", changes=(), next=0, more=False, as_of=self._now)

    async def chunk(self, _chunk: SnapshotChunk) -> bytes:
        raise AssertionError("a snapshot of nobody has none")

    async def hints(self) -> AsyncGenerator[LiveHint, None]:
        self.asked["live connection"] += 1
        yield LiveHint()

    async def hint(self, _told: int) -> LiveHint:
        self.asked["hint"] += 1
        await asyncio.sleep(MAX_HINT_WAIT_S)
        return LiveHint()


def loop_of(store: SimulatedStore, centre: Closing, chance: Random, now: datetime) -> SyncLoop:
    return SyncLoop(
        store=cast("Store", store),
        client=cast("CentreClient", centre),
        device="dev-1",
        program_key="",
        facts=FACTS,
        clock=lambda: now,
        chance=chance.random,
        changed=lambda _state: None,
        configured=lambda _config: None,
        mapped=lambda _matcher: None,
        item_map=None,
    )


def test_a_live_connection_that_ends_as_soon_as_it_stands_is_made_less_and_less(tmp_path: Path) -> None:
    # given a register whose live connections are cut off at once
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    now = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    chance, centre = Random(seed), Closing(now)
    store = SimulatedStore(
        Disk(path=tmp_path / "store.db", chance=chance), clock=lambda: now, randomness=chance.randbytes
    )

    # when an hour goes by
    async def an_hour() -> None:
        loop = loop_of(store, centre, chance, now)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await loop.run(lambda: None)

    time = VirtualTimeLoop()
    time.run_until_complete(an_hour())
    time.close()
    store.close()

    # then it tries again every quarter of a minute, and none of that makes more heartbeats than the half minute's
    # (in between it asks for hints one by one, each as long as there is time)
    assert 100 < centre.asked["hint"] < 500
    assert 100 < centre.asked["live connection"] < 500
    assert 100 < centre.asked["heartbeat"] < 150


class Moving(Closing):
    """A centre that ends the first epoch while it is asked for points there, and answers once another is open."""

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.opened: list[str] = []
        self.heard_of = asyncio.Event()
        self._ended: set[str] = set()

    async def open_epoch(self, _request: EpochRequest) -> EpochResponse:
        self.opened.append(f"e{len(self.opened) + 1}")
        return EpochResponse(epoch=self.opened[-1], centre_epoch="c1", server_time=self._now)

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        mark = None if request.epoch in self._ended else 0
        if len(self.opened) > 1 and request.epoch == self.opened[-1]:
            self.heard_of.set()
        answer = await super().heartbeat(request)
        return replace(answer, epoch=request.epoch, acked_through=mark) if request.epoch else answer

    async def allowances(self, request: AllowancesRequest) -> AllowancesResponse:
        self._ended.add(request.epoch)
        await self.heard_of.wait()
        raise CentreRefusedError(HTTPStatus.GONE, "open a new epoch")


def test_a_want_that_is_answered_for_an_epoch_that_ended_meanwhile_ends_no_other(tmp_path: Path) -> None:
    # given a register whose epoch ends while it asks for points, and that opened another before it is told so
    now = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    chance, centre = Random(0), Moving(now)
    store = SimulatedStore(
        Disk(path=tmp_path / "store.db", chance=chance), clock=lambda: now, randomness=chance.randbytes
    )
    loop = loop_of(store, centre, chance, now)

    async def some_minutes() -> NothingGranted | None:
        running = asyncio.create_task(loop.run(lambda: None))
        await asyncio.sleep(60)
        answer = await loop.want(Wanted(member="m1", points=1))
        await asyncio.sleep(300)
        running.cancel()
        await asyncio.wait({running})
        return answer

    # when some minutes go by
    time = VirtualTimeLoop()
    answer = time.run_until_complete(some_minutes())
    time.close()
    store.close()

    # then nothing was granted, and the second epoch goes on
    assert answer == UNANSWERED
    assert centre.opened == ["e1", "e2"]


async def test_news_comes_at_once_where_no_live_connection_can_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a register behind something that lets no WebSocket through, which asks the centre once an hour by itself
    async def no_upgrade() -> LiveHint:
        raise CentreRefusedError(403, "no upgrades here")

    async def refused(_client: CentreClient) -> AsyncGenerator[LiveHint, None]:
        yield await no_upgrade()

    monkeypatch.setattr(CentreClient, "hints", refused)
    async with (
        running_centre(tmp_path / "centre") as centre,
        register(tmp_path / "behind", centre, number="3", heartbeat_s=3600) as behind,
        register(tmp_path / "other", centre, number="4", heartbeat_s=3600) as other,
    ):
        await behind.until(lambda: behind.confirmed("TS00001") is not None)
        await other.until(lambda: other.confirmed("TS00001") is not None)
        before = behind.confirmed("TS00001")
        # When a member buys at another one
        await other.sell(receipt(1, "TS00001", register_number="4"))
        # Then it hears of that
        await behind.until(lambda: behind.confirmed("TS00001") != before)
