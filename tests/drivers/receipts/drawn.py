"""Receipts as a printer driver draws them: the page as one picture, sent in whatever pieces its language has."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import barcode
import qrcode
from PIL import Image, ImageDraw, ImageFont

PAPER_DOTS = 384
LINE_DOTS = 26
FONT = Path(barcode.__file__).parent / "fonts" / "DejaVuSansMono.ttf"


def qr(text: str, *, dots: int = 3) -> Image.Image:
    code = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_L, box_size=dots, border=4)
    code.add_data(text)
    code.make(fit=True)
    return code.make_image().get_image().convert("1")


def page(lines: Sequence[str], code: Image.Image | None = None, *, width: int = PAPER_DOTS) -> Image.Image:
    """Lines of text and a code below them."""
    height = LINE_DOTS * (len(lines) + 1) + (code.height if code is not None else 0)
    image = Image.new("1", (width, height), 1)
    pen, font = ImageDraw.Draw(image), ImageFont.truetype(str(FONT), 18)
    for at, line in enumerate(lines):
        pen.text((0, at * LINE_DOTS), line, font=font, fill=0)
    if code is not None:
        image.paste(code, ((width - code.width) // 2, LINE_DOTS * len(lines)))
    return image


def _rows(image: Image.Image) -> bytes:
    """A set bit is black; the rest of a row's last byte is paper."""
    whole = Image.new("1", ((image.width + 7) // 8 * 8, image.height), 1)
    whole.paste(image)
    return bytes(byte ^ 0xFF for byte in whole.tobytes())


def _parts(image: Image.Image, height: int) -> list[Image.Image]:
    return [
        image.crop((0, top, image.width, min(top + height, image.height))) for top in range(0, image.height, height)
    ]


def bands(image: Image.Image, *, height: int = 24, between: bytes = b"") -> bytes:
    """GS v 0, as Windows drivers send a page."""
    return between.join(
        b"\x1dv0\x00" + struct.pack("<HH", (part.width + 7) // 8, part.height) + _rows(part)
        for part in _parts(image, height)
    )


def strips(image: Image.Image) -> bytes:
    """ESC * with 24 dots, a line each, with the line spacing that joins them."""
    padded = Image.new("1", (image.width, -(-image.height // 24) * 24), 1)
    padded.paste(image)
    return b"\x1b3\x18" + b"".join(
        b"\x1b*\x21" + struct.pack("<H", part.width) + _rows(part.transpose(Image.Transpose.TRANSPOSE)) + b"\n"
        for part in _parts(padded, 24)
    )


def graphics(image: Image.Image, *, height: int = 200) -> bytes:
    """GS 8 L: into the buffer, then printed."""
    return b"".join(
        b"\x1d8L"
        + struct.pack("<I", 10 + (part.width + 7) // 8 * part.height)
        + b"0p0\x01\x011"
        + struct.pack("<HH", part.width, part.height)
        + _rows(part)
        + b"\x1d(L\x02\x0002"
        for part in _parts(image, height)
    )
