"""Draws the test sheet: one A4 page at 300 dots per inch, as PNG or PDF.

Owns where things stand on the page and how wide a bar is. Never decides what the codes say. Pillow and the
barcode libraries are loaded here and nowhere else.

Sources for sizes and quiet zones: GS1 General Specifications, section 5 (X-dimension 0.264 to 0.66 mm); ISO/IEC
18004, 15417 and 16388.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from barcode.base import Barcode
from barcode.codex import Code39, Code128, Gs1_128
from barcode.ean import EAN8, EAN13
from barcode.itf import ITF
from barcode.upc import UPCA
from msgspec import Struct
from PIL import Image, ImageDraw, ImageFont
from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode

from agent.doctor.sheet import CODES, FNC1, SheetCode, Symbol

DPI = 300
PAGE_PX = (2480, 3508)  # A4
MARGIN_PX = 150
GAP_PX = 36
BAR_HEIGHT_PX = 212  # 18 mm: what a hand-held laser hits without aiming
RULER_MM = 100

_INK, _GREY, _LINE, _PAPER = 0, 95, 195, 255
_BAND = 30

# How many dots a module (the narrowest bar) is wide, and the empty modules that each symbol needs at its sides.
_MODULE_PX: dict[Symbol, int] = {"gs1-128": 5, "qr": 9}
_MODULE_PX_ELSE = 4  # 0.339 mm, the nominal size of an EAN-13
_QUIET_MODULES: dict[Symbol, tuple[int, int]] = {"ean13": (11, 7), "ean8": (7, 7), "upca": (9, 9), "qr": (4, 4)}
_QUIET_MODULES_ELSE = (10, 10)
# The narrow and the wide bar of ITF, in modules.
_ITF_NARROW, _ITF_WIDE = 1, 3

# Numbers of the codes side by side in each row.
_ROWS = ((1,), (2, 3), (4, 5), (6, 7, 8), (9, 10, 11), (12,))
_FIRST_ROW_TOP_PX, _ROW_HEIGHT_PX = 392, 452


class _Box(Struct, frozen=True, kw_only=True):
    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def centre(self) -> int:
        return self.left + self.width // 2


def save_sheet(file: Path) -> None:
    """Write the sheet to `file`, as what its name ends in: `.pdf` or `.png`. Raises OSError and ValueError."""
    kind = file.suffix.lower()
    sheet = drawn_sheet()
    if kind == ".pdf":
        sheet.save(file, "PDF", resolution=DPI, title="Tillside scanner test sheet", quality=95)
    elif kind == ".png":
        sheet.save(file, "PNG", dpi=(DPI, DPI), optimize=True)
    else:
        raise ValueError("name a file that ends in .pdf or .png")


def drawn_sheet() -> Image.Image:
    """The page in shades of grey."""
    page = Image.new("L", PAGE_PX, _PAPER)
    draw = ImageDraw.Draw(page)
    _draw_head(draw)
    by_number = {code.number: code for code in CODES}
    for row, numbers in enumerate(_ROWS):
        for number, box in zip(numbers, _boxes(row, len(numbers)), strict=True):
            _draw_tile(draw, by_number[number], box)
    _draw_foot(draw)
    return page


def _boxes(row: int, count: int) -> list[_Box]:
    width = (PAGE_PX[0] - 2 * MARGIN_PX - (count - 1) * GAP_PX) // count
    top = _FIRST_ROW_TOP_PX + row * (_ROW_HEIGHT_PX + GAP_PX)
    return [
        _Box(left=MARGIN_PX + index * (width + GAP_PX), top=top, width=width, height=_ROW_HEIGHT_PX)
        for index in range(count)
    ]


# What stands around the codes


def _draw_head(draw: ImageDraw.ImageDraw) -> None:
    draw.rounded_rectangle((MARGIN_PX, 120, PAGE_PX[0] - MARGIN_PX, 356), radius=28, fill=_BAND)
    left = MARGIN_PX + 56
    _write(draw, (left, 156), "Scanner test sheet", 84, fill=_PAPER, bold=True)
    _write(
        draw,
        (left, 276),
        "tillside doctor --scan-test  asks for these codes one by one, and names what is wrong.",
        38,
        fill=225,
    )
    right = PAGE_PX[0] - MARGIN_PX - 56
    _write(draw, (right, 172), "Tillside", 56, fill=_PAPER, bold=True, anchor="ra")


def _draw_foot(draw: ImageDraw.ImageDraw) -> None:
    length = round(RULER_MM / 25.4 * DPI)
    left, middle = MARGIN_PX, PAGE_PX[1] - 108
    draw.line((left, middle, left + length, middle), fill=_INK, width=4)
    for tenth in range(11):
        at = left + round(length * tenth / 10)
        reach = 22 if tenth % 5 == 0 else 12
        draw.line((at, middle - reach, at, middle + reach), fill=_INK, width=4)
    _write(
        draw, (left + length + 44, middle - 42), f"This line is {RULER_MM} mm long on paper.", 34, fill=_INK, bold=True
    )
    _write(
        draw,
        (left + length + 44, middle + 4),
        "If not, print again at 100 %, not fitted to the page.",
        34,
        fill=_GREY,
    )


def _draw_tile(draw: ImageDraw.ImageDraw, code: SheetCode, box: _Box) -> None:
    draw.rounded_rectangle((box.left, box.top, box.right, box.bottom), radius=24, outline=_LINE, width=3)
    badge = (box.left + 62, box.top + 58)
    draw.circle(badge, 34, fill=_BAND)
    _write(draw, badge, str(code.number), 40, fill=_PAPER, bold=True, anchor="mm")
    _write(draw, (badge[0] + 54, badge[1] - 20), code.title, 40, fill=_INK, bold=True, anchor="lm")
    _write(draw, (badge[0] + 54, badge[1] + 24), code.tests, 29, fill=_GREY, anchor="lm")
    if code.symbol == "qr":
        _draw_qr(draw, code, box)
    else:
        _draw_bars(draw, code, box)


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: int,
    *,
    fill: int,
    bold: bool = False,
    anchor: str = "la",
) -> None:
    """Text in the font that comes with Pillow, so that a bare machine draws the same page."""
    draw.text(at, text, font=_font(size), fill=fill, anchor=anchor, stroke_width=1 if bold else 0, stroke_fill=fill)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Laid out letter by letter: a ligature would make one dash of `--`, and not every Pillow knows them."""
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise OSError("this Pillow was built without FreeType: install the one from its own wheels")
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


