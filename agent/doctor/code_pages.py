"""What a register printed last, in the code pages that it may be in, where neither stream nor settings tell.

Owns which jobs are looked at, and the lines that a person compares. Guessing is `drivers.receipts.decode`'s. Only reads
the spool, and shows no payment card's number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.card_numbers import masked_text
from config.settings import ReceiptSettings
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpoolPosition, SpoolReader
from drivers.relay.spool import segment_numbers
from loyalty.identification import IdentificationRule

# Enough letters to tell pages by, and few enough to look at in a moment.
MAX_JOBS: Final = 32
MAX_BYTES: Final = 128 * 1024
MAX_PAGES: Final = 3
SHOWN_LETTERS: Final = 48


class PageLine(Struct, frozen=True, kw_only=True):
    """One of the pages that a line may be in: the line read in it, and how likely that page is, in percent."""

    code_page: str
    certainty: int
    line: str


class PageChoice(Struct, frozen=True, kw_only=True):
    """The same line in up to MAX_PAGES pages, the likeliest first.

    `selected` is the `n` of the `ESC t n` whose page makes no sense of it; None where none was sent.
    """

    selected: int | None
    pages: tuple[PageLine, ...]


def choices_of(source: ReceiptSettings, rules: Sequence[IdentificationRule]) -> tuple[PageChoice, ...]:
    """What of `source`, which has a spool, is only guessed. Blocks on the disk.

    Raises OSError and DecodeOptionsError.
    """
    # Decoders are loaded where there is something to decode.
    from drivers.receipts.decode import pages_to_choose  # noqa: PLC0415

    assert source.spool is not None  # noqa: S101 - the caller has looked
    if source.code_page is not None:
        return ()
    options = DecodeOptions(format=source.format, profile=source.profile)
    return tuple(
        PageChoice(
            selected=guessed.selected,
            pages=tuple(
                PageLine(code_page=page, certainty=certainty, line=_shown(lines[page], rules))
                for page, certainty in islice(guessed.guess.certainties.items(), MAX_PAGES)
            ),
        )
        for guessed, lines in pages_to_choose(b"".join(_printed_last(source.spool)), options)
    )


def setting(page: str) -> str:
    """The line for the settings that says it."""
    return f'code_page = "{page}"'


def _printed_last(spool: Path) -> Iterator[bytes]:
    """The newest jobs of the last two segments, the newest first."""
    jobs: deque[bytes] = deque(maxlen=MAX_JOBS)
    reader = SpoolReader(spool)
    position = SpoolPosition(segment=min(segment_numbers(spool)[-2:], default=0))
    while read := reader.read_after(position):
        position = read[-1].position
        jobs.extend(job.payload for job in read if job.damage is None)
    room = MAX_BYTES
    while jobs and len(jobs[-1]) <= room:
        room -= len(jobs[-1])
        yield jobs.pop()


def _shown(line: str, rules: Sequence[IdentificationRule]) -> str:
    """`line` without what could act on a terminal, and not longer than a screen."""
    letters = "".join(letter if letter.isprintable() else " " for letter in masked_text(line, rules))
    return letters[:SHOWN_LETTERS].rstrip()
