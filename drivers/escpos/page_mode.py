"""A page that is composed before it is printed: ESC L, ESC W, ESC T, GS $.

Owns where on the page text stands, and the order in which a page is read. Never decodes, and knows no command.

Source: the public ESC/POS command lists of printer makers, on page mode.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, Generic, NamedTuple, TypeVar

from drivers.escpos.line import Composed, Segment, laid_out, wrapped
from drivers.escpos.styles import LETTER_DOTS_HIGH

# A page is at most some tens of lines; this many pieces are one for each of their words.
MAX_PAGE_PIECES: Final = 1024
# Positions are 16-bit; more than that up or down a page is off any paper.
MAX_PAGE_DOTS: Final = 65536
# Text whose base lines are this close is one line.
SAME_LINE_DOTS: Final = LETTER_DOTS_HIGH // 2
# A printer that is told to print the same page again and again uses up its paper; copies beyond these say no more. Of
# a page that grows, its pieces are printed so often on average.
MAX_PAGE_COPIES: Final = 4
# CAN looks at what stands in other areas too: so often at each piece, on average. A page cleared more stays as it is.
MAX_PAGE_LOOKS: Final = 8

T = TypeVar("T")


class Area(NamedTuple):
    """ESC W: where on the page to print, in dots."""

    left: int = 0
    top: int = 0
    width: int = MAX_PAGE_DOTS
    height: int = MAX_PAGE_DOTS


class _Placed(NamedTuple, Generic[T]):
    """Something on the page, `across` and `down` in dots on the page as it is turned to be read."""

    direction: int
    down: int
    across: int
    what: Segment | T


class Page(Generic[T]):
    """What ESC L began: text, and things of type T that are no text, at their places, until FF prints them."""

    def __init__(self) -> None:
        self._placed: list[_Placed[T]] = []
        self._area = Area()
        self._direction = 0
        self._down = LETTER_DOTS_HIGH
        self._put_pieces = 0
        self._printed = 0  # pieces that are on paper already
        self._reprinted = 0
        self._looks = 0
        self.lost = 0

    def set_area(self, area: Area) -> None:
        """ESC W. Printing goes on at its beginning."""
        self._area = area
        self._down = LETTER_DOTS_HIGH

    def turn(self, direction: int) -> None:
        """ESC T: 0 left to right, 1 bottom to top, 2 right to left and upside down, 3 top to bottom."""
        self._direction = direction
        self._down = LETTER_DOTS_HIGH

    def move_to(self, down: int) -> None:
        """GS $: dots from where the area begins, across the lines."""
        self._down = down

    def move_by(self, dots: int) -> None:
        """GS \\ and feeds."""
        self._down = max(-MAX_PAGE_DOTS, min(self._down + dots, MAX_PAGE_DOTS))

    def write(self, segments: Iterable[Segment], line_dots: int) -> None:
        """Text on the current line. What goes beyond the area goes on `line_dots` further down."""
        for segment in segments:
            for number, row in enumerate(wrapped(segment, self._area.width)):
                if len(self._placed) >= MAX_PAGE_PIECES:
                    self.lost += 1
                    break
                if number:
                    self.move_by(line_dots)
                if row is not None:
                    self._put(row, row.left)

    def place(self, thing: T, left: int) -> None:
        """Something that is no text, `left` dots from the margin of the current line."""
        if len(self._placed) < MAX_PAGE_PIECES:
            self._put(thing, left)
        else:
            self.lost += 1

    def clear_area(self) -> None:
        """CAN: what stands in the current area is gone."""
        if self._looks > MAX_PAGE_LOOKS * self._put_pieces:
            return
        kept = [number for number, placed in enumerate(self._placed) if not _is_in(placed, self._area)]
        self._looks += len(kept)
        self._printed = bisect_left(kept, self._printed)
        self._placed = [self._placed[number] for number in kept]

    def printed(self, *, ends: bool) -> Iterator[Composed | T]:
        """The page as it is read, what is printed in one direction by itself, line by line.

        ESC FF prints it MAX_PAGE_COPIES times at most. FF, which `ends` it, also prints it if it holds anything new.
        """
        self._reprinted += self._printed
        is_copied_out = self._reprinted >= MAX_PAGE_COPIES * self._put_pieces
        if is_copied_out and not (ends and self._printed < len(self._placed)):
            return
        self._printed = len(self._placed)
        by_place = sorted(self._placed, key=lambda placed: (placed.direction, placed.down))
        for _, turned in groupby(by_place, key=lambda placed: placed.direction):
            side = list(turned)
            margin = min(placed.across for placed in side)
            for row in _rows(side):
                texts = [
                    placed.what.moved(placed.across - margin) for placed in row if isinstance(placed.what, Segment)
                ]
                if texts:
                    yield laid_out(texts)
                yield from (placed.what for placed in row if not isinstance(placed.what, Segment))

    def _put(self, what: Segment | T, left: int) -> None:
        self._put_pieces += 1
        x, y, width, height = self._area
        # Where lines begin on the page turned so that they can be read: the corner that the area is filled from.
        across, down = ((x, y), (-y - height, x), (-x - width, -y - height), (y, -x - width))[self._direction]
        self._placed.append(_Placed(self._direction, down + self._down, across + left, what))


def _is_in(placed: _Placed[T], area: Area) -> bool:
    across, down = placed.across, placed.down
    x, y = ((across, down), (down, -across), (-across, -down), (-down, across))[placed.direction]
    return 0 <= x - area.left <= area.width and 0 <= y - area.top <= area.height


def _rows(placed: Iterable[_Placed[T]]) -> Iterator[list[_Placed[T]]]:
    """What stands on one line, in the order of its printing."""
    row: list[_Placed[T]] = []
    for one in placed:
        if row and one.down - row[0].down > SAME_LINE_DOTS:
            yield row
            row = []
        row.append(one)
    if row:
        yield row
