"""What a Serbian journal says above its items: the type, the operator, the buyer's kind, and what is referred to.

Owns what the types mean. Never keeps a buyer's number, and never reads an amount.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from drivers.receipts.journal_issuer import issuer_of
from drivers.receipts.journal_rows import PFR_NUMBER, TYPE, Fields, Mark, Row, mark_at
from drivers.receipts.port import MalformedReceiptError
from drivers.receipts.wording import compact, printed_date, printed_moment
from loyalty.identity import key_of, rs_purs
from loyalty.receipt import Issuer, Original, ReceiptKind, ReceiptStatus

TIME_ZONE: Final = "Europe/Belgrade"

_STATUS: Final[dict[str, ReceiptStatus]] = {
    "PROMET": "final", "NORMAL": "final", "AVANS": "advance", "ADVANCE": "advance", "KOPIJA": "copy", "COPY": "copy",
    "OBUKA": "training", "TRAINING": "training", "PREDRACUN": "proforma", "PROFORMA": "proforma",
}  # fmt: skip
_BUYER_KIND: Final = re.compile(r"(\d{2})\s*:")


class Head(Struct, frozen=True, kw_only=True, gc=False):
    """The facts above the items. `type_at` is the line that says the type."""

    type_at: int
    status: ReceiptStatus
    kind: ReceiptKind
    operator: str | UnsetType
    issuer: Issuer | UnsetType
    has_buyer: bool
    buyer_kind: str | UnsetType
    original: Original | UnsetType


def head_of(texts: Sequence[str], rows: Sequence[Row], marks: Sequence[Mark], width: int) -> Head:
    """The head of the journal that begins with these lines, on paper of `width`. Raises MalformedReceiptError."""
    type_at, status, kind = _type(rows, marks)
    labels_at = next((at for at in range(1, type_at) if rows[at].is_labelled), type_at)
    fields = Fields(rows[labels_at:type_at], width)
    buyer = fields.text("buyer")
    return Head(
        type_at=type_at,
        status=status,
        kind=kind,
        operator=fields.text("operator") or UNSET,
        issuer=issuer_of(tuple(texts[1:labels_at]), width),
        has_buyer=bool(buyer),
        buyer_kind=_buyer_kind(buyer),
        original=_original(fields),
    )


def _type(rows: Sequence[Row], marks: Sequence[Mark]) -> tuple[int, ReceiptStatus, ReceiptKind]:
    """Where the type line stands, and what it says. A shop may be called like a type; then the last one is it."""
    at = mark_at(marks, "type", 0, len(marks))
    if at is None:
        columns_at = mark_at(marks, "columns", 0, len(marks)) or mark_at(marks, "total", 0, len(marks)) or len(marks)
        at = next((at for at in reversed(range(columns_at)) if marks[at] == "bare type"), None)
    match = TYPE.fullmatch(compact(rows[at].text)) if at is not None else None
    if at is None or match is None:
        raise MalformedReceiptError(
            "torn", "the journal says neither sale nor refund; it is incomplete, print it again"
        )
    return at, _STATUS[match[1]], "return" if match[2].startswith("REFUND") else "sale"


def _buyer_kind(text: str) -> str | UnsetType:
    """The two digits before the colon. The buyer's own number is personal and stays behind."""
    match = _BUYER_KIND.match(text)
    return match[1] if match is not None else UNSET


def _original(fields: Fields) -> Original | UnsetType:
    match = PFR_NUMBER.match(fields.word("reference").upper())
    if match is None:
        return UNSET
    time_text = fields.text("reference_time")
    day = printed_date(time_text)
    issued_at = printed_moment(day, time_text, TIME_ZONE) if day is not None else None
    number = match.group()
    return Original(key=key_of(rs_purs(number)), number=number, issued_at=issued_at or UNSET)
