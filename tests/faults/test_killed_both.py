"""SIGKILL of register and centre at random moments, behind a network that cuts: nothing is lost, nothing counts twice.

Both are processes of their own, forked from one that has everything imported, so that hundreds of lives fit into a
test: real files, real sockets, real signals.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import socket
import time
from collections.abc import Callable
from io import RawIOBase
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import msgspec
import pytest

from central.folder import Address, DataFolder
from central.server import Server
from sync.enrolling import enrol
from sync.enrolment import parse_code
from sync.keys import keeper_for
from sync.wire import IngestRequest
from tests.faults.figures import Tell
from tests.faults.proxy import FINE, Fault, FaultyProxy
from tests.sync.centre import FACTS, Centre, receipt, register, running_centre, serving, utc_now

KILLS = 300
# With a centre on SQLite; and so many with one on PostgreSQL, which is another process that goes on.
KILLS_ON_POSTGRESQL = 60
# A life ends after a random part of this; coming up takes some of it, or all. One in so many has it once it is up.
LIVES_S = 0.25
ONE_IN = 5
UP_WITHIN_S = 30.0
CARD, MEMBER = "TS00001", "m1"
_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(["tests.faults.test_killed_both"])


def serve(up: Event, folder: str) -> None:
    """The centre's process."""

    async def run() -> None:
        await Server(DataFolder(Path(folder)), clock=utc_now).run(lambda _: up.set(), asyncio.Event())

    _quiet()
    asyncio.run(run())


def sell(up: Event, folder: str, centre: str, url: str, told: str) -> None:
    """The register's process: sells on, and tells in a file what is durable and what it sends."""

    async def run(file: RawIOBase) -> None:
        def sending(batch: IngestRequest) -> None:
            file.write(b"".join(b"sent %s:%d\n" % (batch.epoch.encode(), entry.seq) for entry in batch.entries))

        at = Centre(DataFolder(Path(centre)))
        async with register(Path(folder), at, url=url, seed=os.getpid(), sending=sending) as till:
            while True:
                number = till.store.last_number() + 1
                await till.sell(receipt(number, CARD))
                file.write(b"kept %d\n" % number)
                up.set()
                await asyncio.sleep(0.003)

    _quiet()
    with Path(told).open("ab", buffering=0) as file:
        asyncio.run(run(file))


def _quiet() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


class Heard:
    """What the register said in all its lives: receipts that were durable, by key, and what it sent more than once."""

    def __init__(self, told: str) -> None:
        lines = [line.split() for line in told.splitlines()]
        self.kept = {receipt(int(number), CARD).key for what, number in lines if what == "kept"}
        sent = [number for what, number in lines if what == "sent"]
        self.redelivered = len(sent) - len(set(sent))


class Life:
    """A process that is killed again and again, and started anew each time."""

    def __init__(self, target: Callable[..., None], *given: str) -> None:
        self._target = target
        self._given = given
        self._process: BaseProcess | None = None
        self.kills = 0

    async def lived(self, chance: random.Random, times: int) -> None:
        for _ in range(times):
            up = _forked.Event()
            self._process = _forked.Process(target=self._target, args=(up, *self._given), daemon=True)
            self._process.start()
            if chance.randrange(ONE_IN) == 0:
                assert await asyncio.to_thread(up.wait, UP_WITHIN_S)
            await asyncio.sleep(chance.uniform(0, LIVES_S))
            await self.end()
            self.kills += 1

    async def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.join)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(300)
async def test_kills_of_register_and_centre_lose_and_double_nothing(
    tmp_path: Path, centre_url: str | None, tell: Tell
) -> None:
    kills = KILLS if centre_url is None else KILLS_ON_POSTGRESQL
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    data, till, told = tmp_path / "centre", tmp_path / "till", tmp_path / "told"
    # Given an enrolled register, and a centre that comes back where it was
    async with running_centre(data, database=centre_url) as centre:
        await enrol(parse_code(centre.code()), till, keeper_for(till), FACTS, now=utc_now())
    folder = DataFolder(data)
    at = Address(host="127.0.0.1", port=_free_port())
    folder.save_settings(msgspec.structs.replace(folder.settings(), listen=at))

    def fault_of(_number: int) -> Fault:
        place = chance.randrange(500, 20_000)
        return chance.choice([FINE, FINE, Fault(cut_request_after=place), Fault(cut_answer_after=place)])

    began = time.monotonic()
    async with FaultyProxy("127.0.0.1", at.port, fault_of) as network:
        url = f"https://127.0.0.1:{network.port}"
        lives = [Life(serve, str(data)), Life(sell, str(till), str(data), url, str(told))]
        try:
            # When both are killed again and again
            await asyncio.gather(*(life.lived(chance, kills // 2) for life in lives))
        finally:
            for life in lives:
                await life.end()
        connections = network.connections
    # Then, once both live on, everything that was durable arrives, once
    async with serving(data) as centre, register(till, centre, url=centre.url) as last:
        await last.until(lambda: last.store.queued() == 0 and last.store.epoch())
        written = last.store.last_number()
        said = Heard(told.read_text())
        figures = centre.figures(
            said.kept, row=2, fault="register and centre killed", points=kills, redelivered=said.redelivered
        )
        tell(figures)
        print(f"{kills} kills, {connections} connections, {time.monotonic() - began:.0f} s")
        counted = centre.counted(MEMBER)
    assert sum(life.kills for life in lives) == kills
    assert len(said.kept) > kills // 10
    assert connections > kills // 30
    assert (figures.lost, figures.double) == (0, 0)
    assert len(counted) == written
