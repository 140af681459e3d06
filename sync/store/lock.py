"""One process at a time: an advisory lock beside the store, which the system lets go when its holder dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sync.store.errors import StoreInUseError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class StoreLock:
    """Held from `take` until `release`, or until the process ends, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> StoreLock:
        """Raises StoreInUseError where another process holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if sys.platform == "win32":
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreInUseError(
                f"process {holder} has the store {path.stem} open; stop it first, "
                "or ask it: `tillside status` speaks to a running register"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return cls(descriptor)

    def release(self) -> None:
        os.close(self._descriptor)
