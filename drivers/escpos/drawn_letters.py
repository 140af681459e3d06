"""Letters that a POS draws for the printer itself, for a person to name.

Owns how ESC & lays their dots out. Never says what letter one is: each printer and each POS draws another.

Source: the public ESC/POS command lists of printer makers, for ESC & y c1 c2 [x d1 … d(y·x)]….
"""

from __future__ import annotations

from typing import Final

from drivers.escpos.framing import EscposFramer
from drivers.escpos.picture import Bitmap, from_columns

# Where a till draws its letters: before the first receipt.
SAMPLE_BYTES: Final = 256 * 1024


def drawn_letters(document: bytes) -> dict[int, Bitmap]:
    """The letters that a stream draws, by the byte that it prints them with; the last one drawn for each."""
    letters: dict[int, Bitmap] = {}
    code = height = 0
    for frame in EscposFramer(styled_text=True).feed(document[:SAMPLE_BYTES]):
        if frame.name == "ESC &":
            height, code = frame.data[2] * 8, frame.data[3]
        elif frame.name == "ESC & part":
            letters[code] = from_columns(frame.data[1:], width=frame.data[0], height=height)
            code += 1
    return letters
