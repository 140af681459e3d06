"""The port through which the relay has POS and printer: a `Line`, the ways in and out that give one.

Owns the protocols and what they promise. Never opens anything: `tcp`, `device`, `terminal`, `fifo`, `cups` and
`windows_spooler` do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

# Read at a time.
READ_BYTES: Final = 64 * 1024
# Where a printer serves one POS connection at a time, the next one waits for its turn so long.
TURN_WITHIN_S: Final = 60.0


class Line(Protocol):
    """Bytes to and from one side. It buffers nothing itself, so that a side which takes no more stops the other
    one, and errors come after the bytes before them. One task may receive and one may send at a time.
    """

    async def receive(self) -> bytes:
        """The next bytes, b"" when the other side has said its last. Raises OSError. Cancelling it loses nothing."""

    async def send(self, data: bytes) -> None:
        """Give all of `data` to the operating system. Raises OSError."""

    def finish_sending(self) -> None:
        """Nothing more comes from this side; the other one may still answer."""

    def close(self) -> None:
        """The end. What was sent still arrives."""

    def reset(self) -> None:
        """The end, so that the other side learns that something failed, as far as it can be told."""


class Outlet(Protocol):
    """The way to a printer. `stays` where a line to it may stay open while nothing is printed: one that is cut off
    is noticed there.
    """

    @property
    def stays(self) -> bool: ...

    @property
    def name(self) -> str:
        """The printer as the command line names it."""

    async def reach(self) -> Line:
        """A line to the printer. Raises OSError when it cannot be had in time; the message says why."""

    async def close(self) -> None:
        """Let go of the printer once it has what was sent, as far as that does not take long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A POS that has something to print: its line, and a name by which it is known when it comes again."""

    line: Line
    pos: str


class Inlet(Protocol):
    """The way in for a POS. A wire (`is_wire`) cannot be refused and has one line at a time: what is not taken from
    it waits in the kernel, and holds the POS up as a printer would that is busy.
    """

    @property
    def is_wire(self) -> bool: ...

    @property
    def name(self) -> str:
        """Where the POS prints to, as the ready line says it."""

    def start(self) -> None:
        """Take it. Raises OSError when it is another program's, or not this machine's."""

    async def take(self) -> Arrival:
        """The next POS, as soon as it is there. Raises OSError; then it may be tried again."""

    async def close(self) -> None:
        """Take no more."""
