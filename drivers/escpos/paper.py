"""What the paper shows: lines in Unicode, codes and pictures by name, and where it was cut.

Owns the printer's state as far as text depends on it: code page, national letters, tab stops, positions,
page sizes of stored pictures. Never draws, and never says what a receipt means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from drivers.escpos import codepages
from drivers.escpos.codepages import DEFAULT_PROFILE, UNKNOWN_LETTER, national_letters, selected_page
from drivers.escpos.framing import EscposFramer, Frame
from drivers.escpos.raster import Picture, PictureMemory

# The longest receipt seen in shops is some metres; 3.75 mm a line makes 20,000 lines 75 m.
MAX_SHEET_LINES: Final = 20_000
# More blank lines than this in a row say no more to a reader.
MAX_BLANK_LINES: Final = 4
# 48 columns are 80 mm wide; text without a line end is broken here.
MAX_LINE_BYTES: Final = 4096
# Dots of one column in font A; horizontal positions are converted by it.
DOTS_A_COLUMN: Final = 12
MAX_COLUMN: Final = 256
TAB_COLUMNS: Final = 8
# A feed of at least this many dots without text leaves a blank line (a line is 30 dots high).
BLANK_FEED_DOTS: Final = 30
# The most a QR code holds in bytes (version 40, level L); the payload of a stored symbol is cut there.
MAX_CODE_BYTES: Final = 7089
FEED_CHUNK_BYTES: Final = 65536
# A line of 80 mm paper; strips that go beyond it without a line end between them are printed below each other.
MAX_PICTURE_LINE_DOTS: Final = 576

_SYMBOLS: Final = {
    48: "PDF417",
    49: "QR",
    50: "MAXICODE",
    51: "DATABAR",
    52: "COMPOSITE",
    53: "AZTEC",
    54: "DATAMATRIX",
}
_BARCODES: Final = (
    "UPC-A", "UPC-E", "EAN13", "EAN8", "CODE39", "ITF", "CODABAR",
    "CODE93", "CODE128", "GS1-128", "DATABAR", "DATABAR-TRUNCATED", "DATABAR-LIMITED", "DATABAR-EXPANDED", "CODE128",
)  # fmt: skip

LineKind = Literal["text", "code", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperLine:
    """One printed line and the bytes (offsets in the stream) that made it.

    `picture` has the dots of an image, where its commands say them and the printer's memory had room.
    """

    text: str
    start: int
    end: int
    kind: LineKind = "text"
    picture: Picture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedCode:
    """A QR code or bar code. `data` is its payload as the printer got it."""

    symbology: str
    data: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Paper up to a cut, or to the end of the stream (`cut` is false then).

    `lost_lines` were printed beyond MAX_SHEET_LINES and are not here.
    """

    lines: tuple[PaperLine, ...]
    codes: tuple[PrintedCode, ...]
    drawer_kicks: int
    start: int
    end: int
    cut: bool
    torn: bool
    lost_lines: int

    @property
    def text(self) -> str:
        return "".join(f"{line.text}\n" for line in self.lines)

    @property
    def is_raster_only(self) -> bool:
        """Whether all that was printed is pictures: a driver that draws text gives us none."""
        printed = [line for line in self.lines if line.text]
        return bool(printed) and all(line.kind == "image" for line in printed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """All sheets of a stream, in order."""

    sheets: tuple[Sheet, ...]

    @property
    def text(self) -> str:
        """The printed lines; a cut is a line `[cut]`."""
        return "".join(sheet.text + ("[cut]\n" if sheet.cut else "") for sheet in self.sheets)


def printed(document: bytes, *, code_page: str | None = None, profile: str = DEFAULT_PROFILE) -> Paper:
    """The paper of a whole stream. Raises CodePageError on an unknown page or profile."""
    printer = EscposPrinter(code_page=code_page, profile=profile)
    framer = EscposFramer()
    for at in range(0, len(document), FEED_CHUNK_BYTES):
        printer.feed(framer.feed(document[at : at + FEED_CHUNK_BYTES]))
    printer.feed(framer.finish())
    return Paper(sheets=tuple(printer.finish()))


class EscposPrinter:
    """A printer that keeps what it would print. Feed it frames; take its sheets.

    `code_page` overrules what the stream selects, for a printer whose pages differ from its profile's.
    """

    def __init__(self, code_page: str | None = None, profile: str = DEFAULT_PROFILE) -> None:
        self._forced = codepages.code_page(code_page) if code_page is not None else None
        self._profile = profile
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
        self._reset()
        self._new_sheet()

    def feed(self, frames: Iterable[Frame]) -> None:
        """Print `frames`."""
        for frame in frames:
            if frame.kind == "text":
                self._text(frame)
            elif frame.kind == "command":
                self._command(frame)
            else:
                self._torn = True
            self._at = frame.end

    def take(self) -> list[Sheet]:
        """Sheets that were cut off since the last call."""
        sheets, self._sheets = self._sheets, []
        return sheets

    def finish(self) -> list[Sheet]:
        """The stream ends: what `take` gives, and the rest of the paper if anything is on it."""
        self._end_line()
        if self._lines or self._kicks or self._torn:
            self._end_sheet(cut=False)
        return self.take()

    # The printer's state

    def _reset(self) -> None:
        """ESC @ and power on: modes go back to their defaults and the unprinted line is gone."""
        self._page = self._forced or selected_page(self._profile, 0)
        self._letters = dict(national_letters(0))
        self._kanji = "gb18030"
        self._kanji_mode = False
        self._utf8 = False
        self._own_letters: set[int] = set()
        self._own_letters_on = False
        self._listens = True
        self._tabs: tuple[int, ...] = tuple(range(TAB_COLUMNS, MAX_COLUMN, TAB_COLUMNS))
        self._line = ""
        self._line_start: int | None = None
        self._pending = bytearray()

    def _new_sheet(self) -> None:
        self._lines: list[PaperLine] = []
        self._codes: list[PrintedCode] = []
        self._blank_lines = 0
        self._kicks = 0
        self._torn = False
        self._lost_lines = 0
        self._strips: _Strips | None = None
        self._on_strip = False
        self._pictures.new_sheet()

    # Text

    def _text(self, frame: Frame) -> None:
        if not self._listens:
            return
        data = frame.data
        if self._after_cr and data[0] == 0x0A:
            self._after_cr = False
            data = data[1:]
        at = frame.end - len(data)
        for line in data.splitlines(keepends=True):
            body = line.rstrip(b"\r\n")
            if body:
                self._letters_of(body, at)
            at += len(line)
            self._at = at
            if len(body) < len(line):
                # A lone CR ends a line that has text: printers do so where auto line feed is on.
                ends = line.endswith(b"\n") or self._line_start is not None
                if ends:
                    self._end_line(always=True)
                self._after_cr = ends and line.endswith(b"\r")
            elif body:
                self._after_cr = False

    def _letters_of(self, body: bytes, at: int) -> None:
        if self._line_start is None:
            self._line_start = at
        if b"\t" in body:
            for index, part in enumerate(body.split(b"\t")):
                if index:
                    self._tab()
                self._pending += part
        else:
            self._pending += body
        if len(self._pending) + len(self._line) > MAX_LINE_BYTES:
            self._at = at + len(body)
            self._end_line()

    def _settle(self) -> None:
        """Turn pending bytes into letters, before the page changes or the line ends."""
        if not self._pending:
            return
        data = bytes(self._pending)
        self._pending.clear()
        text = self._decoded(data)
        if self._letters:
            text = text.translate(self._letters)
        self._line += "".join(filter(_is_shown, text)) if not text.isprintable() else text

    def _decoded(self, data: bytes) -> str:
        if self._own_letters_on and not self._own_letters.isdisjoint(data):
            # Letters the POS drew itself: what they look like is not known.
            return "".join(
                UNKNOWN_LETTER if byte in self._own_letters else self._page.decode(bytes((byte,))) for byte in data
            )
        if self._forced is None and self._utf8:
            return data.decode("utf-8", "replace")
        if self._forced is None and self._kanji_mode:
            return data.decode(self._kanji, "replace")
        return self._page.decode(data)

    def _tab(self) -> None:
        self._settle()
        column = len(self._line)
        stop = next((stop for stop in self._tabs if stop > column), column + 1)
        self._line = self._line.ljust(stop)

    def _move_to(self, dots: int) -> None:
        """A horizontal position: spaces up to it, and at least one where it lies behind us."""
        self._settle()
        column = min(dots // DOTS_A_COLUMN, MAX_COLUMN)
        if self._line and column <= len(self._line.rstrip()):
            column = len(self._line) + (not self._line.endswith(" "))
        self._line = self._line.ljust(column)

    # Lines and sheets

    def _end_line(self, *, always: bool = False) -> None:
        self._settle()
        text = self._line.rstrip()
        # The line feed after a strip only moves past it.
        if text or (always and not self._on_strip):
            start = self._line_start if self._line_start is not None else self._at
            self._add(PaperLine(text=text, start=start, end=self._at))
        self._line = ""
        self._line_start = None
        self._on_strip = False

    def _add(self, line: PaperLine) -> None:
        self._strips = None
        self._blank_lines = 0 if line.text else self._blank_lines + 1
        if self._blank_lines > MAX_BLANK_LINES:
            return
        if len(self._lines) >= MAX_SHEET_LINES:
            self._lost_lines += 1
            return
        self._lines.append(line)

    def _add_code(self, symbology: str, data: bytes, frame: Frame) -> None:
        self._end_line()
        data = data[:MAX_CODE_BYTES]
        if len(self._codes) < MAX_SHEET_LINES:
            self._codes.append(PrintedCode(symbology=symbology, data=data, start=frame.start, end=frame.end))
        self._add(PaperLine(text=f"[{symbology} {_shown(data)}]", start=frame.start, end=frame.end, kind="code"))

    def _add_image(self, what: str, frame: Frame) -> None:
        self._end_line()
        picture = self._pictures.take(frame)
        self._add(PaperLine(text=f"[image {what}]", start=frame.start, end=frame.end, kind="image", picture=picture))

    def _add_strip(self, width: int, height: int, frame: Frame) -> None:
        """ESC * prints a picture in strips, a line each, or several side by side where no line ends between them.

        Lines that begin with a strip of one width are one picture.
        """
        beside = self._on_strip
        self._end_line()
        strip = _Strips(first=width, line=width, width=width, height=height)
        picture, start = self._pictures.take(frame), frame.start
        if self._strips is not None and self._lines and self._lines[-1].kind == "image":
            beside = beside and self._strips.line + width <= MAX_PICTURE_LINE_DOTS
            joined = self._strips.joined(strip, beside=beside)
            if joined is not None:
                strip, above = joined, self._lines.pop()
                start = above.start
                if above.picture is not None and picture is not None:
                    picture = above.picture.followed_by(picture, beside=beside)
        what = f"[image {strip.width}x{strip.height}]"
        self._add(PaperLine(text=what, start=start, end=frame.end, kind="image", picture=picture))
        self._strips = strip
        self._on_strip = True

    def _end_sheet(self, *, cut: bool) -> None:
        self._sheets.append(
            Sheet(
                lines=tuple(self._lines),
                codes=tuple(self._codes),
                drawer_kicks=self._kicks,
                start=self._sheet_start,
                end=self._at,
                cut=cut,
                torn=self._torn,
                lost_lines=self._lost_lines,
            )
        )
        self._sheet_start = self._at
        self._new_sheet()

    # Commands

    def _command(self, frame: Frame) -> None:
        if frame.name == "ESC =":
            self._listens = bool(frame.data[2] & 1)
        if not self._listens:
            return
        if frame.is_cut:
            self._end_line()
            self._at = frame.end
            self._end_sheet(cut=True)
        elif frame.is_drawer_kick:
            self._kicks += 1
        elif (act := self._ACTS.get(frame.name)) is not None:
            self._at = frame.end
            act(self, frame)

    def _act_reset(self, _frame: Frame) -> None:
        self._reset()

    def _act_page(self, frame: Frame) -> None:
        self._settle()
        if self._forced is None:
            self._page = selected_page(self._profile, frame.data[2])

    def _act_country(self, frame: Frame) -> None:
        self._settle()
        self._letters = dict(national_letters(frame.data[2]))

    def _act_kanji(self, frame: Frame) -> None:
        self._settle()
        self._kanji_mode = frame.name == "FS &"

    def _act_kanji_code(self, frame: Frame) -> None:
        self._settle()
        codes = {0: "cp932", 48: "cp932", 1: "cp932", 49: "cp932", 2: "cp932", 50: "cp932", 255: "utf-8"}
        self._kanji = codes.get(frame.data[2], self._kanji)
        if frame.data[2] == 255:  # FS C 255: UTF-8 on some hand-held printers
            self._utf8 = True

    def _act_encoding(self, frame: Frame) -> None:
        # FS ( C pL pH 48 m: 1 a byte a letter, 2 UTF-8
        if frame.data[5:6] == b"0" and len(frame.data) > 6:
            self._settle()
            self._utf8 = frame.data[6] in (2, 50)

    def _act_own_letters_on(self, frame: Frame) -> None:
        self._settle()
        self._own_letters_on = bool(frame.data[2] & 1)

    def _act_own_letters(self, frame: Frame) -> None:
        self._settle()
        self._own_letters.update(range(frame.data[3], frame.data[4] + 1))

    def _act_forget_letter(self, frame: Frame) -> None:
        self._settle()
        self._own_letters.discard(frame.data[2])

    def _act_tabs(self, frame: Frame) -> None:
        self._tabs = tuple(stop for stop in frame.data[2:] if stop)

    def _act_position(self, frame: Frame) -> None:
        self._line_start = frame.start if self._line_start is None else self._line_start
        self._move_to(_u16(frame.data, 2))

    def _act_relative(self, frame: Frame) -> None:
        dots = _u16(frame.data, 2)
        if dots < 0x8000:
            self._line_start = frame.start if self._line_start is None else self._line_start
            self._settle()
            self._line = self._line.ljust(min(len(self._line) + dots // DOTS_A_COLUMN, MAX_COLUMN))

    def _act_feed_lines(self, frame: Frame) -> None:
        self._end_line(always=True)
        for _ in range(min(frame.data[2], MAX_BLANK_LINES + 1) - 1):
            self._add(PaperLine(text="", start=frame.start, end=frame.end))

    def _act_feed_dots(self, frame: Frame) -> None:
        self._end_line(always=frame.data[2] >= BLANK_FEED_DOTS)

    def _act_end_line(self, _frame: Frame) -> None:
        self._end_line()

    def _act_barcode(self, frame: Frame) -> None:
        kind = frame.data[2]
        if kind <= 6:
            self._add_code(_BARCODES[kind], frame.data[3:].rstrip(b"\0"), frame)
        elif 65 <= kind <= 79:
            name = _BARCODES[kind - 65]
            data = frame.data[4:]
            self._add_code(name, _code128(data) if kind == 73 else data, frame)
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
            self._symbol_kind, self._symbol = kind, frame.data[8:]
        elif function == 81 and self._symbol and kind == self._symbol_kind:
            self._add_code(_SYMBOLS.get(kind, "CODE"), self._symbol, frame)

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
            self._add_image(f"stored {_shown(parameters[2:4])}", frame)
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
        "ESC @": _act_reset,
        "ESC t": _act_page,
        "ESC R": _act_country,
        "FS &": _act_kanji,
        "FS .": _act_kanji,
        "FS C": _act_kanji_code,
        "FS ( C": _act_encoding,
        "ESC %": _act_own_letters_on,
        "ESC &": _act_own_letters,
        "ESC ?": _act_forget_letter,
        "ESC D": _act_tabs,
        "ESC $": _act_position,
        "ESC \\": _act_relative,
        "ESC d": _act_feed_lines,
        "ESC J": _act_feed_dots,
        "FF": _act_end_line,
        "ESC FF": _act_end_line,
        "ESC e": _act_end_line,
        "ESC K": _act_end_line,
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
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strips:
    """Sizes in columns and dots of a picture printed in strips: of its first strip, its last line, and all of it."""

    first: int
    line: int
    width: int
    height: int

    def joined(self, strip: _Strips, *, beside: bool) -> _Strips | None:
        """With a `strip` beside the last line or below; None where that is another picture."""
        if beside:
            line = self.line + strip.width
            return _Strips(first=self.first, line=line, width=max(self.width, line), height=self.height)
        if strip.first != self.first:
            return None
        return _Strips(
            first=self.first, line=strip.line, width=max(self.width, strip.width), height=self.height + strip.height
        )


def _u16(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _is_shown(letter: str) -> bool:
    """Letters, and spaces of all kinds; no controls and no marks that change the direction of text."""
    return letter.isprintable() or (letter.isspace() and letter not in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")


def _shown(data: bytes) -> str:
    """A payload on one line: as UTF-8 where it is that, with controls written out."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if ord(letter) < 256 else f"\\u{ord(letter):04x}"


def _code128(data: bytes) -> bytes:
    """The letters of a CODE128 command: `{A`, `{B`, `{C` choose a set, in set C a byte is two digits."""
    letters = bytearray()
    digits = False
    index = 0
    while index < len(data):
        byte = data[index]
        if byte == 0x7B and index + 1 < len(data):
            code = data[index + 1]
            index += 2
            if code in b"ABC":
                digits = code == 0x43
            elif code == 0x7B:
                letters.append(code)
            continue
        letters += b"%02d" % byte if digits and byte < 100 else bytes((byte,))
        index += 1
    return bytes(letters)
