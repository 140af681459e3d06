"""How much a printer stream may ask of whoever reads it, so that no job keeps a decoder busy.

Owns the limits on commands and on sheets. Never reads a command.

Paper that a till prints has some tens of bytes for each command, and each job is short. A stream that goes on with
less is none of a till's: it is no longer read from there on, which its last sheet says. What only styles text or places
it on its line costs no more than its bytes, and is not counted: drivers do it for each letter.
"""

from __future__ import annotations

from typing import Final

# Commands of a sheet that do something to it, with its tabs and what its pages print: ten for each line of 1.5 m of
# paper. Styles and positions, questions about the printer's state and rows of pictures are none.
MAX_COMMANDS: Final = 4_096
# A long sheet may have another one for so many of its bytes.
COMMAND_BYTES: Final = 16
# A receipt is some hundred bytes. A stream that is cut more often than that, or a text that goes to a new page, is read
# so far; the base is for a short one whose till cuts twice.
MAX_SHEETS: Final = 256
SHEET_BYTES: Final = 64


def is_a_sheet_too_many(number: int, start: int) -> bool:
    """Whether a till's paper has no sheet `number`, from 0 on, that begins at the byte `start` of the stream."""
    return number > MAX_SHEETS + start // SHEET_BYTES


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
