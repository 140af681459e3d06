"""What a keyboard device says: keys, its lock lights, and that some of it was lost.

Owns the shape of these three. Key codes are those of Linux's input-event-codes.h: they name a position on
the keyboard, never a character. Times are nanoseconds of the machine's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

UP, DOWN, REPEAT = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent:
    """Key `code` went UP, DOWN, or is held and REPEATs."""

    code: int
    value: int
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapsLight:
    """The host switched the device's CapsLock light: how a scanner learns of the host's CapsLock."""

    on: bool
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsLost:
    """The operating system dropped events before this one. `held` are the keys that are down now."""

    held: frozenset[int]
    at_ns: int


DeviceEvent = KeyEvent | CapsLight | EventsLost
