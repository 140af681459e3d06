"""A receipt printer that keeps what it would print: commands in, sheets out.

Owns the printer's state as far as text depends on it: code page, national letters, letters that the POS drew,
styles, tab stops, positions. Never draws, and never says what a receipt means.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import accumulate
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple

from msgspec.structs import replace

from drivers.escpos import codepages
from drivers.escpos.codepages import DEFAULT_PROFILE, UNKNOWN_LETTER, CodePage, national_letters, selected_page
from drivers.escpos.effort import Effort
from drivers.escpos.framing import SELECTS_PAGE, EscposFramer, Frame, split_text, style_at, text_line_end
from drivers.escpos.line import DOTS_A_COLUMN, MAX_COLUMN, Piece, Styled, composed, segments, spans_of
from drivers.escpos.page_mode import Area, Page
from drivers.escpos.paper import (
    FEED_CHUNK_BYTES,
    MAX_BLANK_LINES,
    MAX_CODE_BYTES,
    MAX_SHEET_LINES,
    Justification,
    LineKind,
    Paper,
    PaperLine,
    PrintedCode,
    Sheet,
)
from drivers.escpos.raster import Picture, PictureMemory
from drivers.escpos.roll import Roll
from drivers.escpos.styles import LETTER_DOTS_HIGH, PLAIN, Span, restyled
from drivers.escpos.symbols import BARCODES, SYMBOLS, code128_letters, shown

# 48 columns are 80 mm wide; text without a line end is broken here.
MAX_LINE_BYTES: Final = 4096
TAB_COLUMNS: Final = 8
# The line spacing a printer begins with.
LINE_DOTS: Final = 30
# A feed of at least this many dots without text leaves a blank line.
BLANK_FEED_DOTS: Final = 30
# Names the code page that a printer begins with, among those that ESC t selects.
UNSELECTED: Final = -1

_TABS: Final = tuple(column * DOTS_A_COLUMN for column in range(TAB_COLUMNS, MAX_COLUMN, TAB_COLUMNS))
_LINE_FEEDS: Final = (b"\n", b"\r\n")
# Whole lines of letters that end in one way, also if the code page changes within them: most of what a till prints.
# None is longer than MAX_LINE_BYTES.
_LETTER: Final = rb"[^\x00-\x1f\x7f]"
_PLAIN_LINE: Final = rb"(?:" + _LETTER + rb"{1,2048}+(?:\x1bt[^\r\n]" + _LETTER + rb"{0,128}+){0,16}+)?+"
_PLAIN_LINES: Final = re.compile(rb"(?:" + _PLAIN_LINE + rb"\n)++|(?:" + _PLAIN_LINE + rb"\r\n)++").match
_SELECTIONS: Final = re.compile(rb"\x1bt([\s\S])")
_JUSTIFICATIONS: Final[Mapping[int, Justification]] = MappingProxyType(
    {0: "left", 1: "center", 2: "right", 48: "left", 49: "center", 50: "right"}
)
_KANJI_CODES: Final = MappingProxyType(
    {0: "cp932", 48: "cp932", 1: "cp932", 49: "cp932", 2: "cp932", 50: "cp932", 255: "utf-8"}
)
_CHARACTER_STYLES: Final = frozenset((b"\x1b ", b"\x1b!", b"\x1b-", b"\x1bE", b"\x1bG", b"\x1bM", b"\x1d!", b"\x1dB"))


def printed(document: bytes, *, code_page: str | None = None, profile: str = DEFAULT_PROFILE) -> Paper:
    """The paper of a whole stream. Raises CodePageError on an unknown page or profile."""
    printer = EscposPrinter(code_page=code_page, profile=profile)
    framer = EscposFramer(styled_text=True)
    for at in range(0, len(document), FEED_CHUNK_BYTES):
        printer.feed(framer.feed(document[at : at + FEED_CHUNK_BYTES]))
        if printer.asks_too_much:
            break
    printer.feed(framer.finish())
    return Paper(sheets=tuple(printer.finish()))


class _Placed(NamedTuple):
    """A code or a picture on a page that is being composed."""

    line: PaperLine
    code: PrintedCode | None


class _Decoder(NamedTuple):
    """How bytes become letters in a code page and the printer's other modes, and whether each byte is one."""

    decode: Callable[[bytes], str]
    is_byte_a_letter: bool


