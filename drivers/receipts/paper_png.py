"""What the paper looked like, as PNG: text on a grid, pictures dot by dot, codes drawn again, and where it was cut.

Owns the drawing and its limits. Never reads printer commands or receipts. The only module that needs Pillow, and
nobody but `tillside decode --png` imports it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, Literal

import barcode
import qrcode
from barcode.errors import BarcodeError
from msgspec.structs import replace
from PIL import Image, ImageChops, ImageDraw, ImageFont
from qrcode.exceptions import DataOverflowError

from drivers.escpos.line import DOTS_A_COLUMN
from drivers.escpos.paper import NOT_READ_ON, Justification, PaperLine, PrintedCode, Sheet
from drivers.escpos.picture import greys
from drivers.escpos.styles import FONT_DOTS, LETTER_DOTS_HIGH, Span

# An image longer than this, 3.75 m of paper, is more than viewers show: the next one goes on.
MAX_IMAGE_ROWS: Final = 30_000
# The longest rolls have 80 m; what comes after is left off.
MAX_IMAGES: Final = 22
# Wider than any receipt paper, 64 columns; a longer line is wrapped, as printers do it.
MAX_LINE_DOTS: Final = 64 * DOTS_A_COLUMN
MIN_WIDTH_DOTS: Final = 32 * DOTS_A_COLUMN
MARGIN_DOTS: Final = 24
LINE_DOTS: Final = 30
# Blank dots below each line.
LEADING_DOTS: Final = LINE_DOTS - LETTER_DOTS_HIGH
# The size at which a letter of our font is as wide as one of the printer's, for its fonts A, B and so on.
FONT_SIZES: Final = tuple(round(dots * 20 / DOTS_A_COLUMN) for dots in FONT_DOTS)
# Letters as they were drawn, a kilobyte each; a stream of noise has more.
MAX_REMEMBERED_LETTERS: Final = 2048
# Drawn again; what is longer is named in a frame. A Serbian code has up to 1,200 letters, and takes 0.2 s.
MAX_QR_BYTES: Final = 1300
MAX_BAR_LETTERS: Final = 80
# On one sheet; later ones are named in a frame.
MAX_DRAWN_CODES: Final = 20
MAX_CAPTION_LETTERS: Final = 400
MAX_NAMED_LETTERS: Final = 48
BAR_DOTS: Final = 80
QUIET_MODULES: Final = 4

WHITE: Final = 255
BLACK: Final = 0
_FRAME_GREY: Final = 128

# Our name of a symbology → python-barcode's.
_BARS: Final = {
    "EAN13": "ean13",
    "EAN8": "ean8",
    "UPC-A": "upca",
    "CODE39": "code39",
    "CODE128": "code128",
    "GS1-128": "code128",
    "ITF": "itf",
    "CODABAR": "codabar",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Something across the paper."""

    image: Image.Image
    align: Justification | Literal["across"] = "left"


def paper_pngs(sheets: Iterable[Sheet]) -> Iterator[bytes]:
    """The PNG files that show `sheets` below one another, at least one and at most MAX_IMAGES."""
    pieces: list[_Piece] = []
    rows = images = 0
    for piece in _pieces(sheets):
        if rows and rows + piece.image.height > MAX_IMAGE_ROWS:
            yield _png(pieces)
            pieces, rows, images = [], 0, images + 1
            if images == MAX_IMAGES:
                return
        pieces.append(piece)
        rows += piece.image.height
    if rows or not images:
        yield _png(pieces)


