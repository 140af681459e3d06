"""A named pipe that a POS prints into, as into a file.

Owns the pipe, its rights, and when a connection begins and ends there: with the first byte, and when nobody has the
pipe open any more. Nothing goes back to the POS: a pipe has one direction.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from drivers.relay.line import READ_BYTES, Arrival
from drivers.relay.ready import readable

# Only this user may write, or all of a group.
_MODE: Final = 0o600
_GROUP_MODE: Final = 0o620


class FifoInlet:
    """A POS that prints into the pipe at `path`, made where it is missing. It stays when the relay ends: the POS's next
    opening waits until there is a relay again.
    """

    is_wire = True

    def __init__(self, path: Path, *, group: str | None = None) -> None:
        self._path = path
        self._group = group
        self._handle: int | None = None
        self._is_free = asyncio.Event()
        self._is_free.set()

    @property
    def name(self) -> str:
        return f"fifo:{self._path}"

    def start(self) -> None:
        if not stat.S_ISFIFO(self._made()):
            raise OSError(errno.EEXIST, f"{self._path} is there and no named pipe")
        if self._group is not None:
            try:
                shutil.chown(self._path, group=self._group)
            except LookupError as error:
                raise OSError(errno.EINVAL, str(error)) from error
            self._path.chmod(_GROUP_MODE)
        self._handle = self._opened()

    async def take(self) -> Arrival:
        await self._is_free.wait()
        # A pipe that was hung up says so for ever; what is in it stays, since the old one closes last.
        fresh, old = self._opened(), self._handle
        self._handle = fresh
        if old is not None:
            os.close(old)
        await readable(fresh)
        self._is_free.clear()
        return Arrival(line=_FifoLine(fresh, self._is_free.set), pos=self.name)

    async def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _made(self) -> int:
        """The mode of what stands at the path."""
        with suppress(FileExistsError):
            os.mkfifo(self._path, _MODE)
            self._path.chmod(_MODE)
        return self._path.lstat().st_mode

    def _opened(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


class _FifoLine:
    """The `Line` of those who have the pipe open."""

    def __init__(self, handle: int, give_back: Callable[[], None]) -> None:
        self._handle = handle
        self._give_back = give_back

    async def receive(self) -> bytes:
        while True:
            with suppress(BlockingIOError, InterruptedError):
                return os.read(self._handle, READ_BYTES)
            await readable(self._handle)

    async def send(self, data: bytes) -> None:
        """Answers have no way."""

    def finish_sending(self) -> None:
        """The POS may print on."""

    def close(self) -> None:
        self._give_back()

    def reset(self) -> None:
        self._give_back()
