"""People's names as they are shown: what turns a line around or is seen by nobody is no part of one.

Owns what of a text is a name. Never says whose it is.
"""

from __future__ import annotations

import unicodedata
from typing import Final

# Between letters these say how they are joined, in Persian and Indian scripts.
_JOINERS: Final = ("\u200c", "\u200d")
# Controls, formats (what turns the direction of a line among them) and separators of lines, by Unicode's categories.
_DROPPED: Final = frozenset(("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"))
# Letters, numbers, marks of punctuation and signs, but for the letters that are drawn as nothing.
_SEEN: Final = frozenset("LNPS")
_BLANK: Final = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0")


def shown_name(text: str) -> str:
    """What of a text can be read as a name, in one line; empty where there is nothing of it."""
    if not text.isprintable():
        text = "".join(_kept(text, at) for at in range(len(text)))
    name = " ".join(text.split())
    return name if any(_is_seen(char) for char in name) else ""


def _kept(text: str, at: int) -> str:
    char = text[at]
    if char in _JOINERS:
        return char if _is_letter(text[at - 1 : at]) and _is_letter(text[at + 1 : at + 2]) else ""
    if unicodedata.category(char) not in _DROPPED:
        return char
    return " " if char.isspace() else ""


def _is_letter(char: str) -> bool:
    """Or a mark on one."""
    return char != "" and unicodedata.category(char)[0] in "LM"


def _is_seen(char: str) -> bool:
    return unicodedata.category(char)[0] in _SEEN and char not in _BLANK
