"""Pictures on paper as dots: one bit each, joined, scaled and bounded. Standard library only.

Owns the bitmap and what can be done to it. Never reads a command, and never says what a picture shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# The widest receipt printers print 4 inches at 300 dots an inch; a printer drops what lies beyond its paper.
MAX_WIDTH_DOTS: Final = 2048
# 832 dots (4 inches at 203 an inch) by 2.5 m of paper: 2 MiB as bits, 16 MiB where a byte is a dot.
MAX_PICTURE_DOTS: Final = 16 * 1024 * 1024
# The largest factor a command asks for: a strip of 8 dots at a third of the paper's density.
MAX_SCALE: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bitmap:
    """Black dots on white paper: `height` rows of (width + 7) // 8 bytes, the leftmost dot in the highest bit.

    A set bit is black. Bits beyond `width` are 0.
    """

    width: int
    height: int
    rows: bytes

    @property
    def stride(self) -> int:
        """Bytes of a row."""
        return (self.width + 7) // 8

    @property
    def is_blank(self) -> bool:
        return not self.rows.strip(b"\0")


EMPTY: Final = Bitmap(width=0, height=0, rows=b"")


def from_rows(data: bytes, *, width: int, height: int) -> Bitmap:
    """Dots that came row by row. Rows that are not whole in `data`, and what lies beyond the limits, are left off."""
    stride = (width + 7) // 8
    if not stride or not height:
        return EMPTY
    kept = min(width, MAX_WIDTH_DOTS)
    height = min(height, len(data) // stride, MAX_PICTURE_DOTS // kept)
    rows = data[: height * stride]
    kept_stride = (kept + 7) // 8
    if kept_stride < stride:
        rows = b"".join(rows[at : at + kept_stride] for at in range(0, len(rows), stride))
    return Bitmap(width=kept, height=height, rows=_trimmed(rows, kept))


def from_columns(data: bytes, *, width: int, height: int) -> Bitmap:
    """Dots that came column by column, (height + 7) // 8 bytes each, the topmost dot in the highest bit."""
    column = (height + 7) // 8
    if not column or not width:
        return EMPTY
    width = min(width, MAX_WIDTH_DOTS, len(data) // column)
    height = min(height, MAX_PICTURE_DOTS // width) if width else 0
    rows = []
    for eight in range((height + 7) // 8):
        dots = data[eight : width * column : column]
        rows += [_packed(dots.translate(table), width) for table in _BIT_AS_DIGIT]
    return Bitmap(width=width, height=height, rows=b"".join(rows[:height]))


def stacked(bitmaps: Sequence[Bitmap]) -> Bitmap:
    """One below the other, each at the left edge; what lies beyond the limit is left off."""
    width = max((bitmap.width for bitmap in bitmaps), default=0)
    if not width:
        return EMPTY
    stride, left = (width + 7) // 8, MAX_PICTURE_DOTS // width
    parts, height = [], 0
    for bitmap in bitmaps:
        rows = min(bitmap.height, left)
        parts.append(_widened(bitmap.rows[: rows * bitmap.stride], bitmap.stride, stride))
        left -= rows
        height += rows
    return Bitmap(width=width, height=height, rows=b"".join(parts))


def side_by_side(placed: Sequence[tuple[int, Bitmap]]) -> Bitmap:
    """Each at its own distance from the left edge, or else right of the one before; all begin at the top.

    What lies beyond the limits is left off.
    """
    if len(placed) == 1 and not placed[0][0]:
        return placed[0][1]
    width = 0
    rows: list[int] = []
    for left, bitmap in placed:
        gap = max(left - width, 0)
        if not bitmap.height or width + gap + bitmap.width > MAX_WIDTH_DOTS:
            continue
        rows += [0] * (bitmap.height - len(rows))
        rows = [row << gap + bitmap.width | _row(bitmap, at) for at, row in enumerate(rows)]
        width += gap + bitmap.width
    if not width:
        return EMPTY
    pad, stride = -width % 8, (width + 7) // 8
    rows = rows[: MAX_PICTURE_DOTS // width]
    return Bitmap(width=width, height=len(rows), rows=b"".join((row << pad).to_bytes(stride, "big") for row in rows))


def overlaid(bitmaps: Sequence[Bitmap]) -> Bitmap:
    """One on top of the other: a dot is black where any is. Sizes may differ; all begin at the top left."""
    width = max((bitmap.width for bitmap in bitmaps), default=0)
    height = min(max((bitmap.height for bitmap in bitmaps), default=0), MAX_PICTURE_DOTS // max(width, 1))
    if not width or not height:
        return EMPTY
    stride = (width + 7) // 8
    black = 0
    for bitmap in bitmaps:
        rows = _widened(bitmap.rows, bitmap.stride, stride)[: stride * height]
        black |= int.from_bytes(rows.ljust(stride * height, b"\0"), "big")
    return Bitmap(width=width, height=height, rows=black.to_bytes(stride * height, "big"))


def scaled(bitmap: Bitmap, across: int, down: int) -> Bitmap:
    """Every dot `across` wide and `down` high (1 to MAX_SCALE); what lies beyond the limits is left off."""
    width = min(bitmap.width * across, MAX_WIDTH_DOTS)
    if not width:
        return EMPTY
    rows, stride = bitmap.rows, (width + 7) // 8
    height = min(bitmap.height, MAX_PICTURE_DOTS // width // down)
    rows = rows[: height * bitmap.stride]
    if across > 1:
        wide = bytearray(len(rows) * across)
        for at, table in enumerate(_WIDENING[across]):
            wide[at::across] = rows.translate(table)
        wide_stride = bitmap.stride * across
        rows = bytes(wide)
        if wide_stride > stride:
            rows = b"".join(rows[at : at + stride] for at in range(0, len(rows), wide_stride))
        rows = _trimmed(rows, width)
    if down > 1:
        rows = b"".join(rows[at : at + stride] * down for at in range(0, len(rows), stride))
    return Bitmap(width=width, height=height * down, rows=rows)


def greys(bitmap: Bitmap, *, margin: int = 0) -> tuple[bytes, int, int]:
    """A byte a dot, 0 black and 255 white, with white paper of `margin` dots around; and its width and height."""
    stride = bitmap.stride
    dots = bytearray(len(bitmap.rows) * 8)
    for bit, table in enumerate(_BIT_AS_GREY):
        dots[bit::8] = bitmap.rows.translate(table)
    width, height = bitmap.width + 2 * margin, bitmap.height + 2 * margin
    if stride * 8 == width:
        return bytes(dots), width, height
    side = b"\xff" * margin
    rows = (dots[at : at + bitmap.width] for at in range(0, len(dots), stride * 8)) if stride else ()
    body = b"".join(side + bytes(row) + side for row in rows)
    edge = b"\xff" * (margin * width)
    return edge + body + edge, width, height


# A byte of eight dots → the digit of one of them, so that int() packs a whole row; and its grey.
_BIT_AS_DIGIT: Final = tuple(bytes(0x30 + (byte >> 7 - bit & 1) for byte in range(256)) for bit in range(8))
_BIT_AS_GREY: Final = tuple(bytes(0 if byte >> 7 - bit & 1 else 255 for byte in range(256)) for bit in range(8))


def _widened_byte(byte: int, across: int) -> bytes:
    digits = "".join(digit * across for digit in f"{byte:08b}")
    return int(digits, 2).to_bytes(across, "big")


# A byte of dots made `across` times as wide gives so many bytes: a table for each of them.
_WIDENING: Final = {
    across: tuple(bytes(_widened_byte(byte, across)[at] for byte in range(256)) for at in range(across))
    for across in range(2, MAX_SCALE + 1)
}


def _packed(digits: bytes, width: int) -> bytes:
    return (int(digits, 2) << -width % 8).to_bytes((width + 7) // 8, "big")


def _row(bitmap: Bitmap, at: int) -> int:
    """A row as a number whose lowest bit is the rightmost dot; 0 below the picture."""
    row = bitmap.rows[at * bitmap.stride : (at + 1) * bitmap.stride]
    return int.from_bytes(row, "big") >> -bitmap.width % 8 if row else 0


def _trimmed(rows: bytes, width: int) -> bytes:
    """`rows` with the bits beyond `width` set to 0."""
    beyond = -width % 8
    if not beyond or not rows:
        return rows
    stride = (width + 7) // 8
    whole = bytearray(rows)
    whole[stride - 1 :: stride] = whole[stride - 1 :: stride].translate(_CLEARED[beyond])
    return bytes(whole)


_CLEARED: Final = tuple(bytes(byte >> beyond << beyond for byte in range(256)) for beyond in range(8))


def _widened(rows: bytes, stride: int, to: int) -> bytes:
    if stride == to or not stride:
        return rows
    pad = b"\0" * (to - stride)
    return b"".join(rows[at : at + stride] + pad for at in range(0, len(rows), stride))
