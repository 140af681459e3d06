"""The Serbian fiscal journal: the text that every Serbian receipt carries, as printed or as downloaded.

Owns where its parts stand and what it says of the receipt as a whole. Reads by label, so that the width of the paper
(40, 38 or other columns), centring and missing rules do not matter.

Source: the technical guides of the Serbian Tax Administration for fiscal receipts, and real journals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Final

from msgspec import UNSET, UnsetType

from drivers.receipts.journal_issuer import TIN, issuer_of
from drivers.receipts.journal_items import CURRENCY, lines_of
from drivers.receipts.journal_money import payments_of, taxes_of
from drivers.receipts.journal_rows import (
    COLUMNS,
    PFR_NUMBER,
    TYPE,
    Fields,
    Mark,
    Row,
    may_hold_title,
    rows_of,
    width_of,
)
from drivers.receipts.port import CERTAIN, DecodeOptions, Found, MalformedReceiptError, PrintedJob, TextLine
from drivers.receipts.wording import compact, printed_date, printed_moment
from loyalty.identity import key_of, rs_purs
from loyalty.money import AmountError
from loyalty.receipt import Fiscal, Original, Receipt, ReceiptKind, ReceiptStatus

TIME_ZONE: Final = "Europe/Belgrade"
# A title is only one if the taxpayer's number follows within this many printed lines.
TITLE_TO_TIN_LINES: Final = 4
# Narrow paper wraps the heading of the columns into so many lines.
MAX_HEADING_LINES: Final = 3

_STATUS: Final[dict[str, ReceiptStatus]] = {
    "PROMET": "final", "NORMAL": "final", "AVANS": "advance", "ADVANCE": "advance", "KOPIJA": "copy", "COPY": "copy",
    "OBUKA": "training", "TRAINING": "training", "PREDRACUN": "proforma", "PROFORMA": "proforma",
}  # fmt: skip
_COUNTER: Final = re.compile(r"\d{1,12}/\d{1,12}[^\W\d_]{2}")
_BUYER_KIND: Final = re.compile(r"(\d{2})\s*:")


class PursJournalReader:
    """Reads `purs-journal`."""

    name: ClassVar[str] = "purs-journal"

    def find(self, job: PrintedJob) -> Sequence[Found]:
        """From each title to its end line, or to the line after the counter where there is none."""
        lines = job.lines
        texts = [line.text for line in lines]
        if not may_hold_title(texts):
            return []
        marks = [row.mark for row in rows_of(texts)]
        starts = [
            index
            for index, mark in enumerate(marks)
            if mark == "title" and _tin_follows(lines[index + 1 : index + 2 * TITLE_TO_TIN_LINES])
        ]
        return [
            Found(first=first, last=_end(marks, first, following), certainty=CERTAIN)
            for first, following in pairwise([*starts, len(marks)])
        ]

    def read(self, job: PrintedJob, options: DecodeOptions) -> Receipt:
        """The receipt of one journal. Raises MalformedReceiptError."""
        try:
            return _read(job, rows_of([line.text for line in job.lines]), options)
        except AmountError as error:
            raise MalformedReceiptError("bad_amount", f"{error}; the journal is damaged, print it again") from error


def _tin_follows(lines: Sequence[TextLine]) -> bool:
    """Whether a taxpayer's number comes soon, and no other title before it."""
    rows = rows_of([line.text for line in lines])
    printed = [row for row in rows if row.mark != "rule" and row.text.strip()]
    for row in printed[:TITLE_TO_TIN_LINES]:
        if TIN.fullmatch(row.text):
            return True
        if row.mark in ("title", "end"):
            return False
    return False


def _end(marks: Sequence[Mark], first: int, following: int) -> int:
    """The line after the last of the journal that begins at `first`."""
    counter = _mark_at(marks, "counter", first, following)
    if counter is None:
        return following
    ends = [_mark_at(marks, mark, counter, following) for mark in ("end", "title")]
    end = min([at for at in ends if at is not None], default=None)
    if end is None:
        end = _mark_at(marks, "rule", counter, following)
    return following if end is None else end + 1


def _mark_at(marks: Sequence[Mark], wanted: Mark, start: int, end: int) -> int | None:
    """Where the first `wanted` mark stands from `start` up to `end`."""
    try:
        return marks.index(wanted, start, end)
    except ValueError:
        return None


