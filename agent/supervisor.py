"""Keeps the register's workers running: scanners, receipt sources, the exchange with the centre.

Owns restarting a worker that failed, with capped, jittered delays and a visible reason. One worker's
crash never takes another down. Never looks into what a worker does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from loyalty.receipt import AwareDatetime
from sync.retry import Backoff

# A scanner that is plugged in again is found within seconds; trying a missing port costs microseconds.
BACKOFF = Backoff(base_s=0.25, cap_s=5.0)
# A worker that was ready this long starts over with short delays when it fails.
STEADY_AFTER_S = 30.0
MAX_PROBLEM_CHARACTERS = 300

log = structlog.get_logger(__name__)

Condition = Literal["starting", "ready", "failing"]
Kind = Literal["scanner", "rules", "receipts", "sync"]


class Health(Struct, frozen=True, kw_only=True):
    """How one worker is. `problem` says in the operator's words what is wrong and what to do."""

    name: str
    kind: Kind
    condition: Condition = "starting"
    problem: str | UnsetType = UNSET
    next_try: AwareDatetime | UnsetType = UNSET
    restarts: int = 0


class Worker(Struct, frozen=True, kw_only=True):
    """Something that runs until it is cancelled, and calls `ready` once it works.

    `run` is called again after a failure. Its errors' messages reach the cashier and the operator.
    """

    name: str
    kind: Kind
    run: Callable[[Callable[[], None]], Awaitable[None]]


class Clocks(Struct, frozen=True, kw_only=True):
    """Time and chance for restarts; tests pass their own."""

    monotonic_s: Callable[[], float]
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    chance: Callable[[], float]


class Supervisor:
    """Runs workers side by side, each restarted on its own."""

    def __init__(self, workers: Sequence[Worker], clocks: Clocks, changed: Callable[[], None]) -> None:
        self._workers = tuple(workers)
        self._clocks = clocks
        self._changed = changed
        self._health = {_id(worker): Health(name=worker.name, kind=worker.kind) for worker in workers}

    @property
    def health(self) -> tuple[Health, ...]:
        return tuple(self._health.values())

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(self._keep(worker), name=f"{worker.kind} {worker.name}")

    async def _keep(self, worker: Worker) -> None:
        failures = 0
        while True:
            began = self._clocks.monotonic_s()
            problem = await self._once(worker)
            steady = self._clocks.monotonic_s() - began >= STEADY_AFTER_S
            was_ready = self._health[_id(worker)].condition == "ready"
            failures = 1 if was_ready and steady else failures + 1
            await self._wait(worker, problem, BACKOFF.delay_s(failures, self._clocks.chance()))

    async def _once(self, worker: Worker) -> str:
        """Runs the worker to its end, and says what ended it."""
        try:
            await worker.run(lambda: self._ready(worker))
        except Exception as error:  # noqa: BLE001 — whatever a driver raises, the others go on
            return self._reported(worker, error)
        return "it ended by itself"

    def _reported(self, worker: Worker, error: Exception) -> str:
        """The problem in the error's words; logged once, however often a missing port is tried."""
        problem = (str(error) or type(error).__name__)[:MAX_PROBLEM_CHARACTERS]
        if self._health[_id(worker)].problem != problem:
            log.warning("worker_failed", worker=worker.name, kind=worker.kind, error=type(error).__name__)
        return problem

    async def _wait(self, worker: Worker, problem: str, delay_s: float) -> None:
        health = self._health[_id(worker)]
        self._set(
            replace(
                health,
                condition="failing",
                problem=problem,
                next_try=self._clocks.now().astimezone(UTC) + timedelta(seconds=delay_s),
                restarts=health.restarts + 1,
            )
        )
        await self._clocks.sleep(delay_s)

    def _ready(self, worker: Worker) -> None:
        health = self._health[_id(worker)]
        if health.condition != "ready":
            log.info("worker_ready", worker=worker.name, kind=worker.kind)
            self._set(replace(health, condition="ready", problem=UNSET, next_try=UNSET))

    def _set(self, health: Health) -> None:
        self._health[_id(health)] = health
        self._changed()


def _id(worker: Worker | Health) -> tuple[str, str]:
    """A scanner and a receipt source may share a name."""
    return worker.kind, worker.name
