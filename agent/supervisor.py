"""Keeps the register's workers running: scanners, receipt sources, the exchange with the centre.

Owns restarting a worker that failed, with capped, jittered delays and a visible reason, and lending a worker's
device to another program for a while. One worker's crash never takes another down. Never looks into what a
worker does.
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
# A test of a scanner takes minutes. Whoever is killed before it gives back keeps a till without scanner no longer.
MAX_LEND_S = 600
# A driver closes its port within moments of being cancelled; one that does not will not.
LET_GO_WITHIN_S = 5.0
LENT = "lent to `tillside doctor`: what it scans now is a test, and counts for nothing"

log = structlog.get_logger(__name__)

Condition = Literal["starting", "ready", "failing", "lent"]
Kind = Literal["scanner", "rules", "receipts", "relay", "matching", "quarantine", "sales", "store", "sync"]


class Health(Struct, frozen=True, kw_only=True):
    """How one worker is. `problem` says in the operator's words what is wrong and what to do.

    `next_try` is when a failing worker starts again, and when a lent one does if nobody gives it back before.
    """

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


class UnknownWorkerError(LookupError):
    """No worker has that name."""


class StuckWorkerError(Exception):
    """A worker does not let go of its device. The message says what to do."""


class Clocks(Struct, frozen=True, kw_only=True):
    """Time and chance for restarts; tests pass their own."""

    monotonic_s: Callable[[], float]
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    chance: Callable[[], float]


class Supervisor:
    """Runs workers side by side, each restarted on its own."""

    def __init__(
        self,
        workers: Sequence[Worker],
        clocks: Clocks,
        changed: Callable[[], None],
        *,
        let_go_within_s: float = LET_GO_WITHIN_S,
    ) -> None:
        self._workers = tuple(workers)
        self._clocks = clocks
        self._changed = changed
        self._let_go_within_s = let_go_within_s
        self._health = {_id(worker): Health(name=worker.name, kind=worker.kind) for worker in workers}
        self._runs: dict[_Id, asyncio.Task[None]] = {}
        self._lent_until_s: dict[_Id, float] = {}
        self._stopped: set[_Id] = set()  # to be lent; they may be back before they have ended
        # Set when lending begins or ends: whoever waits has to look again.
        self._turns = {_id(worker): asyncio.Event() for worker in workers}

    @property
    def health(self) -> tuple[Health, ...]:
        return tuple(self._health.values())

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(self._keep(worker), name=f"{worker.kind} {worker.name}")

    async def lend(self, kind: Kind, name: str, seconds: float) -> datetime:
        """Stop a worker, so that another program can have its device; returns when, at the latest, it goes on.

        The device is closed by then. Lending what is lent counts its time anew. Raises UnknownWorkerError and
        StuckWorkerError.
        """
        worker = self._known(kind, name)
        seconds = min(seconds, MAX_LEND_S)
        until = self._clocks.now().astimezone(UTC) + timedelta(seconds=seconds)
        self._lent_until_s[worker] = self._clocks.monotonic_s() + seconds
        self._turns[worker].set()
        log.info("worker_lent", worker=name, kind=kind)
        self._set(replace(self._health[worker], condition="lent", problem=LENT, next_try=until))
        run = self._runs.get(worker)
        if run is not None:
            self._stopped.add(worker)
            run.cancel()
            await asyncio.wait([run], timeout=self._let_go_within_s)
            if not run.done():
                raise self._stuck(worker)
        return until

    def give_back(self, kind: Kind, name: str) -> None:
        """Let a worker that was lent go on; does nothing to one that is not. Raises UnknownWorkerError."""
        worker = self._known(kind, name)
        if self._lent_until_s.pop(worker, None) is not None:
            self._turns[worker].set()

    def _stuck(self, worker: _Id) -> StuckWorkerError:
        """Nobody gets its device, so it is not lent; it starts anew should it end after all."""
        self._lent_until_s.pop(worker, None)
        error = StuckWorkerError(f"{' '.join(worker)} does not let go of its device: stop the agent, and try again")
        self._set(replace(self._health[worker], condition="failing", problem=str(error), next_try=UNSET))
        return error

    def _known(self, kind: Kind, name: str) -> _Id:
        if (kind, name) not in self._health:
            known = ", ".join(repr(worker.name) for worker in self._workers if worker.kind == kind) or "none"
            raise UnknownWorkerError(f"there is no {kind} {name!r} here; known are: {known}")
        return kind, name

    async def _keep(self, worker: Worker) -> None:
        failures = 0
        turn = self._turns[_id(worker)]
        while True:
            turn.clear()
            if await self._is_lent(worker):
                failures = 0
                continue
            began = self._clocks.monotonic_s()
            problem = await self._once(worker)
            if _id(worker) in self._stopped:
                self._stopped.discard(_id(worker))
                continue
            steady = self._clocks.monotonic_s() - began >= STEADY_AFTER_S
            was_ready = self._health[_id(worker)].condition == "ready"
            failures = 1 if was_ready and steady else failures + 1
            await self._wait(worker, problem, BACKOFF.delay_s(failures, self._clocks.chance()))

    async def _is_lent(self, worker: Worker) -> bool:
        """Whether it was; then waits until that changes."""
        health, until_s = self._health[_id(worker)], self._lent_until_s.get(_id(worker))
        left_s = until_s - self._clocks.monotonic_s() if until_s is not None else 0
        if left_s > 0:
            await self._sleep(worker, left_s)
            return True
        self._lent_until_s.pop(_id(worker), None)
        if health.condition == "lent":
            self._set(replace(health, condition="starting", problem=UNSET, next_try=UNSET))
        return False

    async def _sleep(self, worker: Worker, seconds: float) -> None:
        """Waits that long, or until lending begins or ends."""
        sleeping = asyncio.ensure_future(self._clocks.sleep(seconds))
        turning = asyncio.ensure_future(self._turns[_id(worker)].wait())
        try:
            await asyncio.wait([sleeping, turning], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            turning.cancel()

    async def _once(self, worker: Worker) -> str:
        """Runs the worker to its end, and says what ended it."""

        async def work() -> None:
            await worker.run(lambda: self._ready(worker))

        run = self._runs[_id(worker)] = asyncio.create_task(work(), name=f"{worker.kind} {worker.name} at work")
        try:
            await asyncio.wait([run])
        finally:
            del self._runs[_id(worker)]
            if not run.done():  # the agent stops
                run.cancel()
                await asyncio.gather(run, return_exceptions=True)
        error = None if run.cancelled() else run.exception()
        if isinstance(error, Exception):  # whatever a driver raises, the others go on
            return self._reported(worker, error)
        if error is not None:
            raise error
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
        await self._sleep(worker, delay_s)

    def _ready(self, worker: Worker) -> None:
        health = self._health[_id(worker)]
        if health.condition not in ("ready", "lent"):
            log.info("worker_ready", worker=worker.name, kind=worker.kind)
            self._set(replace(health, condition="ready", problem=UNSET, next_try=UNSET))

    def _set(self, health: Health) -> None:
        self._health[_id(health)] = health
        self._changed()


_Id = tuple[Kind, str]


def _id(worker: Worker | Health) -> _Id:
    """A scanner and a receipt source may share a name."""
    return worker.kind, worker.name