def _read(job: PrintedJob, rows: Sequence[Row], options: DecodeOptions) -> Receipt:
    marks = [row.mark for row in rows]
    type_at, status, kind = _type(rows, marks)
    columns_at = _after_columns(rows, marks, type_at)
    total_at = _part_at(marks, "total", columns_at, "the total")
    time_at = _part_at(marks, "time", total_at, "the PFR time")
    taxes_at = _mark_at(marks, "tax columns", total_at, time_at)
    width, is_return = width_of(rows), kind == "return"
    head_end = next((at for at in range(1, type_at) if rows[at].is_labelled), type_at)
    head, fiscal = Fields(rows[head_end:type_at], width), Fields(rows[time_at:], width)
    payments = payments_of(rows[total_at : taxes_at or time_at], width, is_return=is_return)
    number, time_text = _pfr_number(fiscal.word("number")), fiscal.text("time")
    day = printed_date(time_text)
    if day is None:
        raise MalformedReceiptError("no_time", "the PFR time cannot be read; the journal is damaged, print it again")
    return Receipt(
        key="",
        kind=kind,
        status=status,
        store=options.store or UNSET,
        register=options.register or UNSET,
        number=number,
        business_day=day,
        issued_at=printed_moment(day, time_text, TIME_ZONE) or UNSET,
        operator=head.text("operator") or UNSET,
        currency=CURRENCY,
        total_minor=payments.total_minor,
        lines=lines_of(rows[columns_at:total_at], width, is_return=is_return),
        taxes=taxes_of(rows[taxes_at:time_at], width, is_return=is_return) if taxes_at is not None else (),
        tenders=payments.tenders,
        change_minor=payments.change_minor,
        fiscal=Fiscal(
            scheme="rs-purs",
            number=number,
            counter=_counter(fiscal.word("counter")),
            issuer=issuer_of(tuple([line.text for line in job.lines[1:head_end]]), width),
            buyer_kind=_buyer_kind(head.text("buyer")),
            verification_url=_verification_url(job, head),
        ),
        original=_original(head),
    )


def _type(rows: Sequence[Row], marks: Sequence[Mark]) -> tuple[int, ReceiptStatus, ReceiptKind]:
    """Where the type line stands, and what it says. A shop may be called like a type; then the last one is it."""
    at = _mark_at(marks, "type", 0, len(marks))
    if at is None:
        columns_at = _mark_at(marks, "columns", 0, len(marks)) or _mark_at(marks, "total", 0, len(marks)) or len(marks)
        at = next((at for at in reversed(range(columns_at)) if marks[at] == "bare type"), None)
    match = TYPE.fullmatch(compact(rows[at].text)) if at is not None else None
    if at is None or match is None:
        raise MalformedReceiptError(
            "torn", "the journal says neither sale nor refund; it is incomplete, print it again"
        )
    return at, _STATUS[match[1]], "return" if match[2].startswith("REFUND") else "sale"


def _part_at(marks: Sequence[Mark], mark: Mark, start: int, what: str) -> int:
    at = _mark_at(marks, mark, start, len(marks))
    if at is None:
        raise MalformedReceiptError("torn", f"the journal ends before {what}; it is incomplete, print it again")
    return at


def _after_columns(rows: Sequence[Row], marks: Sequence[Mark], start: int) -> int:
    """The line after the heading of the items, which narrow paper may have wrapped."""
    at = _mark_at(marks, "columns", start, len(marks))
    if at is not None:
        return at + 1
    for at in range(start, len(rows)):
        word = ""
        for length, row in enumerate(rows[at : at + MAX_HEADING_LINES], 1):
            word += compact(row.text)
            if word in COLUMNS:
                return at + length
            if not any(heading.startswith(word) for heading in COLUMNS):
                break
    raise MalformedReceiptError("torn", "the journal ends before the columns; it is incomplete, print it again")


def _pfr_number(text: str) -> str:
    match = PFR_NUMBER.match(text.upper())
    if match is None:
        raise MalformedReceiptError(
            "no_number", "the PFR number cannot be read; the journal is damaged, print it again"
        )
    return match.group()


def _counter(text: str) -> str | UnsetType:
    match = _COUNTER.match(text)
    return match.group() if match is not None else UNSET


def _buyer_kind(text: str) -> str | UnsetType:
    """The two digits before the colon. The buyer's own number is personal and stays behind."""
    match = _BUYER_KIND.match(text)
    return match[1] if match is not None else UNSET


def _verification_url(job: PrintedJob, head: Fields) -> str | UnsetType:
    """The address in the code. With a buyer on the receipt it holds the buyer's number, of which nothing is kept."""
    if head.text("buyer"):
        return UNSET
    for code in job.codes:
        if code.data.startswith(b"https://suf.purs.gov.rs/"):
            return code.data.decode("ascii", "replace")
    return UNSET


def _original(head: Fields) -> Original | UnsetType:
    match = PFR_NUMBER.match(head.word("reference").upper())
    if match is None:
        return UNSET
    time_text = head.text("reference_time")
    day = printed_date(time_text)
    issued_at = printed_moment(day, time_text, TIME_ZONE) if day is not None else None
    number = match.group()
    return Original(key=key_of(rs_purs(number)), number=number, issued_at=issued_at or UNSET)
