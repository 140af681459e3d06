"""Hears from the centre that there is something to look at.

Owns the live connection, and asking for hints one by one where none can stand. What is heard only wakes; nothing waits
for it, and it is never the truth. Never takes anything into the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress

import structlog

from sync.client import CentreClient
from sync.errors import CentreError, CentreRefusedError
from sync.retry import Backoff
from sync.session import REFUSED_RETRY_S, Session
from sync.wire import ALLOWANCES_HINT, LiveHint

# Live connections that failed one after the other before hints are asked for one by one.
ASKS_AFTER_FAILURES = 2
# Between two of these requests: what is on the way might answer each at once.
ASKS_EVERY_S = 0.5

_log = structlog.get_logger(__name__)


class Listening:
    """One register's ear. `position` is where the feed is held, `wake` is called whenever something was heard."""

    def __init__(
        self,
        *,
        client: CentreClient,
        session: Session,
        backoff: Backoff,
        chance: Callable[[], float],
        position: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:
        self._client = client
        self._session = session
        self._backoff = backoff
        self._chance = chance
        self._position = position
        self._wake = wake

    async def run(self) -> None:
        """Keeps a live connection; what it says only wakes, and nothing waits for it.

        Between two tries hints are asked for one by one: something on the way may let no live connection stand.
        """
        refusals = Backoff(base_s=self._backoff.cap_s, cap_s=REFUSED_RETRY_S)
        failures = 0
        while True:
            backoff, stood_since = self._backoff, None
            try:
                async with aclosing(self._client.hints()) as hints:
                    async for hint in hints:
                        stood_since = stood_since or _now()
                        self._heard(hint)
            except CentreRefusedError as error:
                # A proxy that passes no live connections, or a device that is not let in: ask seldom.
                backoff = refusals
                _log.info("live_connection_refused", status=error.status)
            except CentreError as error:
                _log.debug("live_connection_failed", error=type(error).__name__)
            if stood_since is not None and _now() - stood_since >= self._backoff.cap_s:
                failures = 0
            if failures == 0:
                # What something cuts off again and again says nothing of the centre.
                self._session.doubted()
                self._wake()
            failures += 1
            pause_s = backoff.delay_s(failures, self._chance())
            until = _now() + pause_s
            if failures > ASKS_AFTER_FAILURES or backoff is refusals:
                await self._ask_one_by_one(pause_s)
            await asyncio.sleep(until - _now())

    async def _ask_one_by_one(self, for_s: float) -> None:
        """One request after the other, each answered with the next hint: until one fails, or for so many seconds."""
        told = self._position()
        with suppress(TimeoutError, CentreError):
            async with asyncio.timeout(for_s):
                while True:
                    hint = await self._client.hint(told)
                    told = max(told, hint.feed or 0, self._position())
                    self._heard(hint)
                    await asyncio.sleep(ASKS_EVERY_S)

    def _heard(self, hint: LiveHint) -> None:
        self._session.reachable()
        self._session.hinted(hint.feed or 0)
        if hint.command == ALLOWANCES_HINT:
            self._session.poked_of_allowances()
        self._wake()


def _now() -> float:
    return asyncio.get_running_loop().time()
