"""The machine under a benchmark: its cores, and how often a second its disk makes a small write durable.

Disks are shared: a durable figure means nothing without the rate measured in the same run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

PROBE_S = 0.5
PROBE_BYTES = 4096
_SLOW_SOURCE = Path(__file__).with_name("slow_flush.c")


class Machine(Struct, frozen=True, kw_only=True):
    """`fdatasync_per_s` counts 4 KiB overwrites, each made durable before the next."""

    cores: int
    fdatasync_per_s: int


@contextmanager
def disk_folder() -> Iterator[Path]:
    """A folder on a real disk for the length of a benchmark: /var/tmp survives a restart, /tmp may be memory."""
    lasting = Path("/var/tmp")
    with tempfile.TemporaryDirectory(prefix="tillside-bench-", dir=lasting if lasting.is_dir() else None) as folder:
        yield Path(folder)


def measured(folder: Path) -> Machine:
    """Measures the disk that `folder` is on, for PROBE_S."""
    path = folder / "probe"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)
    try:
        os.write(descriptor, bytes(PROBE_BYTES))
        sync(descriptor)
        started = time.perf_counter()
        count = 0
        while time.perf_counter() - started < PROBE_S:
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, bytes(PROBE_BYTES))
            sync(descriptor)
            count += 1
        elapsed = time.perf_counter() - started
    finally:
        os.close(descriptor)
        path.unlink()
    return Machine(cores=len(os.sched_getaffinity(0)), fdatasync_per_s=round(count / elapsed))


def slow_flush(folder: Path) -> Path | None:
    """A library in `folder`: in a process that it is preloaded into every flush takes 2 ms longer. None where it cannot
    be made.
    """
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    library = folder / "slow_flush.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(_SLOW_SOURCE), "-ldl"], check=True)
    return library
