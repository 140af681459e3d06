"""The register's clocks, as every job is stamped with them. Owns reading them; never compares two."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A wall time in UTC, and the machine's monotonic clock (ns since it started) beside it."""

    wall: datetime
    monotonic_ns: int


Clock = Callable[[], Moment]


def system_clock() -> Moment:
    return Moment(wall=datetime.now(UTC), monotonic_ns=time.monotonic_ns())


@cache
def boot_id() -> str:
    """A name for this run of the operating system, the same in every process of it.

    Where the system has none it is the second in which it started, as the clocks tell. Two processes may
    then differ after the wall clock was set; instants of different names are ordered by wall time.
    """
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return f"started-{round(time.time() - time.monotonic())}"
