"""Where one scan ends and the next begins, in the bytes that a scanner sends.

Owns the buffer between two scans. Sans-IO: bytes and their instants in, frames out; any split of the
same bytes gives the same frames, and no bytes raise. Never looks at what a scan says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # the relay cuts scans too, and stays small
    from loyalty.instant import Instant

# The largest barcode there is, a version 40 QR code, holds 7,089 digits.
MAX_FRAME_BYTES = 8192
# A scanner sends a scan in one go: 9600 baud is a byte per millisecond, a USB hiccup tens of them.
IDLE_MS = 1000

Dropped = Literal["too_long", "suffix_missing", "prefix_missing"]

_LINE_ENDS = re.compile(rb"[\r\n\t]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFrame:
    """The bytes of one scan without prefix and suffix. `at` is when the last of them arrived."""

    data: bytes
    at: Instant


class Framer(Protocol):
    """Cuts what one scanner sends into scans; made anew for each start.

    Takes any bytes in any split, gives the same frames for all splits, raises nothing and keeps a bounded buffer.
    """

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many codes were dropped so far, by reason; each reason has a remedy with its driver."""

    def feed(self, data: bytes, at: Instant) -> list[ScanFrame]:
        """Scans that `data`, arrived at `at`, completes."""

    def idle(self, now: Instant) -> list[ScanFrame]:
        """The scan that silence until `now` completes."""

    def idle_due_in_s(self, now: Instant) -> float | None:
        """Seconds from `now` until `idle` should be called; None while nothing is pending."""


class ScanFramer:
    """The `Framer` of scanners that send a suffix after each code, or nothing.

    `suffix` None ends a scan at CR, LF or TAB, alone or together; empty means that the scanner sends none,
    and that `idle_ms` without a byte ends a scan. `prefix` must lead each scan. With a suffix, a scan that has
    none after `idle_ms` is dropped: half a member code may be somebody else's. `dropped` counts by reason.
    """

    def __init__(
        self,
        *,
        prefix: bytes = b"",
        suffix: bytes | None = None,
        idle_ms: int = IDLE_MS,
        max_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._prefix = prefix
        self._end = _LINE_ENDS if suffix is None else re.compile(re.escape(suffix)) if suffix else None
        self._tail = max(len(suffix or b"") - 1, 0)  # bytes at the end that may be the start of the suffix
        self._limit = max_bytes + len(prefix)
        self._idle_ns = idle_ms * 1_000_000
        self._pending = bytearray()
        self._discarding = False  # the rest of a scan that was too long
        self._last: Instant | None = None  # of the last byte pending

    def feed(self, data: bytes, at: Instant) -> list[ScanFrame]:
        """Scans that `data`, arrived at `at`, completes."""
        frames = self.idle(at)
        if data:
            searched = max(len(self._pending) - self._tail, 0)
            self._pending += data
            self._last = at
            self._split(searched, at, frames)
        return frames

    def idle(self, now: Instant) -> list[ScanFrame]:
        """The scan that silence until `now` completes; also drops what silence shows to be torn."""
        if self._last is None or now.ns_since(self._last) < self._idle_ns:
            return []
        frames: list[ScanFrame] = []
        pending, last, discarding = bytes(self._pending), self._last, self._discarding
        self._start_anew()
        if discarding:
            return []
        if self._end is None:
            self._complete(pending, last, frames)
        else:
            self.dropped["suffix_missing"] += 1
        return frames

    def idle_due_in_s(self, now: Instant) -> float | None:
        """Seconds from `now` until `idle` should be called; None while nothing is pending."""
        if self._last is None:
            return None
        return max(self._idle_ns - now.ns_since(self._last), 0) / 1e9

    def _split(self, searched: int, at: Instant, frames: list[ScanFrame]) -> None:
        start = 0
        if self._end is not None:
            for end in self._end.finditer(self._pending, searched):
                if self._discarding:
                    self._discarding = False
                else:
                    self._complete(bytes(self._pending[start : end.start()]), at, frames)
                start = end.end()
            del self._pending[:start]
        if len(self._pending) - self._tail > self._limit and not self._discarding:
            self._discarding = True
            self.dropped["too_long"] += 1
        if self._discarding:
            del self._pending[: len(self._pending) - self._tail]
        elif not self._pending:
            self._last = None

    def _complete(self, data: bytes, at: Instant, frames: list[ScanFrame]) -> None:
        if not data:
            return
        if len(data) > self._limit:
            self.dropped["too_long"] += 1
        elif not data.startswith(self._prefix):
            self.dropped["prefix_missing"] += 1
        elif len(data) > len(self._prefix):
            frames.append(ScanFrame(data=data[len(self._prefix) :], at=at))

    def _start_anew(self) -> None:
        self._pending.clear()
        self._discarding = False
        self._last = None


REMEDIES: dict[str, str] = {
    "too_long": f"More than {MAX_FRAME_BYTES} bytes without a suffix: check the baud rate and `suffix`.",
    "suffix_missing": 'Let the scanner send CR after each code, or set suffix = "" if it cannot.',
    "prefix_missing": "The scanner does not send the prefix that is set: correct `prefix`.",
}
