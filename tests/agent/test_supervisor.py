"""The supervisor: a worker that fails comes back, says why, and takes nobody with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import UNSET

from agent.supervisor import (
    BACKOFF,
    MAX_LEND_S,
    STEADY_AFTER_S,
    Clocks,
    Health,
    StuckWorkerError,
    Supervisor,
    UnknownWorkerError,
    Worker,
)
from drivers.transport.port import PortMissingError

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class VirtualTime:
    """Sleeping moves the clock at once; after `stop_after` sleeps it never wakes again."""

    def __init__(self, stop_after: int, chance: Callable[[], float] = lambda: 1.0) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self.done = asyncio.Event()
        self._stop_after = stop_after
        self._chance = chance

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        if len(self.slept) >= self._stop_after:
            self.done.set()
            await asyncio.Event().wait()

    def clocks(self) -> Clocks:
        return Clocks(
            monotonic_s=lambda: self.seconds,
            now=lambda: START + timedelta(seconds=self.seconds),
            sleep=self.sleep,
            chance=self._chance,
        )


async def run_until(supervisor: Supervisor, done: Awaitable[object]) -> None:
    task = asyncio.create_task(supervisor.run())
    await done
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def failing(name: str, error: Exception) -> Worker:
    async def run(_ready: Callable[[], None]) -> None:
        raise error

    return Worker(name=name, kind="scanner", run=run)


async def test_delays_grow_to_the_cap_and_no_further() -> None:
    time = VirtualTime(stop_after=8)

    await run_until(Supervisor([failing("counter", OSError("gone"))], time.clocks(), lambda: None), time.done.wait())

    assert time.slept == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


async def test_delays_are_spread_over_the_whole_capped_span() -> None:
    seed = 20261122
    time = VirtualTime(stop_after=200, chance=random.Random(seed).random)

    await run_until(Supervisor([failing("counter", OSError("gone"))], time.clocks(), lambda: None), time.done.wait())

    late = time.slept[5:]
    assert max(late) <= BACKOFF.cap_s, f"seed {seed}"
    assert min(late) < BACKOFF.cap_s / 10, f"seed {seed}"


async def test_the_reason_is_visible_with_the_next_try() -> None:
    time = VirtualTime(stop_after=1)
    supervisor = Supervisor(
        [failing("counter", PortMissingError("/dev/ttyACM0 is not there: plug it in"))], time.clocks(), lambda: None
    )

    await run_until(supervisor, time.done.wait())

    assert supervisor.health == (
        Health(
            name="counter",
            kind="scanner",
            condition="failing",
            problem="/dev/ttyACM0 is not there: plug it in",
            next_try=START + timedelta(seconds=0.25),
            restarts=1,
        ),
    )


async def test_one_worker_that_crashes_leaves_the_others_alone() -> None:
    time = VirtualTime(stop_after=20)
    beats = 0
    cancelled = False

    async def steady(ready: Callable[[], None]) -> None:
        nonlocal beats, cancelled
        ready()
        try:
            while True:
                beats += 1
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            cancelled = True
            raise

    workers = [failing("counter", ZeroDivisionError()), Worker(name="centre", kind="sync", run=steady)]
    supervisor = Supervisor(workers, time.clocks(), lambda: None)

    await run_until(supervisor, time.done.wait())

    counter, centre = supervisor.health
    assert (counter.condition, counter.problem) == ("failing", "ZeroDivisionError")
    assert (centre.condition, centre.restarts) == ("ready", 0)
    assert beats > 1
    assert cancelled


async def test_a_worker_that_comes_back_is_ready_without_a_problem() -> None:
    time = VirtualTime(stop_after=99)
    attempts = 0
    back = asyncio.Event()
    changes = 0

    async def flaky(ready: Callable[[], None]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise OSError("unplugged")
        ready()
        back.set()
        await asyncio.Event().wait()

    def changed() -> None:
        nonlocal changes
        changes += 1

    supervisor = Supervisor([Worker(name="counter", kind="scanner", run=flaky)], time.clocks(), changed)

    await run_until(supervisor, back.wait())

    (health,) = supervisor.health
    assert (health.condition, health.problem, health.next_try, health.restarts) == ("ready", UNSET, UNSET, 2)
    assert changes == 3


async def test_a_worker_that_worked_for_long_starts_over_with_short_delays() -> None:
    time = VirtualTime(stop_after=6)

    async def long_then_gone(ready: Callable[[], None]) -> None:
        if len(time.slept) >= 4:
            ready()
            time.seconds += STEADY_AFTER_S
        raise OSError("unplugged")

    worker = Worker(name="counter", kind="scanner", run=long_then_gone)
    await run_until(Supervisor([worker], time.clocks(), lambda: None), time.done.wait())

    assert time.slept == [0.25, 0.5, 1.0, 2.0, 0.25, 0.25]


async def test_a_worker_that_just_ends_is_started_again() -> None:
    time = VirtualTime(stop_after=1)

    async def ends(ready: Callable[[], None]) -> None:
        ready()

    supervisor = Supervisor([Worker(name="counter", kind="scanner", run=ends)], time.clocks(), lambda: None)

    await run_until(supervisor, time.done.wait())

    assert supervisor.health[0].problem == "it ended by itself"


async def test_a_scanner_and_a_receipt_source_may_share_a_name() -> None:
    time = VirtualTime(stop_after=1)

    async def steady(ready: Callable[[], None]) -> None:
        ready()
        await asyncio.Event().wait()

    workers = [failing("printer", OSError("gone")), Worker(name="printer", kind="receipts", run=steady)]
    supervisor = Supervisor(workers, time.clocks(), lambda: None)

    await run_until(supervisor, time.done.wait())

    assert [(health.kind, health.condition) for health in supervisor.health] == [
        ("scanner", "failing"),
        ("receipts", "ready"),
    ]


# Lending


class Scanner:
    """A worker that holds a port open while it runs."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.runs = 0
        self.worker = Worker(name="counter", kind="scanner", run=self._run)

    async def _run(self, ready: Callable[[], None]) -> None:
        self.runs += 1
        self.closed.clear()
        self.opened.set()
        ready()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.opened.clear()
            self.closed.set()


