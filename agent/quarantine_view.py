"""What a person is shown of an item of the quarantine: the paper's text, and what readers now make of it.

Owns that nothing in it can act: control characters are gone, and payment cards were masked before it was kept.
Never books anything.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from msgspec import UNSET

from agent.card_numbers import masked_receipt
from agent.inspection import ItemReport, Trouble
from drivers.receipts.decode import Decoded, DecodeOptionsError, decode, paper_text
from drivers.receipts.glimpse import glimpse
from drivers.receipts.port import DecodeOptions
from loyalty.receipt import Receipt
from loyalty.remedies import remedy_for
from sync.store.rows import KeptItem

# A person reads no more of one item, and an answer stays small.
MAX_TEXT_CHARACTERS: Final = 64 * 1024
MAX_RECEIPTS_SHOWN: Final = 100
# Read for a list or for a person; a document that is larger is exported.
MAX_SHOWN_BYTES: Final = 4 * 1024 * 1024
FIRST_LINE_CHARACTERS: Final = 60


def first_line(beginning: bytes, options: DecodeOptions) -> str:
    """The first printed line with a letter or a digit; empty where there is none."""
    lines = (line for line in _text(beginning, options).splitlines() if any(map(str.isalnum, line)))
    return next(lines, "").strip()[:FIRST_LINE_CHARACTERS]


def item_report(kept: KeptItem, options: DecodeOptions) -> ItemReport:
    """Reads an item as it would be read now. It takes time: for a thread."""
    item = kept.item
    raw = kept.raw[:MAX_SHOWN_BYTES]
    text, decoded = _text(raw, options), _decoded(raw, options)
    receipts = tuple(masked_receipt(receipt) for receipt in decoded.receipts[:MAX_RECEIPTS_SHOWN])
    return ItemReport(
        id=item.id,
        source=item.source,
        reason=item.reason,
        detail=item.detail,
        remedy=remedy_for(item.reason),
        at=item.at,
        captured_at=kept.captured.wall,
        size=item.size,
        receipt=item.receipt,
        text=text,
        receipts=receipts,
        ignored=tuple(ignored.kind for ignored in decoded.ignored[:MAX_RECEIPTS_SHOWN]),
        troubles=_troubles(decoded, receipts),
        glimpse=glimpse(text.splitlines()) if not receipts else None,
        resolved_at=kept.resolved_at,
        resolved_as=kept.resolved_as,
        note=kept.note,
    )


def _decoded(raw: bytes, options: DecodeOptions) -> Decoded:
    try:
        return decode(raw, options) if raw else Decoded()
    except DecodeOptionsError:
        return Decoded()  # what the settings ask for is unknown here; the source itself says so


def _text(raw: bytes, options: DecodeOptions) -> str:
    try:
        parts = "".join(islice(paper_text(raw, options), MAX_TEXT_CHARACTERS))
    except DecodeOptionsError:
        parts = raw.decode("utf-8", errors="replace")
    return "\n".join(inert(line) for line in parts[:MAX_TEXT_CHARACTERS].splitlines())


def inert(line: str) -> str:
    """`line` without anything that steers a terminal or turns the direction of letters."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def _troubles(decoded: Decoded, receipts: tuple[Receipt, ...]) -> tuple[Trouble, ...]:
    said = [(problem.code, problem.detail) for problem in decoded.problems[:MAX_RECEIPTS_SHOWN]]
    said += [
        (problem.code, problem.detail if problem.detail is not UNSET else "")
        for receipt in receipts
        for problem in receipt.problems
    ]
    return tuple(Trouble(code=code, detail=detail, remedy=remedy_for(code)) for code, detail in said)
