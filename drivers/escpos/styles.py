"""How letters look on paper: bold, wide, high, underlined, white on black, and the font's size.

Owns the commands that change it. Never decodes a letter, and never draws one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from msgspec import Struct

# Dots of one column in font A; what a printer calls B is 9 wide, and the special fonts no wider than A.
FONT_DOTS: Final = (12, 9, 8, 8, 8)
LETTER_DOTS_HIGH: Final = 24
# A receipt uses a handful; a stream of noise all there are.
MAX_REMEMBERED_STYLES: Final = 1024


class Span(Struct, frozen=True, kw_only=True, gc=False):
    """Letters `start` to `end` (exclusive) of a line that are printed in another way than the rest.

    `double_width` and `double_height` are true of any larger size too. `font` is 0 for A, 1 for B and so on.
    """

    start: int
    end: int
    bold: bool = False
    double_width: bool = False
    double_height: bool = False
    underline: bool = False
    inverse: bool = False
    font: int = 0


class Style(NamedTuple):
    """What the printer's modes make of the next letter. `wide` and `high` are 1 to 8; `spacing` is dots."""

    emphasized: bool = False
    double_strike: bool = False
    underline: bool = False
    inverse: bool = False
    wide: int = 1
    high: int = 1
    font: int = 0
    spacing: int = 0

    @classmethod
    def of(cls, span: Span) -> Style:
        """A style that shows as `span` does."""
        return cls(
            emphasized=span.bold,
            underline=span.underline,
            inverse=span.inverse,
            wide=1 + span.double_width,
            high=1 + span.double_height,
            font=span.font,
        )

    @property
    def font_dots(self) -> int:
        """Width of a letter that is not made wider."""
        return FONT_DOTS[self.font] + self.spacing

    @property
    def letter_dots(self) -> int:
        return self.font_dots * self.wide

    def span(self, start: int, end: int) -> Span | None:
        """How it shows on paper; None for letters like all others."""
        emphasized, double_strike, underline, inverse, wide, high, font, _ = self
        if not (emphasized or double_strike or underline or inverse or font) and wide == high == 1:
            return None
        return Span(
            start=start,
            end=end,
            bold=emphasized or double_strike,
            double_width=wide > 1,
            double_height=high > 1,
            underline=underline,
            inverse=inverse,
            font=font,
        )


PLAIN: Final = Style()


@lru_cache(maxsize=MAX_REMEMBERED_STYLES)
def restyled(style: Style, command: bytes) -> Style:
    """`style` after ESC SP, ESC !, ESC -, ESC E, ESC G, ESC M, GS ! or GS B; after any other command as it was.

    PLAIN is always the same object.
    """
    change = _CHANGES.get(command[:2])
    made = style if change is None else style._replace(**change(command[-1]))
    return PLAIN if made == PLAIN else made


def _mode(n: int) -> dict[str, Any]:
    # bit 0 font B, 3 emphasized, 4 double height, 5 double width, 7 underline
    return {
        "font": n & 1, "emphasized": bool(n & 8), "high": 1 + (n >> 4 & 1), "wide": 1 + (n >> 5 & 1),
        "underline": n >= 128,
    }  # fmt: skip


def _font(n: int) -> int:
    font = n - 48 if n >= 48 else n
    return font if font < len(FONT_DOTS) else 0


_CHANGES: Final[Mapping[bytes, Callable[[int], dict[str, Any]]]] = {
    b"\x1b!": _mode,
    b"\x1d!": lambda n: {"high": 1 + (n & 7), "wide": 1 + (n >> 4 & 7)},
    b"\x1bE": lambda n: {"emphasized": bool(n & 1)},
    b"\x1bG": lambda n: {"double_strike": bool(n & 1)},
    b"\x1b-": lambda n: {"underline": n in (1, 2, 49, 50)},
    b"\x1bM": lambda n: {"font": _font(n)},
    b"\x1dB": lambda n: {"inverse": bool(n & 1)},
    b"\x1b ": lambda n: {"spacing": n},
}
