"""A chain of shops under everything at once, in virtual time: nothing is lost, nothing counts twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import Any

import pytest

from sync.retry import Backoff
from tests.faults.figures import Figures, Tell
from tests.faults.planted import Unjittered
from tests.simulation.centre import CarelessCentre, LaggingCentre, ReclaimingCentre, StubbornCentre
from tests.simulation.chain import Plan
from tests.simulation.disk import (
    BlindStore,
    EagerStore,
    ForgetfulStore,
    ForgivingStore,
    HastyStore,
    KeepingStore,
    RenamingStore,
)
from tests.simulation.runs import RUNS, Outcome, played

# What is planted shows where chance meets it: in some hours of so many.
TRIES = 48
# So many hours of the long run are played once more: they have faults of all kinds.
AGAIN_H = 6


def test_a_morning_under_all_faults_at_once_comes_out_right(tell: Tell) -> None:
    plan = Plan(seed=random.randrange(2**32), **RUNS["morning"])

    outcome = played(plan)

    tell(figures("all at once, a morning of 8 registers", outcome))
    assert outcome.found == [], outcome.history
    assert outcome.receipts > 30
    assert again("morning", plan) == [*outcome.by_hour, outcome.hash]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_2000_hours_of_shops_under_all_faults_at_once_come_out_right(tell: Tell) -> None:
    plan = Plan(seed=random.randrange(2**32), **RUNS["days"])

    outcome = played(plan)

    tell(figures("all at once, 50 registers, 2,000 hours", outcome))
    assert outcome.found == [], outcome.history
    assert outcome.receipts > 1_500
    assert again("days", plan, "--hours", str(AGAIN_H))[:AGAIN_H] == outcome.by_hour[:AGAIN_H]


def again(run: str, plan: Plan, *options: str) -> list[str]:
    """What a trace came to hour by hour, where another process plays the same seed."""
    command = [sys.executable, "-m", "tests.simulation", run, str(plan.seed), *options]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    return [line for line in told.stdout.splitlines() if len(line) == 64]


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
        ({"store": BlindStore}, "is lost"),
        ({"store": RenamingStore}, "is there 2 times"),
        ({"store": ForgetfulStore}, "is lost"),
        ({"store": ForgivingStore}, "overspent"),
        ({"centre": ReclaimingCentre}, "overspent"),
        ({"centre": LaggingCentre}, "heard of mark"),
        ({"centre": StubbornCentre}, "is held up"),
        ({"centre": CarelessCentre}, "riddle"),
        ({"store": KeepingStore}, "still holds the card"),
    ],
    ids=[
        "a position before its rows",
        "an answer before the commit",
        "an answer whatever the disk said",
        "a key for each sending",
        "nothing for a restored centre",
        "a grant of no epoch",
        "a grant that ends by time",
        "a mark of a copy that is behind",
        "one entry that holds up its batch",
        "one entry that is acknowledged and dropped",
        "an erasure that leaves the member",
    ],
)
def test_what_is_planted_is_found(planted: dict[str, Any], words: str) -> None:
    tries = (played(Plan(seed=random.randrange(2**32), **RUNS["hours"], **planted)) for _ in range(TRIES))

    assert any(words in fault.what for outcome in tries for fault in outcome.found)


@pytest.mark.parametrize("backoff", [Backoff(), Unjittered()], ids=["with jitter", "the cap takes it"])
def test_registers_come_back_one_by_one_unless_the_cap_takes_the_jitter(backoff: Backoff) -> None:
    plan = Plan(seed=random.randrange(2**32), registers=40, hours=1.0, backoff=backoff, only_network=True)

    outcome = played(plan)

    herds = [fault for fault in outcome.found if "within a second" in fault.what]
    assert outcome.found == herds
    assert bool(herds) == isinstance(backoff, Unjittered), outcome.history
