"""Which code page a text was written for, where nothing says so or what is said makes no sense.

Owns the guess and how sure it is. Pure functions: bytes in, no state between calls. Never decodes for anyone.

A page is as likely as the letters it makes, in the order they come, are in a language whose receipts are printed in it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import islice
from math import exp, log
from typing import Final, NamedTuple

from msgspec import Struct

from drivers.escpos.codepages import DEFAULT_PROFILE, UNKNOWN_LETTER, CodePage, code_page, selected_page
from drivers.escpos.effort import Effort
from drivers.escpos.framing import SELECTS_PAGE, EscposFramer, Frame, split_styles
from drivers.escpos.languages import LANGUAGES
from drivers.escpos.paper import FEED_CHUNK_BYTES
from drivers.escpos.printer import UNSELECTED

# Enough of a document to tell its alphabet by.
SAMPLE_BYTES: Final = 256 * 1024
# So many different words tell as much as all of them.
MAX_WORDS: Final = 200
MAX_RUNNERS_UP: Final = 3
# Tills select one page or two; what a stream of noise selects beyond these is believed.
MAX_PAGES: Final = 8
# What a printer was told is overruled only by a guess this certain. Where nothing was told, a guess from one word is
# better than what the printer would print, a page for frames and German; one from a lone sign is not.
OVERRULING_CERTAINTY: Final = 85
LIKELIEST_CERTAINTY: Final = 30
# So many letters tell whether a page makes sense.
MAX_SENSE_LETTERS: Final = 48
# Of the letters beyond ASCII so many, in percent, may stand where no word has them before a page makes no sense.
NONSENSE_PERCENT: Final = 20

# Rules and frames drawn of one sign, with their corners.
_RULE: Final = re.compile(rb"[\x80-\xff]?([\x80-\xff])\1{2,}[\x80-\xff]?")
# What is in every rule, and soon told.
_REPEATED: Final = re.compile(rb"([\x80-\xff])\1\1")
# Longer words are told as several.
_WORD: Final = re.compile(rb"[A-Za-z]{0,12}+[\x80-\xff][A-Za-z\x80-\xff]{0,16}+")
# Commands that begin or end an alphabet of its own.
_OTHER_LETTERS: Final = frozenset(("FS &", "FS .", "FS C", "FS ( C", "ESC %"))
# Signs that stand before, behind or between words, and those that seldom do.
_SIGNS: Final = frozenset("€°§£„“”‚‘’«»–—…•×¡¿\xa0")
_RARE_SIGNS: Final = frozenset("©®™·²³½¼¾ºª")
# Unicode calls them letters.
_NO_LETTERS: Final = frozenset("ºªµƒ")

# Logarithms of how rare something is: a euro sign by itself, another sign at a word's edge, a rare one, one within a
# word, any other sign, a letter that the language lacks, a capital within small letters or a small one within capitals.
_EURO, _SIGN_AT_EDGE, _RARE_AT_EDGE, _SIGN_WITHIN = -2.0, -5.0, -9.0, -16.0
_OTHER_SIGN, _STRANGE, _WRONG_CASE = -14.0, -13.0, -6.0
_NOT_TELLING: Final = (_SIGN_AT_EDGE, _RARE_AT_EDGE)
# Neighbours that were never seen count as a third of one.
_UNSEEN: Final = 0.3
_ALPHABET: Final = 30
# Words of a receipt are no independent witnesses: each counts half.
_WEIGHT: Final = 0.5
# So many letters tell which readings can be left aside: those this much less likely.
FIRST_LETTERS: Final = 16
_RULED_OUT: Final = 40.0
# Words are looked for in so much at a time: the first tell, mostly.
SEARCHED_BYTES: Final = 128
# For each language; receipts have some hundred.
MAX_REMEMBERED: Final = 2_000


class RunnerUp(Struct, frozen=True, kw_only=True):
    """Another page that the text may have been written for. `certainty` is in percent."""

    code_page: str
    certainty: int


class Guess(Struct, frozen=True, kw_only=True):
    """The likeliest page. `certainty` is in percent, 99 at most; pages that give the same text are one."""

    code_page: str
    certainty: int
    language: str
    runners_up: tuple[RunnerUp, ...] = ()

    @property
    def certainties(self) -> dict[str, int]:
        """All pages that it may be and how certain each is, the likeliest first."""
        return {self.code_page: self.certainty} | {other.code_page: other.certainty for other in self.runners_up}


class GuessedPage(Struct, frozen=True, kw_only=True):
    """A guess for what a document printed while `selected` (`ESC t`) was selected; None: nothing was."""

    selected: int | None
    guess: Guess


def guess(text: bytes) -> Guess | None:
    """The page that `text` was written for; None if it has no letters beyond ASCII."""
    words = list(_words(text))
    if not words:
        return None
    if _is_utf8(text):
        return Guess(code_page="UTF-8", certainty=99, language="")
    likely = _likely([_Reading(language, page) for language, (_, pages) in LANGUAGES.items() for page in pages], words)
    texts: dict[str, _Scored] = {}
    for scored in likely:
        texts.setdefault(scored.text, scored)
    best = likely[0].score
    total = sum(exp(_WEIGHT * (scored.score - best)) for scored in texts.values())

    def certainty(scored: _Scored) -> int:
        share = exp(_WEIGHT * (scored.score - best)) / total
        return min(99, round(100 * share * scored.known * (1 - 0.5**scored.letters)))

    first, *others = texts.values()
    return Guess(
        code_page=first.reading.page,
        certainty=certainty(first),
        language=first.reading.language,
        runners_up=tuple(
            RunnerUp(code_page=other.reading.page, certainty=certainty(other)) for other in others[:MAX_RUNNERS_UP]
        ),
    )


def guessed_pages(
    document: bytes, profile: str | None, frames: Sequence[Frame] | None = None
) -> tuple[GuessedPage, ...]:
    """Pages to read parts of a printer stream in, other than the stream and its printer's profile say.

    A stream that selects a page which the named `profile` has is believed; without a name it is believed as long as
    its words make sense. `frames` are those of the document, where it is framed already.
    Raises CodePageError on an unknown profile.
    """
    if document[:SAMPLE_BYTES].isascii():
        return ()
    guesses = []
    for number, text in islice(selected_texts(document, frames).items(), MAX_PAGES):
        page = selected_page(profile or DEFAULT_PROFILE, max(number, 0))
        is_told = number != UNSELECTED and not page.is_unknown
        if is_told and (profile is not None or page.codec is not None or makes_sense(text, page)):
            continue
        guessed = guess(text)
        if guessed is None or guessed.certainty < (OVERRULING_CERTAINTY if is_told else LIKELIEST_CERTAINTY):
            continue
        sample = b" ".join(_words(text))
        if page.decode(sample) != code_page(guessed.code_page).decode(sample):
            guesses.append(GuessedPage(selected=None if number == UNSELECTED else number, guess=guessed))
    return tuple(guesses)


def selected_texts(document: bytes, frames: Sequence[Frame] | None = None) -> Mapping[int, bytes]:
    """What a printer stream prints beyond ASCII, by the number that `ESC t` selected, or UNSELECTED.

    What it prints in alphabets of several bytes a letter, or in letters that it draws itself, is left out.
    """
    texts: dict[int, list[bytes]] = {}
    number, is_plain = UNSELECTED, True
    for frame in _sample_frames(document) if frames is None else frames:
        if frame.kind == "text":
            parts = list(_by_page(frame.data, number))
            number = parts[-1][0]
            for selected, text in parts:
                if is_plain and not text.isascii():
                    texts.setdefault(selected, []).append(text)
        elif frame.name == "ESC @":
            number, is_plain = UNSELECTED, True
        elif frame.name in _OTHER_LETTERS:
            is_plain = frame.name == "FS ."
    return {selected: b"\n".join(found) for selected, found in texts.items()}


def _by_page(data: bytes, number: int) -> Iterator[tuple[int, bytes]]:
    """The letters of a text frame that begins while `number` is selected, part by part as it selects others."""
    letters, *styles = split_styles(data)
    part = [letters]
    for mark, after in zip(styles[::2], styles[1::2], strict=True):
        if mark[:2] == SELECTS_PAGE:
            yield number, b"\n".join(part)
            number, part = mark[2], []
        part.append(after)
    yield number, b"\n".join(part)


def _sample_frames(document: bytes) -> Iterator[Frame]:
    """The frames of the beginning, as far as they do not ask too much."""
    framer, effort = EscposFramer(styled_text=True), Effort()
    for at in range(0, min(len(document), SAMPLE_BYTES), FEED_CHUNK_BYTES):
        frames = framer.feed(document[at : min(at + FEED_CHUNK_BYTES, SAMPLE_BYTES)])
        yield from frames
        effort.ask(len(frames) // 2)  # every other is text
        if effort.is_too_much(at):
            return


def makes_sense(text: bytes, page: CodePage) -> bool:
    """Whether `text`, read in `page`, has its letters where words have them."""
    strange = letters = 0
    for word in _words(text):
        if letters >= MAX_SENSE_LETTERS:
            break
        of_word, strange_of_word = _strangeness(f" {page.decode(word)} ")
        letters += of_word
        strange += strange_of_word
    return strange * 100 <= letters * NONSENSE_PERCENT


@lru_cache(maxsize=MAX_REMEMBERED)
def _strangeness(word: str) -> tuple[int, int]:
    """How many letters beyond ASCII `word`, with a space at either end, has, and how many of them are strange."""
    places = [at for at, letter in enumerate(word) if letter > "\x7f"]
    return len(places), sum([_is_strange(word[at - 1 : at + 2]) for at in places])


def _words(text: bytes) -> Iterator[bytes]:
    """Different words with letters beyond ASCII, without rules drawn of one sign; MAX_WORDS at most."""
    known: set[bytes] = set()
    at = 0
    while at < len(text):
        # No word and no rule goes on behind a line.
        end = text.find(b"\n", at + SEARCHED_BYTES) + 1 or len(text)
        lines = text[at:end]
        if _REPEATED.search(lines) is not None:
            lines = _RULE.sub(b" ", lines)
        for word in _WORD.findall(lines):
            if word not in known:
                known.add(word)
                yield word
                if len(known) == MAX_WORDS:
                    return
        at = end


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        # The sample may end within a letter.
        return error.start >= len(text) - 3 and error.reason == "unexpected end of data"
    return True


class _Reading(NamedTuple):
    """A text is in `language`, written for `page`."""

    language: str
    page: str


class _Scored(NamedTuple):
    """A reading, the logarithm of how likely it is, how many letters tell, and the share that the language has."""

    reading: _Reading
    score: float
    letters: int
    known: float
    text: str


def _likely(readings: Iterable[_Reading], words: Sequence[bytes]) -> list[_Scored]:
    """Readings, the likeliest first. Those that the first letters rule out are gone."""
    few, letters = 0, 0
    while few < len(words) and letters < FIRST_LETTERS:
        letters += sum(byte >= 0x80 for byte in words[few])
        few += 1
    first = _scored(readings, words[:few])
    left = [scored.reading for scored in first if scored.score > first[0].score - _RULED_OUT]
    return first if few == len(words) else _scored(left, words)


def _scored(readings: Iterable[_Reading], words: Sequence[bytes]) -> list[_Scored]:
    made = []
    joined = b" " + b"  ".join(words) + b" "
    places = [at for at, byte in enumerate(joined) if byte >= 0x80]
    # Several languages are printed in one page.
    in_pages: dict[str, tuple[str, list[str]]] = {}
    for reading in readings:
        if reading.page not in in_pages:
            shown = code_page(reading.page).decode(joined)
            in_pages[reading.page] = shown, [shown[at - 1 : at + 2] for at in places]
        shown, contexts = in_pages[reading.page]
        values = _alphabet(reading.language)
        all_values = [values[context] for context in contexts]
        letters = sum([value > _STRANGE and value not in _NOT_TELLING for value in all_values])
        made.append(_Scored(reading, sum(all_values), letters, letters / len(places), shown))
    return sorted(made, key=lambda scored: -scored.score)


@cache
def _alphabet(language: str) -> _Alphabet:
    return _Alphabet(LANGUAGES[language][0])


class _Alphabet(dict[str, float]):
    """The logarithm of how likely a letter beyond ASCII is between its neighbours, in a language."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self._letters: Counter[str] = Counter()
        self._pairs: Counter[str] = Counter()
        self._alone = {word for word in words if len(word) == 1}
        for word in words:
            padded = f" {word} "
            for at, letter in enumerate(padded):
                if letter > "\x7f":
                    self._letters[letter] += 1
                    self._pairs[padded[at - 1 : at + 1]] += 1
                    self._pairs[f"{letter}>{padded[at + 1]}"] += 1
        self._total = self._letters.total()

    def __missing__(self, context: str) -> float:
        value, before, letter, after = _told_of(context)
        if letter:
            value = self._with_neighbours(value, before, letter, after)
        if len(self) < MAX_REMEMBERED:
            self[context] = value
        return value

    def _with_neighbours(self, value: float, before: str, letter: str, after: str) -> float:
        count = self._letters.get(letter)
        if not count or (before == after == " " and letter not in self._alone):
            return value + _STRANGE
        left, right = self._pairs.get(before + letter, 0), self._pairs.get(f"{letter}>{after}", 0)
        of = log(count + _UNSEEN * _ALPHABET)
        return value + log(count / self._total) + log(left + _UNSEEN) + log(right + _UNSEEN) - 2 * of


