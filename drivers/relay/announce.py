"""The relay's log: one line on standard error for what an operator should know, seldom enough to be read.

Owns the form and the pace of these lines. They carry no bytes of any job.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Literal

from drivers.relay.clock import Clock, system_clock

# The same event again within this time is counted, and told with the next line.
REPEAT_EVERY_S: Final = 60.0

Level = Literal["info", "warning", "error"]


class Announcer:
    """Writes events as `TIME level event: what to do key=value`, or as JSON. Any thread may call it.

    `register` is named with each event where it has a name.
    """

    def __init__(self, *, as_json: bool, register: str = "", clock: Clock = system_clock) -> None:
        self._as_json = as_json
        self._register: dict[str, str | int] = {"register": register} if register else {}
        self._clock = clock
        self._lock = threading.Lock()
        self._last_ns: dict[str, int] = {}
        self._unsaid: dict[str, int] = {}

    def say(self, level: Level, event: str, message: str, **facts: str | int) -> None:
        now = self._clock()
        with self._lock:
            last_ns = self._last_ns.get(event)
            if last_ns is not None and now.monotonic_ns - last_ns < REPEAT_EVERY_S * 1e9:
                self._unsaid[event] = self._unsaid.get(event, 0) + 1
                return
            self._last_ns[event] = now.monotonic_ns
            unsaid = self._unsaid.pop(event, 0)
        facts = self._register | facts
        if unsaid:
            facts["times_before"] = unsaid
        line = self.line(now.wall.isoformat(timespec="milliseconds"), level, event, message, facts)
        with suppress(OSError, ValueError):  # a log nobody takes stops no sale
            print(line, file=sys.stderr, flush=True)

    def line(self, at: str, level: Level, event: str, message: str, facts: Mapping[str, str | int]) -> str:
        """How it is written."""
        if self._as_json:
            return json.dumps({"at": at, "level": level, "event": event, "message": message, **facts})
        return f"{at} {level} {event}: {message}" + "".join(f" {key}={value}" for key, value in facts.items())
