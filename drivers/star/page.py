"""A page that is composed before it is printed: Star page mode (ESC GS P).

Owns where on the page a line stands, and the order in which it is read. Never decodes and never draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Final

from msgspec.structs import replace

from drivers.escpos.paper import MAX_SHEET_LINES, PaperLine, PrintedCode

# Dots of one column in font A; horizontal positions are converted by it.
DOTS_A_COLUMN: Final = 12
MAX_COLUMN: Final = 256
# 300 mm of paper, the most that a page may be high, at 8 dots a millimetre.
MAX_PAGE_DOTS: Final = 2400


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Something at a place, in dots along the lines' own axes: `top` down the lines, `left` along them."""

    direction: int
    top: int
    left: int
    line: PaperLine
    code: PrintedCode | None


class Page:
    """Text, codes and pictures that wait for ESC GS P 6 or 7. Distances are dots, an eighth of a millimetre."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._pieces: list[_Piece] = []
        self._area = (0, 0, 0, 0)  # left, top, width, height
        self._direction = 0
        self._down = 0
        self.lost = 0

    def turn(self, direction: int) -> None:
        """ESC GS P 2: 0 left to right, 1 bottom to top, 2 right to left, 3 top to bottom."""
        self._direction = direction & 3
        self._down = 0

    def set_area(self, left: int, top: int, width: int, height: int) -> None:
        """ESC GS P 3: the next lines begin here."""
        if width and height:
            self._area = (left, top, width, height)
            self._down = 0

    def move_to(self, down: int) -> None:
        """ESC GS P 4."""
        self._down = down

    def move_by(self, dots: int) -> None:
        """ESC GS P 5, and line feeds."""
        self._down = max(-MAX_PAGE_DOTS, min(self._down + dots, MAX_PAGE_DOTS))

    def place(self, line: PaperLine, code: PrintedCode | None = None) -> None:
        """`line` stands where the page's position is."""
        if len(self._pieces) >= MAX_SHEET_LINES:
            self.lost += 1
            return
        left, top, width, height = self._area
        # Where lines begin on the page, by their direction: the corner the area is filled from.
        first, side = (
            (top, left), (left, -top - height), (-top - height, -left - width), (-left - width, top),
        )[self._direction]  # fmt: skip
        self._pieces.append(_Piece(direction=self._direction, top=first + self._down, left=side, line=line, code=code))

    def clear(self, start: int) -> None:
        """ESC GS P 8: what was composed is gone."""
        self._start = start
        self._pieces.clear()

    def printed(self, end: int) -> tuple[list[PaperLine], list[PrintedCode]]:
        """The page as it is read. One command prints it, so each of its lines came from all of its bytes."""
        pieces = sorted(self._pieces, key=lambda piece: (piece.direction, piece.top, piece.left))
        lines: list[PaperLine] = []
        for _, beside in groupby(pieces, key=lambda piece: (piece.direction, piece.top)):
            row = list(beside)
            texts = [piece for piece in row if piece.line.kind == "text"]
            if texts:
                lines.append(PaperLine(text=_joined(texts), start=self._start, end=end))
            lines += [replace(piece.line, start=self._start, end=end) for piece in row if piece.line.kind != "text"]
        return lines, [piece.code for piece in pieces if piece.code is not None]


def _joined(texts: list[_Piece]) -> str:
    """Texts beside each other, as far apart as they stand on the paper."""
    line = ""
    for piece in texts:
        column = min((piece.left - texts[0].left) // DOTS_A_COLUMN, MAX_COLUMN)
        if line:
            line = line.ljust(max(column, len(line) + 1))
        line += piece.line.text
    return line
