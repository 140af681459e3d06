"""How fast registers may send, when many of them have much to send at once.

Owns credits, and that a batch of a few fresh sales never stands behind the backlogs of others. Never looks into a
batch, and never at what is in the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from central.problems import BusyError

# A batch of so many entries at most is what a till sold just now; more of them are a backlog.
FRESH_ENTRIES: Final = 20
# An answer to a backlog's batch should take about this long, whoever else waits: a register gives up after 10 s of
# silence, and what a batch costs by itself is that of a hundred entries, so that small ones make a slow centre slower.
ANSWER_S: Final = 2.0
# So many are taken in at most while nobody else may write: a fresh sale, or who looks a member up, waits behind them.
ALONE_ENTRIES: Final = 200
MAX_CREDIT: Final = 2_000
MIN_CREDIT: Final = 100
# Backlogs that are taken in at the same time: while one waits for the database, the others have the one processor that
# this process uses. The other writers are for fresh sales.
BACKLOGS_AT_ONCE: Final = 3
# Backlogs that wait for their turn before who comes on top of them is told to pause; and that may wait at all: each is
# a body that is held, and would be answered after its register gave up.
BACKLOGS_WAITING: Final = 32
BACKLOGS_AT_MOST: Final = 48
# What an entry is thought to take before the first was measured, and how much a new measurement counts: more where it
# is slower, since entries that are no plain sales take ten times as long, and come many together.
_ENTRY_S: Final = 0.001
_SLOWER: Final = 0.5
_FASTER: Final = 0.2


class Pace:
    """The turns of batches, and the credit that each leaves with. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._turns = asyncio.Semaphore(BACKLOGS_AT_ONCE)
        self._backlogs = 0
        self._entry_s = _ENTRY_S

    @asynccontextmanager
    async def turn(self, entries: int) -> AsyncIterator[None]:
        """A batch is taken in inside; one of a backlog waits for its turn. Raises BusyError for one too many."""
        if entries <= FRESH_ENTRIES:
            yield
            return
        if self._backlogs >= BACKLOGS_AT_ONCE + BACKLOGS_AT_MOST:
            raise BusyError("many registers send what they had queued; send this again later")
        self._backlogs += 1
        try:
            async with self._turns:
                began = self._clock()
                yield
                more_s = (self._clock() - began) / entries - self._entry_s
                self._entry_s += (_SLOWER if more_s > 0 else _FASTER) * more_s
        finally:
            self._backlogs -= 1

    def credit(self, entries: int) -> int:
        """How many entries may come next after a batch of so many; 0: pause, and then ask with one."""
        waiting = self._backlogs - BACKLOGS_AT_ONCE
        if entries > FRESH_ENTRIES and waiting > BACKLOGS_WAITING:
            return 0
        turns = 1 + max(0, waiting) / BACKLOGS_AT_ONCE
        return max(MIN_CREDIT, min(MAX_CREDIT, int(ANSWER_S / (self._entry_s * turns))))
