"""What the relay says of itself in a small file beside its spool, for the agent and for `doctor`.

Owns the counters and the file's form. The file is replaced whole, so that a reader never sees half.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Generic, TypeVar

from drivers.relay.clock import Clock, system_clock
from drivers.relay.spool import STATUS_NAME

# The file is written no more often than this.
WRITE_EVERY_S: Final = 1.0


@dataclass(slots=True, kw_only=True)
class SpoolFigures:
    """Counters of a spool since the relay started.

    `jobs` and `bytes` are durable in it. `waiting` are kept in memory until the disk takes them. `unspooled` are
    not kept anywhere.
    """

    jobs: int = 0
    bytes: int = 0
    waiting: int = 0
    unspooled: int = 0
    last_job_at: datetime | None = None
    spool_trouble: str = ""


@dataclass(slots=True, kw_only=True)
class Figures(SpoolFigures):
    """Those of the printer's way. `late` jobs printed before they were durable. `plain` counts connections that
    were passed on without being understood; `connections` of the POS are open now.
    """

    late: int = 0
    plain: int = 0
    connections: int = 0
    printer_trouble: str = ""


@dataclass(slots=True, kw_only=True)
class ScannerFigures(SpoolFigures):
    """Those of a shared scanner's way, whose jobs are codes that may be a member's.

    `passed` codes went to the POS, `withheld` did not, `pos_lost` should have and could not. `late_codes` reached the
    POS though a rule claims them; `unjudged` could not be told apart. `rules` are in force.
    """

    passed: int = 0
    withheld: int = 0
    pos_lost: int = 0
    late_codes: int = 0
    unjudged: int = 0
    rules: int = 0
    scanner_trouble: str = ""
    pos_trouble: str = ""
    rules_trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What does not change while the relay runs."""

    pid: int
    listen: str
    printer: str
    register: str
    started_at: datetime
    language: str = "escpos"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerFacts:
    """The same of a shared scanner."""

    pid: int
    scanner: str
    pos: str
    register: str
    started_at: datetime


Figures_co = TypeVar("Figures_co", bound=SpoolFigures, covariant=True)


class StatusFile(Generic[Figures_co]):
    """The figures, for any thread to change, and the file that shows them."""

    def __init__(
        self, folder: Path, facts: Facts | ScannerFacts, figures: Figures_co, clock: Clock = system_clock
    ) -> None:
        self._path = folder / STATUS_NAME
        self._facts = facts
        self._clock = clock
        self._lock = threading.Lock()
        self._figures = figures
        self._changed = True
        self._written_ns: int | None = None
        self._wake: Callable[[], None] = lambda: None

    def when_changed(self, wake: Callable[[], None]) -> None:
        """From now on call `wake`, from any thread, when the file no longer says what is so."""
        self._wake = wake

    @contextmanager
    def changing(self) -> Iterator[Figures_co]:
        """The figures, alone for the time of the `with` block."""
        with self._lock:
            yield self._figures
            was, self._changed = self._changed, True
        if not was:
            self._wake()

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


class Status(StatusFile[Figures]):
    """That of the printer's way."""

    def __init__(self, folder: Path, facts: Facts, clock: Clock = system_clock) -> None:
        super().__init__(folder, facts, Figures(), clock)
