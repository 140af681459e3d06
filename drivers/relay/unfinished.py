"""Jobs that a POS has begun and whose connection has closed: they wait for its next one.

Owns whose they are and how long they wait. Never decides what a job is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from drivers.relay.clock import Clock
from drivers.relay.passage import Passage
from drivers.relay.spool import Job, Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    passage: Passage
    origin: Origin
    ending: asyncio.TimerHandle


class Unfinished:
    """One job for each POS at most. `keep` gets those that nobody goes on with."""

    def __init__(self, keep: Callable[[Job, Origin], object], clock: Clock) -> None:
        self._keep = keep
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}

    def leave(self, pos: str, passage: Passage, origin: Origin) -> None:
        """`passage`'s connection has closed. Where its job is open it waits, until the POS has paused too long."""
        self._end(pos)  # another connection of this POS was closed in the middle as well
        idle_at_ns = passage.idle_at_ns
        if idle_at_ns is None:
            return
        in_s = max(0.0, (idle_at_ns - self._clock().monotonic_ns) / 1e9)
        ending = asyncio.get_running_loop().call_later(in_s, self._end, pos)
        self._waiting[pos] = _Waiting(passage=passage, origin=origin, ending=ending)

    def take(self, pos: str) -> Passage | None:
        """What the POS goes on with, if anything."""
        waiting = self._waiting.pop(pos, None)
        if waiting is None:
            return None
        waiting.ending.cancel()
        return waiting.passage

    def end(self) -> None:
        """Nobody goes on any more."""
        for pos in list(self._waiting):
            self._end(pos)

    def _end(self, pos: str) -> None:
        waiting = self._waiting.pop(pos, None)
        if waiting is None:
            return
        waiting.ending.cancel()
        for step in waiting.passage.end("close"):
            if isinstance(step, Job):
                self._keep(step, waiting.origin)