class HandTime:
    """Time that goes on when told; a sleep ends when it is over."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self._sleepers.append((self.seconds + seconds, over))
        await over.wait()

    def go_on(self, seconds: float) -> None:
        self.seconds += seconds
        for due, over in self._sleepers:
            if due <= self.seconds:
                over.set()

    def clocks(self) -> Clocks:
        return Clocks(
            monotonic_s=lambda: self.seconds,
            now=lambda: START + timedelta(seconds=self.seconds),
            sleep=self.sleep,
            chance=lambda: 1.0,
        )


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[None]:
    task = asyncio.create_task(supervisor.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_lent_worker_has_closed_its_port_and_says_so() -> None:
    time, scanner = HandTime(), Scanner()
    supervisor = Supervisor([scanner.worker], time.clocks(), lambda: None)
    async with running(supervisor):
        await scanner.opened.wait()

        until = await supervisor.lend("scanner", "counter", 60)

        assert scanner.closed.is_set()
        assert until == START + timedelta(seconds=60)
        (health,) = supervisor.health
        assert (health.condition, health.next_try, health.restarts) == ("lent", until, 0)
        assert "tillside doctor" in str(health.problem)


async def test_a_worker_given_back_goes_on_at_once() -> None:
    time, scanner = HandTime(), Scanner()
    supervisor = Supervisor([scanner.worker], time.clocks(), lambda: None)
    async with running(supervisor):
        await scanner.opened.wait()
        await supervisor.lend("scanner", "counter", 60)

        supervisor.give_back("scanner", "counter")
        await scanner.opened.wait()

        (health,) = supervisor.health
        assert (health.condition, health.problem, health.next_try) == ("ready", UNSET, UNSET)
        assert (time.seconds, scanner.runs) == (0.0, 2)


async def test_a_worker_nobody_gives_back_goes_on_when_its_time_is_up() -> None:
    time, scanner = HandTime(), Scanner()
    supervisor = Supervisor([scanner.worker], time.clocks(), lambda: None)
    async with running(supervisor):
        await scanner.opened.wait()
        await supervisor.lend("scanner", "counter", 60)
        await turns()

        time.go_on(59.9)
        await turns()
        assert not scanner.opened.is_set()
        time.go_on(0.1)
        await scanner.opened.wait()

        assert supervisor.health[0].condition == "ready"


async def test_lending_again_counts_the_time_anew_and_never_beyond_the_limit() -> None:
    time, scanner = HandTime(), Scanner()
    supervisor = Supervisor([scanner.worker], time.clocks(), lambda: None)
    async with running(supervisor):
        await scanner.opened.wait()
        await supervisor.lend("scanner", "counter", 60)
        await turns()
        time.go_on(50)

        until = await supervisor.lend("scanner", "counter", 99_999)
        await turns()
        time.go_on(20)
        await turns()

        assert until == START + timedelta(seconds=50 + MAX_LEND_S)
        assert not scanner.opened.is_set()


async def test_a_worker_that_fails_is_lent_at_once_and_not_tried_meanwhile() -> None:
    time = HandTime()
    tries = 0

    async def missing(_ready: Callable[[], None]) -> None:
        nonlocal tries
        tries += 1
        raise PortMissingError("not there")

    supervisor = Supervisor([Worker(name="counter", kind="scanner", run=missing)], time.clocks(), lambda: None)
    async with running(supervisor):
        await turns()
        assert tries == 1

        await supervisor.lend("scanner", "counter", 60)
        time.go_on(30)
        await turns()
        assert (tries, supervisor.health[0].condition) == (1, "lent")

        supervisor.give_back("scanner", "counter")
        await turns()
        assert (tries, supervisor.health[0].condition) == (2, "failing")


async def test_lending_one_leaves_the_others_alone() -> None:
    time, scanner, other = HandTime(), Scanner(), Scanner()
    workers = [scanner.worker, Worker(name="counter", kind="receipts", run=other.worker.run)]
    supervisor = Supervisor(workers, time.clocks(), lambda: None)
    async with running(supervisor):
        await scanner.opened.wait()
        await other.opened.wait()

        await supervisor.lend("scanner", "counter", 60)

        assert other.opened.is_set()
        assert [health.condition for health in supervisor.health] == ["lent", "ready"]


async def test_what_is_not_there_cannot_be_lent() -> None:
    supervisor = Supervisor([Scanner().worker], HandTime().clocks(), lambda: None)

    with pytest.raises(UnknownWorkerError, match="'counter'"):
        await supervisor.lend("scanner", "other", 60)
    with pytest.raises(UnknownWorkerError):
        supervisor.give_back("receipts", "counter")


async def test_a_worker_that_is_given_back_before_it_has_ended_did_not_fail() -> None:
    # given a device that takes its time to close, and a caller that waits no longer
    closing = asyncio.Event()
    runs = 0

    async def slow(ready: Callable[[], None]) -> None:
        nonlocal runs
        runs += 1
        ready()
        try:
            await asyncio.Event().wait()
        finally:
            await closing.wait()

    seen: list[str] = []
    supervisor = Supervisor(
        [Worker(name="counter", kind="scanner", run=slow)],
        HandTime().clocks(),
        lambda: seen.append(supervisor.health[0].condition),
    )
    async with running(supervisor):
        await turns()
        lending = asyncio.create_task(supervisor.lend("scanner", "counter", 60))
        await turns()

        supervisor.give_back("scanner", "counter")
        closing.set()
        await lending
        await turns()

        assert (runs, supervisor.health[0].restarts) == (2, 0)
    assert seen == ["ready", "lent", "starting", "ready"]


async def test_a_worker_that_does_not_end_is_not_lent_and_goes_on_once_it_has() -> None:
    # given a driver that hangs when it is to close its port
    closing = asyncio.Event()
    runs = 0

    async def stuck(ready: Callable[[], None]) -> None:
        nonlocal runs
        runs += 1
        ready()
        try:
            await asyncio.Event().wait()
        finally:
            await closing.wait()

    worker = Worker(name="counter", kind="scanner", run=stuck)
    supervisor = Supervisor([worker], HandTime().clocks(), lambda: None, let_go_within_s=0.0)
    async with running(supervisor):
        await turns()
        with pytest.raises(StuckWorkerError, match="scanner counter does not let go of its device: stop the agent"):
            await supervisor.lend("scanner", "counter", 60)
        assert (supervisor.health[0].condition, runs) == ("failing", 1)

        closing.set()
        await turns()

        assert (supervisor.health[0].condition, runs) == ("ready", 2)


async def test_stopping_while_lent_ends_all() -> None:
    time, scanner = HandTime(), Scanner()
    supervisor = Supervisor([scanner.worker], time.clocks(), lambda: None)
    async with running(supervisor):
        await scanner.opened.wait()
        await supervisor.lend("scanner", "counter", 60)

    assert scanner.closed.is_set()
    assert scanner.runs == 1


async def test_stopping_closes_the_port_first() -> None:
    scanner = Scanner()
    async with running(Supervisor([scanner.worker], HandTime().clocks(), lambda: None)):
        await scanner.opened.wait()

    assert scanner.closed.is_set()


async def turns() -> None:
    """Lets everything that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)
