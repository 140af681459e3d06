"""The paper in the printer: where on it lines lie, also when it is fed back or lines are printed over each other.

Owns the lines of one sheet until it is cut. Never decodes, and knows no command.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from msgspec.structs import replace

from drivers.escpos.line import MAX_COLUMN, overprinted
from drivers.escpos.paper import MAX_BLANK_LINES, MAX_SHEET_LINES, Justification, PaperLine
from drivers.escpos.raster import Picture
from drivers.escpos.styles import LETTER_DOTS_HIGH, PLAIN, Span, Style

# Lines whose base lines are this close lie over each other.
SAME_LINE_DOTS: Final = LETTER_DOTS_HIGH // 2
# Lines printed over each other: bold by printing two or three times.
MAX_PASSES: Final = 4
# Lines that are tried to be printed over what lies in one place, when paper is fed back.
MAX_TRIES: Final = 16
# A line of 80 mm paper; strips that go beyond it without a line end between them are printed below each other.
MAX_PICTURE_LINE_DOTS: Final = 576
_ABOVE_ALL: Final = -(2**31)


class Roll:
    """The lines of a sheet. `top` is where the next one goes, in dots from where the sheet begins."""

    def __init__(self) -> None:
        self.lines: list[PaperLine] = []
        self.top = 0
        self.lost_lines = 0
        self.on_strip = False
        self._tops: list[int] = []
        self._over = _ABOVE_ALL  # a line printed here or higher lies on another one, or above it
        self._blank_lines = 0
        self._last = -1  # the line printed last, if it is here
        self._tried: Counter[int] = Counter()  # by where the line below lies
        self._strips: _Strips | None = None
        self._first_pass: int | None = None
        self._turned_from: int | None = None

    def add(self, line: PaperLine) -> None:
        """Print `line` where the paper is."""
        self._strips = None
        self.on_strip = False
        if line.text:
            self._blank_lines = 0
        else:
            self._blank_lines += 1
            if self._blank_lines > MAX_BLANK_LINES:
                self._last = -1
                return
        if self.top <= self._over and line.kind == "text":
            self._last = self._add_above(line)
        elif len(self.lines) >= MAX_SHEET_LINES:
            self.lost_lines += 1
            self._last = -1
        else:
            self._last = len(self.lines)
            self.lines.append(line)
            self._tops.append(self.top)
            self._over = self.top + SAME_LINE_DOTS

    @property
    def takes_lines(self) -> bool:
        """Whether nothing that was printed before waits for the next line: no strip, and no pass of a line."""
        return not self.on_strip and self._first_pass is None

    def add_lines(
        self, texts: Sequence[str], bounds: Sequence[int], style: Style, justification: Justification, feed: int
    ) -> None:
        """Print whole lines in one style, each with a line feed of `feed` dots behind it.

        `bounds` are where their bytes begin, and where the last one's end.
        """
        shown = [*map(str.rstrip, texts), ""]
        at = 0
        while at < len(texts):
            end = shown.index("", at)
            if at < end:
                self._add_printed(shown[at:end], bounds[at : end + 1], style, justification, feed)
            else:
                # A line without letters has no bytes but its end.
                end += 1
                start = bounds[at] if texts[at] else bounds[end]
                self.add(PaperLine(text="", start=start, end=bounds[end], justification=justification))
                self.top += feed
            at = end

    def _add_printed(
        self, texts: Sequence[str], bounds: Sequence[int], style: Style, justification: Justification, feed: int
    ) -> None:
        """Lines as in `add_lines`, none of them blank."""
        high = max(feed, LETTER_DOTS_HIGH if style.high == 1 else 2 * LETTER_DOTS_HIGH)
        spans: Iterable[tuple[Span, ...]] = repeat(())
        if style is not PLAIN:
            spans = [() if (span := style.span(0, len(text))) is None else (span,) for text in texts]
        lines = [
            PaperLine(text=text, start=start, end=end, justification=justification, spans=its_spans)
            for text, start, end, its_spans in zip(texts, bounds, bounds[1:], spans, strict=False)
        ]
        if self.top <= self._over or len(self.lines) + len(lines) > MAX_SHEET_LINES:
            for line in lines:
                self.add(line)
                self.top += high
            return
        self._blank_lines = 0
        self.lines += lines
        self._tops += range(self.top, self.top + high * len(lines), high)
        self._last = len(self.lines) - 1
        self._over = self._tops[-1] + SAME_LINE_DOTS
        self.top += high * len(lines)

    def extend_last(self, end: int) -> None:
        """The last line's end turned out to have one byte more."""
        if self._last >= 0:
            self.lines[self._last] = replace(self.lines[self._last], end=end)

    def returned(self) -> None:
        """The last line was ended by a lone CR: what follows may lie over it."""
        if self._first_pass is None and self._last == len(self.lines) - 1 >= 0:
            self._first_pass = self._last

    def fed(self) -> None:
        """The last line was ended by a line feed: lines with lone CRs between them become one, if they can be read."""
        if self._first_pass is None:
            return
        first, self._first_pass = self._first_pass, None
        passes = self.lines[first:]
        if not 1 < len(passes) <= MAX_PASSES or any(line.kind != "text" for line in passes):
            return
        joined = overprinted((line.text, line.spans) for line in passes)
        if joined is not None:
            text, spans = joined
            self.top += self._tops[first] - self._tops[-1]
            start, end = min(line.start for line in passes), max(line.end for line in passes)
            self.lines[first:] = [replace(passes[0], text=text, spans=spans, start=start, end=end)]
            del self._tops[first + 1 :]
            self._over = self._tops[-1] + SAME_LINE_DOTS
            self._last = first

    def _add_above(self, line: PaperLine) -> int:
        """Paper was fed back: the line lies on another, or between two. Its place, -1 if it has none."""
        first = bisect_left(self._tops, self.top - SAME_LINE_DOTS)
        after = bisect_right(self._tops, self.top + SAME_LINE_DOTS)
        for at in range(after - 1, max(first, after - MAX_PASSES) - 1, -1):
            under = self.lines[at]
            self._tried[self._tops[at]] += 1
            if self._tried[self._tops[at]] > MAX_TRIES or len(under.text) > MAX_COLUMN:
                continue
            joined = overprinted(((under.text, under.spans), (line.text, line.spans))) if under.kind == "text" else None
            if joined is not None:
                text, spans = joined
                start, end = min(under.start, line.start), max(under.end, line.end)
                self.lines[at] = replace(under, text=text, spans=spans, start=start, end=end)
                return at
        if not line.text or len(self.lines) >= MAX_SHEET_LINES:
            self.lost_lines += bool(line.text)
            return -1
        self.lines.insert(after, line)
        self._tops.insert(after, self.top)
        return after

    def add_strip(
        self, width: int, height: int, picture: Picture | None, *, start: int, end: int, justification: Justification
    ) -> None:
        """A picture is printed in strips, a line each, or several side by side where no line ends between them.

        Lines that begin with a strip of one width are one picture.
        """
        beside = self.on_strip
        strip = _Strips(first=width, line=width, width=width, height=height)
        if self._strips is not None and self.lines and self.lines[-1].kind == "image":
            beside = beside and self._strips.line + width <= MAX_PICTURE_LINE_DOTS
            joined = self._strips.joined(strip, beside=beside)
            if joined is not None:
                strip, above = joined, self.lines.pop()
                self._tops.pop()
                start = above.start
                if above.picture is not None and picture is not None:
                    picture = above.picture.followed_by(picture, beside=beside)
        text = f"[image {strip.width}x{strip.height}]"
        line = PaperLine(text=text, start=start, end=end, kind="image", justification=justification, picture=picture)
        self.add(line)
        self._strips = strip
        self.on_strip = True

    def turn(self) -> None:
        """What follows is printed upside down, until `turn_back`."""
        self._turned_from = len(self.lines)

    def turn_back(self) -> None:
        """Lines printed upside down stand as they are read with the paper turned: the last one first.

        Each has the bytes of all of them.
        """
        if self._turned_from is not None and self._turned_from < len(self.lines):
            lines = self.lines[self._turned_from :]
            start, end = min(line.start for line in lines), max(line.end for line in lines)
            self.lines[self._turned_from :] = [replace(line, start=start, end=end) for line in reversed(lines)]
        self._turned_from = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strips:
    """Sizes in columns and dots of a picture printed in strips: of its first strip, its last line, and all of it."""

    first: int
    line: int
    width: int
    height: int

    def joined(self, strip: _Strips, *, beside: bool) -> _Strips | None:
        """With a `strip` beside the last line or below; None where that is another picture."""
        if beside:
            line = self.line + strip.width
            return _Strips(first=self.first, line=line, width=max(self.width, line), height=self.height)
        if strip.first != self.first:
            return None
        return _Strips(
            first=self.first, line=strip.line, width=max(self.width, strip.width), height=self.height + strip.height
        )
