"""A template tried on captures: what it reads, line by line, and what does not add up.

Owns the splitting of captures into receipts and the table of a trial. Pure: bytes or lines in, results out; the centre
and a register try a template before it is in force.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, Literal

from msgspec import Struct

from drivers.receipts.classify import classified, titled, voided_before_total
from drivers.receipts.documents import printed_jobs, printer_language, text_jobs
from drivers.receipts.layout import TemplateReader, reader_of
from drivers.receipts.layout_facts import explains
from drivers.receipts.layout_money import item_at, tax_in, total_at
from drivers.receipts.port import DecodeOptions, Lines, MalformedReceiptError, PrintedJob, TextLine
from drivers.receipts.template import Template, titles_of
from drivers.receipts.wording import AMOUNT
from drivers.receipts.words import Layout, Text
from loyalty.identity import identified
from loyalty.receipt import Receipt
from loyalty.reconcile import reconciled

Role = Literal[
    "item", "discount", "void", "subtotal", "total", "tax", "rounding", "payment", "change", "fact", "rule", "unknown"
]
# The shop's name, a time, an item, a total, a payment.
LEAST_LINES: Final = 5
# An item, a total and a payment have an amount each; a card slip has one.
LEAST_PRICED: Final = 3
AMOUNT_AT_END: Final = re.compile(rf"{AMOUNT}\W*\w{{0,3}}\W*$")
_MISMATCH: Final = "total_mismatch"


class ReadLine(Struct, frozen=True, kw_only=True):
    """A printed line and what it was understood as."""

    text: str
    role: Role


class TriedReceipt(Struct, frozen=True, kw_only=True):
    """One receipt of a trial. Without `receipt` it could not be read; `why` says so, or what does not add up."""

    lines: tuple[ReadLine, ...]
    receipt: Receipt | None = None
    why: str = ""

    @property
    def holds(self) -> bool:
        """Whether it was read, and adds up."""
        return self.receipt is not None and not self.why


class TriedCapture(Struct, frozen=True, kw_only=True):
    """A capture's receipts. `ignored` counts papers that are none, such as card slips, or of another layout."""

    name: str
    receipts: tuple[TriedReceipt, ...]
    ignored: int = 0


def papers_of(document: bytes, options: DecodeOptions) -> list[list[str]]:
    """The receipts of a capture as printed lines, without what is surely none. Raises CodePageError."""
    language = printer_language(document)
    page = options.code_page
    jobs = (
        printed_jobs(document, code_page=page, profile=options.profile, language=language, letters=options.letters)
        if language is not None
        else text_jobs(document, code_page=page)
    )
    papers: list[list[str]] = []
    for job in jobs:
        lines = job.printed.lines.texts
        if any(line.strip() for line in lines):
            papers += _parted(lines)
    return papers


def is_other(paper: Sequence[str]) -> bool:
    """Whether a job is surely no receipt: a report, a kitchen ticket, or a card slip alone."""
    kind = classified(paper)
    if kind != "card_slip":
        return kind is not None
    return sum(AMOUNT_AT_END.search(line) is not None for line in paper) < LEAST_PRICED


def _parted(lines: list[str]) -> Iterable[list[str]]:
    """Receipts that stand on one paper, each beginning with the same first words."""
    head = next(line.strip() for line in lines if line.strip())
    starts = [at for at, line in enumerate(lines) if line.strip() == head]
    words = any(map(str.isalpha, head))
    if len(starts) < 2 or not words or min(after - start for start, after in pairwise(starts)) < LEAST_LINES:
        return [lines]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def try_capture(name: str, document: bytes, template: Template, options: DecodeOptions) -> TriedCapture:
    """What a template makes of a capture. Raises CodePageError."""
    reader = reader_of(template)
    found = papers_of(document, options)
    papers = [paper for paper in found if titled(paper, titles_of(template)) is None]
    tries = [tried(paper, reader, options) for paper in papers]
    kept = tuple(
        each
        for paper, each in zip(papers, tries, strict=True)
        if each.receipt is not None or not _is_anothers(paper, reader.layout)
    )
    return TriedCapture(name=name, receipts=kept, ignored=len(found) - len(kept))


