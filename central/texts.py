"""Texts that come from a register or from an operator and are shown to people.

Owns what is taken out of them, and which of them can name a store or a register. A line feed would begin a line of its
own in an alert, an escape would do something to a terminal, and a mark of direction would turn what stands beside it.
"""

from __future__ import annotations

from typing import Final

# As the columns hold them.
MAX_NAME_CHARS: Final = 64
MAX_SHOWN: Final = 20


class NameRefusedError(ValueError):
    """A text can name neither a store nor a register. The message says why."""


def one_line(text: str, most: int) -> str:
    """What can be seen of a text, in one line of `most` characters.

    Spaces of any kind, line ends among them, are spaces; what is controlled by, turns others round or shows nothing is
    left out.
    """
    # Nothing makes it longer, and what is beyond is not looked at.
    seen = (" " if letter.isspace() else letter for letter in text[: 2 * most])
    return "".join(letter for letter in seen if letter.isprintable())[:most]


def checked_name(text: str, what: str) -> str:
    """The name of a store or a register as it is. Raises NameRefusedError; `what` is which of the two."""
    if 0 < len(text) <= MAX_NAME_CHARS and text == text.strip() and text == one_line(text, MAX_NAME_CHARS):
        return text
    shown = repr(one_line(text, MAX_SHOWN) + ("…" if len(text) > MAX_SHOWN else ""))
    raise NameRefusedError(
        f"{shown} cannot name a {what}: write 1 to {MAX_NAME_CHARS} visible characters in one line, without a space at "
        "either end"
    )
