"""What systemd and a service of it say to each other: sockets that it holds, and that the service is well.

Owns that protocol (`sd_listen_fds(3)`, `sd_notify(3)`), which needs no library. Without systemd nothing is said.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

FIRST_HANDED: Final = 3
MAX_HANDED: Final = 64


class HandedSocketError(OSError):
    """systemd has handed over no such socket. The message says how it would."""


def handed_socket(name: str, environ: Mapping[str, str] = os.environ) -> socket.socket:
    """The listening socket of that name (`FileDescriptorName=`), or the first one where `name` is empty.

    systemd keeps it open while this process is restarted: who connects meanwhile waits. Raises HandedSocketError.
    """
    count = _whole(environ.get("LISTEN_FDS")) if environ.get("LISTEN_PID") == str(os.getpid()) else 0
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    for index in range(min(count, MAX_HANDED)):
        if not name or names[index : index + 1] == [name]:
            return _listening(FIRST_HANDED + index)
    told = f"no socket of the name {name!r}" if name and count else "no socket"
    raise HandedSocketError(0, f"systemd has handed over {told}: start the service through its .socket unit")


def tell(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Say `state`, such as `READY=1`, to who started this service. Who is not there hears nothing."""
    path = environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as said:
        said.setblocking(False)
        said.sendto(state.encode(), path.replace("@", "\0", 1) if path.startswith("@") else path)


def watched_every_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which systemd wants to hear that this process is alive; None where it does not watch."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    every_us = _whole(environ.get("WATCHDOG_USEC"))
    return every_us / 1e6 if every_us else None


async def keep_alive(environ: Mapping[str, str] = os.environ) -> None:
    """Say so for as long as the event loop turns; a process that is stopped or hangs says nothing."""
    every_s = watched_every_s(environ)
    if every_s is None:
        return
    while True:
        tell("WATCHDOG=1", environ)
        await asyncio.sleep(every_s / 2)


def _listening(handle: int) -> socket.socket:
    os.set_inheritable(handle, False)
    handed = socket.socket(fileno=handle)
    is_stream = handed.family in (socket.AF_INET, socket.AF_INET6) and handed.type == socket.SOCK_STREAM
    if not (is_stream and handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
        handed.detach()
        raise HandedSocketError(0, "systemd has handed over a socket that is no TCP port: write ListenStream=HOST:PORT")
    handed.setblocking(False)
    return handed


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else 0
