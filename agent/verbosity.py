"""How much the log says: what matters, and everything for an hour at most where the centre asks for it.

Owns the filter before the log's lines. What is logged of people is nothing either way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog

# However long the centre asks for, so that a register whose centre is gone is quiet again by itself.
MAX_S: Final = 3600.0


class Verbosity:
    """A processor of structlog's, the first one: lets `debug` through while more is asked for."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._until_s: float | None = None

    def more_for(self, seconds: int | None) -> None:
        """Says everything for so many seconds from now; None: what matters."""
        self._until_s = None if seconds is None else self._monotonic_s() + min(seconds, MAX_S)

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method == "debug" and (self._until_s is None or self._monotonic_s() >= self._until_s):
            raise structlog.DropEvent
        return event


# The log is the process's, and so is this.
OF_THIS_PROCESS: Final = Verbosity()
