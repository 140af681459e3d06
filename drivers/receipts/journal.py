"""The Serbian fiscal journal: the text that every Serbian receipt carries, as printed or as downloaded.

Owns where its parts stand and what it says of the receipt as a whole. Reads by label, so that the width of the paper
(40, 38 or other columns), centring and missing rules do not matter.

Source: the technical guides of the Serbian Tax Administration for fiscal receipts, and real journals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from drivers.receipts.journal_head import TIME_ZONE, head_of
from drivers.receipts.journal_issuer import TITLE_TO_TIN_LINES, tin_follows
from drivers.receipts.journal_items import CURRENCY, lines_of
from drivers.receipts.journal_money import payments_of, taxes_of
from drivers.receipts.journal_rows import (
    COLUMNS,
    PFR_NUMBER,
    Fields,
    Mark,
    Row,
    mark_at,
    may_hold_title,
    rows_of,
    width_of,
)
from drivers.receipts.journal_usual import usual_journals
from drivers.receipts.port import CERTAIN, DecodeOptions, Found, MalformedReceiptError, PrintedJob
from drivers.receipts.wording import compact, printed_date, printed_moment
from loyalty.money import AmountError
from loyalty.receipt import Fiscal, Receipt

# Narrow paper wraps the heading of the columns into so many lines.
MAX_HEADING_LINES: Final = 3

_COUNTER: Final = re.compile(r"\d{1,12}/\d{1,12}[^\W\d_]{2}")


class PursJournalReader:
    """Reads `purs-journal`."""

    name: ClassVar[str] = "purs-journal"

    def find(self, job: PrintedJob) -> Sequence[Found]:
        """From each title to its end line, or to the line after the counter where there is none."""
        texts = job.lines.texts
        found: list[Found] = []
        at = 0
        for first, last, usual in usual_journals(texts):
            found += _found(texts, at, first)
            found.append(Found(first=first, last=last, certainty=CERTAIN, known=usual))
            at = last
        return [*found, *_found(texts, at, len(texts))]

    def read(self, job: PrintedJob, options: DecodeOptions) -> Receipt:
        """The receipt of one journal. Raises MalformedReceiptError."""
        try:
            return _usual_receipt(job.known, job, options) if isinstance(job.known, Receipt) else _read(job, options)
        except AmountError as error:
            raise MalformedReceiptError("bad_amount", f"{error}; the journal is damaged, print it again") from error


def _found(texts: Sequence[str], start: int, end: int) -> Iterator[Found]:
    """Journals in the lines from `start` up to `end`, where another one or nothing follows."""
    if start == end or not may_hold_title(texts := texts[start:end]):
        return
    marks = [row.mark for row in rows_of(texts)]
    starts = [
        index
        for index, mark in enumerate(marks)
        if mark == "title" and tin_follows(texts[index + 1 : index + 2 * TITLE_TO_TIN_LINES])
    ]
    for first, following in pairwise([*starts, len(marks)]):
        yield Found(first=start + first, last=start + _end(marks, first, following), certainty=CERTAIN)


def _end(marks: Sequence[Mark], first: int, following: int) -> int:
    """The line after the last of the journal that begins at `first`."""
    counter = mark_at(marks, "counter", first, following)
    if counter is None:
        return following
    ends = [mark_at(marks, mark, counter, following) for mark in ("end", "title")]
    end = min([at for at in ends if at is not None], default=None)
    if end is None:
        end = mark_at(marks, "rule", counter, following)
    return following if end is None else end + 1


def _read(job: PrintedJob, options: DecodeOptions) -> Receipt:
    texts = job.lines.texts
    rows = rows_of(texts)
    marks = [row.mark for row in rows]
    width = width_of(rows)
    head = head_of(texts, rows, marks, width)
    columns_at = _after_columns(rows, marks, head.type_at)
    total_at = _part_at(marks, "total", columns_at, "the total")
    time_at = _part_at(marks, "time", total_at, "the PFR time")
    taxes_at = mark_at(marks, "tax columns", total_at, time_at)
    is_return, fiscal = head.kind == "return", Fields(rows[time_at:], width)
    payments = payments_of(rows[total_at : taxes_at or time_at], width, is_return=is_return)
    number, time_text = _pfr_number(fiscal.word("number")), fiscal.text("time")
    day = printed_date(time_text)
    if day is None:
        raise MalformedReceiptError("no_time", "the PFR time cannot be read; the journal is damaged, print it again")
    return Receipt(
        key="",
        kind=head.kind,
        status=head.status,
        store=options.store or UNSET,
        register=options.register or UNSET,
        number=number,
        business_day=day,
        issued_at=printed_moment(day, time_text, TIME_ZONE) or UNSET,
        operator=head.operator,
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
            issuer=head.issuer,
            buyer_kind=head.buyer_kind,
            # With a buyer on the receipt its address holds the buyer's number, of which nothing is kept.
            verification_url=UNSET if head.has_buyer else _verification_url(job),
        ),
        original=head.original,
    )


def _usual_receipt(receipt: Receipt, job: PrintedJob, options: DecodeOptions) -> Receipt:
    """What was read while it was found, with what stands beside it and what the operator knows."""
    if job.codes and receipt.fiscal:
        receipt = replace(receipt, fiscal=replace(receipt.fiscal, verification_url=_verification_url(job)))
    if options.store or options.register:
        return replace(receipt, store=options.store or UNSET, register=options.register or UNSET)
    return receipt


def _part_at(marks: Sequence[Mark], mark: Mark, start: int, what: str) -> int:
    at = mark_at(marks, mark, start, len(marks))
    if at is None:
        raise MalformedReceiptError("torn", f"the journal ends before {what}; it is incomplete, print it again")
    return at


def _after_columns(rows: Sequence[Row], marks: Sequence[Mark], start: int) -> int:
    """The line after the heading of the items, which narrow paper may have wrapped."""
    at = mark_at(marks, "columns", start, len(marks))
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


def _verification_url(job: PrintedJob) -> str | UnsetType:
    """The address in the code."""
    for code in job.codes:
        if code.data.startswith(b"https://suf.purs.gov.rs/"):
            return code.data.decode("ascii", "replace")
    return UNSET
