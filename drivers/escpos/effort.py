"""How much a printer stream may ask of whoever reads it, so that no job keeps a decoder busy.

Owns the limits on commands. Never reads a command.

Paper that a till prints has some tens of bytes for each command, and each job is short. A stream that goes on with
less is none of a till's: it is no longer read from there on, which its last sheet says.
"""

from __future__ import annotations

from typing import Final

# Commands of a sheet that do something to it, with the marks within its lines and what its pages print: more than any
# receipt has whose every word is placed by itself. Questions about the printer's state and rows of pictures are none.
MAX_COMMANDS: Final = 4_096
# A long sheet may have another one for so many of its bytes.
COMMAND_BYTES: Final = 16


class Effort:
    """What was asked on the sheet that is being printed."""

    __slots__ = ("_asked", "_room_until")

    def __init__(self) -> None:
        self.begin_sheet(0)

    def begin_sheet(self, at: int) -> None:
        """A sheet begins at the byte `at` of the stream."""
        self._asked = 0
        self._room_until = at - MAX_COMMANDS * COMMAND_BYTES

    def ask(self, commands: int) -> None:
        """So many more commands are followed."""
        self._asked += commands

    def is_too_much(self, at: int) -> bool:
        """Whether the sheet up to the byte `at` asked for more than it may."""
        return self._asked * COMMAND_BYTES > at - self._room_until
