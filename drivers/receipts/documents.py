"""From the bytes of a file or a spooled job to sheets of text with byte ranges.

Owns the choice between printer stream and text, the alphabet of plain text, and page breaks. Never reads
a receipt.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from msgspec.structs import replace

from drivers.escpos import codepages
from drivers.escpos.codepages import DEFAULT_PROFILE, CodePage
from drivers.escpos.effort import is_a_sheet_too_many
from drivers.escpos.framing import EscposFramer, Frame
from drivers.escpos.guess import LIKELIEST_CERTAINTY, SAMPLE_BYTES, GuessedPage, guess, guessed_pages
from drivers.escpos.paper import (
    FEED_CHUNK_BYTES,
    MAX_BLANK_LINES,
    MAX_SHEET_LINES,
    Paper,
    PaperLine,
    Sheet,
)
from drivers.escpos.printer import UNSELECTED, EscposPrinter
from drivers.receipts.port import Lines, PrintedJob, TextLine
from drivers.star.framing import StarFramer
from drivers.star.paper import STAR_PROFILE, StarPrinter
from drivers.star.recognition import is_star_stream

# Whose commands a printer stream is made of.
PrinterLanguage = Literal["escpos", "star"]

# Text files are in Windows' pages, mostly; what is in another has to look like it.
MIN_CERTAINTY_OF_FILE: Final = 50
# A Star stream with one of these says itself which letters it means.
_STAR_SELECTIONS: Final = frozenset(("ESC GS t", "ESC GS ) U"))
SELECTION_BYTES: Final = 1024
# A receipt with a logo. Its frames are kept until it is read.
MAX_FRAMED_BYTES: Final = 16 * 1024
# A text without page breaks is parted at the next gap after this many lines, so that a year's journal in one
# file needs no more memory than a day's.
LONG_PAGE_LINES: Final = 5_000
# How the text of a cut is written, so that what `--text` prints can be read again.
CUT_LINE: Final = "[cut]"

# Without a flag for letter case, which makes the search several times slower.
_LINE: Final = re.compile(
    rb"[^\r\n\x0c<]*(?:<(?![bB][rR]\s{0,3}/?>)[^\r\n\x0c<]*)*(\r\n|\r|\n|\x0c|<[bB][rR]\s{0,3}/?>|$)"
)
# What parts a line but a line feed, with or without a CR.
_PARTED: Final = re.compile(rb"[\x0c<]|\r(?!\n?\Z)")
# What is longer is a picture in letters, or a damaged file: not to be remembered.
PLAIN_LINE_BYTES: Final = 400
# So much of a text is parted and decoded at once, if nothing in it is out of the way.
RUN_BYTES: Final = 16 * 1024
_MANY_BLANK_LINES: Final = re.compile(rf"\n(?:[^\S\n]*\n){{{MAX_BLANK_LINES}}}[^\S\n]*(?:\n|\Z)")
_WIDE_LINE: Final = re.compile(r"[^\r\n\f]*(\r\n|\r|\n|\f|$)")
_HIGH_RUN: Final = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A sheet of a document. `start` and `end` are its byte range; `sheet` is there if a printer printed it.

    Behind one that `asks_too_much` the document is not read.
    """

    printed: PrintedJob
    start: int
    end: int
    drawer_kicks: int = 0
    raster_only: bool = False
    torn: bool = False
    asks_too_much: bool = False
    sheet: Sheet | None = None

    @property
    def is_printed(self) -> bool:
        """Whether anything is on it, or was meant to be."""
        if self.raster_only or self.torn or self.printed.codes:
            return True
        return any(map(str.strip, self.printed.lines.texts))


def printer_language(document: bytes) -> PrinterLanguage | None:
    """Whose printer commands `document` holds; None where it is plain text. Star's only if that is certain."""
    if wide_codec(document) is not None:
        return None
    if b"\x1b" not in document and b"\x1d" not in document and b"\x10\x04" not in document:
        return None
    return "star" if is_star_stream(document) else "escpos"


