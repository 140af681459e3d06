"""A text as a QR code that a page draws.

Owns saying its dark modules as an SVG path. Never knows what the text means.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct


class QrPath(Struct, frozen=True, kw_only=True):
    """`path` in units of one module, `size` of them wide and high, without the quiet zone of four modules that ISO/IEC
    18004 asks for: the page has that.
    """

    size: int
    path: str


@lru_cache(maxsize=4)
def qr_path(text: str) -> QrPath:
    from qrcode.constants import ERROR_CORRECT_M  # noqa: PLC0415 - where it is shown
    from qrcode.main import QRCode  # noqa: PLC0415

    made = QRCode(error_correction=ERROR_CORRECT_M, border=0)
    made.add_data(text)
    rows = made.get_matrix()
    path = (f"M{start} {y}h{length}v1h-{length}z" for y, row in enumerate(rows) for start, length in _runs(row))
    return QrPath(size=len(rows), path="".join(path))


def _runs(row: list[bool]) -> list[tuple[int, int]]:
    """Where dark modules begin, and how many stand together."""
    runs: list[tuple[int, int]] = []
    for x, dark in enumerate(row):
        if dark and runs and sum(runs[-1]) == x:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        elif dark:
            runs.append((x, 1))
    return runs
