"""Who holds a device open, by what Linux shows in /proc.

Owns the walk over the open files of all processes, and the mark (TIOCEXCL) that keeps them from opening one
more. Never reads what a process is given on its command line:
that may hold secrets.
"""

from __future__ import annotations

import fcntl
import os
import stat
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from drivers.transport.holder import Holder, OpenPort

# Terminals of UNIX 98 pseudo-terminals (Linux, Documentation/admin-guide/devices.txt).
PSEUDO_TERMINALS = range(136, 144)
# More than a POS machine runs; a walk over as many takes tens of milliseconds.
MAX_PROCESSES = 20_000


class LinuxHolders:
    """The `Holders` of Linux. Another user's processes are visible to root only."""

    def __init__(self, *, proc: Path = Path("/proc"), pseudo_terminals: range = PSEUDO_TERMINALS) -> None:
        self._proc = proc
        self._pseudo_terminals = pseudo_terminals

    def of(self, path: str) -> tuple[Holder, ...]:
        number = _device_number(path)
        if number is None:
            return ()
        pids = [int(each.name) for each in _listed(self._proc) if each.name.isdecimal()]
        return tuple(
            Holder(program=self._program(pid), pid=pid)
            for pid in sorted(pids)[:MAX_PROCESSES]
            if pid != os.getpid() and self._has_open(pid, number)
        )

    def claim(self, path: str, port: OpenPort) -> tuple[Holder, ...]:
        number = _device_number(path)
        # Whoever makes a pseudo-terminal keeps this end of it open without reading, and would keep the mark set.
        if number is None or os.major(number) in self._pseudo_terminals:
            return ()
        others = self.of(path)
        if not others:
            with suppress(OSError):  # not every device can be marked; its lock (flock) is ours already
                fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
        return others

    def untold(self, path: str) -> str:
        return f"Programs of other users are not shown to this one: `sudo fuser -v {path}` names it."

    def _has_open(self, pid: int, number: int) -> bool:
        return any(_device_of(link) == number for link in _listed(self._proc / str(pid) / "fd"))

    def _program(self, pid: int) -> str:
        try:
            return (self._proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip() or "?"
        except OSError:  # it has ended
            return "?"


def _listed(folder: Path) -> Iterator[Path]:
    """What `folder` holds; nothing where it is another user's, or its process has ended."""
    with suppress(OSError):
        yield from folder.iterdir()


def _device_number(path: str) -> int | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_rdev if stat.S_ISCHR(status.st_mode) else None


def _device_of(link: Path) -> int | None:
    """The device that an open file is. Only names below /dev are looked at: others may be on a disk that hangs."""
    try:
        return _device_number(str(link)) if str(link.readlink()).startswith("/dev/") else None
    except OSError:
        return None
