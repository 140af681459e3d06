"""How fast the local API may be asked to do things: by people and a POS as fast as they can, by a loop not for long.

Owns the count of what may be asked, and what who asks too often is told. Never knows HTTP, nor who may ask what.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Final

from sync.guesses import Guesses

# Of one token: a basket of a hundred lines told line by line, then faster than hands are. Each may be a durable write.
ACTS_AT_ONCE: Final = 100
ACTS_PER_S: Final = 20.0
# Of one token, too: a page with its files, a POS that asks ten times a second how a sale stands; a loop would keep the
# store busy.
LOOKS_AT_ONCE: Final = 300
LOOKS_PER_S: Final = 60.0
# More tokens than this are never let in at the same time: 32 of pages, 32 of other origins, a POS's.
MAX_ASKERS: Final = 128


class TooOftenError(Exception):
    """Something was asked more often than a person at a till would; it may be asked again in `wait_s` seconds."""

    def __init__(self, message: str, wait_s: int) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Allowed:
    """So much at once, and then so many in a second."""

    def __init__(self, at_once: int, per_s: float, monotonic_s: Callable[[], float]) -> None:
        self._most = float(at_once)
        self._per_s = per_s
        self._monotonic_s = monotonic_s
        self._left, self._at = self._most, monotonic_s()

    def take(self) -> None:
        """Raises TooOftenError."""
        now = self._monotonic_s()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            wait_s = math.ceil((1 - self._left) / self._per_s)
            raise TooOftenError(f"Too many at once: wait {wait_s} s.", wait_s)
        self._left -= 1


class Paced:
    """What each token may ask of one kind. Whoever was not heard of for longest is forgotten first."""

    def __init__(self, at_once: int, per_s: float, monotonic_s: Callable[[], float]) -> None:
        self._at_once = at_once
        self._per_s = per_s
        self._monotonic_s = monotonic_s
        self._by_token: dict[bytes, Allowed] = {}

    def take(self, token: str) -> None:
        """Raises TooOftenError."""
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        allowed = self._by_token.pop(digest, None) or Allowed(self._at_once, self._per_s, self._monotonic_s)
        self._by_token[digest] = allowed
        if len(self._by_token) > MAX_ASKERS:
            self._by_token.pop(next(iter(self._by_token)))
        allowed.take()


def check_guesses(guesses: Guesses) -> None:
    """Raises TooOftenError where too many codes were tried that nobody has."""
    if wait_s := guesses.wait_s():
        raise TooOftenError(f"Too many codes that nobody has: ask again in {wait_s} s. Scans and sales go on.", wait_s)
