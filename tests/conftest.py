"""What all tests stand on, and in which order and where they run."""

from __future__ import annotations

import gc
import os
import signal

import pytest
from hypothesis import settings

from tests.faults.figures import pytest_terminal_summary, tell
from tests.in_memory import memory_folder
from tests.machine import mount_disk, pytest_addoption, strace
from tests.postgres import _with_tables, centre_url, empty_url, postgres

__all__ = [
    "_with_tables",
    "centre_url",
    "empty_url",
    "mount_disk",
    "postgres",
    "pytest_addoption",
    "pytest_terminal_summary",
    "strace",
    "tell",
]

# How long an example takes says more of the machine's other work than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell's background jobs ignore Ctrl-C, and every process that they start does; the tests' own must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Thousands of small databases wait for no disk. What a power cut leaves of a file is tests/faults/power's to say.
if (_memory := memory_folder()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_memory))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests wait for the processes that they start."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests come first at every worker, so that none is begun when the others have nothing left.

    xdist hands each worker an equal part of the list, and moves tests from the end of one part to another later.
    """
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers == 1:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if not item.get_closest_marker("long")]
    left = len(items)
    items.clear()
    for worker in range(workers):
        part = left // (workers - worker)
        left -= part
        first = long[worker::workers]
        items += first + others[: max(0, part - len(first))]
        del others[: max(0, part - len(first))]
    items += others


def pytest_collection_finish() -> None:
    """Ten thousand tests stay until the end: no garbage collection needs to look at them again."""
    gc.collect()
    gc.freeze()
