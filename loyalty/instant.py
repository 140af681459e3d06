"""When something happened at a register, in a way that a clock change cannot reorder."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from loyalty.receipt import AwareDatetime

_MICROSECOND = timedelta(microseconds=1)


class Instant(Struct, frozen=True, kw_only=True):
    """A wall time, and the machine's monotonic clock (ns since `boot`) beside it.

    `boot` names one run of the operating system; every process of that run shares the clock.
    """

    wall: AwareDatetime
    boot: str
    monotonic_ns: int

    def ns_since(self, earlier: Instant) -> int:
        """Nanoseconds from `earlier` to this: by the monotonic clock within one boot, else by wall time."""
        if self.boot == earlier.boot:
            return self.monotonic_ns - earlier.monotonic_ns
        return (self.wall - earlier.wall) // _MICROSECOND * 1000
