"""What the paper of a Star printer shows: lines in Unicode, codes and pictures, and where it was cut.

Owns the printer's state as far as text depends on it: code page by Star's numbers, national letters, tab stops,
positions, raster and page mode. Never draws, and never says what a receipt means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Final

from drivers.escpos import codepages
from drivers.escpos.codepages import UNKNOWN_LETTER, CodePage, national_letters, selected_page
from drivers.escpos.effort import Effort
from drivers.escpos.framing import Frame
from drivers.escpos.paper import (
    FEED_CHUNK_BYTES,
    MAX_BLANK_LINES,
    MAX_CODE_BYTES,
    MAX_SHEET_LINES,
    Paper,
    PaperLine,
    PrintedCode,
    Sheet,
)
from drivers.escpos.raster import MAX_SHEET_PICTURE_BYTES, Block, Picture
from drivers.star.framing import StarFramer
from drivers.star.page import DOTS_A_COLUMN, MAX_COLUMN, Page

# 48 columns are 80 mm wide; text without a line end is broken here.
MAX_LINE_BYTES: Final = 4096
# Printers without tab stops of their own pass a tab over; apart, its words can be read.
TAB_COLUMNS: Final = 8

# Rows of dots are cut off at the paper's edge: 832 dots on the widest.
MAX_ROW_BYTES: Final = 256
# A few bytes feed much white paper (ESC * r Y) or print a page again (ESC GS P 6): so much of either in one stream.
MAX_WHITE_BYTES: Final = 8 * 1024 * 1024
MAX_REPRINTED_LINES: Final = 4_000

# Star printers share one numbering of code pages; this profile has all of it.
STAR_PROFILE: Final = "TSP600"
# Its page 2 has half-width katakana and no Japanese of two bytes.
_KATAKANA: Final = 2
# ESC R 14 and 64 are other countries' than in ESC/POS.
_NATIONAL: Final = {14: "#$ÁÉÍÓÚáéíóú", 64: "#$§°'\"¶`©®†™"}
_REPLACED: Final = "#$@[\\]^`{|}~"

# Line feeds in dots of an eighth of a millimetre: 4 mm, and 3 mm after ESC 0.
_LINE_DOTS: Final = 32
_NARROW_LINE_DOTS: Final = 24

_BARCODES: Final = (
    "UPC-E", "UPC-A", "EAN8", "EAN13", "CODE39", "ITF", "CODE128", "CODE93", "CODABAR", "GS1-128",
    "DATABAR", "DATABAR-TRUNCATED", "DATABAR-LIMITED", "DATABAR-EXPANDED",
)  # fmt: skip

# Rows of a picture are its data; one of white paper may be a few bytes.
_ROWS: Final = frozenset(("b", "k"))


def printed(document: bytes, *, code_page: str | None = None, profile: str = STAR_PROFILE) -> Paper:
    """The paper of a whole stream. Raises CodePageError on an unknown page or profile."""
    printer = StarPrinter(code_page=code_page, profile=profile)
    framer = StarFramer()
    for at in range(0, len(document), FEED_CHUNK_BYTES):
        printer.feed(framer.feed(document[at : at + FEED_CHUNK_BYTES]))
        if printer.asks_too_much:
            break
    printer.feed(framer.finish())
    return Paper(sheets=tuple(printer.finish()))


class StarPrinter:
    """A printer that keeps what it would print. Feed it frames of a StarFramer; take its sheets.

    `code_page` overrules what the stream selects, for a printer whose pages differ from its profile's.
    """

    def __init__(self, code_page: str | None = None, profile: str = STAR_PROFILE) -> None:
        self._forced = codepages.code_page(code_page) if code_page is not None else None
        self._profile = profile
        self._sheets: list[Sheet] = []
        self._at = 0
        self._sheet_start = 0
        self._after_cr = False
        self._raster = False
        self._dots = _RasterBuffer()
        self._own_letters: set[int] = set()
        self._white_room = MAX_WHITE_BYTES
        self._reprint_room = MAX_REPRINTED_LINES
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
                self._text(frame)
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
        """The stream ends: what `take` gives, and the rest of the paper if anything is on it."""
        self._end_line()
        self._end_picture(self._at)
        if self._lines or self._kicks or self._torn or self.asks_too_much:
            self._end_sheet(cut=False)
        return self.take()

    # The printer's state

    def _reset(self) -> None:
        """ESC @, CAN and power on: modes go back to their defaults. Letters that the POS drew stay."""
        self._page = self._forced or self._page_of(0)
        self._letters = dict(national_letters(0))
        self._utf8 = False
        self._shift_jis = False
        self._own_letters_on = False
        self._tabs: tuple[int, ...] = tuple(range(TAB_COLUMNS, MAX_COLUMN, TAB_COLUMNS))
        self._line_dots = _LINE_DOTS
        self._line = ""
        self._line_start: int | None = None
        self._pending = bytearray()
        self._qr = b""
        self._pdf417 = b""
        self._gs1 = b""
        self._layout: Page | None = None

    def _new_sheet(self) -> None:
        self._lines: list[PaperLine] = []
        self._codes: list[PrintedCode] = []
        self._blank_lines = 0
        self._kicks = 0
        self._torn = False
        self._lost_lines = 0
        self._strip = (0, 0)  # width and height of the strips printed last
        self._on_strip = False
        self._picture_room = MAX_SHEET_PICTURE_BYTES
        self._effort.begin_sheet(self._sheet_start)

    def _page_of(self, number: int) -> CodePage:
        return codepages.code_page("KATAKANA") if number == _KATAKANA else selected_page(self._profile, number)

    # Text

    def _text(self, frame: Frame) -> None:
        if self._raster:
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
                # CR ends a line, or is passed over, as the printer's switches say: alone it ends one that has text.
                ends = line.endswith(b"\n") or self._line_start is not None
                if ends:
                    self._feed_line()
                self._after_cr = ends and line.endswith(b"\r")
            elif body:
                self._after_cr = False

    def _letters_of(self, body: bytes, at: int) -> None:
        if self._line_start is None:
            self._line_start = at
        for index, part in enumerate(body.split(b"\t")):
            if index:
                self._effort.ask(1)
                self._tab()
            self._pending += part
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
        self._line += text if text.isprintable() else "".join(filter(_is_shown, text))

    def _decoded(self, data: bytes) -> str:
        if self._own_letters_on and not self._own_letters.isdisjoint(data):
            # Letters the POS drew itself: what they look like is not known.
            return "".join(
                UNKNOWN_LETTER if byte in self._own_letters else self._page.decode(bytes((byte,))) for byte in data
            )
        if self._forced is None and self._utf8:
            return data.decode("utf-8", "replace")
        if self._forced is None and self._shift_jis:
            return data.decode("cp932", "replace")
        return self._page.decode(data)

    def _tab(self) -> None:
        self._settle()
        column = len(self._line)
        self._line = self._line.ljust(next((stop for stop in self._tabs if stop > column), column + 1))

    def _move_to(self, dots: int) -> None:
        """A horizontal position: spaces up to it, and at least one where it lies behind us."""
        self._settle()
        column = min(dots // DOTS_A_COLUMN, MAX_COLUMN)
        if self._line and column <= len(self._line.rstrip()):
            column = len(self._line) + (not self._line.endswith(" "))
        self._line = self._line.ljust(column)

    # Lines and sheets

    def _feed_line(self) -> None:
        self._end_line(always=True)
        if self._layout is not None:
            self._layout.move_by(self._line_dots)

    def _end_line(self, *, always: bool = False) -> None:
        self._settle()
        text = self._line.rstrip()
        # The line feed after a strip only moves past it; a blank line on a page is a position.
        if text or (always and not self._on_strip and self._layout is None):
            start = self._line_start if self._line_start is not None else self._at
            self._put(PaperLine(text=text, start=start, end=self._at))
        self._line = ""
        self._line_start = None
        self._on_strip = False

    def _put(self, line: PaperLine, code: PrintedCode | None = None) -> None:
        """On the page that is being composed, or on the paper."""
        if self._layout is not None:
            self._layout.place(line, code)
            return
        if code is not None and len(self._codes) < MAX_SHEET_LINES:
            self._codes.append(code)
        self._strip = (0, 0)
        self._blank_lines = 0 if line.text else self._blank_lines + 1
        if self._blank_lines > MAX_BLANK_LINES:
            return
        if len(self._lines) >= MAX_SHEET_LINES:
            self._lost_lines += 1
            return
        self._lines.append(line)

    def _put_code(self, symbology: str, data: bytes, frame: Frame) -> None:
        self._end_line()
        data = data[:MAX_CODE_BYTES]
        code = PrintedCode(symbology=symbology, data=data, start=frame.start, end=frame.end)
        line = PaperLine(text=f"[{symbology} {_shown(data)}]", start=frame.start, end=frame.end, kind="code")
        self._put(line, code)

    def _put_image(self, what: str, start: int, end: int, picture: Picture | None = None) -> None:
        self._end_line()
        self._put(PaperLine(text=f"[image {what}]", start=start, end=end, kind="image", picture=picture))

    def _put_strip(self, block: Block, frame: Frame) -> None:
        """A picture is printed in strips, a line each; strips of one width are one picture."""
        self._end_line()
        start, picture = frame.start, self._picture_of(block)
        width, height = block.width * block.across, block.height * block.down
        if self._strip[0] == width and self._layout is None and self._lines and self._lines[-1].kind == "image":
            above = self._lines.pop()
            start, height = above.start, height + self._strip[1]
            if above.picture is not None and picture is not None:
                picture = above.picture.followed_by(picture, beside=False)
        self._put_image(f"{width}x{height}", start, frame.end, picture)
        self._strip = (width, height)
        self._on_strip = True

    def _picture_of(self, block: Block) -> Picture | None:
        self._picture_room -= len(block.data)
        return Picture(lines=(((block,),),)) if self._picture_room >= 0 else None

    def _end_picture(self, end: int) -> None:
        """What stands in the raster buffer is printed."""
        dots, self._dots = self._dots, _RasterBuffer()
        if dots.start is None:
            return
        picture = None
        if dots.is_kept and dots.white_bytes <= self._white_room:
            self._white_room -= dots.white_bytes
            picture = self._picture_of(dots.block())
        self._put_image(f"{dots.width}x{dots.height}", dots.start, end, picture)

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
                asks_too_much=self.asks_too_much,
            )
        )
        self._sheet_start = self._at
        self._new_sheet()

    # Commands

    def _command(self, frame: Frame) -> None:
        act = self._ACTS.get(frame.name)
        if act is not None:
            self._effort.ask(frame.name not in _ROWS)
            self._at = frame.end
            act(self, frame)
        if frame.is_cut:
            self._end_line()
            self._at = frame.end
            self._end_picture(frame.end)
            self._end_sheet(cut=True)
        elif frame.is_drawer_kick:
            self._kicks += 1

    def _act_reset(self, _frame: Frame) -> None:
        self._end_line()
        self._end_picture(self._at)
        self._raster = False
        self._reset()

    def _act_cancel(self, _frame: Frame) -> None:
        self._reset()

    def _act_page(self, frame: Frame) -> None:
        self._settle()
        if self._forced is None:
            self._page = self._page_of(frame.data[3])

    def _act_country(self, frame: Frame) -> None:
        self._settle()
        number = frame.data[2]
        # Digits and letters stand for 0 to 14; the byte 64 is a set of its own.
        number = int(chr(number), 16) if chr(number) in "0123456789ABCDE" else number
        own = _NATIONAL.get(number)
        self._letters = (
            {ord(old): new for old, new in zip(_REPLACED, own, strict=True)} if own else dict(national_letters(number))
        )

    def _act_unicode(self, frame: Frame) -> None:
        # ESC GS ) U pL pH 48 m: 1 UTF-8, 0 code pages
        if frame.data[6:7] == b"0" and len(frame.data) > 7:
            self._settle()
            self._utf8 = frame.data[7] in (1, 49)

    def _act_shift_jis(self, frame: Frame) -> None:
        self._settle()
        self._shift_jis = frame.data[2] in (1, 49)

    def _act_own_letters_on(self, frame: Frame) -> None:
        self._settle()
        self._own_letters_on = frame.data[2] in (1, 49)

    def _act_own_letter(self, frame: Frame) -> None:
        self._settle()
        (self._own_letters.add if len(frame.data) > 5 else self._own_letters.discard)(frame.data[4])

    def _act_tabs(self, frame: Frame) -> None:
        self._tabs = tuple(stop for stop in frame.data[2:] if stop)

    def _act_position(self, frame: Frame) -> None:
        self._line_start = frame.start if self._line_start is None else self._line_start
        self._move_to(_u16(frame.data, 3))

    def _act_relative(self, frame: Frame) -> None:
        dots = _u16(frame.data, 3)
        if dots < 0x8000:
            self._line_start = frame.start if self._line_start is None else self._line_start
            self._settle()
            self._line = self._line.ljust(min(len(self._line) + dots // DOTS_A_COLUMN, MAX_COLUMN))

    def _act_spacing(self, frame: Frame) -> None:
        self._line_dots = _NARROW_LINE_DOTS if frame.name == "ESC 0" else _LINE_DOTS

    def _act_feed_lines(self, frame: Frame) -> None:
        self._end_line(always=True)
        if self._layout is not None:
            self._layout.move_by(frame.data[2] * self._line_dots)
            return
        for _ in range(min(frame.data[2], MAX_BLANK_LINES + 1) - 1):
            self._put(PaperLine(text="", start=frame.start, end=frame.end))

    def _act_feed_dots(self, frame: Frame) -> None:
        # ESC J n: quarters of a millimetre, ESC I n: eighths
        dots = frame.data[2] * (2 if frame.name == "ESC J" else 1)
        self._end_line(always=dots >= _LINE_DOTS)
        if self._layout is not None:
            self._layout.move_by(dots)

    def _act_end_line(self, _frame: Frame) -> None:
        self._end_line()

    # Codes

    def _act_barcode(self, frame: Frame) -> None:
        # ESC b n1 n2 n3 n4 d… RS
        kind = frame.data[2] - 48 if 48 <= frame.data[2] <= 57 else frame.data[2]
        if kind >= len(_BARCODES) or frame.data[-1] != 0x1E:
            return
        name, data = _BARCODES[kind], frame.data[6:-1]
        self._put_code(name, _percent_decoded(data) if name in ("CODE128", "CODE93") else data, frame)

    def _act_qr_data(self, frame: Frame) -> None:
        self._qr = frame.data[8:]

    def _act_qr_parts(self, _frame: Frame) -> None:
        self._qr = b""

    def _act_qr_part(self, frame: Frame) -> None:
        self._qr = (self._qr + frame.data[3:])[:MAX_CODE_BYTES]

    def _act_qr(self, frame: Frame) -> None:
        if self._qr:
            self._put_code("QR", self._qr, frame)

    def _act_pdf417_data(self, frame: Frame) -> None:
        self._pdf417 = frame.data[6:]

    def _act_pdf417(self, frame: Frame) -> None:
        if self._pdf417:
            self._put_code("PDF417", self._pdf417, frame)

    def _act_gs1(self, frame: Frame) -> None:
        # ESC GS ( k pL pH cn fn …: 80 stores behind m and n, 81 prints what was stored
        function = frame.data[7:8]
        if function == b"P":
            self._gs1 = frame.data[10:]
        elif function == b"Q" and self._gs1:
            self._put_code("DATABAR", self._gs1, frame)

    # Pictures

    def _act_columns(self, frame: Frame) -> None:
        # ESC K: dots three times as wide and high, ESC L: three times as high, ESC X: 24 dots a column
        data, columns = frame.data, _u16(frame.data, 2)
        height, across, down = {"ESC K": (8, 3, 3), "ESC L": (8, 1, 3)}.get(frame.name, (24, 1, 1))
        self._put_strip(
            Block(data=data, offset=4, width=columns, height=height, by_columns=True, across=across, down=down), frame
        )

    def _act_band(self, frame: Frame) -> None:
        # ESC k n1 n2 d…: n bytes in each of 24 rows
        self._put_strip(Block(data=frame.data, offset=4, width=_u16(frame.data, 2) * 8, height=24), frame)

    def _act_picture(self, frame: Frame) -> None:
        # ESC GS S m xL xH yL yH n d…
        width, height = _u16(frame.data, 4) * 8, _u16(frame.data, 6)
        picture = self._picture_of(Block(data=frame.data, offset=9, width=width, height=height))
        self._put_image(f"{width}x{height}", frame.start, frame.end, picture)

    def _act_logo(self, frame: Frame) -> None:
        self._put_image(f"stored {frame.data[3]}", frame.start, frame.end)

    def _act_logos(self, frame: Frame) -> None:
        if frame.data[3] != 0xFF:
            self._put_image("stored", frame.start, frame.end)

    # Raster mode

    def _act_into_raster(self, _frame: Frame) -> None:
        if not self._raster:
            self._end_line()
            self._raster = True
            self._dots = _RasterBuffer()

    def _act_out_of_raster(self, frame: Frame) -> None:
        self._end_picture(frame.end)
        self._raster = self._raster and frame.name != "ESC * r B"

    def _act_forget_dots(self, _frame: Frame) -> None:
        self._dots = _RasterBuffer()

    def _act_row(self, frame: Frame) -> None:
        self._dots.add(frame.data[3:], frame.start, feeds=frame.name == "b")

    def _act_blank_rows(self, frame: Frame) -> None:
        digits = frame.data[4:].rstrip(b"\0")[-5:]
        if self._raster and digits:
            self._dots.skip(int(digits))

    # Page mode

    def _act_compose(self, frame: Frame) -> None:
        if self._layout is None:
            self._end_line()
            self._layout = Page(frame.start)

    def _act_page_setting(self, frame: Frame) -> None:
        if self._layout is None:
            return
        self._end_line()
        data = frame.data
        if frame.name == "ESC GS P 2":
            self._layout.turn(data[4])
        elif frame.name == "ESC GS P 3":
            self._layout.set_area(*(_u16(data, at) for at in (4, 6, 8, 10)))
        elif frame.name == "ESC GS P 4":
            self._layout.move_to(_u16(data, 4))
        elif frame.name == "ESC GS P 5":
            self._layout.move_by((_u16(data, 4) ^ 0x8000) - 0x8000)

    def _act_print_page(self, frame: Frame) -> None:
        if self._layout is None:
            return
        self._end_line()
        layout, self._layout = self._layout, None
        lines, codes = layout.printed(frame.end)
        for line in lines:
            self._put(line)
        self._codes += codes[: MAX_SHEET_LINES - len(self._codes)]
        self._lost_lines += layout.lost
        layout.lost = 0
        if frame.name == "ESC GS P 6":
            self._layout = layout
            self._reprint_room -= len(lines)
            self._effort.ask(len(lines))
            if self._reprint_room < 0:
                layout.clear(frame.end)

    def _act_forget_page(self, frame: Frame) -> None:
        if self._layout is None:
            return
        self._end_line()
        self._layout.clear(frame.end)
        if frame.name == "ESC GS P 1":
            self._layout = None

    _ACTS: ClassVar[dict[str, Callable[[StarPrinter, Frame], None]]] = {
        "ESC @": _act_reset,
        "CAN": _act_cancel,
        "ESC GS t": _act_page,
        "ESC R": _act_country,
        "ESC GS ) U": _act_unicode,
        "ESC $": _act_shift_jis,
        "ESC %": _act_own_letters_on,
        "ESC &": _act_own_letter,
        "ESC D": _act_tabs,
        "ESC GS A": _act_position,
        "ESC GS R": _act_relative,
        "ESC 0": _act_spacing,
        "ESC z": _act_spacing,
        "ESC a": _act_feed_lines,
        "ESC J": _act_feed_dots,
        "ESC I": _act_feed_dots,
        "FF": _act_end_line,
        "VT": _act_end_line,
        "ETB": _act_end_line,
        "ESC b": _act_barcode,
        "ESC GS y D 1": _act_qr_data,
        "ESC GS y D 2": _act_qr_parts,
        "ESC GS y D 2 part": _act_qr_part,
        "ESC GS y P": _act_qr,
        "ESC GS x D": _act_pdf417_data,
        "ESC GS x P": _act_pdf417,
        "ESC GS ( k": _act_gs1,
        "ESC K": _act_columns,
        "ESC L": _act_columns,
        "ESC X": _act_columns,
        "ESC k": _act_band,
        "ESC GS S": _act_picture,
        "ESC FS p": _act_logo,
        "ESC RS L": _act_logos,
        "ESC * r A": _act_into_raster,
        "ESC * r a": _act_into_raster,
        "ESC * r B": _act_out_of_raster,
        "ESC * r b": _act_out_of_raster,
        "ESC FF": _act_out_of_raster,
        "ESC * r C": _act_forget_dots,
        "ESC * r R": _act_forget_dots,
        "ESC * r Y": _act_blank_rows,
        "b": _act_row,
        "k": _act_row,
        "ESC GS P 0": _act_compose,
        "ESC GS P 1": _act_forget_page,
        "ESC GS P 2": _act_page_setting,
        "ESC GS P 3": _act_page_setting,
        "ESC GS P 4": _act_page_setting,
        "ESC GS P 5": _act_page_setting,
        "ESC GS P 6": _act_print_page,
        "ESC GS P 7": _act_print_page,
        "ESC GS P 8": _act_forget_page,
    }


class _RasterBuffer:
    """Rows of dots that wait to be printed, and the byte that began them."""

    def __init__(self) -> None:
        self.start: int | None = None
        self.height = 0
        self.is_kept = True  # its rows are all here
        self._rows: list[bytes | int] = []  # a number is so many white rows
        self._bytes = 0
        self._widest = 0
        self._open = False  # the last row has not been fed yet

    @property
    def width(self) -> int:
        return self._widest * 8

    @property
    def white_bytes(self) -> int:
        """Bytes of the picture that nobody sent."""
        return self.height * self._widest - self._bytes

    def add(self, row: bytes, start: int, *, feeds: bool) -> None:
        """A row; where the one before was not fed, both are printed over each other."""
        self.start = start if self.start is None else self.start
        row = row[:MAX_ROW_BYTES]
        if not self._open:
            self.height += 1
        elif self.is_kept and isinstance(above := self._rows.pop(), bytes):
            self._bytes -= len(above)
            row = _overlaid(above, row)
        self._keep(row)
        self._bytes += len(row)
        self._widest = max(self._widest, len(row))
        self._open = not feeds

    def skip(self, rows: int) -> None:
        """White rows; one that was not fed is the first of them."""
        rows -= self._open
        self._open = False
        if self.start is not None and rows > 0:
            self.height += rows
            self._keep(rows)

    def _keep(self, row: bytes | int) -> None:
        self.is_kept = self.is_kept and self._bytes <= MAX_SHEET_PICTURE_BYTES
        if self.is_kept:
            self._rows.append(row)

    def block(self) -> Block:
        """All rows as one picture."""
        width = self._widest
        rows = [bytes(row * width) if isinstance(row, int) else row.ljust(width, b"\0") for row in self._rows]
        return Block(data=b"".join(rows), offset=0, width=self.width, height=self.height)


def _overlaid(one: bytes, other: bytes) -> bytes:
    size = max(len(one), len(other))
    dots = int.from_bytes(one.ljust(size, b"\0"), "big") | int.from_bytes(other.ljust(size, b"\0"), "big")
    return dots.to_bytes(size, "big")


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
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _percent_decoded(data: bytes) -> bytes:
    """The letters of a CODE128 or CODE93 command: %@ to %_ are controls, %0 is %, %5 DEL; the rest chooses sets."""
    letters = bytearray()
    index = 0
    while index < len(data):
        byte = data[index]
        index += 1
        if byte != 0x25 or index >= len(data):
            letters.append(byte)
            continue
        code = data[index]
        index += 1
        if 0x40 <= code <= 0x5F:
            letters.append(code - 0x40)
        elif code == 0x30:
            letters.append(0x25)
        elif code == 0x35:
            letters.append(0x7F)
        elif not 0x31 <= code <= 0x38:
            letters += bytes((0x25, code))
    return bytes(letters)
