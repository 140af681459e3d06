"""The runs that are played, how large each is, and how one is played, once or again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import structlog

from sync.retry import Backoff
from tests.faults.virtual_time import VirtualTimeLoop
from tests.in_memory import memory_folder
from tests.simulation.chain import Chain, Plan
from tests.simulation.checker import Fault, faults

# An hour and a half of a store, a busy morning of two, and 50 stores of one till each, which are open for 40 hours in
# three days.
RUNS: Final[dict[str, dict[str, Any]]] = {
    "hours": {"registers": 3, "hours": 1.5},
    "morning": {"registers": 8, "hours": 4.0},
    "days": {
        "registers": 50,
        "registers_in_store": 1,
        "hours": 60.0,
        "calm": 3.0,
        # Hours without a network are many of the same.
        "backoff": Backoff(cap_s=120.0),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`by_hour` has the trace's hash after each full hour, `hash` the one at the end."""

    found: list[Fault]
    hash: str
    by_hour: list[str]
    events: int
    receipts: int
    history: str


def played(plan: Plan, *, hours: float | None = None) -> Outcome:
    """Play a run to its end, or the first hours of it, and look at everything."""
    print(f"seed {plan.seed}")
    loop = VirtualTimeLoop()
    try:
        # Files that stand in memory: the simulated disks do not wait for this machine's.
        with _quiet(), TemporaryDirectory(prefix="tillside-simulation-", dir=memory_folder()) as folder:
            outcome = loop.run_until_complete(_played(plan, Path(folder), hours))
    finally:
        loop.close()
    print(f"{outcome.receipts} receipts, {outcome.events} events, {len(outcome.found)} faults, {outcome.hash[:16]}")
    return outcome


async def _played(plan: Plan, folder: Path, hours: float | None) -> Outcome:
    chain = Chain(plan, folder)
    with suppress(TimeoutError):
        async with asyncio.timeout(None if hours is None else hours * 3_600):
            await chain.play()
    found = faults(chain) if hours is None else []
    outcome = Outcome(
        found=found,
        hash=chain.trace.hash,
        by_hour=chain.trace.by_hour,
        events=chain.trace.events,
        receipts=len(chain.sold),
        history="\n\n".join(f"{fault.what}\n{chain.trace.history(fault.about)}" for fault in found[:5]),
    )
    for register in (*chain.registers, *chain.clones):
        await register.die()
    late = asyncio.all_tasks() - {asyncio.current_task()}
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    chain.centre.database.close()
    return outcome


@contextmanager
def _quiet() -> Iterator[None]:
    """Thousands of faults are logged a second; the trace has them."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
