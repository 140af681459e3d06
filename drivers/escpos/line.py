"""One printed line: pieces of text at their places become a string in which columns stay where they were.

Owns what lies beside and what lies over each other. Never decodes, and knows no command.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from drivers.escpos.styles import PLAIN, Span, Style

# Dots of one column in font A; horizontal positions are converted by it.
DOTS_A_COLUMN: Final = 12
MAX_COLUMN: Final = 256


class Piece(Struct, frozen=True, gc=False):
    """Text in one style. `left` is its distance from the margin in dots, None right behind the piece before."""

    text: str
    style: Style = PLAIN
    left: int | None = None

    @property
    def dots(self) -> int:
        """Its width on paper."""
        return width_of(self.text) * self.style.letter_dots


class Segment(NamedTuple):
    """What stands together: pieces right behind each other, and where they begin and end in dots.

    It begins and ends with a letter that is no space.
    """

    left: int
    right: int
    pieces: tuple[Piece, ...]

    def moved(self, left: int) -> Segment:
        return Segment(left, left + self.right - self.left, self.pieces)


_LETTER: Final = re.compile(r"\S").search
_MAY_BE_WIDE: Final = re.compile("[\u1100-\U0010ffff]").search

Composed = tuple[str, tuple[Span, ...]]
"""A line's text, and the letters in it that are not plain."""

Styled = tuple[Style, int, int]
"""A style, and the letters it begins and ends at."""


def width_of(text: str) -> int:
    """Columns of a text: a Chinese, Japanese or Korean letter takes two."""
    if text.isascii() or not _MAY_BE_WIDE(text):
        return len(text)
    return len(text) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)


def composed(pieces: Sequence[Piece]) -> Composed:
    """The line that `pieces`, in the order of their printing, make on paper."""
    if len(pieces) == 1:
        only = pieces[0]
        if only.style is PLAIN and only.left is None:
            return only.text.rstrip(), ()
    for piece in pieces:
        if piece.left is not None:
            return laid_out(segments(pieces))
    return _run_on(pieces)


def segments(pieces: Iterable[Piece]) -> list[Segment]:
    """`pieces` as they stand on the line, in the order of their printing; blanks stand nowhere."""
    made: list[Segment] = []
    run: list[Piece] = []
    left = right = 0
    for piece in pieces:
        if piece.left is not None and piece.left != right:
            made += _segment(run, left, right)
            run, left, right = [], piece.left, piece.left
        run.append(piece if piece.left is None else Piece(piece.text, piece.style))
        right += piece.dots
    return made + _segment(run, left, right)


def wrapped(segment: Segment, edge: int) -> Iterator[Segment | None]:
    """`segment` in rows that end before `edge`; all but the first begin at 0, with no blank. None where nothing fits.

    Of a row at 0 one letter fits in any case.
    """
    left = right = segment.left
    row: list[Piece] = []
    is_first = True
    for piece in segment.pieces:
        text, style, at = piece.text, piece.style, 0
        width = max(width_of(text), 1)
        while at < len(text):
            begin = _LETTER(text, at) if not row and not is_first else None
            at = begin.start() if begin is not None else at
            fits = max(edge - right, 0) // style.letter_dots * len(text) // width
            fits = max(fits, not row and not left)
            row.append(Piece(text[at : at + fits], style))
            at += fits
            if at < len(text):
                yield _row(row, left)
                row, left, right, is_first = [], 0, 0, False
        right += row[-1].dots if row else 0
    if row and (last := _row(row, left)) is not None:
        yield last


def _row(pieces: Sequence[Piece], left: int) -> Segment | None:
    made = segments((replace(pieces[0], left=left), *pieces[1:]))
    return made[0] if made else None


def laid_out(segments: Iterable[Segment]) -> Composed:
    """The line of `segments`, given in the order of their printing.

    What is printed over itself, or over blanks, is one text; what is printed over something else comes last.
    """
    placed: list[Segment] = []
    for segment in segments:
        if not _place(segment, placed):
            _place(segment.moved(placed[-1].right + DOTS_A_COLUMN), placed)
    return _beside_each_other(placed)


def overprinted(lines: Iterable[Composed]) -> Composed | None:
    """Lines printed over each other as one; None where letters would lie over other letters."""
    placed: list[Segment] = []
    for text, spans in lines:
        for segment in segments(_pieces_of(text, spans)):
            if not _place(segment, placed):
                return None
    return _beside_each_other(placed)


def spans_of(styled: Iterable[Styled], length: int) -> tuple[Span, ...]:
    """Spans of the letters before `length`; those beside each other in one style are one."""
    spans: list[Span] = []
    before: Style | None = None
    for style, start, end in styled:
        if start >= length:
            break
        begun = spans.pop().start if style == before and spans and spans[-1].end == start else start
        span = style.span(begun, min(length, end))
        if span is not None:
            spans.append(span)
        before = style
    return tuple(spans)


