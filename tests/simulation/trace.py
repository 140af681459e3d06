"""What happened in a run, in order: for a person to read, and as one hash for two runs to be compared by."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Final

# Of a run of millions of events, the last are what a failure is read in; the hash is over all.
_READABLE: Final = 200_000
_HOUR_S: Final = 3_600.0


class Trace:
    """One line an event: the virtual second, who, what. `by_hour` is the hash as it was after each full hour."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._hash = hashlib.sha256()
        self._lines: deque[str] = deque(maxlen=_READABLE)
        self.events = 0
        self.by_hour: list[str] = []

    def note(self, who: str, what: str) -> None:
        now_s = self._now_s()
        while now_s >= _HOUR_S * (len(self.by_hour) + 1):
            self.by_hour.append(self.hash)
        line = f"{now_s:12.3f}  {who:<10}  {what}"
        self._hash.update(line.encode())
        self._lines.append(line)
        self.events += 1

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()

    def history(self, about: str, last: int = 40) -> str:
        """The last lines that speak of `about`: a register, a receipt."""
        found = [line for line in self._lines if about in line]
        return "\n".join(found[-last:])
