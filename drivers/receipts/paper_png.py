"""What the paper looked like, as PNG: text on a grid, pictures dot by dot, codes drawn again, and where it was cut.

Owns the drawing and its limits. Never reads printer commands or receipts. The only module that needs Pillow, and
nobody but `tillside decode --png` imports it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

import barcode
import qrcode
from barcode.errors import BarcodeError
from PIL import Image, ImageDraw, ImageFont
from qrcode.exceptions import DataOverflowError

from drivers.escpos.paper import DOTS_A_COLUMN, PaperLine, PrintedCode, Sheet
from drivers.escpos.picture import greys

# An image longer than this, 3.75 m of paper, is more than viewers show: the next one goes on.
MAX_IMAGE_ROWS: Final = 30_000
# The longest rolls have 80 m; what comes after is left off.
MAX_IMAGES: Final = 22
# 80 mm paper has 48 columns of font A and 64 of font B; a longer line is wrapped, as printers do it.
MAX_COLUMNS: Final = 64
MIN_WIDTH_DOTS: Final = 32 * DOTS_A_COLUMN
MARGIN_DOTS: Final = 24
LINE_DOTS: Final = 30
# The size at which a letter of the font is a column wide.
FONT_SIZE: Final = 20
# Drawn again; what is longer is named in a frame. A Serbian code has up to 1,200 letters, and takes 0.2 s.
MAX_QR_BYTES: Final = 1300
MAX_BAR_LETTERS: Final = 80
# On one sheet; later ones are named in a frame.
MAX_DRAWN_CODES: Final = 20
MAX_CAPTION_LETTERS: Final = 400
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
    align: Literal["left", "centre", "across"] = "left"


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
            left = (width - piece.image.width) // 2 if piece.align == "centre" else MARGIN_DOTS
            paper.paste(piece.image, (left, at))
        at += piece.image.height
    out = io.BytesIO()
    paper.save(out, "PNG")
    return out.getvalue()


def _pieces(sheets: Iterable[Sheet]) -> Iterator[_Piece]:
    for sheet in sheets:
        codes = {(code.start, code.end): code for code in sheet.codes}
        drawn = 0
        for line in sheet.lines:
            if line.kind == "image":
                yield _picture(line)
            elif line.kind == "code" and (code := codes.get((line.start, line.end))) is not None:
                drawn += 1
                yield (_drawn(code) if drawn <= MAX_DRAWN_CODES else None) or _caption(line.text)
            else:
                yield from _text(line.text)
        if sheet.lost_lines:
            yield _caption(f"{sheet.lost_lines} more lines")
        if sheet.cut:
            yield _cut()


def _text(text: str) -> Iterator[_Piece]:
    for at in range(0, max(len(text), 1), MAX_COLUMNS):
        part = text[at : at + MAX_COLUMNS]
        image = Image.new("L", (max(len(part), 1) * DOTS_A_COLUMN, LINE_DOTS), WHITE)
        if part.strip():
            # Letter by letter: the grid is the printer's, and not the font's.
            pen = ImageDraw.Draw(image)
            for column, letter in enumerate(part):
                if letter != " ":
                    pen.text((column * DOTS_A_COLUMN, 2), letter, font=_font(), fill=BLACK)
        yield _Piece(image=image)


def _picture(line: PaperLine) -> _Piece:
    """Dots as they are; a picture that only the printer has is named."""
    if line.picture is None:
        return _caption(line.text)
    dots, width, height = greys(line.picture.bitmap())
    if not dots:
        return _caption(line.text)
    return _Piece(image=Image.frombytes("L", (width, height), dots))


def _drawn(code: PrintedCode) -> _Piece | None:
    """The code anew, if it can be drawn."""
    if code.symbology == "QR":
        return _qr(code.data)
    kind = _BARS.get(code.symbology)
    return _bars(kind, code.data.decode("ascii", "replace")) if kind is not None else None


def _qr(data: bytes) -> _Piece | None:
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
    return _Piece(
        image=image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST), align="centre"
    )


def _bars(kind: str, text: str) -> _Piece | None:
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
    return _Piece(image=whole, align="centre")


def _named(text: str) -> Image.Image:
    (piece, *_) = _text(text[:MAX_COLUMNS])
    return piece.image


def _caption(text: str) -> _Piece:
    """What cannot be drawn, named in a frame."""
    lines = [piece.image for piece in _text(text[:MAX_CAPTION_LETTERS])]
    width, height = max(line.width for line in lines) + LINE_DOTS, sum(line.height for line in lines) + LINE_DOTS
    image = Image.new("L", (width, height), WHITE)
    ImageDraw.Draw(image).rectangle((4, 4, width - 5, height - 5), outline=_FRAME_GREY)
    for at, line in enumerate(lines):
        image.paste(line, (LINE_DOTS // 2, LINE_DOTS // 2 + at * LINE_DOTS))
    return _Piece(image=image, align="centre")


def _cut() -> _Piece:
    """A dash of the line where the paper was cut."""
    image = Image.new("L", (16, LINE_DOTS), WHITE)
    ImageDraw.Draw(image).line((0, LINE_DOTS // 2, 8, LINE_DOTS // 2), fill=_FRAME_GREY, width=2)
    return _Piece(image=image, align="across")


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans Mono, which comes with python-barcode and has Cyrillic; else Pillow's own."""
    path = Path(barcode.__file__).parent / "fonts" / "DejaVuSansMono.ttf"
    try:
        # Letter by letter there is nothing to lay out, and no text that a layout could fail on.
        return ImageFont.truetype(str(path), FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        return ImageFont.load_default(FONT_SIZE)
