"""What the paper shows: lines in Unicode, codes and pictures by name, and where it was cut.

Owns the shapes that printers of every language give, and their limits. Never interprets a command, and never says
what a receipt means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from msgspec import Struct

from drivers.escpos.raster import Picture
from drivers.escpos.styles import Span

# The longest receipt seen in shops is some metres; 3.75 mm a line makes 20,000 lines 75 m.
MAX_SHEET_LINES: Final = 20_000
# More blank lines than this in a row say no more to a reader.
MAX_BLANK_LINES: Final = 4
# The most a QR code holds in bytes (version 40, level L); the payload of a stored symbol is cut there.
MAX_CODE_BYTES: Final = 7089
# A stream is framed and printed so much at a time: what is framed is paid for, also where no more is printed.
FEED_CHUNK_BYTES: Final = 8192

# How paper says that there was more of it.
NOT_READ_ON: Final = "not read from here on"

LineKind = Literal["text", "code", "image"]
Justification = Literal["left", "center", "right"]


class PaperLine(Struct, frozen=True, kw_only=True, gc=False):
    """One printed line and the bytes (offsets in the stream) that made it.

    `spans` are the letters that are not plain, in order, not overlapping. What was composed before it was printed, in
    page mode or upside down, has the bytes of all of it. `picture` has the dots of an image, where its commands say
    them and the printer's memory had room.
    """

    text: str
    start: int
    end: int
    kind: LineKind = "text"
    justification: Justification = "left"
    spans: tuple[Span, ...] = ()
    picture: Picture | None = None


class PrintedCode(Struct, frozen=True, kw_only=True, gc=False):
    """A QR code or bar code. `data` is its payload as the printer got it."""

    symbology: str
    data: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Paper up to a cut, or to the end of the stream (`cut` is false then).

    `lost_lines` were printed beyond MAX_SHEET_LINES and are not here. After a sheet that `asks_too_much` the stream was
    not read on (`drivers.escpos.effort`).
    """

    lines: tuple[PaperLine, ...]
    codes: tuple[PrintedCode, ...]
    drawer_kicks: int
    start: int
    end: int
    cut: bool
    torn: bool
    lost_lines: int
    asks_too_much: bool = False

    @property
    def text(self) -> str:
        return "".join(f"{line.text}\n" for line in self.lines)

    @property
    def is_raster_only(self) -> bool:
        """Whether all that was printed is pictures: a driver that draws text gives us none."""
        return any(line.text for line in self.lines) and all(line.kind == "image" for line in self.lines if line.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """All sheets of a stream, in order."""

    sheets: tuple[Sheet, ...]

    @property
    def text(self) -> str:
        """The printed lines; a cut is a line `[cut]`, and where the stream was not read on, a line says so."""
        return "".join(
            sheet.text + "[cut]\n" * sheet.cut + f"[{NOT_READ_ON}]\n" * sheet.asks_too_much for sheet in self.sheets
        )
