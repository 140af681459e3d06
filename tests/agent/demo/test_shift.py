"""The demonstration itself: the main job from end to end, on real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[3] / "README.md"


@pytest.mark.long
@pytest.mark.processes
def test_the_shift_comes_out_to_the_point() -> None:
    command = [str(Path(sys.executable).with_name("tillside")), "demo", "--once", "--json"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    figures = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert figures["receipts"] >= 60
    assert figures["points"] > 0
    assert {name: figures[name] for name in ("lost", "double", "balance_mismatch", "printed_differently")} == {
        "lost": 0,
        "double": 0,
        "balance_mismatch": 0,
        "printed_differently": 0,
    }
    assert (figures["redeemed"], figures["refused"], figures["overspent"]) == (1, 1, 0)
    assert figures["returns_that_waited"] == 1
    assert figures["not_receipts"] == 4  # two card slips, a reprint and a copy
    assert "Traceback" not in done.stderr
    told = " · ".join(
        f"{name.replace('_', ' ')} {figures[name]}"
        for name in ("receipts", "entries", "points", "lost", "double", "balance_mismatch", "redeemed", "overspent")
    )
    assert told in README.read_text(encoding="utf-8")