def _png(pieces: list[_Piece]) -> bytes:
    inner = max((piece.image.width for piece in pieces if piece.align != "across"), default=0)
    width = max(inner, MIN_WIDTH_DOTS) + 2 * MARGIN_DOTS
    height = sum(piece.image.height for piece in pieces) + 2 * MARGIN_DOTS
    paper = Image.new("L", (width, height), WHITE)
    at = MARGIN_DOTS
    for piece in pieces:
        if piece.align == "across":
            for left in range(0, width, piece.image.width):
                paper.paste(piece.image, (left, at))
        else:
            free = width - 2 * MARGIN_DOTS - piece.image.width
            left = {"left": 0, "center": free // 2, "right": free}[piece.align]
            paper.paste(piece.image, (MARGIN_DOTS + left, at))
        at += piece.image.height
    out = io.BytesIO()
    paper.save(out, "PNG")
    return out.getvalue()


def _pieces(sheets: Iterable[Sheet]) -> Iterator[_Piece]:
    for sheet in sheets:
        codes = {(code.start, code.end): code for code in sheet.codes}
        drawn = 0
        for line in sheet.lines:
            if line.kind == "text":
                yield from _text(line)
                continue
            image = None
            if line.kind == "image":
                image = _picture(line)
            elif drawn < MAX_DRAWN_CODES and (code := codes.get((line.start, line.end))) is not None:
                drawn += 1
                image = _drawn(code)
            yield _Piece(image=image if image is not None else _caption(line.text), align=line.justification)
        if sheet.lost_lines:
            yield _Piece(image=_caption(f"{sheet.lost_lines} more lines"))
        if sheet.cut:
            yield _cut()
        if sheet.asks_too_much:
            yield _Piece(image=_caption(NOT_READ_ON))


_PLAIN: Final = Span(start=0, end=0)


def _text(line: PaperLine) -> Iterator[_Piece]:
    """A line's letters, each as wide and high as its style makes it, on as many rows as they need."""
    row: list[tuple[str, Span]] = []
    dots = 0
    for letter, style in _styled(line):
        wide = _width(style)
        if row and dots + wide > MAX_LINE_DOTS:
            yield _Piece(image=_row(row), align=line.justification)
            row, dots = [], 0
        row.append((letter, style))
        dots += wide
    yield _Piece(image=_row(row), align=line.justification)


def _styled(line: PaperLine) -> Iterator[tuple[str, Span]]:
    at = 0
    for span in line.spans:
        yield from ((letter, _PLAIN) for letter in line.text[at : span.start])
        look = replace(span, start=0, end=0)
        yield from ((letter, look) for letter in line.text[span.start : span.end])
        at = span.end
    yield from ((letter, _PLAIN) for letter in line.text[at:])


def _width(style: Span) -> int:
    return FONT_DOTS[style.font] * (1 + style.double_width)


def _row(letters: list[tuple[str, Span]]) -> Image.Image:
    """Letters on one line, standing on its lower edge."""
    high = LETTER_DOTS_HIGH * (1 + any(style.double_height for _, style in letters))
    width = sum(_width(style) for _, style in letters)
    image = Image.new("L", (max(width, 1), high + LEADING_DOTS), WHITE)
    left = 0
    for letter, style in letters:
        if letter != " " or style.inverse or style.underline:
            drawn = _letter(letter, style)
            image.paste(drawn, (left, high - drawn.height))
        left += _width(style)
    return image


@lru_cache(maxsize=MAX_REMEMBERED_LETTERS)
def _letter(letter: str, style: Span) -> Image.Image:
    width, height = FONT_DOTS[style.font], LETTER_DOTS_HIGH
    image = Image.new("L", (width, height), WHITE)
    pen = ImageDraw.Draw(image)
    # Smaller fonts stand on the same line.
    top = (FONT_SIZES[0] - FONT_SIZES[style.font]) * 9 // 10
    for shift in range(1 + style.bold):
        pen.text((shift, top), letter, font=_font(FONT_SIZES[style.font]), fill=BLACK)
    if style.underline:
        pen.line((0, height - 1, width, height - 1), fill=BLACK, width=2)
    if style.inverse:
        image = ImageChops.invert(image)
    if style.double_width or style.double_height:
        size = (width * (1 + style.double_width), height * (1 + style.double_height))
        image = image.resize(size, Image.Resampling.BICUBIC)
    return image


def _picture(line: PaperLine) -> Image.Image | None:
    """Dots as they are, if they are known: a logo may be in the printer's memory only."""
    if line.picture is None:
        return None
    dots, width, height = greys(line.picture.bitmap())
    return Image.frombytes("L", (width, height), dots) if dots else None


def _drawn(code: PrintedCode) -> Image.Image | None:
    """The code anew, if it can be drawn."""
    if code.symbology == "QR":
        return _qr(code.data)
    kind = _BARS.get(code.symbology)
    return _bars(kind, code.data.decode("ascii", "replace")) if kind is not None else None


def _qr(data: bytes) -> Image.Image | None:
    if not data or len(data) > MAX_QR_BYTES:
        return None
    # One mask rather than the best of eight: this code is looked at, and scanned from a screen at most.
    made = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_L, border=QUIET_MODULES, mask_pattern=0)
    try:
        made.add_data(data)
        made.make(fit=True)
    except (DataOverflowError, ValueError):
        return None
    modules = made.get_matrix()
    image = Image.new("L", (len(modules), len(modules)), WHITE)
    image.putdata([BLACK if module else WHITE for row in modules for module in row])
    scale = max(2, MIN_WIDTH_DOTS // len(modules))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def _bars(kind: str, text: str) -> Image.Image | None:
    if not text or len(text) > MAX_BAR_LETTERS:
        return None
    try:
        options = {"add_checksum": False} if kind == "code39" else {}
        modules = "".join(barcode.get_barcode_class(kind)(text, **options).build())
    except (BarcodeError, ValueError, KeyError, IndexError):
        return None  # letters that this symbology cannot hold
    quiet = "0" * 2 * QUIET_MODULES
    bars = [WHITE if module == "0" else BLACK for module in quiet + modules + quiet]
    image = Image.new("L", (len(bars), 1))
    image.putdata(bars)
    below = _named(text)
    whole = Image.new("L", (max(2 * len(bars), below.width), BAR_DOTS + below.height), WHITE)
    whole.paste(
        image.resize((2 * len(bars), BAR_DOTS), Image.Resampling.NEAREST), ((whole.width - 2 * len(bars)) // 2, 0)
    )
    whole.paste(below, ((whole.width - below.width) // 2, BAR_DOTS))
    return whole


def _named(text: str) -> Image.Image:
    return _row([(letter, _PLAIN) for letter in text[:MAX_NAMED_LETTERS]])


def _caption(text: str) -> Image.Image:
    """What cannot be drawn, named in a frame."""
    text = text[:MAX_CAPTION_LETTERS]
    lines = [_named(text[at : at + MAX_NAMED_LETTERS]) for at in range(0, max(len(text), 1), MAX_NAMED_LETTERS)]
    width, height = max(line.width for line in lines) + LINE_DOTS, sum(line.height for line in lines) + LINE_DOTS
    image = Image.new("L", (width, height), WHITE)
    ImageDraw.Draw(image).rectangle((4, 4, width - 5, height - 5), outline=_FRAME_GREY)
    for at, line in enumerate(lines):
        image.paste(line, (LINE_DOTS // 2, LINE_DOTS // 2 + at * LINE_DOTS))
    return image


def _cut() -> _Piece:
    """A dash of the line where the paper was cut."""
    image = Image.new("L", (16, LINE_DOTS), WHITE)
    ImageDraw.Draw(image).line((0, LINE_DOTS // 2, 8, LINE_DOTS // 2), fill=_FRAME_GREY, width=2)
    return _Piece(image=image, align="across")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans Mono, which comes with python-barcode and has Cyrillic; else Pillow's own."""
    path = Path(barcode.__file__).parent / "fonts" / "DejaVuSansMono.ttf"
    try:
        # Letter by letter there is nothing to lay out, and no text that a layout could fail on.
        return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        return ImageFont.load_default(size)