# The codes


def _draw_bars(draw: ImageDraw.ImageDraw, code: SheetCode, box: _Box) -> None:
    modules = _bars(code)
    width = _MODULE_PX.get(code.symbol, _MODULE_PX_ELSE)
    left_quiet, right_quiet = _QUIET_MODULES.get(code.symbol, _QUIET_MODULES_ELSE)
    total = (left_quiet + len(modules) + right_quiet) * width
    if total > box.width - 8:
        raise ValueError(f"code {code.number} is wider than its place on the sheet")
    start = box.centre - total // 2 + left_quiet * width
    top = box.top + 136
    for index, module in enumerate(modules):
        if module == "1":
            at = start + index * width
            draw.rectangle((at, top, at + width - 1, top + BAR_HEIGHT_PX - 1), fill=_INK)
    _write(draw, (box.centre, top + BAR_HEIGHT_PX + 18), code.shown, 40, fill=_INK, anchor="ma")


def _bars(code: SheetCode) -> str:
    """The modules from left to right: `1` for ink, `0` for paper."""
    barcode: Barcode
    if code.symbol == "code128":
        barcode = Code128(code.text)
    elif code.symbol == "gs1-128":
        barcode = Gs1_128(code.text.replace(FNC1, Gs1_128.FNC1_CHAR))
    elif code.symbol == "code39":
        barcode = Code39(code.text, add_checksum=False)
    elif code.symbol == "itf":
        barcode = ITF(code.text, narrow=_ITF_NARROW, wide=_ITF_WIDE)
    else:
        barcode = {"ean13": EAN13, "ean8": EAN8, "upca": UPCA}[code.symbol](code.text)
    modules: str = barcode.build()[0]
    return modules


def _draw_qr(draw: ImageDraw.ImageDraw, code: SheetCode, box: _Box) -> None:
    symbol = QRCode(error_correction=ERROR_CORRECT_M, border=0)
    symbol.add_data(code.text, optimize=0)
    matrix = symbol.get_matrix()
    width, quiet = _MODULE_PX["qr"], _QUIET_MODULES["qr"][0]
    left = box.left + 96 + quiet * width
    top = box.top + 136 + (box.height - 136 - 24 - len(matrix) * width) // 2
    for row, modules in enumerate(matrix):
        for column, dark in enumerate(modules):
            if dark:
                x, y = left + column * width, top + row * width
                draw.rectangle((x, y, x + width - 1, y + width - 1), fill=_INK)
    text_left = left + (len(matrix) + 2 * quiet) * width
    _write(draw, (text_left, top + len(matrix) * width // 2), code.shown, 40, fill=_INK, anchor="lm")
