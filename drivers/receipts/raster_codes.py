"""QR codes and bar codes in pictures, for receipts that a driver drew instead of printing them.

Owns what is searched and how much. Never says what a code means. The library that reads codes (zxing-cpp) is loaded at
the first picture that is searched, so that a register whose receipts are text never loads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib import import_module
from itertools import groupby
from typing import Any, Final

from drivers.escpos.paper import MAX_CODE_BYTES, PaperLine, PrintedCode
from drivers.escpos.picture import Bitmap, greys, stacked
from drivers.escpos.raster import Picture

# Searched on one sheet, from its end backwards, since fiscal codes stand at the foot: 65 cm of 80 mm paper.
MAX_SEARCHED_DOTS: Final = 3_000_000
# Nothing found there, so much of it is searched again with turned and enlarged codes in mind: 11 cm.
MAX_THOROUGH_DOTS: Final = 500_000
# Pictures searched on a sheet; bands of one picture are joined before.
MAX_PICTURES: Final = 16
# What a band counts at least, so that bands of a dot or none are not without end.
MIN_BAND_DOTS: Final = 1024
# Codes taken from one sheet.
MAX_CODES: Final = 32
# The smallest code is one of 21 modules; printers cannot print a readable one with dots of one.
MIN_SIDE_DOTS: Final = 21
# Of so many rows so many neighbouring dots, in percent, differ at most where a code is: one of random modules of 2 dots
# has 25. What has more is noise or a dithered photo, takes ten times as long to search, and is taken for white paper.
NOISE_ROWS: Final = 24
MAX_CHANGES_PERCENT: Final = 40
# No side may be longer for the library that reads codes, the white paper around counted: 8 m of paper.
MAX_SIDE_DOTS: Final = 65_535
# White paper that a code needs around it and a picture may have been cut to: 4 modules of at most 8 dots.
QUIET_DOTS: Final = 32
# A shop's logo is on every receipt: what was found in the last pictures of its size is known.
REMEMBERED: Final = 64
MAX_REMEMBERED_BYTES: Final = 32 * 1024

# Loaded by name: only a register that prints pictures pays for it.
_LIBRARY: Final = "zxingcpp"
_SYMBOLOGIES: Final = {"QRCode": "QR", "DataMatrix": "DATAMATRIX", "PDF417": "PDF417", "Code128": "CODE128"}


class CodesUnreadableError(RuntimeError):
    """Pictures cannot be searched on this machine. The message says what to install."""


def codes_in(lines: Sequence[PaperLine]) -> tuple[PrintedCode, ...]:
    """Codes in the pictures of a sheet, in the order of the paper, with the byte range of their picture.

    Raises CodesUnreadableError.
    """
    found: list[PrintedCode] = []
    left = MAX_SEARCHED_DOTS
    for number, bands in enumerate(reversed(list(_pictures(lines)))):
        if number >= MAX_PICTURES or left <= 0 or len(found) >= MAX_CODES:
            break
        bitmap = _foot(stacked(_lowest(bands, left)), left)
        left -= bitmap.width * bitmap.height
        found += [
            PrintedCode(symbology=symbology, data=data[:MAX_CODE_BYTES], start=bands[0].start, end=bands[-1].end)
            for symbology, data in reversed(_found(bitmap))
        ]
    return tuple(reversed(found[:MAX_CODES]))


def _pictures(lines: Sequence[PaperLine]) -> Iterator[list[PaperLine]]:
    """Pictures that follow one another with nothing printed between them are bands of one."""
    printed = (line for line in lines if line.text)
    for is_picture, run in groupby(printed, key=lambda line: line.kind == "image" and line.picture is not None):
        if is_picture:
            yield list(run)


def _lowest(bands: Sequence[PaperLine], dots: int) -> list[Bitmap]:
    """The last of the bands, in order, as many as have so many `dots`."""
    lowest: list[Bitmap] = []
    # A picture that the printer keeps may be printed again and again.
    dots_of = lru_cache(maxsize=1)(Picture.bitmap)
    for band in reversed(bands):
        if dots <= 0:
            break
        if band.picture is not None:
            lowest.append(dots_of(band.picture))
            dots -= max(lowest[-1].width * lowest[-1].height, MIN_BAND_DOTS)
    return lowest[::-1]


def _foot(bitmap: Bitmap, dots: int) -> Bitmap:
    """As much of the lower end as `dots`, and the longest side, allow."""
    rows = min(bitmap.height, dots // max(bitmap.width, 1), MAX_SIDE_DOTS - 2 * QUIET_DOTS)
    if rows == bitmap.height:
        return bitmap
    return Bitmap(width=bitmap.width, height=rows, rows=bitmap.rows[(bitmap.height - rows) * bitmap.stride :])


def without_noise(bitmap: Bitmap) -> Bitmap:
    """`bitmap` with white paper where dots change too often for a code."""
    parts = []
    size = NOISE_ROWS * max(bitmap.stride, 1)
    for at in range(0, len(bitmap.rows), size):
        part = bitmap.rows[at : at + size]
        dots = int.from_bytes(part, "big")
        changes = (dots ^ dots >> 1).bit_count()
        parts.append(bytes(len(part)) if changes * 100 > len(part) * 8 * MAX_CHANGES_PERCENT else part)
    return Bitmap(width=bitmap.width, height=bitmap.height, rows=b"".join(parts))


_Found = tuple[tuple[str, bytes], ...]


def _found(bitmap: Bitmap) -> _Found:
    """Symbology and payload of each code, from top to bottom."""
    bitmap = without_noise(bitmap)
    if min(bitmap.width, bitmap.height) < MIN_SIDE_DOTS or bitmap.is_blank:
        return ()
    return _found_in_small(bitmap) if len(bitmap.rows) <= MAX_REMEMBERED_BYTES else _found_anew(bitmap)


@lru_cache(maxsize=REMEMBERED)
def _found_in_small(bitmap: Bitmap) -> _Found:
    return _found_anew(bitmap)


def _found_anew(bitmap: Bitmap) -> _Found:
    return _searched(bitmap, thorough=False) or _searched(_foot(bitmap, MAX_THOROUGH_DOTS), thorough=True)


def _searched(bitmap: Bitmap, *, thorough: bool) -> _Found:
    zxing = _library()
    dots, width, height = greys(bitmap, margin=QUIET_DOTS)
    read = zxing.read_barcodes(
        memoryview(dots).cast("B", shape=(height, width)),
        formats=[getattr(zxing.BarcodeFormat, name) for name in _SYMBOLOGIES],
        binarizer=zxing.Binarizer.FixedThreshold,
        try_rotate=thorough,
        try_downscale=thorough,
        try_invert=thorough,
    )
    codes = [(code.position.top_left.y, _symbology(zxing, code), bytes(code.bytes)) for code in read]
    return tuple((symbology, data) for _, symbology, data in sorted(codes) if data)[:MAX_CODES]


def _symbology(zxing: Any, code: Any) -> str:
    for name, symbology in _SYMBOLOGIES.items():
        if code.format == getattr(zxing.BarcodeFormat, name):
            return symbology
    return "CODE"


@cache
def _library() -> Any:
    try:
        return import_module(_LIBRARY)
    except ImportError as error:
        detail = "QR codes in pictures are not read here; install zxing-cpp beside tillside"
        raise CodesUnreadableError(detail) from error
