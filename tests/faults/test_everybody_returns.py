"""72 hours without a network, a hundred thousand entries queued, and everybody back at once.

Fifty registers in virtual time: their real sessions and the centre's real pace, between them a network that is gone or
there, and a processor that takes its time for each entry. And one register and its centre as they are, which goes on
selling.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from central.pace import Pace
from loyalty.receipt import Receipt
from sync.errors import CentreUnavailableError
from sync.retry import Backoff
from sync.session import Session
from sync.steps import Held, PullChanges, SendBatch, SendHeartbeat, Wait
from sync.wire import ChangesResponse, HeartbeatResponse, IngestResponse
from tests.faults.figures import Figures, Tell
from tests.faults.planted import Unjittered
from tests.faults.proxy import FaultyProxy
from tests.faults.virtual_time import VirtualTimeLoop
from tests.sync.centre import receipt, register, running_centre

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REGISTERS, QUEUED = 50, 100_000
OFFLINE_S = 72 * 3600.0
# Long enough for every backoff to be at its cap.
SOON_S = 600.0
# Who comes back within one second.
HERD = REGISTERS // 4
# Registers of another network that never lost it, and what they sell meanwhile.
OTHERS, SALE_EVERY_S = 5, 3.0
DRAINED_WITHIN_S = 600.0
# One register as it is.
BACKLOG, MEMBERS, AT_ONCE = 2_000, 200, 50
# The processor of the centre, and its writers; it turns from one to the next after some entries.
ENTRY_S, WRITERS, SLICE = 0.001, 8, 10


class Unpaced(Pace):
    """Planted: everybody takes a writer at once, whatever they bring."""

    @asynccontextmanager
    async def turn(self, entries: int) -> AsyncIterator[None]:
        yield

    def credit(self, entries: int) -> int:
        return 500


class Centre:
    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._writers = asyncio.Semaphore(WRITERS)
        self._processor = asyncio.Lock()

    async def ingest(self, first_seq: int, entries: int) -> IngestResponse:
        async with self._pace.turn(entries), self._writers:
            for start in range(0, entries, SLICE):
                async with self._processor:
                    await asyncio.sleep(min(SLICE, entries - start) * ENTRY_S)
        return IngestResponse(
            centre_epoch="c",
            acked_through=first_seq + entries - 1,
            chain_hash="0" * 64,
            outcomes=(),
            server_time=NOON,
            credit=self._pace.credit(entries),
        )


@dataclass(slots=True)
class Till:
    """What the session of one register sees of its store; `sold` are the times of what waits."""

    chance: random.Random
    session: Session = field(default_factory=Session)
    next_seq: int = 1
    sold: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def sell(self) -> None:
        self.sold.append(asyncio.get_running_loop().time())
        self.woken.set()

    def held(self) -> Held:
        return Held(
            epoch="e",
            epoch_centre="c",
            next_seq=self.next_seq,
            queued=len(self.sold),
            feed=0,
            feed_centre="c",
            scope="everything",
        )

    def try_in_vain(self, until_s: float) -> None:
        """All that the session does of an outage from 0 to `until_s`: no answer, and nobody to wait for."""
        now = 0.0
        while now < until_s:
            step = self.session.next(self.held(), now)
            if isinstance(step, Wait):
                now = step.until
            else:
                self.session.failed(step, CentreUnavailableError("no network"), now, self.chance.random())

    async def exchange(self, centre: Centre) -> None:
        session, now = self.session, asyncio.get_running_loop().time
        while True:
            self.woken.clear()
            step = session.next(self.held(), now())
            if isinstance(step, Wait):
                try:
                    async with asyncio.timeout_at(step.until):
                        await self.woken.wait()
                except TimeoutError:
                    pass
            else:
                await self._take(centre, step)

    async def _take(self, centre: Centre, step: object) -> None:
        session, now = self.session, asyncio.get_running_loop().time
        await asyncio.sleep(self.chance.uniform(0.005, 0.02))
        match step:
            case SendBatch():
                answer = await centre.ingest(step.first_seq, min(step.max_entries, len(self.sold)))
                if session.received(step, answer, self.held(), now(), self.chance.random()):
                    done = answer.acked_through - self.next_seq + 1
                    self.took += [now() - at for at in self.sold[:done]]
                    del self.sold[:done]
                    self.next_seq += done
            case SendHeartbeat():
                told = HeartbeatResponse(centre_epoch="c", server_time=NOON, feed=0)
                session.received(step, told, self.held(), now(), self.chance.random())
            case PullChanges():
                page = ChangesResponse(centre_epoch="c", changes=(), next=0, more=False, as_of=NOON)
                session.received(step, page, self.held(), now(), self.chance.random())
            case _:
                raise AssertionError(step)
        self.answered.append(now())


@contextmanager
def virtual_time() -> Iterator[VirtualTimeLoop]:
    loop = VirtualTimeLoop()
    try:
        yield loop
    finally:
        loop.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    queued: int
    drained_s: float
    herd: int
    fresh_p99_s: float
    fresh: int
    left: int


async def play(pace: type[Pace], backoff: Backoff, offline_s: float, seed: int) -> Outcome:
    loop, chance = asyncio.get_running_loop(), random.Random(seed)
    centre = Centre(pace(loop.time))
    tills = [Till(random.Random(chance.random()), Session(backoff)) for _ in range(REGISTERS)]
    others = [Till(random.Random(chance.random())) for _ in range(OTHERS)]
    for till in tills:
        till.sold = sorted(chance.uniform(0.0, offline_s) for _ in range(QUEUED // REGISTERS))
        till.try_in_vain(offline_s)
    queued = sum(len(till.sold) for till in tills)
    await asyncio.sleep(offline_s)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(till.exchange(centre)) for till in (*tills, *others)]
        while any(till.sold for till in tills) and loop.time() < offline_s + DRAINED_WITHIN_S:
            for till in others:
                till.sell()
            await asyncio.sleep(SALE_EVERY_S)
        drained_s = loop.time() - offline_s
        for task in running:
            task.cancel()
    firsts = sorted(till.answered[0] for till in tills if till.answered)
    fresh = sorted(seconds for till in others for seconds in till.took)
    return Outcome(
        queued=queued,
        drained_s=drained_s,
        herd=max(sum(first <= other < first + 1 for other in firsts) for first in firsts),
        fresh_p99_s=fresh[len(fresh) * 99 // 100],
        fresh=len(fresh),
        left=sum(len(till.sold) for till in tills),
    )


@pytest.mark.parametrize(
    ("fault", "pace", "backoff", "offline_s"),
    [
        ("72 h offline, everybody back", Pace, Backoff(), OFFLINE_S),
        ("everybody back at once without a pace: fresh sales wait", Unpaced, Backoff(), SOON_S),
        ("everybody back without jitter: has to come in a herd", Pace, Unjittered(), SOON_S),
    ],
    ids=["72 hours", "unpaced", "unjittered"],
)
def test_all_that_was_queued_in_72_hours_drains_and_fresh_sales_go_past_it(
    fault: str, pace: type[Pace], backoff: Backoff, offline_s: float, tell: Tell
) -> None:
    seed = random.randrange(2**32)
    with virtual_time() as loop:
        outcome = loop.run_until_complete(play(pace, backoff, offline_s, seed))
    print(
        f"seed {seed}: {outcome.left} left after {outcome.drained_s:.0f} s, at most {outcome.herd} back in one second, "
        f"p99 of {outcome.fresh} fresh sales {outcome.fresh_p99_s:.2f} s"
    )
    tell(Figures(row=19, fault=fault, points=REGISTERS, acknowledged=outcome.queued, lost=outcome.left))
    # No capacity is wasted, and nobody comes in step
    assert (outcome.queued, outcome.left) == (QUEUED, 0)
    assert outcome.drained_s < 1.5 * QUEUED * ENTRY_S
    assert (outcome.herd <= HERD) == (not isinstance(backoff, Unjittered))
    # Fresh sales of others do not stand behind the backlogs, unless nothing paces those
    assert (outcome.fresh_p99_s < 1.0) == (pace is Pace)


async def test_a_register_sells_on_while_its_backlog_drains(tmp_path: Path, tell: Tell) -> None:
    def sale(number: int) -> Receipt:
        return receipt(number, f"TS{number % MEMBERS + 1:05}")

    async with (
        running_centre(tmp_path / "centre", members=MEMBERS) as centre,
        FaultyProxy("127.0.0.1", centre.port) as network,
        register(tmp_path / "till", centre, url=f"https://127.0.0.1:{network.port}") as till,
    ):
        # given a register that sold without a network
        await till.until(lambda: till.store.count_members() == MEMBERS)
        await network.take_down()
        for first in range(1, BACKLOG + 1, AT_ONCE):
            await asyncio.gather(*(till.sell(sale(number)) for number in range(first, first + AT_ONCE)))
        assert till.store.queued() == BACKLOG

        # when the network returns, and it sells on until the last entry of the backlog is acknowledged
        network.bring_up()
        sold = BACKLOG
        while (epoch := till.store.epoch()) is None or epoch.acked_through < BACKLOG:
            sold += 1
            await till.sell(sale(sold))
            await asyncio.sleep(0.002)
        await till.until(lambda: till.store.queued() == 0)

        # then every sale was kept at once, and all of them count once
        keys = {sale(number).key for number in range(1, sold + 1)}
        figures = centre.figures(keys, row=19, fault="a register that sells on while it drains", points=sold - BACKLOG)
        tell(figures)
        assert sold > BACKLOG + 20
        assert (figures.lost, figures.double) == (0, 0)
