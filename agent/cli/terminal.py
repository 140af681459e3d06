"""The terminal of a command during which a keyboard wedge types.

Owns that nothing it types is shown, or run by the shell afterwards. Never reads it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_typing() -> Iterator[None]:
    """What is typed within the block is neither shown nor kept: a scanned code with ENTER would be a command.

    Ctrl-C works. Does nothing where standard input is no terminal.
    """
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcflush(terminal, termios.TCIFLUSH)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
