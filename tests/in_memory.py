"""Where files of tests stand that need no disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_MEMORY = Path("/dev/shm")
# Of all tests at once, many times over; a container may have 64 MiB.
_ROOM_BYTES = 4 * 1024**3


def memory_folder() -> Path | None:
    """A folder in memory, where the machine has one with room enough that programs may be started from."""
    if not _MEMORY.is_dir() or os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free > _ROOM_BYTES else None
