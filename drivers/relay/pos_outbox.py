"""What the POS is still to get of a shared scanner. Owns how long that waits, and what is given up.

A code is given up whole or not at all: half a code is another product. Sans-IO: moments are passed in.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from drivers.relay.scanner_passage import Passed

# A POS that opens its port again, or a cable that is plugged in again, takes a second or two. What comes later
# would be put onto another customer's sale.
POS_WAITS_S: Final = 3.0
# What a scanner at 115,200 baud sends in that time is half of it.
MAX_POS_BYTES: Final = 64 * 1024


class PosOutbox:
    """Passed bytes in their order. The oldest codes are given up first; `dropped` counts them."""

    def __init__(self, *, waits_s: float = POS_WAITS_S, max_bytes: int = MAX_POS_BYTES) -> None:
        self.dropped = 0
        self._waits_ns = round(waits_s * 1e9)
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[Passed, int]] = deque()
        self._bytes = 0
        self._taken: list[tuple[Passed, int]] = []
        self._given_up = -1  # the last code of which the POS does not get all

    def put(self, passed: Passed, now_ns: int) -> None:
        """Add what the scanner passage passed at `now_ns`."""
        self._drop_old(now_ns)
        if passed.code == self._given_up:
            return
        self._waiting.append((passed, now_ns))
        self._bytes += len(passed.data)
        while self._bytes > self._max_bytes:
            self._give_up_first()

    def take(self, now_ns: int) -> bytes:
        """Everything that is still worth sending, to be sent as one."""
        self._drop_old(now_ns)
        self._taken = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return b"".join(passed.data for passed, _ in self._taken)

    def put_back(self) -> None:
        """The POS got nothing of what was taken; it waits on, as old as it is."""
        self._waiting.extendleft(reversed(self._taken))
        self._bytes += sum(len(passed.data) for passed, _ in self._taken)
        self._taken = []

    def give_up(self) -> None:
        """Nobody knows what the POS got of what was taken; it is not sent again, as nothing must be sold twice."""
        for code in sorted({passed.code for passed, _ in self._taken}):
            self._drop(code)
        self._taken = []

    def _drop_old(self, now_ns: int) -> None:
        while self._waiting and now_ns - self._waiting[0][1] > self._waits_ns:
            self._give_up_first()

    def _give_up_first(self) -> None:
        self._drop(self._waiting[0][0].code)

    def _drop(self, code: int) -> None:
        self.dropped += code != self._given_up
        self._given_up = max(code, self._given_up)
        while self._waiting and self._waiting[0][0].code == code:
            self._bytes -= len(self._waiting.popleft()[0].data)
