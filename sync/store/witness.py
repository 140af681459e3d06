"""What is known outside the database of how often points were set aside or let go here.

Owns the file beside the store that holds that count, so that a database which was put back from an older copy is told
from the one that the register last wrote. It is written after the commit and before anybody is answered. Never decides
what follows from a difference (`sync.store.store` does).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import structlog

from sync.durable import write_private

SUFFIX: Final = ".witness"
_WRITTEN: Final = re.compile(r"tillside-witness-1 ([0-9]{1,18})\n").fullmatch

log = structlog.get_logger(__name__)


class Witness:
    """The count in one file. `problem` says why it could not be written last, and is empty where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = _read(path)
        self.problem = ""

    @property
    def count(self) -> int | None:
        """What the file says; None where there is none, or nothing that can be read."""
        return self._count

    def reach(self, count: int) -> None:
        """Makes the file say at least `count`. Never raises: what failed stands in `problem`, and is tried again."""
        if self._count is not None and count <= self._count:
            return
        try:
            write_private(self._path, f"tillside-witness-1 {count}\n".encode())
        except OSError as error:
            self.problem = f"{self._path} cannot be written ({error.strerror}): let the agent's user write it"
            log.error("witness_not_written", reason=self.problem)
            return
        self._count = count
        self.problem = ""


def witness_of(store: Path) -> Path:
    """Where the witness of a store stands."""
    return store.with_name(store.name + SUFFIX)


def _read(path: Path) -> int | None:
    try:
        found = _WRITTEN(path.read_text())
    except (OSError, UnicodeDecodeError):
        return None
    return int(found[1]) if found else None
