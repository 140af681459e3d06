"""72 hours without a network, a hundred thousand entries queued, and everybody back at once: in virtual time.

The registers' real sessions and the centre's real pace; between them a network that is gone or there, and a processor
that takes its time for each entry.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from central.pace import Pace
from sync.errors import CentreUnavailableError
from sync.session import Session
from sync.steps import Held, PullChanges, SendBatch, SendHeartbeat, Wait
from sync.wire import ChangesResponse, HeartbeatResponse, IngestResponse
from tests.faults.figures import Figures, Tell
from tests.faults.virtual_time import VirtualTimeLoop

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REGISTERS, QUEUED = 12, 100_000
OFFLINE_S = 72 * 3600.0
# Registers of another network that never lost it, and what they sell meanwhile.
OTHERS, SALE_EVERY_S = 5, 3.0
DRAINED_WITHIN_S = 600.0
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
        self.reachable_from = 0.0

    def reachable(self) -> bool:
        return asyncio.get_running_loop().time() >= self.reachable_from

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

    async def exchange(self, centre: Centre, *, own_network: bool = False) -> None:
        session, now = Session(), asyncio.get_running_loop().time
        while True:
            self.woken.clear()
            step = session.next(self.held(), now())
            if isinstance(step, Wait):
                try:
                    async with asyncio.timeout_at(step.until):
                        await self.woken.wait()
                except TimeoutError:
                    pass
            elif not (own_network or centre.reachable()):
                session.failed(step, CentreUnavailableError("no network"), now(), self.chance.random())
            else:
                await self._take(session, centre, step)

    async def _take(self, session: Session, centre: Centre, step: object) -> None:
        now = asyncio.get_running_loop().time
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
    drained_s: float
    herd: int
    fresh_p99_s: float
    fresh: int
    left: int


async def play(pace: type[Pace], offline_s: float, seed: int) -> Outcome:
    loop, chance = asyncio.get_running_loop(), random.Random(seed)
    centre = Centre(pace(loop.time))
    tills = [Till(random.Random(chance.random())) for _ in range(REGISTERS)]
    others = [Till(random.Random(chance.random())) for _ in range(OTHERS)]
    centre.reachable_from = offline_s
    for till in tills:
        till.sold = [0.0] * (QUEUED // REGISTERS)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(till.exchange(centre)) for till in tills]
        await asyncio.sleep(offline_s - loop.time())
        running += [tasks.create_task(till.exchange(centre, own_network=True)) for till in others]
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
        drained_s=drained_s,
        herd=max(sum(first <= other < first + 1 for other in firsts) for first in firsts),
        fresh_p99_s=fresh[len(fresh) * 99 // 100],
        fresh=len(fresh),
        left=sum(len(till.sold) for till in tills),
    )


@pytest.mark.parametrize(("pace", "offline_s"), [(Pace, OFFLINE_S), (Unpaced, 600.0)])
def test_all_that_was_queued_in_72_hours_drains_and_fresh_sales_go_past_it(
    pace: type[Pace], offline_s: float, tell: Tell
) -> None:
    seed = random.randrange(2**32)
    with virtual_time() as loop:
        outcome = loop.run_until_complete(play(pace, offline_s, seed))
    print(
        f"seed {seed}: {QUEUED} queued, {outcome.left} left after {outcome.drained_s:.0f} s, at most {outcome.herd} of "
        f"{REGISTERS} back within a second, p99 of {outcome.fresh} fresh sales {outcome.fresh_p99_s:.2f} s"
    )
    tell(
        Figures(
            row=19, fault=f"72 h offline, {pace.__name__}", points=REGISTERS, acknowledged=QUEUED, lost=outcome.left
        )
    )
    # No capacity is wasted, and nobody comes in step
    assert outcome.left == 0
    assert outcome.drained_s < 1.5 * QUEUED * ENTRY_S
    assert outcome.herd <= REGISTERS // 2
    # Fresh sales of others do not stand behind the backlogs, unless nothing paces those
    assert (outcome.fresh_p99_s < 1.0) == (pace is Pace)
