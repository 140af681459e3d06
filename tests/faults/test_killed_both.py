"""SIGKILL of agent and centre at random moments, behind a network where everything goes wrong: 0 lost, 0 double.

Both are processes of their own, forked from one that has everything imported, so that hundreds of lives fit into a
test: real files, real sockets, real signals.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from agent.cli.run import run_until_stopped
from agent.register import Register
from agent.state import keeper_of, open_store
from central.certificates import server_context
from central.folder import DataFolder
from central.server import Server
from config.load import load_settings, state_folder
from drivers.relay.spool import SpoolWriter
from sync.enrolling import enrol
from sync.enrolment import parse_code
from sync.store.store import Store
from sync.wire import IngestRequest, decompress
from tests.browser.till import SPOOL_CAP_BYTES, free_port, spooled
from tests.drivers.relay.running import until
from tests.faults.figures import Tell
from tests.faults.http_proxy import Fate, HttpFaultProxy
from tests.faults.proxy import FINE, Fault, FaultyProxy
from tests.sync.centre import FACTS, receipt, running_centre, serving, utc_now

SETTINGS = """
[register]
store = "12"
register = "3"
currency = "RSD"
time_zone = "Europe/Belgrade"
[paths]
state = "state"
[store]
ballast_mb = 1
[page]
port = {port}
[[receipts]]
name = "printer"
spool = "spool"
"""
KILLS = 300
# With a centre on SQLite; and so many with one on PostgreSQL, which is another process that goes on. That one takes
# longer to come up: how many exchanges come about is not sure.
KILLS_ON_POSTGRESQL = 30
# A life ends after fewer exchanges than this, or where none comes about, and a random part of a moment; one in so
# many on its way up.
EXCHANGES = 7
LIVES_S = 1.5
MOMENT_S = 0.05
ONE_IN = 4
PRINTED_IN_A_LIFE = 3
CARD, MEMBER = "TS00001", "m1"
_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(["tests.faults.test_killed_both", "agent.central_templates", "agent.receipts"])


def serve(folder: str) -> None:
    """The centre's process."""

    async def run() -> None:
        await Server(DataFolder(Path(folder)), clock=utc_now).run(lambda _: None, asyncio.Event())

    _quiet()
    asyncio.run(run())


def sell(settings_file: str) -> None:
    """The register's process: the agent as `tillside run` runs it."""
    _quiet()
    settings = load_settings(settings_file)
    keeper = keeper_of(settings)
    run_until_stopped(Register(settings, open_store(settings, keeper), keeper), lambda _: None)


def _quiet() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


class Printer:
    """What the relay spools of the POS: a job that is there is acknowledged."""

    def __init__(self, spool: Path) -> None:
        self._writer = SpoolWriter(spool, cap_bytes=SPOOL_CAP_BYTES)
        self._writer.open()
        self.spooled = 0

    def print(self, jobs: int = 1) -> None:
        for _ in range(jobs):
            self.spooled += 1
            told = replace(receipt(self.spooled, CARD), key="")
            job = b'{"receipts":[' + msgspec.json.encode(told) + b"]}"
            assert self._writer.keep([spooled(job)]).error is None

    def close(self) -> None:
        self._writer.close()


def _nothing() -> None:
    pass