def _run_on(pieces: Iterable[Piece]) -> Composed:
    line = ""
    styled: list[Styled] = []
    for piece in pieces:
        if piece.style is not PLAIN:
            styled.append((piece.style, len(line), len(line) + len(piece.text)))
        line += piece.text
    line = line.rstrip()
    return line, spans_of(styled, len(line))


def _segment(run: list[Piece], left: int, right: int) -> list[Segment]:
    """The run without the blanks around it; none if it is blank. `run` is used up."""
    if len(run) == 1 and (text := run[0].text) and not text[0].isspace() and not text[-1].isspace():
        return [Segment(left, right, (run[0],))]
    while run and not run[-1].text.rstrip():
        right -= run.pop().dots
    while run and not run[0].text.lstrip():
        left += run.pop(0).dots
    if not run:
        return []
    last = run[-1]
    run[-1] = Piece(last.text.rstrip(), last.style)
    right -= last.dots - run[-1].dots
    first = run[0]
    run[0] = Piece(first.text.lstrip(), first.style)
    left += first.dots - run[0].dots
    return [Segment(left, right, tuple(run))]


def _place(segment: Segment, placed: list[Segment]) -> bool:
    """Put `segment` among those that stand on the line, from left to right; False if it cannot be read there."""
    at = end = bisect_right(placed, segment.left, key=attrgetter("right"))
    while end < len(placed) and placed[end].left < segment.right:
        joined = _over(placed[end], segment)
        if joined is None:
            return False
        segment = joined
        end += 1
    placed[at:end] = [segment]
    return True


def _over(under: Segment, over: Segment) -> Segment | None:
    """Two passes as one; None where letters would lie over other letters."""
    if under.left == over.left and len(under.pieces) == len(over.pieces) == 1 and _is_a_further_pass(under, over):
        return under
    widths = {piece.style.letter_dots for piece in under.pieces + over.pieces}
    if len(widths) > 1 or under.right - under.left > MAX_COLUMN * DOTS_A_COLUMN:
        return None
    cell = widths.pop()
    cells = dict(enumerate(_letters(under)))
    for at, (letter, style) in enumerate(_letters(over), start=round((over.left - under.left) / cell)):
        below, its_style = cells.get(at, ("", PLAIN))
        if letter == below:
            # Twice in the same place: thermal printers print it no blacker, but that is what was meant.
            cells[at] = letter, its_style._replace(double_strike=True)
        elif not below or below.isspace():
            cells[at] = letter, style
        elif not letter.isspace():
            return None
    first, last = min(cells), max(cells)
    blank = " ", under.pieces[0].style
    letters = [cells.get(at, blank) for at in range(first, last + 1)]
    pieces = tuple(
        Piece("".join(letter for letter, _ in run), style) for style, run in groupby(letters, key=itemgetter(1))
    )
    left = under.left + first * cell
    return Segment(left, left + sum(piece.dots for piece in pieces), pieces)


def _is_a_further_pass(under: Segment, over: Segment) -> bool:
    """Whether what was printed twice is printed once more in the same place."""
    below, above = under.pieces[0], over.pieces[0]
    return below.style.double_strike and below.text == above.text and below.style.letter_dots == above.style.letter_dots


def _letters(segment: Segment) -> Iterator[tuple[str, Style]]:
    for piece in segment.pieces:
        for letter in piece.text:
            yield letter, piece.style


def _beside_each_other(placed: Iterable[Segment]) -> Composed:
    text, spans, right, unit = "", [], 0, DOTS_A_COLUMN
    for segment in placed:
        first, last = segment.pieces[0].style, segment.pieces[-1].style
        unit = min(unit, first.font_dots)
        gap = segment.left - right
        # Columns of font A are those of the paper. Less than half a letter is no gap.
        if gap * 2 >= unit:
            column = max(segment.left // DOTS_A_COLUMN, len(text) + max(gap // unit, len(text) > 0))
            text = text.ljust(min(column, max(MAX_COLUMN, len(text) + 1)))
        for piece in segment.pieces:
            if piece.style is not PLAIN:
                spans.append((piece.style, len(text), len(text) + len(piece.text)))
            text += piece.text
        right, unit = segment.right, last.font_dots
    return text, spans_of(spans, len(text))


def _pieces_of(text: str, spans: Sequence[Span]) -> Iterator[Piece]:
    at = 0
    for span in spans:
        if at < span.start:
            yield Piece(text[at : span.start])
        yield Piece(text[span.start : span.end], Style.of(span))
        at = span.end
    yield Piece(text[at:])
