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
    """Names this run of the operating system, as `drivers.clock` names it for scans.

    Where the system has no name for it, it is the second in which it started.
    """
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return f"started-{round(time.time() - time.monotonic())}"
