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

from sync.durable import overwrite, write_private

SUFFIX: Final = ".witness"
# The count stands in one of two slots, and the next one in the other: what a power cut halves, was the older. Each has
# a sector of its own.
SLOT_BYTES: Final = 512
_SLOTS: Final = 2
_WRITTEN: Final = re.compile(rb"tillside-witness-1 ([0-9]{1,18})\n").match

log = structlog.get_logger(__name__)


class Witness:
    """The count in one file. `problem` says why it could not be written last, and is empty where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts = _read(path)
        self.problem = ""

    @property
    def count(self) -> int | None:
        """What the file says; None where there is none, or nothing that can be read."""
        return max((count for count in self._counts if count is not None), default=None)

    def reach(self, count: int) -> None:
        """Makes the file say at least `count`. Never raises: what failed stands in `problem`, and is tried again."""
        if self.count is not None and count <= self.count:
            return
        try:
            self._write(count)
        except OSError as error:
            self.problem = f"{self._path} cannot be written ({error.strerror}): let the agent's user write it"
            log.error("witness_not_written", reason=self.problem)
            return
        self.problem = ""

    def _write(self, count: int) -> None:
        """Raises OSError."""
        older = min(range(_SLOTS), key=lambda slot: -1 if self._counts[slot] is None else self._counts[slot] or 0)
        written = f"tillside-witness-1 {count}\n".encode().ljust(SLOT_BYTES, b"\0")
        try:
            overwrite(self._path, older * SLOT_BYTES, written)
        except FileNotFoundError:
            older = 0
            write_private(self._path, written)
        self._counts[older] = count


def witness_of(store: Path) -> Path:
    """Where the witness of a store stands."""
    return store.with_name(store.name + SUFFIX)


def _read(path: Path) -> list[int | None]:
    """What each slot says; None of one that says nothing."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    found = (_WRITTEN(content, slot * SLOT_BYTES) for slot in range(_SLOTS))
    return [int(one[1]) if one else None for one in found]
