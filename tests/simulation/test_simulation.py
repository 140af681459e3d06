"""A chain of shops under everything at once, in virtual time: nothing is lost, nothing counts twice."""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from sync.retry import Backoff
from tests.faults.figures import Figures, Tell
from tests.faults.planted import Unjittered
from tests.faults.virtual_time import VirtualTimeLoop
from tests.simulation.centre import ReclaimingCentre
from tests.simulation.chain import Chain, Plan
from tests.simulation.checker import Fault, faults
from tests.simulation.disk import EagerStore, ForgetfulStore, ForgivingStore, HastyStore, RenamingStore

# A busy morning; and 2,000 hours of shops with a till each, a night among them.
MORNING: dict[str, Any] = {"registers": 8, "hours": 4.0}
MORNINGS = 6
DAYS: dict[str, Any] = {"registers": 50, "hours": 40.0, "calm": 2.5}
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    found: list[Fault]
    hash: str
    events: int
    receipts: int
    history: str


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of faults are logged a second; the trace has them."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture
def disks() -> Iterator[Path]:
    """Files that stand in memory: the simulated disks do not wait for this machine's."""
    folder = Path(tempfile.mkdtemp(prefix="tillside-simulation-", dir=_MEMORY if _MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


def played(plan: Plan, disks: Path) -> Outcome:
    """Play a run to its end and look at everything."""
    print(f"seed {plan.seed}")
    folder = Path(tempfile.mkdtemp(dir=disks))
    loop = VirtualTimeLoop()

    async def run() -> Outcome:
        chain = Chain(plan, folder)
        await chain.play()
        found = faults(chain)
        history = "\n\n".join(f"{fault.what}\n{chain.trace.history(fault.about)}" for fault in found[:5])
        outcome = Outcome(
            found=found,
            hash=chain.trace.hash,
            events=chain.trace.events,
            receipts=len(chain.sold),
            history=history,
        )
        for register in (*chain.registers, *chain.clones):
            await register.die()
        chain.centre.database.close()
        return outcome

    try:
        outcome = loop.run_until_complete(run())
    finally:
        loop.close()
    print(f"{outcome.receipts} receipts, {outcome.events} events, {len(outcome.found)} faults, {outcome.hash[:16]}")
    return outcome


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("size", "receipts"),
    [
        pytest.param(MORNING, 30, id="a morning"),
        pytest.param(DAYS, 800, id="2,000 hours", marks=pytest.mark.long),
    ],
)
def test_a_chain_under_all_faults_at_once_comes_out_right(
    size: dict[str, Any], receipts: int, disks: Path, tell: Tell
) -> None:
    outcome = played(Plan(seed=random.randrange(2**32), **size), disks)
    tell(figures(f"all at once, {size['registers']} registers", outcome))

    assert outcome.found == [], outcome.history
    assert outcome.receipts > receipts


def figures(fault: str, outcome: Outcome) -> Figures:
    found = [each.what for each in outcome.found]
    return Figures(
        row=5,
        fault=fault,
        points=outcome.events,
        acknowledged=outcome.receipts,
        lost=sum("is lost" in what for what in found),
        double=sum("is there" in what for what in found),
    )


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        ({"store": HastyStore}, "shows"),
        ({"store": EagerStore}, "is lost"),
        ({"store": RenamingStore}, "is there 2 times"),
        ({"store": ForgetfulStore}, "is lost"),
        ({"store": ForgivingStore}, "overspent"),
        ({"centre": ReclaimingCentre}, "overspent"),
    ],
    ids=[
        "a position before its rows",
        "an answer before the commit",
        "a key for each sending",
        "nothing for a restored centre",
        "a grant of no epoch",
        "a grant that ends by time",
    ],
)
def test_what_is_planted_is_found(planted: dict[str, Any], words: str, disks: Path) -> None:
    """What is planted shows where chance meets it: in one morning of a few."""
    mornings = (played(Plan(seed=random.randrange(2**32), **MORNING, **planted), disks) for _ in range(MORNINGS))

    assert any(words in fault.what for outcome in mornings for fault in outcome.found)


@pytest.mark.parametrize("backoff", [Backoff(), Unjittered()], ids=["with jitter", "the cap takes it"])
def test_registers_come_back_one_by_one_unless_the_cap_takes_the_jitter(backoff: Backoff, disks: Path) -> None:
    plan = Plan(seed=random.randrange(2**32), registers=40, hours=1.0, backoff=backoff, only_network=True)

    outcome = played(plan, disks)

    herds = [fault for fault in outcome.found if "within a second" in fault.what]
    assert outcome.found == herds
    assert bool(herds) == isinstance(backoff, Unjittered), outcome.history


def test_a_seed_plays_the_same_run_again_in_any_process(disks: Path) -> None:
    seed = random.randrange(2**32)
    plan = f"Plan(seed={seed}, registers=6, hours=3.0)"
    script = f"from tests.simulation.test_simulation import *; print(played({plan}, Path({str(disks)!r})).hash)"
    environment = os.environ | {"PYTHONHASHSEED": "7"}

    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment)

    assert told.stdout.split()[-1] == played(Plan(seed=seed, registers=6, hours=3.0), disks).hash
