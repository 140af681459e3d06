"""The clock of production."""

from __future__ import annotations

import subprocess
import sys

from drivers.clock import boot_id, now


def test_time_goes_on() -> None:
    first, second = now(), now()

    assert second.ns_since(first) >= 0
    assert first.wall.utcoffset() is not None


def test_all_processes_of_a_boot_share_the_clock() -> None:
    before = now()
    code = "from drivers.clock import now; i = now(); print(i.boot, i.monotonic_ns)"

    boot, monotonic_ns = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert boot == boot_id()
    assert before.monotonic_ns < int(monotonic_ns) < now().monotonic_ns
