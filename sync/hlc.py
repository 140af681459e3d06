"""Hybrid logical clock: an order for entries and edits that a jump of the register's clock cannot break.

Owns the text form and the rules for local events and for readings that are met (Kulkarni et al., "Logical Physical
Clocks", 2014).
Never reads a clock: the wall time is passed in. Texts compare as the clock does.
"""

from __future__ import annotations

import re
from datetime import datetime

from msgspec import Struct

# Four hexadecimal digits; the next event after it borrows a millisecond from the future.
MAX_COUNTER = 0xFFFF

_TEXT = re.compile(r"^([0-9a-f]{12})([0-9a-f]{4})-([0-9a-f]{8})$")


class MalformedHlcError(ValueError):
    """A text is no hybrid logical clock: 16 hexadecimal digits, a hyphen, 8 hexadecimal digits."""


class Hlc(Struct, frozen=True, kw_only=True, order=True):
    """One reading: wall milliseconds since 1970, a counter within them, the node that read it (8 hex digits)."""

    ms: int
    counter: int
    node: str

    @property
    def next(self) -> Hlc:
        """The earliest reading of the same node after this one."""
        if self.counter < MAX_COUNTER:
            return Hlc(ms=self.ms, counter=self.counter + 1, node=self.node)
        return Hlc(ms=self.ms + 1, counter=0, node=self.node)

    @property
    def text(self) -> str:
        """`0199aa0c1f2b0003-5e1f00a4`: of fixed width, so that texts sort as readings do."""
        return f"{self.ms:012x}{self.counter:04x}-{self.node}"


def parse_hlc(text: str) -> Hlc:
    """The reading written as `text`. Raises MalformedHlcError."""
    match = _TEXT.match(text)
    if match is None:
        raise MalformedHlcError(f"{text!r} is no hybrid logical clock")
    return Hlc(ms=int(match[1], 16), counter=int(match[2], 16), node=match[3])


class HybridClock:
    """The clock of one node. Every reading is later than all before it, whatever the wall clock does."""

    def __init__(self, node: str, last: Hlc | None = None) -> None:
        self._suffix = f"-{node}"
        self._counter = last.counter if last else 0
        self._set_ms(last.ms if last else 0)

    def tick(self, wall: datetime) -> str:
        """The text of a reading for an event that happens now."""
        ms = milliseconds(wall)
        if ms > self._ms:
            self._set_ms(ms)
            self._counter = 0
        elif self._counter < MAX_COUNTER:
            self._counter += 1
        else:
            self._set_ms(self._ms + 1)
            self._counter = 0
        return f"{self._ms_text}{self._counter:04x}{self._suffix}"

    def follow(self, seen: Hlc) -> None:
        """Every reading from now on is later than `seen`."""
        if (seen.ms, seen.counter) > (self._ms, self._counter):
            self._set_ms(seen.ms)
            self._counter = seen.counter

    def _set_ms(self, ms: int) -> None:
        # Many readings fall in one millisecond; its text is made once.
        self._ms, self._ms_text = ms, f"{ms:012x}"


def milliseconds(wall: datetime) -> int:
    """The wall time of a reading."""
    return int(wall.timestamp() * 1000)