@lru_cache(maxsize=MAX_REMEMBERED)
def _told_of(context: str) -> tuple[float, str, str, str]:
    """What three letters say of the middle one in any language, and the small letters that a language says more of.

    No letter is left of a sign.
    """
    before, letter, after = tuple(context)
    if letter == "€":
        return (_SIGN_WITHIN if before.isalpha() or after.isalpha() else _EURO), "", "", ""
    if not letter.isalpha() or letter in _NO_LETTERS:
        if letter not in _SIGNS | _RARE_SIGNS:
            return _OTHER_SIGN, "", "", ""
        if before.isalpha() and after.isalpha():
            return _SIGN_WITHIN, "", "", ""
        return (_SIGN_AT_EDGE if letter in _SIGNS else _RARE_AT_EDGE), "", "", ""
    value = _WRONG_CASE if _is_wrongly_cased(before, letter, after) else 0.0
    before, letter, after = (each.lower()[:1] if each.isalpha() else " " for each in (before, letter, after))
    return value, before, letter, after


@lru_cache(maxsize=MAX_REMEMBERED)
def _is_strange(context: str) -> bool:
    """Whether the middle one of three letters stands where no word has it."""
    before, letter, after = tuple(context)
    if letter == UNKNOWN_LETTER:
        return True
    if not letter.isalpha() or letter in _NO_LETTERS:
        beside = before.isalpha() + after.isalpha()
        return beside == 2 or (beside == 1 and letter not in _SIGNS | _RARE_SIGNS)
    if any(each.isalpha() and _script(each) != _script(letter) for each in (before, after)):
        return True
    return _is_wrongly_cased(before, letter, after)


def _is_wrongly_cased(before: str, letter: str, after: str) -> bool:
    """A capital behind a small letter, or a small one between capitals."""
    if letter.isupper():
        return before.islower()
    return letter.islower() and before.isupper() and after.isupper()


def _script(letter: str) -> int:
    """Latin, Greek, Cyrillic or another."""
    return bisect_right((0x250, 0x370, 0x400, 0x530), ord(letter))