class EscposPrinter:
    """A printer that keeps what it would print. Feed it frames, with or without styles in their text; take its sheets.

    `code_page` overrules what the stream selects, for a printer whose pages differ from its profile's; `pages`
    overrules single numbers of `ESC t`, and UNSELECTED. `letters` names those that the POS draws itself, by code.
    """

    def __init__(
        self,
        code_page: str | None = None,
        profile: str = DEFAULT_PROFILE,
        *,
        pages: Mapping[int, str] = MappingProxyType({}),
        letters: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        self._forced = codepages.code_page(code_page) if code_page is not None else None
        self._profile = profile
        self._pages = {number: codepages.code_page(name) for number, name in pages.items()}
        self._letter_names = letters
        selected_page(profile, 0)
        self._sheets: list[Sheet] = []
        self._symbol = b""
        self._symbol_kind = 49
        self._stored_image = ""
        self._defined_image = ""
        self._pictures = PictureMemory()
        self._at = 0
        self._sheet_start = 0
        self._after_cr = False
        self._effort = Effort()
        self.asks_too_much = False
        self._reset()
        self._new_sheet()

    def feed(self, frames: Iterable[Frame]) -> None:
        """Print `frames`, but none behind those that ask too much."""
        if self.asks_too_much:
            return
        for frame in frames:
            if frame.kind == "text":
                if self._listens:
                    self._text(frame.data, frame.start)
            elif frame.kind == "command":
                self._command(frame)
            else:
                self._torn = True
            self._at = frame.end
            if self._effort.is_too_much(frame.end):
                self.asks_too_much = True
                return

    def take(self) -> list[Sheet]:
        """Sheets that were cut off since the last call."""
        sheets, self._sheets = self._sheets, []
        return sheets

    def finish(self) -> list[Sheet]:
        """The stream ends: what `take` gives, and the rest of the paper if anything is on it.

        What still waits in the printer, a line or a page, is shown as if it had been printed.
        """
        self._end_line()
        self._print_page(ends=True)
        if self._roll.lines or self._kicks or self._torn or self.asks_too_much:
            self._end_sheet(cut=False)
        return self.take()

    # The printer's state

    def _reset(self) -> None:
        """ESC @ and power on: modes go back to their defaults; the unprinted line and page are gone."""
        self._page_number = UNSELECTED
        self._letters = national_letters(0)
        self._kanji = "gb18030"
        self._kanji_mode = False
        self._utf8 = False
        self._own_letters: dict[int, str] = {}
        self._own_letters_on = False
        self._listens = True
        self._tabs = _TABS
        self._style = PLAIN
        self._justification: Justification = "left"
        self._line_dots = LINE_DOTS
        self._turned = False
        self._page_mode: Page[_Placed] | None = None
        self._page_start = 0
        self._choose_decoder()
        self._new_line()

    def _new_line(self) -> None:
        self._line: list[Piece] = []
        self._line_start: int | None = None
        self._line_bytes = 0
        self._pending = b""
        self._left: int | None = None  # where the next letter goes, if not behind the last one
        self._right = 0  # dots of the pieces that were measured
        self._measured = 0

    def _new_sheet(self) -> None:
        self._roll = Roll()
        if self._turned:
            self._roll.turn()
        self._codes: list[PrintedCode] = []
        self._kicks = 0
        self._torn = False
        self._pictures.new_sheet()
        self._effort.begin_sheet(self._sheet_start)

    def _page_of(self, number: int) -> CodePage:
        """The code page that ESC t `number` selects, or the one that the printer begins with."""
        if self._forced is not None:
            return self._forced
        return self._pages.get(number) or selected_page(self._profile, 0 if number == UNSELECTED else number)

    # Text

    def _text(self, data: bytes, start: int) -> None:
        at, takes_lines = 0, self._takes_lines
        while at < len(data):
            run = _PLAIN_LINES(data, at) if takes_lines else None
            if run is not None:
                self._add_lines(run.group(), start + at)
                at = run.end()
                continue
            # What styles a line from its beginning leaves whole lines behind it.
            mark = style_at(data, at) if takes_lines else b""
            if mark:
                at += len(mark)
                self._at = start + at
                self._effort.ask(mark[:2] == SELECTS_PAGE)
                self._mark(mark)
            else:
                end = text_line_end(data, at)
                self._add_marked(data[at:end], start + at)
                at = end
            takes_lines = self._takes_lines

    @property
    def _takes_lines(self) -> bool:
        """Whether whole lines can be printed as they are decoded: a new line begins, and a byte is a letter."""
        return (
            self._line_start is None
            and self._decoder.is_byte_a_letter
            and self._page_mode is None
            and not self._after_cr
            and self._roll.takes_lines
        )

    def _add_lines(self, data: bytes, start: int) -> None:
        """Print whole lines of letters alone. What it does is what `_add_marked` comes to for each of them."""
        parts = _SELECTIONS.split(data)  # letters, page, letters, page … letters
        pages = [self._page_number, *(page[0] for page in parts[1::2])]
        decoders = list(map(self._decoder_of, pages))
        lines = data.splitlines(keepends=True)
        if not all(decoder.is_byte_a_letter for decoder in decoders):
            for line in lines:
                self._add_marked(line, start)
                start += len(line)
            return
        text = "".join([decoder.decode(letters) for decoder, letters in zip(decoders, parts[::2], strict=True)])
        line_end = "\r\n" if data.endswith(b"\r\n") else "\n"
        printed = text.removesuffix(line_end).split(line_end)
        if not "".join(printed).isprintable():
            printed = list(map(_shown, printed))
        self._effort.ask(len(pages) - 1)
        self._page_number, self._decoder = pages[-1], decoders[-1]
        self._roll.add_lines(
            printed, list(accumulate(map(len, lines), initial=start)), self._style, self._justification, self._line_dots
        )
        self._at = start + len(data)

    def _add_marked(self, data: bytes, at: int) -> None:
        """Print a line, or a part of one, with tabs, lone CRs and styling commands in it."""
        parts = split_text(data)
        self._effort.ask(parts.count(b"\t") + data.count(SELECTS_PAGE))
        parts.append(b"")  # the mark that the last letters lack
        begins = self._line_start is None and self._page_mode is None
        # A styling command may end in the byte of a line feed.
        if begins and data.endswith(b"\n") and parts[-3] in _LINE_FEEDS and self._line_at_once(parts, at):
            return
        for letters, mark in zip(parts[::2], parts[1::2], strict=True):
            if letters:
                self._add_letters(letters, at, ends=bool(mark))
            at += len(letters) + len(mark)
            if mark:
                self._at = at
                self._mark(mark)

    def _line_at_once(self, parts: Sequence[bytes], start: int) -> bool:
        """Print a whole line of letters and marks that only style them, as most are; False where it is not that.

        What it does is what `_add_letters` and `_mark` come to, in a third of the time.
        """
        style, letters, begun, end = self._style, b"", start, start
        styled: list[Styled] = []
        for piece, mark in zip(parts[::2], parts[1::2], strict=True):
            if piece:
                if style is not PLAIN:
                    styled.append((style, len(letters), len(letters) + len(piece)))
                begun = begun if letters else end
                letters += piece
            end += len(piece) + len(mark)
            if mark[:2] in _CHARACTER_STYLES:
                style = restyled(style, mark)
            elif mark and mark not in _LINE_FEEDS:
                return False
        text = self._read(letters)
        if not letters or len(letters) > MAX_LINE_BYTES or (styled and len(text) != len(letters)):
            return False
        text = text.rstrip()
        self._style, self._at, self._after_cr = style, end, False
        self._print(text, spans_of(styled, len(text)) if styled else (), begun, feed=self._line_dots, leaves_blank=True)
        self._roll.fed()
        return True

    def _print(self, text: str, spans: tuple[Span, ...], start: int, *, feed: int, leaves_blank: bool) -> None:
        """A line, and the feed after it. Without text the feed leaves a blank line, if `leaves_blank`."""
        roll = self._roll
        # The line feed after a strip only moves past it.
        if text or (leaves_blank and not roll.on_strip):
            roll.add(PaperLine(text=text, start=start, end=self._at, justification=self._justification, spans=spans))
        roll.on_strip = False
        if text:
            high = 2 * LETTER_DOTS_HIGH if spans and any(span.double_height for span in spans) else LETTER_DOTS_HIGH
            feed = feed if feed > high else high  # noqa: FURB136 - max() takes longer
        roll.top += feed

    def _add_letters(self, letters: bytes, at: int, *, ends: bool) -> None:
        """Letters of the current line; the last of them may go on in the next frame, unless a mark ends them."""
        if self._line_start is None:
            self._line_start = at
        self._after_cr = False
        if ends and not self._pending:
            self._line.append(Piece(self._read(letters), self._style, self._left))
            self._left = None
        else:
            self._pending += letters
        self._line_bytes += len(letters)
        if self._line_bytes > MAX_LINE_BYTES:
            self._at = at + len(letters)
            self._end_line()

    def _mark(self, mark: bytes) -> None:
        """A line end, a tab, or a styling command."""
        head = mark[:2]
        if head in _CHARACTER_STYLES:
            self._settle()
            self._style = restyled(self._style, mark)
        elif head in _LINE_FEEDS:
            # The CR of CR LF ends no line that another CR has ended.
            self._after_cr = self._after_cr and head == b"\n"
            self._feed_line()
        elif head == b"\r":
            self._return()
        elif head == b"\t":
            self._tab()
        elif head == SELECTS_PAGE:
            self._settle()
            self._page_number = mark[2]
            self._decoder = self._decoder_of(self._page_number)
        else:
            self._place_or_align(head, mark)

    def _place_or_align(self, head: bytes, mark: bytes) -> None:
        self._settle()  # what waits belongs before the mark, however the job was split
        if head == b"\x1b$":
            self._move_to(_u16(mark, 2))
        elif head == b"\x1b\\":
            dots = _u16(mark, 2)
            self._move_to(max(self._dots() + (dots if dots < 0x8000 else dots - 0x10000), 0))
        elif head == b"\x1ba":
            # Only where a line begins.
            if self._line_start is None:
                self._justification = _JUSTIFICATIONS.get(mark[2], self._justification)
        elif head == b"\x1b3":
            self._line_dots = mark[2]
        elif head == b"\x1b2":
            self._line_dots = LINE_DOTS

    def _settle(self) -> None:
        """Turn pending bytes into letters, before the page changes or the line ends."""
        if self._pending:
            self._line.append(Piece(self._read(self._pending), self._style, self._left))
            self._pending, self._left = b"", None

    def _read(self, data: bytes) -> str:
        return _readable(self._decoder.decode(data))

    def _choose_decoder(self) -> None:
        """Read letters from here on in the printer's modes as they are now."""
        self._decoders: dict[int, _Decoder] = {}
        self._decoder = self._decoder_of(self._page_number)

    def _decoder_of(self, number: int) -> _Decoder:
        """How letters are read behind ESC t `number`, in the printer's modes as they are now."""
        decoder = self._decoders.get(number)
        if decoder is None:
            decoder = self._decoders[number] = self._decoder_in(self._page_of(number))
        return decoder

    def _decoder_in(self, page: CodePage) -> _Decoder:
        decode: Callable[[bytes], str] = page.decode
        is_byte_a_letter = page.codec is None
        if self._forced is None and (self._utf8 or self._kanji_mode):
            decode = partial(str, encoding="utf-8" if self._utf8 else self._kanji, errors="replace")
            is_byte_a_letter = False
        if self._own_letters_on and self._own_letters:
            decode = partial(_with_drawn, decode, dict(self._own_letters))
            is_byte_a_letter = False
        return _Decoder(partial(_translated, decode, self._letters) if self._letters else decode, is_byte_a_letter)

    # Positions

    def _dots(self) -> int:
        """Where on its line the next letter goes."""
        self._settle()
        if self._left is not None:
            return self._left
        for piece in self._line[self._measured :]:
            self._right = (self._right if piece.left is None else piece.left) + piece.dots
        self._measured = len(self._line)
        return self._right

    def _move_to(self, dots: int) -> None:
        self._settle()
        if self._line_start is None:
            self._line_start = self._at
        self._left = min(dots, MAX_COLUMN * DOTS_A_COLUMN)

    def _tab(self) -> None:
        dots = self._dots()
        stop = bisect_right(self._tabs, dots)
        self._move_to(self._tabs[stop] if stop < len(self._tabs) else dots + self._style.letter_dots)

    # Lines and sheets

    def _feed_line(self) -> None:
        """LF and CR LF. After a lone CR that ended a line, LF is the rest of that line end."""
        if not self._after_cr:
            self._end_line(feed=self._line_dots, leaves_blank=True)
        elif self._page_mode is None:
            self._roll.extend_last(self._at)
        self._after_cr = False
        if self._page_mode is None:
            self._roll.fed()

    def _return(self) -> None:
        """A lone CR ends a line that has text, as printers do where auto line feed is on."""
        self._after_cr = self._line_start is not None
        if self._after_cr:
            self._end_line(feed=self._line_dots, leaves_blank=True)
            if self._page_mode is None:
                self._roll.returned()

    def _end_line(self, *, feed: int = 0, leaves_blank: bool = False) -> None:
        """Print the line, if one has begun, and feed paper."""
        self._settle()
        if self._page_mode is not None:
            self._page_mode.write(segments(self._line), self._line_dots)
            self._page_mode.move_by(feed)
            self._new_line()
            return
        text, spans = composed(self._line)
        start = self._line_start if self._line_start is not None else self._at
        self._print(text, spans, start, feed=feed, leaves_blank=leaves_blank)
        if self._line_start is not None:
            self._new_line()

    def _put(self, line: PaperLine, code: PrintedCode | None = None) -> None:
        """A code or a picture below what is printed, or at its place on the page."""
        if self._page_mode is not None:
            left = self._dots()
            self._write_on_page()
            self._page_mode.place(_Placed(line, code), left)
            return
        self._end_line()
        self._keep_code(code)
        self._roll.add(line)
        self._roll.top += LETTER_DOTS_HIGH

    def _keep_code(self, code: PrintedCode | None) -> None:
        if code is not None and len(self._codes) < MAX_SHEET_LINES:
            self._codes.append(code)

    def _add_code(self, symbology: str, data: bytes, frame: Frame) -> None:
        data = data[:MAX_CODE_BYTES]
        code = PrintedCode(symbology=symbology, data=data, start=frame.start, end=frame.end)
        self._put(self._special(_code_text(symbology, data), "code", frame), code)

    def _add_image(self, what: str, frame: Frame) -> None:
        self._put(self._special(f"[image {what}]", "image", frame, self._pictures.take(frame)))

    def _special(self, text: str, kind: LineKind, frame: Frame, picture: Picture | None = None) -> PaperLine:
        return PaperLine(
            text=text, start=frame.start, end=frame.end, kind=kind, justification=self._justification, picture=picture
        )

    def _add_strip(self, width: int, height: int, frame: Frame) -> None:
        if self._page_mode is not None:
            self._add_image(f"{width}x{height}", frame)
            return
        is_line_begun = bool(self._line or self._pending)
        left = 0 if is_line_begun or self._left is None else self._left
        on_strip = self._roll.on_strip
        self._end_line()
        self._roll.on_strip = on_strip and not is_line_begun
        picture = self._pictures.take(frame, left=left)
        self._roll.add_strip(
            width, height, picture, start=frame.start, end=frame.end, justification=self._justification
        )

    def _end_sheet(self, *, cut: bool) -> None:
        self._roll.turn_back()
        self._sheets.append(
            Sheet(
                lines=tuple(self._roll.lines),
                codes=tuple(self._codes),
                drawer_kicks=self._kicks,
                start=self._sheet_start,
                end=self._at,
                cut=cut,
                torn=self._torn,
                lost_lines=self._roll.lost_lines,
                asks_too_much=self.asks_too_much,
            )
        )
        self._sheet_start = self._at
        self._new_sheet()

    # Page mode

    def _write_on_page(self, *, ends_line: bool = False) -> None:
        """What stands on the current line goes on the page; the next letter goes behind it, or begins a line."""
        if self._page_mode is not None:
            left = self._dots()
            self._page_mode.write(segments(self._line), self._line_dots)
            self._new_line()
            self._left = None if ends_line else left

    def _print_page(self, *, ends: bool) -> None:
        """Print the page, if there is one, and keep it."""
        page, roll = self._page_mode, self._roll
        if page is None:
            return
        self._write_on_page(ends_line=True)
        for item in page.printed(ends=ends):
            self._effort.ask(1)
            if isinstance(item, _Placed):
                self._keep_code(item.code)
                roll.add(replace(item.line, start=self._page_start, end=self._at))
            else:
                text, spans = item
                roll.add(PaperLine(text=text, start=self._page_start, end=self._at, spans=spans))
            roll.top += LETTER_DOTS_HIGH
        roll.lost_lines += page.lost
        page.lost = 0

    # Commands

    def _command(self, frame: Frame) -> None:
        act = self._ACTS.get(frame.name)
        if act is not None:
            if self._listens:
                self._effort.ask(1)
                self._at = frame.end
                act(self, frame)
        elif frame.name == "ESC =":
            self._listens = bool(frame.data[2] & 1)
        elif not self._listens:
            return
        elif frame.is_cut:
            if self._page_mode is None:
                self._end_line()
            self._at = frame.end
            self._end_sheet(cut=True)
        elif frame.is_drawer_kick:
            self._kicks += 1

    def _act_reset(self, _frame: Frame) -> None:
        self._roll.turn_back()
        self._reset()

    def _act_mark(self, frame: Frame) -> None:
        self._mark(frame.data)

    def _act_country(self, frame: Frame) -> None:
        self._settle()
        self._letters = national_letters(frame.data[2])
        self._choose_decoder()

    def _act_kanji(self, frame: Frame) -> None:
        self._settle()
        self._kanji_mode = frame.name == "FS &"
        self._choose_decoder()

    def _act_kanji_code(self, frame: Frame) -> None:
        self._settle()
        self._kanji = _KANJI_CODES.get(frame.data[2], self._kanji)
        if frame.data[2] == 255:  # FS C 255: UTF-8 on some hand-held printers
            self._utf8 = True
        self._choose_decoder()

    def _act_encoding(self, frame: Frame) -> None:
        # FS ( C pL pH 48 m: 1 a byte a letter, 2 UTF-8
        if frame.data[5:6] == b"0" and len(frame.data) > 6:
            self._settle()
            self._utf8 = frame.data[6] in (2, 50)
            self._choose_decoder()

    def _act_own_letters_on(self, frame: Frame) -> None:
        self._settle()
        self._own_letters_on = bool(frame.data[2] & 1)
        self._choose_decoder()

    def _act_own_letters(self, frame: Frame) -> None:
        # What they look like only the operator can say.
        self._settle()
        for code in range(frame.data[3], frame.data[4] + 1):
            self._own_letters[code] = self._letter_names.get(code, UNKNOWN_LETTER)
        self._choose_decoder()

    def _act_forget_letter(self, frame: Frame) -> None:
        self._settle()
        self._own_letters.pop(frame.data[2], None)
        self._choose_decoder()

    def _act_tabs(self, frame: Frame) -> None:
        self._tabs = tuple(stop * self._style.letter_dots for stop in frame.data[2:] if stop)

    def _act_turn(self, frame: Frame) -> None:
        # ESC {: where a line begins
        self._end_line()
        self._turned = bool(frame.data[2] & 1)
        self._roll.turn_back()
        if self._turned:
            self._roll.turn()

    def _act_feed_lines(self, frame: Frame) -> None:
        lines, spacing = frame.data[2], self._line_dots
        self._end_line(feed=min(lines, 1) * spacing, leaves_blank=lines > 0)
        seen = min(lines - 1, MAX_BLANK_LINES + 1)
        self._effort.ask(max(seen, 0))
        for _ in range(seen):
            self._end_line(feed=spacing, leaves_blank=True)
        if lines - 1 > seen:
            self._end_line(feed=(lines - 1 - seen) * spacing)

    def _act_feed_dots(self, frame: Frame) -> None:
        self._end_line(feed=frame.data[2], leaves_blank=frame.data[2] >= BLANK_FEED_DOTS)

    def _act_feed_back(self, frame: Frame) -> None:
        # ESC K n in dots, ESC e n in lines
        self._end_line()
        dots = frame.data[2] * (1 if frame.name == "ESC K" else self._line_dots)
        if self._page_mode is not None:
            self._page_mode.move_by(-dots)
        else:
            self._roll.top -= dots

    def _act_begin_page(self, frame: Frame) -> None:
        if self._page_mode is None:
            self._end_line()
            self._page_mode, self._page_start = Page(), frame.start

    def _act_drop_page(self, _frame: Frame) -> None:
        if self._page_mode is not None:
            self._new_line()
            self._page_mode = None

    def _act_form_feed(self, _frame: Frame) -> None:
        if self._page_mode is None:
            self._end_line()
        self._print_page(ends=True)
        self._page_mode = None

    def _act_print_page(self, _frame: Frame) -> None:
        if self._page_mode is None:
            self._end_line()
        self._print_page(ends=False)

    def _act_cancel(self, _frame: Frame) -> None:
        if self._page_mode is not None:
            self._new_line()
            self._page_mode.clear_area()

    def _act_area(self, frame: Frame) -> None:
        area = Area(*(_u16(frame.data, at) for at in (2, 4, 6, 8)))
        if self._page_mode is not None and area.width and area.height:
            self._write_on_page(ends_line=True)
            self._page_mode.set_area(area)

    def _act_direction(self, frame: Frame) -> None:
        if self._page_mode is not None and frame.data[2] in (0, 1, 2, 3, 48, 49, 50, 51):
            self._write_on_page(ends_line=True)
            self._page_mode.turn(frame.data[2] & 3)

    def _act_down(self, frame: Frame) -> None:
        # GS $ nL nH from where the area begins, GS \ nL nH from here, up where it is negative
        if self._page_mode is None:
            return
        self._write_on_page()
        dots = _u16(frame.data, 2)
        if frame.name == "GS $":
            self._page_mode.move_to(dots)
        else:
            self._page_mode.move_by(dots if dots < 0x8000 else dots - 0x10000)

    def _act_barcode(self, frame: Frame) -> None:
        kind = frame.data[2]
        if kind <= 6:
            self._add_code(BARCODES[kind], frame.data[3:].rstrip(b"\0"), frame)
        elif 65 <= kind <= 79:
            name = BARCODES[kind - 65]
            data = frame.data[4:]
            self._add_code(name, code128_letters(data) if kind == 73 else data, frame)
        elif kind == 97:
            self._add_code("QR", frame.data[7:], frame)

    def _act_small_qr(self, frame: Frame) -> None:
        self._add_code("QR", frame.data[7:], frame)

    def _act_symbol(self, frame: Frame) -> None:
        # GS ( k pL pH cn fn …: 80 stores the payload, 81 prints what was stored
        if len(frame.data) < 7:
            return
        kind, function = frame.data[5], frame.data[6]
        if function == 80:
            self._symbol_kind, self._symbol = kind, frame.data[8 : 8 + MAX_CODE_BYTES]
        elif function == 81 and self._symbol and kind == self._symbol_kind:
            self._add_code(SYMBOLS.get(kind, "CODE"), self._symbol, frame)

    def _act_raster(self, frame: Frame) -> None:
        # GS v 0 m xL xH yL yH, GS Q 0 m xL xH yL yH
        if len(frame.data) < 8:
            return
        x, y = _u16(frame.data, 4), _u16(frame.data, 6)
        width, height = (x * 8, y) if frame.name == "GS v" else (x, y * 8)
        mode = frame.data[3] & 3
        self._add_image(f"{width * (1 + (mode & 1))}x{height * (1 + (mode >> 1))}", frame)

    def _act_strip(self, frame: Frame) -> None:
        columns, mode = _u16(frame.data, 3), frame.data[2]
        self._add_strip(columns, 24 if mode >= 32 else 8, frame)

    def _act_graphics(self, frame: Frame) -> None:
        # GS ( L and GS 8 L: … m fn …
        parameters = frame.data[5:] if frame.name == "GS ( L" else frame.data[7:]
        if len(parameters) < 2:
            return
        function = parameters[1]
        if function in (112, 113) and len(parameters) >= 10:
            # m 112 a bx by c xL xH yL yH d…: a picture into the buffer, bx and by wide and high
            width, height = _u16(parameters, 6) * parameters[3], _u16(parameters, 8) * parameters[4]
            self._stored_image = f"{width}x{height}"
            self._pictures.take(frame)
        elif function in (2, 50) and self._stored_image:
            self._add_image(self._stored_image, frame)
            self._stored_image = ""
        elif function in (69, 85) and len(parameters) >= 4:
            self._add_image(f"stored {shown(parameters[2:4])}", frame)
        elif function in (67, 68, 83, 84):
            self._pictures.take(frame)

    def _act_stored(self, frame: Frame) -> None:
        self._add_image(f"stored {frame.data[2]}", frame)

    def _act_define(self, frame: Frame) -> None:
        self._defined_image = f"{frame.data[2] * 8}x{frame.data[3] * 8}"
        self._pictures.take(frame)

    def _act_logos(self, frame: Frame) -> None:
        self._pictures.take(frame)

    def _act_defined(self, frame: Frame) -> None:
        if self._defined_image:
            self._add_image(self._defined_image, frame)

    _ACTS: ClassVar[dict[str, Callable[[EscposPrinter, Frame], None]]] = {
        **dict.fromkeys(
            ("ESC SP", "ESC !", "ESC -", "ESC 2", "ESC 3", "ESC E", "ESC G", "ESC M", "ESC a", "ESC r", "ESC t",
             "ESC $", "ESC \\", "GS !", "GS B"),
            _act_mark,
        ),
        "ESC @": _act_reset,
        "ESC R": _act_country,
        "FS &": _act_kanji,
        "FS .": _act_kanji,
        "FS C": _act_kanji_code,
        "FS ( C": _act_encoding,
        "ESC %": _act_own_letters_on,
        "ESC &": _act_own_letters,
        "ESC ?": _act_forget_letter,
        "ESC D": _act_tabs,
        "ESC {": _act_turn,
        "ESC d": _act_feed_lines,
        "ESC J": _act_feed_dots,
        "ESC e": _act_feed_back,
        "ESC K": _act_feed_back,
        "ESC L": _act_begin_page,
        "ESC S": _act_drop_page,
        "FF": _act_form_feed,
        "ESC FF": _act_print_page,
        "CAN": _act_cancel,
        "ESC W": _act_area,
        "ESC T": _act_direction,
        "GS $": _act_down,
        "GS \\": _act_down,
        "GS k": _act_barcode,
        "ESC Z": _act_small_qr,
        "GS ( k": _act_symbol,
        "GS v": _act_raster,
        "GS Q": _act_raster,
        "ESC *": _act_strip,
        "GS ( L": _act_graphics,
        "GS 8 L": _act_graphics,
        "FS p": _act_stored,
        "FS q": _act_logos,
        "FS q part": _act_logos,
        "GS *": _act_define,
        "GS /": _act_defined,
    }  # fmt: skip


def _with_drawn(decode: Callable[[bytes], str], drawn: Mapping[int, str], data: bytes) -> str:
    """`data` in which some bytes are letters that the POS drew itself."""
    if drawn.keys().isdisjoint(data):
        return decode(data)
    return "".join(drawn.get(byte) or decode(bytes((byte,))) for byte in data)


def _translated(decode: Callable[[bytes], str], letters: Mapping[int, str], data: bytes) -> str:
    return decode(data).translate(letters)


def _u16(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


@lru_cache(maxsize=8)
def _code_text(symbology: str, data: bytes) -> str:
    """One text for a code that is printed again and again."""
    return f"[{symbology} {shown(data)}]"


def _readable(text: str) -> str:
    return text if text.isprintable() else _shown(text)


def _shown(text: str) -> str:
    return "".join(filter(_is_shown, text))


def _is_shown(letter: str) -> bool:
    """Letters, and spaces of all kinds; no controls and no marks that change the direction of text."""
    return letter.isprintable() or (letter.isspace() and letter not in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