def framed_once(document: bytes, language: PrinterLanguage) -> tuple[Frame, ...] | None:
    """The frames of a short ESC/POS stream, for the guess of its pages and its paper alike; None for any other."""
    if language != "escpos" or len(document) > MAX_FRAMED_BYTES:
        return None
    framer = EscposFramer(styled_text=True)
    return (*framer.feed(document), *framer.finish())


def printed_jobs(
    document: bytes,
    *,
    code_page: str | None,
    profile: str | None,
    language: PrinterLanguage | None = None,
    guessed: Sequence[GuessedPage] | None = None,
    letters: Mapping[int, str] = MappingProxyType({}),
    frames: Sequence[Frame] | None = None,
) -> Iterator[Job]:
    """Sheets of a printer stream as jobs, as in `sheets`."""
    printed = sheets(
        document,
        code_page=code_page,
        profile=profile,
        language=language,
        guessed=guessed,
        letters=letters,
        frames=frames,
    )
    return map(_job, printed)


def sheets(
    document: bytes,
    *,
    code_page: str | None,
    profile: str | None,
    language: PrinterLanguage | None = None,
    guessed: Sequence[GuessedPage] | None = None,
    letters: Mapping[int, str] = MappingProxyType({}),
    frames: Sequence[Frame] | None = None,
) -> Iterator[Sheet]:
    """Sheets of a printer stream; without a `language` it is recognised, without `guessed` the pages are guessed.

    The one that `asks_too_much` is the last.

    `letters` names those that an ESC/POS stream draws itself, by code; `frames` are all of it, where it
    is framed already.
    Raises CodePageError on an unknown page or profile.
    """
    language = language or printer_language(document)
    if guessed is None:
        guessed = pages_guessed(document, code_page=code_page, profile=profile, language=language)
    framer: StarFramer | EscposFramer
    printer: StarPrinter | EscposPrinter
    if language == "star":
        page = code_page or next((each.guess.code_page for each in guessed), None)
        framer, printer = StarFramer(), StarPrinter(code_page=page, profile=profile or STAR_PROFILE)
    else:
        pages = {UNSELECTED if each.selected is None else each.selected: each.guess.code_page for each in guessed}
        framer = EscposFramer(styled_text=True)
        printer = EscposPrinter(code_page=code_page, profile=profile or DEFAULT_PROFILE, pages=pages, letters=letters)
    if frames is not None:
        printer.feed(frames)
        yield from printer.finish()
        return
    for at in range(0, len(document), FEED_CHUNK_BYTES):
        printer.feed(framer.feed(document[at : at + FEED_CHUNK_BYTES]))
        yield from printer.take()
        if printer.asks_too_much:
            break
    printer.feed(framer.finish())
    yield from printer.finish()


def _job(sheet: Sheet) -> Job:
    lines = [line for line in sheet.lines if line.kind == "text"]
    columns = Lines([line.text for line in lines], [line.start for line in lines], [line.end for line in lines])
    return Job(
        printed=PrintedJob(lines=columns, codes=sheet.codes),
        start=sheet.start,
        end=sheet.end,
        drawer_kicks=sheet.drawer_kicks,
        raster_only=sheet.is_raster_only,
        torn=sheet.torn,
        asks_too_much=sheet.asks_too_much,
        sheet=sheet,
    )


def pages_guessed(
    document: bytes,
    *,
    code_page: str | None,
    profile: str | None,
    language: PrinterLanguage | None,
    frames: Sequence[Frame] | None = None,
) -> tuple[GuessedPage, ...]:
    """Code pages of a printer stream that nobody tells, or that are told and make no sense.

    `frames` are all of it, where it is framed already.
    Raises CodePageError on an unknown profile.
    """
    if code_page is not None:
        return ()
    return _guessed_of_star(document) if language == "star" else guessed_pages(document, profile, frames)


