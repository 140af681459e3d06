"""The clock of production: `now()` makes the `Instant` of this moment.

Everything that decides takes a clock as an argument instead of calling this. The relay, which has to stay
small, stamps its jobs by `drivers.relay.clock`; both name a run of the operating system alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from drivers.relay.clock import boot_id
from loyalty.instant import Instant

__all__ = ["Clock", "boot_id", "now"]

Clock = Callable[[], Instant]


def now() -> Instant:
    """This moment, in UTC, with the monotonic clock that all processes of this boot share."""
    return Instant(wall=datetime.now(UTC), boot=boot_id(), monotonic_ns=time.monotonic_ns())