def _is_anothers(paper: Sequence[str], layout: Layout) -> bool:
    """Whether paper that is not read has no word of the layout, or is known to be no receipt."""
    texts = [layout.text(line) for line in paper]
    if classified(paper) is not None or voided_before_total(paper, layout.template.marks.voided):
        return True
    return not layout.is_recognised(texts)


def tried(paper: Sequence[str], reader: TemplateReader, options: DecodeOptions) -> TriedReceipt:
    """What a template's reader makes of one receipt, given as its printed lines."""
    job = PrintedJob(lines=Lines.of(TextLine(text=line, start=0, end=0) for line in paper))
    layout = reader.layout
    texts = [layout.line(line) for line in job.lines]
    found = reader.find(job)
    lines = tuple(ReadLine(text=line, role=role) for line, role in zip(paper, roles(texts, layout), strict=True))
    if not found:
        return TriedReceipt(lines=lines, why="not read: nothing sold above a total was found")
    try:
        receipt = reader.read(PrintedJob(lines=job.lines[found[0].first : found[0].last]), options)
    except MalformedReceiptError as error:
        return TriedReceipt(lines=lines, why=f"not read: {error}")
    receipt = reconciled(identified(receipt, "\n".join(paper).encode()))
    mismatch = next((problem.detail or problem.code for problem in receipt.problems if problem.code == _MISMATCH), "")
    if not mismatch and not receipt.lines:
        mismatch = "it has no items"
    return TriedReceipt(lines=lines, receipt=receipt, why=mismatch)


def roles(texts: Sequence[Text], layout: Layout) -> list[Role]:
    """What each line of one receipt was understood as."""
    last = total_at(texts)
    found: list[Role] = ["unknown"] * len(texts)
    begin = next((at + 1 for at, text in enumerate(texts[:last]) if layout.begin.match(text.plain)), 0)
    at, closed = 0, False
    while at < len(texts):
        text = texts[at]
        size = 1
        if at == last:
            found[at] = "total"
        elif layout.is_rule(text):
            found[at] = "rule"
        elif last is None or at < last:
            role, size = _role_above(texts[:last], at, layout, closed=closed or at < begin)
            closed = closed or role == "subtotal"
            found[at : at + size] = [role] * size
        else:
            found[at] = _role_below(text, layout)
        at += size
    for at, text in enumerate(texts):
        if found[at] == "unknown" and explains(text, layout):
            found[at] = "fact"
    return found


def _role_above(texts: Sequence[Text], at: int, layout: Layout, *, closed: bool) -> tuple[Role, int]:
    text = texts[at]
    if layout.is_subtotal(text):
        return "subtotal", 1
    if layout.sum_of("rounding", text) is not None:
        return "rounding", 1
    if tax_in(text, layout, "EUR", included=False, loose=closed) is not None:
        return "tax", 1
    if layout.void.match(text.plain):
        return "void", 1
    if layout.is_discount(text):
        return "discount", 1
    item = None if closed else item_at(texts, at, layout, "EUR")
    return ("item", len(item.shape.lines)) if item is not None else ("unknown", 1)


def _role_below(text: Text, layout: Layout) -> Role:
    if tax_in(text, layout, "EUR", included=True, loose=False) is not None:
        return "tax"
    if layout.sum_of("change", text) is not None:
        return "change"
    if layout.sum_of("rounding", text) is not None:
        return "rounding"
    return "payment" if layout.tender_of(text) is not None else "unknown"


class Trial(Struct, frozen=True, kw_only=True):
    """What a template made of several captures."""

    captures: tuple[TriedCapture, ...]

    @property
    def counts(self) -> Counter[str]:
        """Receipts that were `read`, that `hold`, and `all` of them."""
        receipts = [receipt for capture in self.captures for receipt in capture.receipts]
        return Counter(
            all=len(receipts),
            read=sum(receipt.receipt is not None for receipt in receipts),
            hold=sum(receipt.holds for receipt in receipts),
        )
