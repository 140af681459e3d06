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
from tests.simulation.centre import CarelessCentre, LaggingCentre, LavishCentre, ReclaimingCentre, StubbornCentre
from tests.simulation.chain import Plan
from tests.simulation.disk import (
    BlindStore,
    DroppingStore,
    EagerStore,
    ForgetfulStore,
    ForgivingStore,
    HastyStore,
    KeepingStore,
    RenamingStore,
)
from tests.simulation.runs import RUNS, Outcome, played
from tests.simulation.trouble import NETWORK

# A history meets what is planted all but always; who is on the page, and what fails just then, is by chance.
TRIES = 3
# So many hours of a run are played once more: they have faults of many kinds.
AGAIN_H = 3


def test_a_morning_under_all_faults_at_once_comes_out_right(tell: Tell) -> None:
    plan = Plan(seed=random.randrange(2**32), **RUNS["morning"])

    outcome = played(plan)

    tell(figures("all at once, a morning of 8 registers", outcome))
    assert outcome.found == [], outcome.history
    assert outcome.receipts > 30
    assert again("morning", plan) == outcome.by_hour[:AGAIN_H]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_2000_hours_of_shops_under_all_faults_at_once_come_out_right(tell: Tell) -> None:
    plan = Plan(seed=random.randrange(2**32), **RUNS["days"])

    outcome = played(plan)

    tell(figures("all at once, 50 registers, 2,000 hours", outcome))
    assert outcome.found == [], outcome.history
    assert outcome.receipts > 1_500
    assert again("days", plan) == outcome.by_hour[:AGAIN_H]


def again(run: str, plan: Plan) -> list[str]:
    """What a trace came to hour by hour, where another process plays the first hours of the same seed."""
    command = [sys.executable, "-m", "tests.simulation", run, str(plan.seed), "--hours", str(AGAIN_H)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    return [line for line in told.stdout.splitlines() if len(line) == 64][:AGAIN_H]


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
    ("planted", "history", "words"),
    [
        ({"store": HastyStore}, "blackout", "shows"),
        ({"store": EagerStore}, "blackout", "is lost"),
        ({"store": BlindStore}, "failing disk", "is lost"),
        ({"store": RenamingStore}, "deaf line", "is there"),
        ({"store": DroppingStore}, "damaged disk", "is lost"),
        ({"store": ForgetfulStore}, "restored centre", "is lost"),
        ({"store": ForgivingStore}, "two machines", "overspent"),
        ({"centre": ReclaimingCentre}, "cut off", "overspent"),
        ({"centre": LavishCentre}, "cut off", "was given too often"),
        ({"centre": LaggingCentre}, "two machines", "heard of mark"),
        ({"centre": StubbornCentre}, "riddles", "is held up"),
        ({"centre": CarelessCentre}, "riddles", "riddle"),
        ({"store": KeepingStore}, "erasure", "still holds the card"),
        ({"store": KeepingStore}, "joined twice", "still holds the card"),
    ],
    ids=[
        "a position before its rows",
        "an answer before the commit",
        "an answer whatever the disk said",
        "a key for each sending",
        "a damaged file that is put away and forgotten",
        "nothing for a restored centre",
        "a grant of no epoch",
        "a grant that ends by time",
        "a voucher for whoever shows it",
        "a mark of a copy that is behind",
        "one entry that holds up its batch",
        "one entry that is acknowledged and dropped",
        "an erasure that leaves the member",
        "an erasure that leaves who joined twice",
    ],
)
def test_what_is_planted_is_found(planted: dict[str, Any], history: str, words: str) -> None:
    plans = (
        Plan(seed=random.randrange(2**32), troubles=frozenset({history}), **RUNS["hours"], **planted)
        for _ in range(TRIES)
    )

    assert any(words in fault.what for outcome in map(played, plans) for fault in outcome.found)


@pytest.mark.parametrize("backoff", [Backoff(), Unjittered()], ids=["with jitter", "the cap takes it"])
def test_registers_come_back_one_by_one_unless_the_cap_takes_the_jitter(backoff: Backoff) -> None:
    plan = Plan(seed=random.randrange(2**32), registers=40, hours=1.0, backoff=backoff, troubles=frozenset({NETWORK}))

    outcome = played(plan)

    herds = [fault for fault in outcome.found if "within a second" in fault.what]
    assert outcome.found == herds
    assert bool(herds) == isinstance(backoff, Unjittered), outcome.history
