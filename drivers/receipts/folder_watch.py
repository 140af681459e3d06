"""Wakes when a file in a folder is written. Owns Linux' inotify, which costs nothing while nothing happens.

Watching with `watchfiles` costs 0.3 % of a core at a 20 ms step and 0.7 % at 10 ms, measured; a register
idles all night.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Final

# <sys/inotify.h>
_IN_MODIFY: Final = 0x2
_IN_CLOSE_WRITE: Final = 0x8
_IN_MOVED_TO: Final = 0x80
_IN_CREATE: Final = 0x100
_IN_DELETE_SELF: Final = 0x400
_IN_MOVE_SELF: Final = 0x800
_EVENTS: Final = _IN_MODIFY | _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE_SELF | _IN_MOVE_SELF
# Events are only counted as "something happened", so what does not fit here is read at the next wake-up.
_READ_BYTES: Final = 4096


class WatchUnavailableError(OSError):
    """This system, or this folder, cannot be watched; look at it from time to time instead."""


class FolderWatch:
    """Events of one folder from the moment this is made."""

    def __init__(self, folder: Path) -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            self._handle: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, AttributeError, TypeError) as error:
            raise WatchUnavailableError("this system has no inotify") from error
        if self._handle < 0:
            raise WatchUnavailableError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if libc.inotify_add_watch(self._handle, os.fsencode(folder), _EVENTS) < 0:
            number = ctypes.get_errno()
            os.close(self._handle)
            raise WatchUnavailableError(number, os.strerror(number), str(folder))

    async def event(self) -> None:
        """Returns once something has happened since the last call."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                os.read(self._handle, _READ_BYTES)
            except BlockingIOError:
                ready = loop.create_future()
                loop.add_reader(self._handle, _settle, ready)
                try:
                    await ready
                finally:
                    loop.remove_reader(self._handle)
            else:
                return

    def close(self) -> None:
        os.close(self._handle)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
