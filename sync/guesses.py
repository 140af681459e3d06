"""How many codes that nobody has may be asked about: who tries numbers is slowed down, who mistypes is not.

Owns that count, of one asker, at a register and at the centre alike. At the centre a register's questions about foreign
cards that were scanned count, too. No sale waits for an answer: it keeps its code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# So many misses at once, and one more every so many seconds: ten thousand numbers take more than a day.
MAX_MISSES: Final = 30
REGAINED_EVERY_S: Final = 10.0


class Guesses:
    """The misses of one asker, by whatever calls. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._misses = 0.0
        self._at = clock()

    def wait_s(self) -> int:
        """Whole seconds until a code may be asked about; 0 for now."""
        self._regain()
        return math.ceil(max(0.0, self._misses - (MAX_MISSES - 1)) * REGAINED_EVERY_S)

    def missed(self) -> None:
        """Nobody had the code."""
        self._regain()
        self._misses += 1

    def found(self) -> None:
        """Somebody has a code that was counted as missed before it was asked about."""
        self._misses = max(0.0, self._misses - 1)

    @contextmanager
    def asking(self, counts: type[Exception] | tuple[type[Exception], ...]) -> Iterator[None]:
        """What is asked about here counts at once, since others may ask meanwhile; then only if it ends in `counts`."""
        self.missed()
        try:
            yield
        except counts:
            raise
        except BaseException:
            self.found()
            raise
        self.found()

    def _regain(self) -> None:
        now = self._clock()
        self._misses = max(0.0, self._misses - (now - self._at) / REGAINED_EVERY_S)
        self._at = now
