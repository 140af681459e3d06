"""Names of goods in a form that can be compared, and patterns of them.

Owns the normal form (no case, accent, script or punctuation) and the only pattern language there is: text with `*`.
Never takes a regular expression: what an operator writes is matched in time linear in the name, whatever it says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

# What is compared of a name; paper has 64 columns at most, and a name may be wrapped over a few lines.
MAX_NAME_CHARS: Final = 200
# Characters that stand together in a pattern with `*`: by runs of so many patterns are looked up.
GRAMS: Final = (3, 8)

# Serbian and Macedonian as their own Latin is written, without accents; further letters so that a name has one form.
_LETTERS: Final = str.maketrans(
    dict(zip("абвгдђежзијклмнопрстћуфхцчш", "abvgddezzijklmnoprstcufhccs", strict=True))
    | {"љ": "lj", "њ": "nj", "џ": "dz", "ѓ": "g", "ќ": "k", "ѕ": "dz"}
    | {"й": "j", "ы": "y", "э": "e", "ё": "e", "ю": "ju", "я": "ja", "щ": "sc", "ъ": "", "ь": ""}
    | {"і": "i", "ї": "i", "є": "je", "ґ": "g"}
    | {"đ": "d", "ð": "d", "ł": "l", "ø": "o", "ı": "i", "æ": "ae", "œ": "oe"}
)
_NO_WORD: Final = re.compile(r"[\W_]+")
# Where a till has no đ it prints dj or d: all three are one letter here.
_DJ: Final = re.compile("dj+")


def normal_name(text: str) -> str:
    """Lower-case words without accents in Latin letters, one space between: `Флаша (повратна)` → `flasa povratna`.

    Of more than MAX_NAME_CHARS characters the rest does not count.
    """
    return _words(text[:MAX_NAME_CHARS]).strip()


def _words(text: str) -> str:
    """As `normal_name`, but a space stays at an end where there is something else than a letter or digit."""
    if text.isascii():
        plain = text.lower()
    else:
        latin = unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS)
        plain = "".join(letter for letter in unicodedata.normalize("NFKD", latin) if not unicodedata.combining(letter))
    return _NO_WORD.sub(" ", _DJ.sub("d", plain))


def edged(name: str) -> str:
    """A normal name with the edges of its first and last word, as patterns are matched against."""
    return f" {name} " if name else ""


def grams_of(text: str) -> Iterator[str]:
    return (text[at : at + size] for size in GRAMS for at in range(len(text) - size + 1))


class NamePattern(Struct, frozen=True, kw_only=True, gc=False):
    """A pattern as it is matched. `parts` are the texts between its `*`, in normal form.

    `*` stands for any text, none included; a space for the edge of a word. Without `*` it is the whole name.
    """

    parts: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return len(self.parts) == 1

    @property
    def grams(self) -> frozenset[str]:
        """All runs of so many characters of its parts: every name that it matches has them all."""
        return frozenset(gram for part in self.parts for gram in grams_of(part))

    def matches(self, name: str) -> bool:
        """Whether it matches an `edged` name; each part is looked for once, after the one before."""
        first, last = self.parts[0], self.parts[-1]
        if self.is_whole:
            return name == first
        if not name.startswith(first) or not name.endswith(last):
            return False
        end, before = len(first), first
        for part in self.parts[1:-1]:
            found = name.find(part, end - _shared(before, part))
            if found < 0:
                return False
            end, before = found + len(part), part
        return len(name) - len(last) >= end - _shared(before, last)


def _shared(before: str, after: str) -> int:
    """The edge of a word may end one part and begin the next."""
    return 1 if before[-1:] == " " == after[:1] else 0


def pattern_of(text: str) -> NamePattern:
    """The pattern that `text` is."""
    first, *others = text.split("*")
    if not others:
        return NamePattern(parts=(edged(_words(first).strip()),))
    *middle, last = others
    begin, end = _words(first).lstrip(), _words(last).rstrip()
    return NamePattern(
        parts=(
            f" {begin}" if begin else "",
            *(part for part in map(_words, middle) if part),
            f"{end} " if end else "",
        )
    )