class Life:
    """A process that is killed again and again, and started anew each time."""

    def __init__(self, target: Callable[..., None], *given: str) -> None:
        self._target = target
        self._given = given
        self._process: BaseProcess | None = None
        self.kills = 0

    async def lived(
        self, chance: random.Random, times: int, delivered: Callable[[], int], once_begun: Callable[[], None] = _nothing
    ) -> None:
        """`delivered` counts the exchanges between the two."""
        for _ in range(times):
            self._process = _forked.Process(target=self._target, args=self._given, daemon=True)
            self._process.start()
            once_begun()
            if chance.randrange(ONE_IN) > 0:
                goal = delivered() + chance.randrange(EXCHANGES)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LIVES_S):
                        await until(lambda goal=goal: delivered() >= goal)  # type: ignore[misc]
            await asyncio.sleep(chance.uniform(0, MOMENT_S))
            await self.end()
            self.kills += 1

    async def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.join)


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(600)
async def test_kills_of_register_and_centre_lose_and_double_nothing(
    tmp_path: Path, centre_url: str | None, tell: Tell
) -> None:
    kills = KILLS if centre_url is None else KILLS_ON_POSTGRESQL
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    sent: Counter[tuple[str, int]] = Counter()
    loose = False

    def overheard(body: bytes, encoding: str | None) -> None:
        batch = msgspec.json.decode(decompress(body, encoding), type=IngestRequest)
        sent.update((batch.epoch, entry.seq) for entry in batch.entries)

    def fate_of(path: str) -> Fate:
        if not loose:
            return "fine"
        if path != "/v1/ingest":
            return "fine" if chance.randrange(4) else chance.choice(["answer lost", "answer cut"])
        return chance.choice(["fine", "request lost", "answer lost", "answer cut", "request doubled", "answer late"])

    def fault_of(_number: int) -> Fault:
        place = chance.randrange(500, 20_000)
        return (
            chance.choice([FINE, FINE, Fault(cut_request_after=place), Fault(cut_answer_after=place)])
            if loose
            else FINE
        )

    data = tmp_path / "centre"
    began = time.monotonic()
    async with AsyncExitStack() as networks:
        # Given a register that is enrolled over a network, and a centre that comes back where it was
        async with running_centre(data, database=centre_url, listen=f"127.0.0.1:{free_port()}") as centre:
            exchanges = HttpFaultProxy(centre.url, server_context(centre.folder), fate_of, overheard)
            await networks.enter_async_context(exchanges)
            bytes_of = FaultyProxy("127.0.0.1", int(exchanges.url.rpartition(":")[2]), fault_of)
            network = await networks.enter_async_context(bytes_of)
            settings = load_settings(str(settings_of(tmp_path)))
            keeper = keeper_of(settings)
            code = parse_code(centre.code(url=f"https://127.0.0.1:{network.port}"))
            await enrol(code, state_folder(settings), keeper, FACTS, now=utc_now())
        printer = Printer(tmp_path / "spool")
        lives = Life(serve, str(data)), Life(sell, str(tmp_path / "tillside.toml"))

        def delivered() -> int:
            return exchanges.delivered

        loose = True
        try:
            # When both are killed again and again, while the POS prints
            await asyncio.gather(
                lives[0].lived(chance, kills // 2, delivered),
                lives[1].lived(chance, kills // 2, delivered, partial(printer.print, PRINTED_IN_A_LIFE)),
            )
        finally:
            for life in lives:
                await life.end()
            printer.close()
        connections, loose = network.connections, False
        # Then, once both live on, everything that was spooled arrives, once
        async with serving(data) as centre:
            store = open_store(settings, keeper)
            await drained(Register(settings, store, keeper), store, printer.spooled)
            redelivered = sum(times - 1 for times in sent.values())
            printed = {receipt(number, CARD).key for number in range(1, printer.spooled + 1)}
            figures = centre.figures(
                printed, row=2, fault="agent and centre killed", points=kills, redelivered=redelivered
            )
            tell(figures)
            assert centre.counted(MEMBER).keys() == printed
    print(f"{kills} kills, {connections} connections, {dict(exchanges.fates)}, {time.monotonic() - began:.0f} s")
    assert sum(life.kills for life in lives) == kills
    assert centre_url is not None or (connections >= kills and redelivered >= kills // 10)
    assert (figures.lost, figures.double) == (0, 0)


def settings_of(folder: Path) -> Path:
    file = folder / "tillside.toml"
    file.write_text(SETTINGS.format(port=free_port()))
    return file


async def drained(agent: Register, store: Store, receipts: int) -> None:
    """Lets the agent work until all that was spooled is booked, and all that was booked acknowledged."""
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(lambda _: None, stop))
    await until(lambda: store.last_number() >= receipts and store.queued() == 0)
    stop.set()
    await running
    store.close()
