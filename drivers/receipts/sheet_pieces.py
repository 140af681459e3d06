"""What one sheet of paper, or one page of a text, holds.

Owns who reads which lines of it, that text and code of one receipt are one, and what lines are that belong to none.
Never reads a line itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import compress, zip_longest
from typing import Final, Literal

from msgspec.structs import replace

from drivers.receipts.classify import classified, titled, voided_before_total
from drivers.receipts.documents import Job
from drivers.receipts.fiscal_codes import SheetCodes, known_by
from drivers.receipts.fiscal_lines import printed_numbers, with_numbers, written_codes
from drivers.receipts.pieces import DecodeProblem, Ignored, Piece, checked, coded
from drivers.receipts.port import (
    CERTAIN,
    TORN_CERTAINTY,
    DecodeOptions,
    Found,
    Lines,
    PrintedJob,
    ReceiptReader,
)
from drivers.receipts.readers import Readers, failed, is_ours
from drivers.receipts.template import titles_of
from loyalty.identity import identified
from loyalty.receipt import Problem, Receipt
from loyalty.reconcile import reconciled

_Chosen = tuple[Found, str]
_UNCOVERED: Final = bytes.maketrans(b"\x00\x01", b"\x01\x00")


def pieces_of(
    job: Job, document: bytes, options: DecodeOptions, readers: Readers, *, source: str | None
) -> Iterator[Piece]:
    """The receipts of a sheet, and what the rest of it is."""
    lines = job.printed.lines
    chosen, broken = _chosen(job.printed, readers)
    kind = titled(lines.texts, [title for one in options.templates for title in titles_of(one)])
    if kind is not None and all(found.certainty < CERTAIN for found, _ in chosen):
        yield Ignored(kind=kind, start=job.start, end=job.end)
        return
    voided = [word for template in options.templates for word in template.marks.voided]
    is_torn = all(found.certainty <= TORN_CERTAINTY for found, _ in chosen)
    if voided and is_torn and voided_before_total(lines.texts, voided):
        yield Ignored(kind="voided_sale", start=job.start, end=job.end)
        return
    printed_codes = (*job.printed.codes, *written_codes(lines))
    codes = SheetCodes(printed_codes, job.sheet.lines if job.sheet is not None else ())
    at = 0
    for (found, name), after in zip_longest(chosen, chosen[1:]):
        if at < found.first:
            yield from _rest(job, at, found.first, has_receipts=True, broken=broken)
        # What stands above the first receipt of a sheet is its own.
        codes_start = lines.starts[found.first] if at else job.start
        at = found.last
        own = lines[found.first : found.last]
        start, end = _bytes_of(own, may_be_fed_back=job.sheet is not None)
        codes_end = lines.starts[after[0].first] if after is not None else job.end
        part = PrintedJob(
            lines=own,
            codes=tuple([code for code in printed_codes if start <= code.start < codes_end]),
            known=found.known,
        )
        piece = _read(readers.working[name], part, options, start, end)
        if not (isinstance(piece, Receipt) and piece.fiscal and piece.fiscal.scheme == "rs-purs"):
            piece = _with_numbers(piece, lines[found.first : after[0].first if after is not None else len(lines)])
        piece = _with_code(piece, codes, codes_start, codes_end)
        if isinstance(piece, Receipt):
            # A job is what weak identity is made of; receipts that share one take their own part of it.
            job_bytes = document[job.start : job.end] if len(chosen) == 1 else document[start:end]
            piece = reconciled(identified(replace(piece, source=source or name), job_bytes))
        yield piece
    for rest in _rest_with_codes(job, at, codes, has_receipts=bool(chosen), broken=broken):
        if isinstance(rest, Receipt):
            yield coded(rest, document[job.start : job.end], options, source=source)
        else:
            yield rest


def _bytes_of(lines: Lines, *, may_be_fed_back: bool) -> tuple[int, int]:
    """From the first byte of `lines` to the last: paper that is fed back gets its lines out of the stream's order."""
    return (min(lines.starts), max(lines.ends)) if may_be_fed_back else (lines.starts[0], lines.ends[-1])


def _with_numbers(piece: Receipt | DecodeProblem, lines: Lines) -> Receipt | DecodeProblem:
    """What a reader made of the first of `lines`, with the fiscal numbers that stand in them."""
    if isinstance(piece, DecodeProblem):
        return replace(piece, known=known_by(printed_numbers(lines)))
    return with_numbers(piece, printed_numbers(lines))


