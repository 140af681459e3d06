"""Who issued a Serbian journal: the five lines of its head, of which long ones are wrapped and all may be centred.

Owns how those lines are told apart. Never reads a label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Final

from msgspec import UNSET, UnsetType

from drivers.receipts.journal_rows import rows_of
from loyalty.receipt import Issuer

# A chain's shops on one register are few; what is longer than any head is no head.
HEADS_REMEMBERED: Final = 256
MAX_HEAD_LINES: Final = 24
# A title is only one if the taxpayer's number follows within this many printed lines.
TITLE_TO_TIN_LINES: Final = 4

TIN: Final = re.compile(r"\s*(?:(?:ПИБ|PIB|TIN|ЈИБ)\s*:?\s*)?(\d{8,13})\s*", re.IGNORECASE)
# The authority's number of a place of business has seven digits; some tills print their own.
_LOCATIONS: Final = (re.compile(r"(\d{7})\s*-\s*(.*)"), re.compile(r"(\d{4,9})\s*-\s*(.*)"))


def tin_follows(texts: Sequence[str]) -> bool:
    """Whether a taxpayer's number comes soon in the lines behind a title, and no other title before it."""
    printed = [row for row in rows_of(texts) if row.mark != "rule" and row.text.strip()]
    for row in printed[:TITLE_TO_TIN_LINES]:
        if TIN.fullmatch(row.text):
            return True
        if row.mark in ("title", "end"):
            return False
    return False


@lru_cache(maxsize=HEADS_REMEMBERED)
def issuer_of(printed: tuple[str, ...], width: int) -> Issuer | UnsetType:
    """The issuer in the lines between the title and the first label, on paper of `width`."""
    texts = [text for row in rows_of(printed[:MAX_HEAD_LINES]) if (text := row.text.rstrip())]
    tin_at = next((at for at, text in enumerate(texts) if TIN.fullmatch(text)), None)
    tin = TIN.fullmatch(texts[tin_at]) if tin_at is not None else None
    if tin_at is None or tin is None:
        return UNSET
    rest = texts[tin_at + 1 :]
    location_at = _location_at(rest)
    name = _joined(rest[: location_at if location_at is not None else 1], width)
    places = rest[location_at if location_at is not None else 1 :]
    if location_at is None:
        location, address, city = "", *_in_parts(places, 2, width)
    else:
        location, address, city = _in_parts(places, 3, width)
    match = next((match for shape in _LOCATIONS if (match := shape.fullmatch(location))), None)
    return Issuer(
        tin=tin[1],
        name=name or UNSET,
        location_id=match[1] if match is not None else UNSET,
        location_name=(match[2] or UNSET) if match is not None else UNSET,
        address=address or UNSET,
        city=city or UNSET,
    )


def _location_at(texts: Sequence[str]) -> int | None:
    """The line that the place begins on. A name comes before it, and may begin with a number itself."""
    for first in (1, 0):
        for shape in _LOCATIONS:
            for at in range(first, len(texts)):
                if shape.fullmatch(texts[at].strip()):
                    return at
    return None


def _in_parts(texts: Sequence[str], parts: int, width: int) -> tuple[str, ...]:
    """`texts` as `parts` texts: one each, or where there are more, parted where a line had room for what follows."""
    if len(texts) <= parts:
        whole = [_joined([text], width) for text in texts]
        return (*whole, *("",) * (parts - len(texts)))
    least: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    for cuts in combinations(range(1, len(texts)), parts - 1):
        bounds = (0, *cuts, len(texts))
        unlikely = sum(
            (at not in cuts) == _has_room(texts[at - 1], texts[at], width) for at in range(1, len(texts))
        ) + 2 * sum(at not in cuts and _has_room(texts[at - 1], texts[at], width) for at in range(1, len(texts)))
        # The last text is the shortest, then the one before it.
        rank = (unlikely, *(after - before for before, after in reversed([*pairwise(bounds)])))
        if least is None or rank < least[0]:
            least = rank, bounds
    bounds = least[1] if least is not None else (0, len(texts))
    return tuple(_joined(texts[before:after], width) for before, after in pairwise(bounds))


def _has_room(line: str, following: str, width: int) -> bool:
    """Whether the first word of `following` would have fitted on `line`: then it belongs to another text."""
    words = following.split(None, 1)
    return len(line.strip()) < width and len(line.strip()) + 1 + len(words[0]) <= width


def _joined(texts: Sequence[str], width: int) -> str:
    """Lines as one text. What goes on after a full line may be centred: then its indent is no blank of the text."""
    text = ""
    for before, line in pairwise(("", *texts)):
        begins_a_word = len(before.strip()) < width or (line.startswith(" ") and not line.startswith("  "))
        text += f" {line.strip()}" if begins_a_word else line.strip()
    return " ".join(text.split())
