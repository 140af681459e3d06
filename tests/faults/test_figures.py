"""The table of figures that stands at the end of all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.faults.figures import Figures, table

TELLING = """
from tests.faults.figures import Figures

def test_that_holds(tell):
    tell(Figures(row=2, fault="killed", points=300, acknowledged=1234, lost=0, double=0, redelivered=56))

def test_that_does_not(tell):
    tell(Figures(row=1, fault="power cut", points=1000, acknowledged=9, lost=3))
    assert False
"""


def test_rows_stand_in_order_and_what_was_not_counted_is_no_nought() -> None:
    told = [Figures(row=10, fault="late", points=5, lost=0), Figures(row=2, fault="killed", points=300, double=1234)]

    assert table(told) == [
        "row  fault   points  acknowledged  lost  double  redelivered",
        "  2  killed     300             –     –   1,234            –",
        " 10  late         5             –     0       –            –",
    ]


def test_figures_of_every_worker_are_shown_whether_their_tests_held_or_not(tmp_path: Path) -> None:
    (tmp_path / "test_telling.py").write_text(TELLING)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "1", "-p", "tests.faults.figures", "-p", "no:cacheprovider"]

    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109
    )

    assert "  1  power cut   1,000             9     3       –            –" in done.stdout, done.stdout + done.stderr
    assert "  2  killed        300         1,234     0       0           56" in done.stdout
