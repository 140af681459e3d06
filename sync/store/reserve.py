"""Room on the disk that is kept for bad times: a file, the ballast, that is given up when the disk is full.

Owns that file, and how much new sales may still take. What it leaves is for draining: acknowledgements, and giving up
what can be had again. Never writes to the store.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

# Of a small disk the ballast is no more than this part.
PART_OF_DISK: Final = 16
# New sales need this part of the ballast's size beside it, or they are refused: some thousand receipts.
ROOM_PART: Final = 4


class Disk(NamedTuple):
    """What a file system has, and has left for us, in bytes."""

    total: int
    free: int


def disk_of(folder: Path) -> Disk:
    """Of the file system that `folder` is on."""
    usage = shutil.disk_usage(folder)
    return Disk(total=usage.total, free=usage.free)


def ballast_of(store: Path) -> Path:
    """Where the ballast of the store at `store` is."""
    return store.with_name(store.name + ".ballast")


class Reserve:
    """The ballast beside one store. Its methods take microseconds, but for making the file.

    `size` is in bytes; of a small disk less is taken. With 0 none is kept, and nothing is refused before the disk does.
    """

    def __init__(self, path: Path, size: int, disk: Callable[[Path], Disk] = disk_of) -> None:
        self.path = path
        self._disk = disk
        self.size = min(size, disk(path.parent).total // PART_OF_DISK)
        self._held = self.size > 0 and path.exists() and path.stat().st_size == self.size
        if not self._held:
            # One of another size is from settings that were.
            self.give_up()

    @property
    def held(self) -> bool:
        """Whether the ballast is there: the disk is not full."""
        return self._held

    def hold(self) -> bool:
        """Makes the ballast where there is room for it and for new sales; whether it is there."""
        if not self._held and self._disk(self.path.parent).free >= self.size + self.size // ROOM_PART:
            self._held = self._made()
        return self._held

    def give_up(self) -> None:
        """The disk is full: what is left is for draining."""
        self._held = self.size == 0
        with suppress(FileNotFoundError):
            self.path.unlink()

    def has_room(self, free_in_store: int, *, times: int = 1) -> bool:
        """Whether there is room for new sales, or so many times that; the store can use `free_in_store` bytes again."""
        if self.hold():
            return True
        return self._disk(self.path.parent).free + free_in_store >= self.size + times * self.size // ROOM_PART

    def _made(self) -> bool:
        """Every byte of it is taken on the disk; a hole would keep nothing."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, self.size)
            else:
                os.write(descriptor, bytes(self.size))
        except OSError:
            self.give_up()
            return False
        finally:
            os.close(descriptor)
        return True
