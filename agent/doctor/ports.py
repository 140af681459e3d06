"""Who has a TCP port of this machine.

Owns asking the operating system, which tells another user's processes to root alone. Never connects to the port.
"""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

_LISTENING: Final = "0A"
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_SOMEBODY: Final = "another program"


def held_by(host: str, port: int) -> str | None:
    """Who listens where `host` and `port` would, in words; None where nobody does, or nobody can tell."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind)) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
            tried.listen()
    except PermissionError:
        return None  # a port that only root may have
    except OSError:
        return _process(port) or _SOMEBODY
    return None


def _process(port: int) -> str | None:
    """The process by its name and number, on Linux, where this user may see it."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    for folder in Path("/proc").glob("[0-9]*/fd") if sockets else ():
        with suppress(OSError):
            if any(str(each.readlink()) in sockets for each in folder.iterdir()):
                name = (folder.parent / "comm").read_text(errors="replace").strip()
                return f"{name} (process {folder.parent.name})"
    return None


def _inodes(port: int) -> set[str]:
    found = set()
    for table in map(Path, _TABLES):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                    found.add(columns[9])
    return found
