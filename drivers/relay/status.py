"""What the relay says of itself in a small file beside its spool, for the agent and for `doctor`.

Owns the counters and the file's form. The file is replaced whole, so that a reader never sees half.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from drivers.relay.clock import Clock, system_clock
from drivers.relay.spool import STATUS_NAME

# The file is written no more often than this.
WRITE_EVERY_S: Final = 1.0


@dataclass(slots=True, kw_only=True)
class Figures:
    """Counters since the relay started.

    `jobs` and `bytes` are durable in the spool. `late` printed before they were. `waiting` printed and
    are kept in memory until the disk takes them. `unspooled` printed and are not kept anywhere. `plain`
    counts connections that were passed on without being understood.
    """

    jobs: int = 0
    bytes: int = 0
    late: int = 0
    waiting: int = 0
    unspooled: int = 0
    plain: int = 0
    last_job_at: datetime | None = None
    spool_trouble: str = ""
    printer_trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What does not change while the relay runs."""

    pid: int
    listen: str
    printer: str
    register: str
    started_at: datetime


class Status:
    """The figures, for any thread to change, and the file that shows them."""

    def __init__(self, folder: Path, facts: Facts, clock: Clock = system_clock) -> None:
        self._path = folder / STATUS_NAME
        self._facts = facts
        self._clock = clock
        self._lock = threading.Lock()
        self._figures = Figures()
        self._changed = True
        self._written_ns: int | None = None

    @contextmanager
    def changing(self) -> Iterator[Figures]:
        """The figures, alone for the time of the `with` block."""
        with self._lock:
            yield self._figures
            self._changed = True

    def due_in_s(self) -> float | None:
        """Seconds until the file is to be written; None while it says what is so."""
        with self._lock:
            if not self._changed:
                return None
            if self._written_ns is None:
                return 0.0
            return max(0.0, WRITE_EVERY_S - (self._clock().monotonic_ns - self._written_ns) / 1e9)

    def write(self) -> None:
        """Replace the file. A disk that refuses it is passed over: the spool's own trouble is told elsewhere."""
        now = self._clock()
        with self._lock:
            shown = {**asdict(self._facts), **asdict(self._figures), "written_at": now.wall}
            self._changed = False
            self._written_ns = now.monotonic_ns
        fresh = self._path.with_suffix(".new")
        with suppress(OSError):
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(shown, file, default=datetime.isoformat)
            fresh.replace(self._path)
