"""A scanner that is not there: a real pseudo-terminal on which codes can be sent as a scanner sends them.

Owns the terminal and a link to it that stays the same, as `/dev/serial/by-id/…` does, while the scanner is
pulled out and plugged in. Never knows who listens.
"""

from __future__ import annotations

import os
import select
import termios
import tty
from pathlib import Path
from types import TracebackType

# A terminal holds 4 KiB that nobody reads; that a scan does not fit for this long means that nobody will.
SEND_DEADLINE_S = 10.0


class NobodyListensError(Exception):
    """The terminal is full of scans that nobody reads. Start the agent, or check the port in its settings."""


class VirtualScanner:
    """A scanner reachable at `port`, a link to its terminal. Sends with `suffix` after each code.

    Codes sent while nobody has the port open wait in the terminal. Use it as a context manager.
    """

    def __init__(self, port: Path, *, suffix: str = "\r", deadline_s: float = SEND_DEADLINE_S) -> None:
        self.port = port
        self._deadline_s = deadline_s
        self._suffix = suffix.encode("iso-8859-1")
        self._ends: tuple[int, int] | None = None

    def __enter__(self) -> VirtualScanner:
        self.plug_in()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    def plug_in(self) -> None:
        """Make the terminal and the link to it; does nothing while it is there."""
        if self._ends is not None:
            return
        ours, theirs = os.openpty()
        # It stays open here too: the terminal keeps what is sent while nobody else has it open.
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        fresh = self.port.with_name(self.port.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(theirs))
        fresh.replace(self.port)
        self._ends = ours, theirs

    def unplug(self) -> None:
        """Take the terminal and the link away, as pulling the cable does; does nothing while it is away."""
        if self._ends is None:
            return
        self.port.unlink(missing_ok=True)
        for end in self._ends:
            os.close(end)
        self._ends = None

    def scan(self, code: str, *, aim: str = "") -> None:
        """Send `code` with the AIM identifier `aim`, such as `]C0`, before it and the suffix after it."""
        self.send((aim + code).encode() + self._suffix)

    def take_back(self) -> None:
        """Forget what was sent and nobody has read, as a port that nobody has open does."""
        if self._ends is not None:
            termios.tcflush(self._ends[1], termios.TCIFLUSH)

    def send(self, data: bytes) -> None:
        """Send bytes as they are. Raises NobodyListensError when the terminal stays full."""
        if self._ends is None:
            raise NobodyListensError(f"{self.port} is unplugged.")
        end = self._ends[0]
        while data:
            _, writable, _ = select.select([], [end], [], self._deadline_s)
            if not writable:
                raise NobodyListensError(f"{self.port} is full: nobody reads it.")
            data = data[os.write(end, data) :]
