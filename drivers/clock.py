"""The clock of production: `now()` makes the `Instant` of this moment.

Owns how this machine names one run of its operating system. Everything that decides takes a clock as
an argument instead of calling this.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from loyalty.instant import Instant

Clock = Callable[[], Instant]

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def now() -> Instant:
    """This moment, in UTC, with the monotonic clock that all processes of this boot share."""
    return Instant(wall=datetime.now(UTC), boot=boot_id(), monotonic_ns=time.monotonic_ns())


@functools.cache
def boot_id() -> str:
    """A name for this run of the operating system, the same in every process of it.

    Where the system has none it is the second in which it started, as the clocks tell. Two processes may
    then differ after the wall clock was set; instants of different names are ordered by wall time.
    """
    try:
        return _LINUX_BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return f"started-{round(time.time() - time.monotonic())}"
