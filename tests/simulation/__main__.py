"""Play one run of a chain again: `python -m tests.simulation morning 123456`."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.chain import Plan
from tests.simulation.runs import RUNS, played


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("seed", type=int, help="what the run printed first")
    parser.add_argument("--hours", type=float, help="only the first of them; nothing is checked then")
    given = parser.parse_args()
    outcome = played(Plan(seed=given.seed, **RUNS[given.run]), hours=given.hours)
    print(*outcome.by_hour, outcome.hash, sep="\n")
    if outcome.found:
        print(outcome.history)
    return 1 if outcome.found else 0


if __name__ == "__main__":
    sys.exit(main())