def lines_in_pages(
    document: bytes, guessed: GuessedPage, *, profile: str | None, language: PrinterLanguage | None
) -> dict[str, str]:
    """The printed line that tells most, in each of the pages of a guess, the likeliest first: for a person to choose.

    Raises CodePageError on an unknown profile.
    """
    pages = [guessed.guess.code_page, *(other.code_page for other in guessed.guess.runners_up)]
    read: list[dict[int, str]] = []
    for page in pages:
        tried = replace(guessed, guess=replace(guessed.guess, code_page=page))
        printed = sheets(document[:SAMPLE_BYTES], code_page=None, profile=profile, language=language, guessed=(tried,))
        read.append({line.start: line.text for sheet in printed for line in sheet.lines})
    # The one that differs most, and of those the one with most letters beyond ASCII.
    telling = max(
        read[0], key=lambda start: (len({lines.get(start) for lines in read}), _beyond_ascii(read[0][start])), default=0
    )
    return {page: lines.get(telling, "") for page, lines in zip(pages, read, strict=True)}


def _beyond_ascii(text: str) -> int:
    return len({letter for letter in text if letter > "\x7f"})


def _guessed_of_star(document: bytes) -> tuple[GuessedPage, ...]:
    sample = document[:SAMPLE_BYTES]
    if sample.isascii():
        return ()
    framer, text = StarFramer(), b""
    # A page is selected near the beginning, mostly.
    for at in range(0, len(sample), SELECTION_BYTES):
        frames = framer.feed(sample[at : at + SELECTION_BYTES])
        if any(frame.name in _STAR_SELECTIONS for frame in frames):
            return ()
        text += b"".join(frame.data for frame in frames if frame.kind == "text")
    guessed = guess(text)
    if guessed is None or guessed.certainty < LIKELIEST_CERTAINTY:
        return ()
    return (GuessedPage(selected=None, guess=guessed),)