def _with_code(piece: Receipt | DecodeProblem, codes: SheetCodes, start: int, end: int) -> Receipt | DecodeProblem:
    """What a reader made of the text between `start` and `end`, with the fiscal code that stands there."""
    if isinstance(piece, Receipt):
        return codes.completed(piece, start, end)
    return codes.instead(Problem(code=piece.code, detail=piece.detail), start, end) or piece


def _rest_with_codes(
    job: Job, first: int, codes: SheetCodes, *, has_receipts: bool, broken: Sequence[str]
) -> Iterator[Piece]:
    """Receipts of codes that no text belongs to; else what the lines from `first` on are."""
    if not has_receipts:
        codes.search()
    why: _Rest = "raster_only" if job.raster_only else "unknown_layout"
    receipts = list(codes.without_text(Problem(code=why, detail=_REST_DETAILS[why])))
    yield from receipts
    if receipts and not has_receipts:
        return
    for rest in _rest(job, first, len(job.printed.lines), has_receipts=has_receipts, broken=broken):
        if isinstance(rest, DecodeProblem) and not has_receipts:
            detail = f"{rest.detail} ({codes.trouble})" if codes.trouble else rest.detail
            yield replace(rest, detail=detail, known=codes.known() or known_by(printed_numbers(job.printed.lines)))
        else:
            yield rest


def _chosen(job: PrintedJob, readers: Readers) -> tuple[list[_Chosen], Sequence[str]]:
    """What to read by whom: the surest first, then whatever does not overlap, in the order of the paper.

    And what is wrong with the readers that could not be asked.
    """
    offers: list[_Chosen] = []
    broken = list(readers.broken.values())
    for name, reader in readers.working.items():
        try:
            offers += [(found, name) for found in reader.find(job) if 0 <= found.first < found.last <= len(job.lines)]
        except Exception as error:  # noqa: BLE001 - a third party's reader may fail in any way and stops no other
            broken.append(failed(name, error))
        if _settles(offers, job):
            break
    offers.sort(key=lambda offer: (-offer[0].certainty, offer[0].first))
    taken = bytearray(len(job.lines))
    chosen: list[_Chosen] = []
    for found, name in offers:
        if not any(taken[found.first : found.last]):
            taken[found.first : found.last] = b"\x01" * (found.last - found.first)
            chosen.append((found, name))
    return sorted(chosen, key=lambda offer: offer[0].first), broken


def _settles(offers: Sequence[_Chosen], job: PrintedJob) -> bool:
    """Whether certain offers cover all that is printed, so that no other reader needs to look."""
    covered = bytearray(len(job.lines))
    for found, _ in offers:
        if found.certainty == CERTAIN:
            covered[found.first : found.last] = b"\x01" * (found.last - found.first)
    left = compress(job.lines.texts, covered.translate(_UNCOVERED))
    return not any(map(str.strip, left))


def _read(
    reader: ReceiptReader, part: PrintedJob, options: DecodeOptions, start: int, end: int
) -> Receipt | DecodeProblem:
    return checked(reader.name, partial(reader.read, part, options), start, end, is_ours=is_ours(reader))


_Rest = Literal["raster_only", "torn", "unknown_layout"]
_REST_DETAILS: Final[Mapping[_Rest, str]] = {
    "raster_only": "the printer driver draws its text as a picture; choose a text driver on the till",
    "torn": "the job ends inside a command; print it again",
    "unknown_layout": "no reader knows this layout; docs/decoding.md says which are known and how to add one",
}


def _rest(
    job: Job, first: int, last: int, *, has_receipts: bool, broken: Sequence[str]
) -> Iterator[Ignored | DecodeProblem]:
    """Lines that belong to no receipt. Beside a receipt, only what is surely something else counts."""
    lines = job.printed.lines[first:last]
    if has_receipts and not any(map(str.strip, lines.texts)):
        return
    start, end = _bytes_of(lines, may_be_fed_back=job.sheet is not None) if has_receipts else (job.start, job.end)
    kind = classified(lines.texts)
    if not has_receipts and job.raster_only:
        yield _problem("raster_only", start, end)
    elif kind is not None:
        yield Ignored(kind=kind, start=start, end=end)
    elif not has_receipts and voided_before_total(lines.texts):
        yield Ignored(kind="voided_sale", start=start, end=end)
    elif not has_receipts and broken and not job.torn:
        yield DecodeProblem(code="reader_broken", detail=" ".join(broken), start=start, end=end)
    elif not has_receipts:
        yield _problem("torn" if job.torn else "unknown_layout", start, end)


def _problem(code: _Rest, start: int, end: int) -> DecodeProblem:
    return DecodeProblem(code=code, detail=_REST_DETAILS[code], start=start, end=end)
