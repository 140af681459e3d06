"""Which code page a text is in, where nobody says: a guess, with how certain it is.

Owns what letters of German, Serbian, Croatian and Slovenian look like in the pages that printers and files have.
Never overrules what is told; who uses a guess asks for its certainty.

In the right page words are of one script, in one case or with a capital first, and made of letters that such languages
use; in a wrong one they hold other letters, signs and frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from msgspec import Struct

from drivers.escpos.codepages import UNKNOWN_LETTER, code_page
from drivers.receipts.wording import WORDS_REMEMBERED

# The first of those that read a text alike is named. CP437 is what printers start with.
CANDIDATES: Final = (
    "CP437", "CP852", "CP858", "CP1250", "CP1252", "ISO8859-2", "CP1251", "CP855", "CP866", "ISO8859-5",
)  # fmt: skip
# A day's paper has no more different words beyond ASCII.
MAX_WORDS: Final = 2_000
# So many letters beyond ASCII make a guess as certain as it can be.
LETTERS_FOR_CERTAINTY: Final = 6
# Guesses to choose from, for a person.
SHOWN: Final = 3
MAX_LINE_LETTERS: Final = 64

_WORD: Final = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")
_IS_FRAME: Final = re.compile(r"[\u2500-\u259f]+").fullmatch
# A frame, read as letters.
_THRICE: Final = re.compile(r"([^\x00-\x7f])\1\1").search

# How much a letter speaks for its page: those that the languages have most, those they have, those of neighbours.
_LATIN: Final = dict.fromkeys("čćžšđČĆŽŠĐäöüßÄÖÜ", 3.0) | dict.fromkeys("éèáíóúêëçñåøæőűęąłńśźżěřýÉÁÍÓÚ", 0.5)
_CYRILLIC: Final = (
    dict.fromkeys("аоиенртсвукдмпјзАОИЕНРТСВУКДМПЈЗ", 2.0)
    | dict.fromkeys("гљбчцшжћђњџфхГЉБЧЦШЖЋЂЊЏФХ", 1.0)
    | dict.fromkeys("йьыяюэщъЙЬЫЯЮЭЩЪ", 0.5)
)
_SIGNS: Final = dict.fromkeys("€£°§–—…„“”’«»×²³½\u00a0", 0.5)
_WEIGHTS: Final = _LATIN | _CYRILLIC | _SIGNS
_OTHER_LETTER, _OTHER_SIGN, _UNKNOWN = -0.5, -4.0, -6.0
_TWO_SCRIPTS, _ODD_CASE = -6.0, -3.0
_FRAME = 1.0


class PageGuess(Struct, frozen=True, kw_only=True):
    """A page, how certain it is (0 to 100), and the line with most letters beyond ASCII as it reads in it."""

    name: str
    certainty: int
    line: str


def guesses(text: bytes) -> tuple[PageGuess, ...]:
    """The likeliest pages of `text`, the likeliest first; none where it is ASCII, which reads alike in all."""
    words = list(dict.fromkeys(match.group()[:MAX_LINE_LETTERS] for match in _WORD.finditer(text)))[:MAX_WORDS]
    if not words:
        return ()
    scores: dict[tuple[str, ...], tuple[float, str]] = {}
    for name, readings in zip(CANDIDATES, zip(*map(_readings, words), strict=True), strict=True):
        read = tuple(reading.word for reading in readings)
        if read not in scores:
            scores[read] = (sum(reading.likeliness for reading in readings), name)
    ranked = sorted(scores.values(), key=lambda each: -each[0])
    best = ranked[0][0]
    second = max(0.0, ranked[1][0]) if len(ranked) > 1 else 0.0
    letters = sum(byte > 0x7F for word in words for byte in word)
    # Apart from the next page, with letters enough, and those such as the languages use.
    certain = (
        (1 - second / best) * min(1.0, letters / LETTERS_FOR_CERTAINTY) * min(1.0, best / letters) if best > 0 else 0
    )
    certainty = round(100 * certain)
    line = _telling(text.splitlines())
    return tuple(
        PageGuess(name=name, certainty=certainty if rank == 0 else 0, line=code_page(name).decode(line).strip())
        for rank, (_, name) in enumerate(ranked[:SHOWN])
    )


class _Reading(Struct, frozen=True, kw_only=True, gc=False):
    word: str
    likeliness: float


@lru_cache(maxsize=WORDS_REMEMBERED)
def _readings(word: bytes) -> tuple[_Reading, ...]:
    """The word in each of the candidates."""
    read = [code_page(name).decode(word) for name in CANDIDATES]
    return tuple(_Reading(word=each, likeliness=_likeliness(each)) for each in read)


def _telling(lines: Iterable[bytes]) -> bytes:
    """The line with most different letters beyond ASCII."""
    return max(lines, key=lambda line: len({byte for byte in line[:MAX_LINE_LETTERS] if byte > 0x7F}))[
        :MAX_LINE_LETTERS
    ]


def _likeliness(word: str) -> float:
    if _IS_FRAME(word):
        return _FRAME
    if _THRICE(word):
        return _OTHER_SIGN
    score = sum(_weight(letter) for letter in word if letter > "\x7f")
    letters = [letter for letter in word if letter.isalpha()]
    if len({"Ͱ" <= letter < "\u0530" for letter in letters}) > 1:
        score += _TWO_SCRIPTS
    cased = "".join(letters)
    if not (cased.islower() or cased.isupper() or cased[1:].islower() or len(cased) < 2):
        score += _ODD_CASE
    return score


def _weight(letter: str) -> float:
    known = _WEIGHTS.get(letter)
    if known is not None:
        return known
    if letter == UNKNOWN_LETTER:
        return _UNKNOWN
    return _OTHER_LETTER if letter.isalpha() else _OTHER_SIGN