def _is_utf8(text: bytes) -> bool:
    """Whether `text`, which may be cut in its last letter, is UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.start >= len(text) - 3
    return True


def text_jobs(document: bytes, *, code_page: str | None) -> Iterator[Job]:
    """Pages of a plain text: up to a form feed or a `[cut]` line. Raises CodePageError."""
    codec = wide_codec(document) if code_page is None else None
    if codec is not None:
        return _pages(_wide_runs(document, codec))
    return _pages(_narrow_runs(document, _page_of(document, code_page)))


def text_of(
    document: bytes,
    *,
    code_page: str | None,
    profile: str | None,
    language: PrinterLanguage | None,
    letters: Mapping[int, str] = MappingProxyType({}),
) -> Iterator[str]:
    """The text of `sheets_of`, in parts: printed lines, codes and pictures by name, a `[cut]` line for a cut."""
    printed = sheets_of(document, code_page=code_page, profile=profile, language=language, letters=letters)
    for sheet in printed:
        yield Paper(sheets=(sheet,)).text


def sheets_of(
    document: bytes,
    *,
    code_page: str | None,
    profile: str | None,
    language: PrinterLanguage | None,
    letters: Mapping[int, str] = MappingProxyType({}),
) -> Iterator[Sheet]:
    """The paper of a printer stream, or, without a `language`, the pages of a plain text as if they were printed.

    One that `asks_too_much` is the last; so it is behind the last that a till would cut.
    """
    if language is not None:
        printed = sheets(document, code_page=code_page, profile=profile, language=language, letters=letters)
    else:
        printed = _text_sheets(document, code_page)
    for number, sheet in enumerate(printed):
        if is_a_sheet_too_many(number, sheet.start):
            yield dataclasses.replace(sheet, lines=(), codes=(), cut=False, lost_lines=0, asks_too_much=True)
            return
        yield sheet


def _text_sheets(document: bytes, code_page: str | None) -> Iterator[Sheet]:
    page: Job | None = None
    for job in text_jobs(document, code_page=code_page):
        if page is not None:
            yield _text_sheet(page, cut=True)
        page = job
    if page is not None:
        yield _text_sheet(page, cut=False)


def _text_sheet(page: Job, *, cut: bool) -> Sheet:
    lines = tuple(PaperLine(text=line.text, start=line.start, end=line.end) for line in page.printed.lines)
    return Sheet(
        lines=lines, codes=(), drawer_kicks=0, start=page.start, end=page.end, cut=cut, torn=False, lost_lines=0
    )


def _pages(runs: Iterator[_Run]) -> Iterator[Job]:
    page = _Page()
    for run in runs:
        at = 0
        while at < len(run.lines):
            room = LONG_PAGE_LINES - 1 - len(page.lines)
            if run.is_plain and room > 0 and not _is_blank(run.lines.texts[at]):
                page.add_plain(run.lines[at : at + room])
                at += room
                continue
            line = run.lines[at]
            if page.is_full_before(line):
                yield page.take()
            is_cut = page.add(line)
            if (is_cut or run.is_last) and page.lines:
                yield page.take()
            at += 1
    if page.lines:
        yield page.take()


class _Page:
    """The lines of a page as they come, without blank ones beyond MAX_BLANK_LINES in a row."""

    def __init__(self) -> None:
        self.lines = Lines([], [], [])
        self._blank_lines = 0

    def is_full_before(self, line: TextLine) -> bool:
        """Whether `line` begins another page."""
        lines = self.lines
        if len(lines) < LONG_PAGE_LINES:
            return False
        return len(lines) >= MAX_SHEET_LINES or _may_part(lines.texts[-1], line.text)

    def add(self, line: TextLine) -> bool:
        """Whether `line` is a cut, which is no line of the page."""
        text, lines = line.text, self.lines
        self._blank_lines = self._blank_lines + 1 if _is_blank(text) else 0
        is_cut = CUT_LINE in text and text.strip() == CUT_LINE
        if not is_cut and self._blank_lines <= MAX_BLANK_LINES:
            lines.texts.append(text)
            lines.starts.append(line.start)
            lines.ends.append(line.end)
        return is_cut

    def add_plain(self, run: Lines) -> None:
        """What `add` comes to for lines of a plain run."""
        lines = self.lines
        lines.texts += run.texts
        lines.starts += run.starts
        lines.ends += run.ends
        self._blank_lines = next(at for at, text in enumerate(reversed(run.texts)) if not _is_blank(text))

    def take(self) -> Job:
        """The page that is whole."""
        lines, self.lines = self.lines, Lines([], [], [])
        return Job(printed=PrintedJob(lines=lines), start=lines.starts[0], end=lines.ends[-1])


def _is_blank(text: str) -> bool:
    return not text or text.isspace()


def _may_part(before: str, after: str) -> bool:
    """Whether a file of many receipts may be parted here: at a blank line, after markup, between two titles."""
    return not after.strip() or "<" in before or (_is_ruled_title(before) and _is_ruled_title(after))


def _is_ruled_title(text: str) -> bool:
    """Whether words stand in a rule: `==== END ====`, as a journal begins and ends."""
    return text.startswith("=") and bool(text.strip("= "))


class _Run(NamedTuple):
    """Lines that are beside each other; the `is_last` of them end their page.

    A plain run begins with a line that is not blank, has no cut in it, and no more blank lines in a row than a page.
    """

    lines: Lines
    is_last: bool = False
    is_plain: bool = False


def _narrow_runs(document: bytes, page: CodePage) -> Iterator[_Run]:
    at = 3 if document.startswith(b"\xef\xbb\xbf") else 0
    stream = io.BytesIO(document)
    stream.seek(at)
    while lines := stream.readlines(RUN_BYTES):
        data = b"".join(lines)
        run = _run_at_once(lines, data, at, page)
        yield from _runs_one_by_one(lines, at, page) if run is None else (run,)
        at += len(data)


def _run_at_once(lines: Sequence[bytes], data: bytes, start: int, page: CodePage) -> _Run | None:
    """The run of `lines`, which are all of `data`; None where a line is parted, or long, or may not be decoded so."""
    if b"<" in data or b"\x0c" in data or data.count(b"\r") != data.count(b"\r\n"):
        return None
    if max(map(len, lines)) > PLAIN_LINE_BYTES or page.codec not in (None, "utf-8"):
        return None
    try:
        text = data.decode() if page.codec else page.decode(data)
    except UnicodeDecodeError:
        return None
    if b"\r" in data:
        text = text.replace("\r\n", "\n")
    texts = text.removesuffix("\n").split("\n")
    if len(texts) != len(lines):
        return None
    places = list(accumulate(map(len, lines), initial=start))
    is_plain = CUT_LINE not in text and not _is_blank(texts[0]) and _MANY_BLANK_LINES.search(text) is None
    return _Run(Lines(texts, places[:-1], places[1:]), is_plain=is_plain)


def _runs_one_by_one(lines: Sequence[bytes], at: int, page: CodePage) -> Iterator[_Run]:
    for line in lines:
        end = at + len(line)
        if len(line) > PLAIN_LINE_BYTES or _PARTED.search(line) is not None:
            yield from _parted(line, at, page)
        else:
            yield _Run(Lines([page.decode(line.rstrip(b"\r\n"))], [at], [end]))
        at = end


def _parted(line: bytes, start: int, page: CodePage) -> Iterator[_Run]:
    """The lines in what ends in a line feed, or in nothing: a CR, a form feed and a `<br>` part it as well."""
    at = 0
    while at < len(line):
        match = _LINE.match(line, at)
        if match is None or match.end() == at:
            return
        text_end, end = match.span(1)
        text = page.decode(line[at:text_end])
        yield _Run(Lines([text], [start + at], [start + end]), is_last=line[text_end:end] == b"\x0c")
        at = end


def _wide_runs(document: bytes, codec: str) -> Iterator[_Run]:
    at = 2 if document[:2] in (b"\xff\xfe", b"\xfe\xff") else 0
    for match in _WIDE_LINE.finditer(document[at:].decode(codec, "replace")):
        # A damaged letter may count for more bytes than it had.
        end = min(at + len(match.group().encode(codec, "replace")), len(document))
        if end > at:
            text = match.group()[: match.start(1) - match.start()]
            yield _Run(Lines([text], [at], [end]), is_last=match[1] == "\f")
        at = end


def wide_codec(document: bytes) -> str | None:
    """UTF-16, by its mark or by the zero bytes of its digits and spaces."""
    if document.startswith(b"\xff\xfe"):
        return "utf-16-le"
    if document.startswith(b"\xfe\xff"):
        return "utf-16-be"
    sample = document[:1024]
    # No text begins with a printer's command; a short job of one may have its zero bytes anywhere.
    if len(sample) < 8 or sample[0] in b"\x10\x1b\x1d":
        return None
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > len(sample) // 8 and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even > len(sample) // 8 and odd == 0 else None


def _page_of(document: bytes, code_page: str | None) -> CodePage:
    """The alphabet of a plain text: as told, or UTF-8, or guessed."""
    if code_page is not None:
        return codepages.code_page(code_page)
    return codepages.code_page(_guessed_page(document[:SAMPLE_BYTES]))


def _guessed_page(sample: bytes) -> str:
    if _is_utf8(sample) or _mostly_utf8(sample):
        return "UTF-8"
    guessed = guess(sample)
    if guessed is not None and guessed.certainty >= MIN_CERTAINTY_OF_FILE:
        return guessed.code_page
    runs = _HIGH_RUN.findall(sample)
    letters = sum(map(len, runs))
    # Cyrillic words are all high bytes; in Latin ones a high byte stands alone.
    return "CP1251" if sum(len(run) for run in runs if len(run) > 1) * 2 > letters else "CP1250"


def _mostly_utf8(sample: bytes) -> bool:
    """Whether a damaged text is still UTF-8: nine in ten of its letters beyond ASCII are whole."""
    text = sample.decode("utf-8", "replace")
    beyond = sum(letter > "\x7f" for letter in text)
    return text.count("\ufffd") * 10 <= beyond
