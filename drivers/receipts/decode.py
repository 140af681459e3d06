"""One door for every receipt source: bytes in; receipts, what was no receipt, and problems out.

Owns the choice of the reader, and that nothing in a document can stop the rest of it from being read. A
reader that does not work is logged, and named where a receipt might have been its.
Never raises on malformed input; wrong options are DecodeOptionsError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, zip_longest
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from drivers.escpos.codepages import CodePageError, code_page, profile_pages
from drivers.escpos.effort import COMMAND_BYTES, MAX_COMMANDS, is_a_sheet_too_many
from drivers.escpos.guess import GuessedPage
from drivers.escpos.paper import Sheet
from drivers.receipts.classify import IgnoredKind, classified, titled, voided_before_total
from drivers.receipts.csv_rows import read_csv
from drivers.receipts.documents import (
    Job,
    PrinterLanguage,
    framed_once,
    lines_in_pages,
    pages_guessed,
    printed_jobs,
    printer_language,
    sheets_of,
    text_jobs,
    text_of,
)
from drivers.receipts.fiscal_codes import KnownOfReceipt, SheetCodes, known_by, known_of
from drivers.receipts.fiscal_lines import printed_numbers, with_numbers, written_codes
from drivers.receipts.fiscal_qr import FiscalFormat, fiscal_code, receipt_of
from drivers.receipts.json_receipts import journals_of, read_json
from drivers.receipts.port import (
    CERTAIN,
    TORN_CERTAINTY,
    DecodeOptions,
    Found,
    MalformedReceiptError,
    Part,
    PrintedJob,
    ReceiptReader,
    TextLine,
)
from drivers.receipts.poslog import read_poslog
from drivers.receipts.poslog_cut import is_xml_document
from drivers.receipts.readers import Readers, failed, installed
from drivers.receipts.template import titles_of
from loyalty.identity import identified
from loyalty.receipt import Problem, Receipt
from loyalty.reconcile import reconciled

# A day's paper of a busy till is some megabytes, with pictures some tens.
MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
# A busy shop's year; each piece takes about a kilobyte.
MAX_PIECES: Final = 200_000

# Files of records, read as they are and never as paper.
FILE_FORMATS: Final = ("json", "poslog", "csv")
# A printer stream, whatever it looks like.
PRINTER_FORMATS: Final[tuple[PrinterLanguage, ...]] = get_args(PrinterLanguage)
# The texts of fiscal codes, one a line, as a scanner sends them.
CODE_FORMATS: Final[tuple[str, ...]] = get_args(FiscalFormat)
_ONLY_CODES: Final = re.compile(
    rb"\s*(?:(?:https?://(?:suf\.purs|(?:www\.)?porezna)\.gov\.[^\n]*|\d{60}[^\S\n]*)(?:\n\s*|$))+"
)

# A paper's text may begin with a picture or a code by name: `[image 384x64]`.
_BEGINS_JSON: Final = re.compile(rb"\s*(?:\{|\[(?!\s*[A-Za-z]))").match
_CURRENCY: Final = re.compile(r"[A-Z]{3}").fullmatch
_JSON: Final = msgspec.json.Encoder()
_RECEIPTS: Final = msgspec.json.Decoder(Receipt)


class DecodeOptionsError(ValueError):
    """The options cannot be followed. The message says what to change."""


class Ignored(Struct, frozen=True, kw_only=True):
    """Something printed that is no receipt, and the bytes it came from."""

    kind: IgnoredKind
    start: int
    end: int


class DecodeProblem(Struct, frozen=True, kw_only=True):
    """Something that could not be read. Its bytes are `document[start:end]`.

    `known` names the receipt that they were, where a fiscal code does.
    """

    code: str
    detail: str
    start: int
    end: int
    known: KnownOfReceipt | UnsetType = UNSET


class Decoded(Struct, frozen=True, kw_only=True):
    """All that a document holds, each part in the order of the document.

    `code_page_guessed` says which parts of a printer stream were read in a page that nobody told, or other than told.
    """

    receipts: tuple[Receipt, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    problems: tuple[DecodeProblem, ...] = ()
    code_page_guessed: tuple[GuessedPage, ...] | UnsetType = UNSET


_Piece = Receipt | Ignored | DecodeProblem | GuessedPage


def formats() -> tuple[str, ...]:
    """Formats that can be asked for in this installation."""
    return tuple(dict.fromkeys(("auto", *PRINTER_FORMATS, *FILE_FORMATS, *CODE_FORMATS, *installed().working)))


def decode(document: bytes, options: DecodeOptions | None = None) -> Decoded:
    """Everything in `document`. Raises DecodeOptionsError on an unknown format, code page or profile."""
    options = options or DecodeOptions()
    readers = _with_templates(_asked_readers(options.format), options)
    _check(options)
    if len(document) > MAX_DOCUMENT_BYTES:
        detail = f"more than {MAX_DOCUMENT_BYTES // 1024**2} MiB; cut it into smaller files"
        return Decoded(problems=(DecodeProblem(code="too_large", detail=detail, start=0, end=len(document)),))
    return _gathered(_pieces(document, options, readers), len(document))


def paper_text(document: bytes, options: DecodeOptions | None = None) -> Iterator[str]:
    """What the paper shows, in parts that end in a line end. Raises DecodeOptionsError, as `decode` does."""
    options = options or DecodeOptions()
    _asked_readers(options.format)
    _check(options)
    language = _language(document, options)
    yield from text_of(
        document, code_page=options.code_page, profile=options.profile, language=language, letters=options.letters
    )


def paper_sheets(document: bytes, options: DecodeOptions | None = None) -> Iterator[Sheet]:
    """The sheets of paper that `document` prints, with their pictures. Raises DecodeOptionsError, as `decode` does."""
    options = options or DecodeOptions()
    _asked_readers(options.format)
    _check(options)
    language = _language(document, options)
    yield from sheets_of(
        document, code_page=options.code_page, profile=options.profile, language=language, letters=options.letters
    )


def pages_to_choose(
    document: bytes, options: DecodeOptions | None = None
) -> Iterator[tuple[GuessedPage, dict[str, str]]]:
    """Code pages that are guessed, each with the line that tells most in the pages it may be, the likeliest first.

    Raises DecodeOptionsError, as `decode` does.
    """
    options = options or DecodeOptions()
    _asked_readers(options.format)
    _check(options)
    language = _language(document, options)
    if language is not None:
        profile = options.profile
        for guessed in pages_guessed(document, code_page=options.code_page, profile=profile, language=language):
            yield guessed, lines_in_pages(document, guessed, profile=profile, language=language)


def _language(document: bytes, options: DecodeOptions) -> PrinterLanguage | None:
    """Whose printer commands to read `document` as; None for plain text."""
    asked = next((language for language in PRINTER_FORMATS if language == options.format), None)
    return asked or printer_language(document)


def _check(options: DecodeOptions) -> None:
    """Raises DecodeOptionsError on an option that no document could make right."""
    try:
        if options.code_page is not None:
            code_page(options.code_page)
        if options.profile is not None:
            profile_pages(options.profile)
        if options.time_zone is not None:
            ZoneInfo(options.time_zone)
    except CodePageError as error:
        raise DecodeOptionsError(str(error)) from error
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DecodeOptionsError(f"{options.time_zone!r} is no IANA time zone, such as Europe/Belgrade") from error
    if (options.format == "csv") != (options.mapping is not None):
        raise DecodeOptionsError("a CSV file needs --format csv and --mapping FILE, which docs/csv.md explains")
    if options.currency is not None and not _CURRENCY(options.currency):
        raise DecodeOptionsError(f"{options.currency!r} is no ISO 4217 currency, such as EUR")


def _asked_readers(name: str) -> Readers:
    readers = installed()
    if name in ("auto", *PRINTER_FORMATS, *FILE_FORMATS, *CODE_FORMATS):
        return readers
    if name in readers.working:
        return Readers(working={name: readers.working[name]}, broken={})
    if name in readers.broken:
        raise DecodeOptionsError(readers.broken[name])
    known = ", ".join(formats())
    raise DecodeOptionsError(f"no format {name!r}; choose one of {known}")


def _with_templates(readers: Readers, options: DecodeOptions) -> Readers:
    """The readers, and those of the templates that are given, where a format does not ask for one reader."""
    if not options.templates or options.format in installed().working:
        return readers
    from drivers.receipts.layout import reader_of  # noqa: PLC0415 - loaded where there is a template

    given: dict[str, ReceiptReader] = {
        f"template:{template.name}": reader_of(template) for template in options.templates
    }
    return Readers(working={**readers.working, **given}, broken=readers.broken)


def _gathered(pieces: Iterator[_Piece], size: int) -> Decoded:
    receipts: list[Receipt] = []
    ignored: list[Ignored] = []
    problems: list[DecodeProblem] = []
    guessed: list[GuessedPage] = []
    for piece in islice(pieces, MAX_PIECES):
        if isinstance(piece, Receipt):
            receipts.append(piece)
        elif isinstance(piece, Ignored):
            ignored.append(piece)
        elif isinstance(piece, GuessedPage):
            guessed.append(piece)
        else:
            problems.append(piece)
    if next(pieces, None) is not None:
        detail = f"more than {MAX_PIECES} receipts and other pieces; cut it into smaller files"
        problems.append(DecodeProblem(code="too_many", detail=detail, start=0, end=size))
    return Decoded(
        receipts=tuple(receipts),
        ignored=tuple(ignored),
        problems=tuple(problems),
        code_page_guessed=tuple(guessed) or UNSET,
    )


def _pieces(document: bytes, options: DecodeOptions, readers: Readers) -> Iterator[_Piece]:
    if options.format == "json" or (options.format == "auto" and _BEGINS_JSON(document)):
        yield from _json_pieces(document, options, readers)
        return
    if options.format == "poslog" or (options.format == "auto" and is_xml_document(document)):
        yield from _file_pieces("poslog", read_poslog(document, options))
        return
    if options.mapping is not None:
        yield from _file_pieces("csv", read_csv(document, options.mapping, options))
        return
    if options.format in CODE_FORMATS or (options.format == "auto" and _ONLY_CODES.fullmatch(document)):
        yield from _code_pieces(document, options)
        return
    language = _language(document, options)
    if language is not None:
        page, profile = options.code_page, options.profile
        frames = framed_once(document, language)
        guessed = pages_guessed(document, code_page=page, profile=profile, language=language, frames=frames)
        yield from guessed
        jobs = printed_jobs(
            document,
            code_page=page,
            profile=profile,
            language=language,
            guessed=guessed,
            letters=options.letters,
            frames=frames,
        )
    else:
        jobs = text_jobs(document, code_page=options.code_page)
    yield from _paper_pieces(jobs, document, options, readers, source=language)


def _paper_pieces(
    jobs: Iterator[Job], document: bytes, options: DecodeOptions, readers: Readers, *, source: PrinterLanguage | None
) -> Iterator[_Piece]:
    """What the sheets of a document hold, as far as it is like a till's."""
    kicks, printed = 0, False
    for number, job in enumerate(jobs):
        if is_a_sheet_too_many(number, job.start):
            detail = f"more than {number} sheets in {job.start} bytes of paper; a till's have more on them"
            yield DecodeProblem(code="too_many", detail=detail, start=job.start, end=len(document))
            return
        kicks += job.drawer_kicks
        if job.is_printed:
            printed = True
            yield from _pieces_of_job(job, document, options, readers, source=source)
        if job.sheet is not None and job.sheet.lost_lines:
            detail = f"{job.sheet.lost_lines} lines more than a sheet or a page on it can hold; they are not read"
            yield DecodeProblem(code="too_long", detail=detail, start=job.start, end=job.end)
        if job.asks_too_much:
            printed = True
            yield DecodeProblem(code="too_dense", detail=_TOO_DENSE, start=job.end, end=len(document))
    # Paper without print beside a receipt is a feed or the drawer's kick; alone it says what happened.
    if not printed:
        yield Ignored(kind="drawer" if kicks else "blank", start=0, end=len(document))


def _json_pieces(document: bytes, options: DecodeOptions, readers: Readers) -> Iterator[_Piece]:
    journals = journals_of(document)
    if journals is not None:
        whole = {"start": 0, "end": len(document)}
        for piece in _pieces(journals.encode(), replace(options, format="auto"), readers):
            yield piece if isinstance(piece, Receipt | GuessedPage) else replace(piece, **whole)
        return
    yield from _file_pieces("json", read_json(document))


def _file_pieces(source: str, parts: Iterator[tuple[Part, int, int]]) -> Iterator[_Piece]:
    """What a file of records holds, each part with its byte range."""
    for part, start, end in parts:
        if isinstance(part, Receipt):
            yield _checked(source, partial(reconciled, part), start, end)
        elif isinstance(part, MalformedReceiptError):
            yield DecodeProblem(code=part.code, detail=str(part), start=start, end=end)
        else:
            yield Ignored(kind=part, start=start, end=end)


def _code_pieces(document: bytes, options: DecodeOptions) -> Iterator[_Piece]:
    """The receipts that codes stand for, one on each line."""
    lines = [line for job in text_jobs(document, code_page=options.code_page) for line in job.printed.lines]
    printed = [line for line in lines if line.text.strip()]
    for line in printed:
        known: KnownOfReceipt | UnsetType = UNSET
        try:
            code = fiscal_code(line.text)
            if code is None or options.format not in ("auto", code.format):
                what = "of a fiscal code" if code is None else f"of {options.format}; it is {code.format}"
                raise MalformedReceiptError("bad_code", f"this is not the text {what}")
            known = known_of(code)
            yield _coded(receipt_of(code), document[line.start : line.end], options, source=code.format)
        except MalformedReceiptError as error:
            yield DecodeProblem(code=error.code, detail=str(error), start=line.start, end=line.end, known=known)
    if not printed:
        yield Ignored(kind="blank", start=0, end=len(document))


def _coded(receipt: Receipt, printed: bytes, options: DecodeOptions, *, source: str | None) -> Receipt:
    """A receipt that only its code is known of, complete as the readers' are."""
    store, register = options.store or UNSET, options.register or UNSET
    return identified(replace(receipt, source=source or UNSET, store=store, register=register), printed)


_Chosen = tuple[Found, str]


def _pieces_of_job(
    job: Job, document: bytes, options: DecodeOptions, readers: Readers, *, source: str | None
) -> Iterator[_Piece]:
    """Receipts of one sheet, and what the rest of it is."""
    lines = job.printed.lines
    chosen, broken = _chosen(job.printed, readers)
    kind = titled([line.text for line in lines], [title for one in options.templates for title in titles_of(one)])
    if kind is not None and all(found.certainty < CERTAIN for found, _ in chosen):
        yield Ignored(kind=kind, start=job.start, end=job.end)
        return
    voided = [word for template in options.templates for word in template.marks.voided]
    is_torn = all(found.certainty <= TORN_CERTAINTY for found, _ in chosen)
    if voided and is_torn and voided_before_total([line.text for line in lines], voided):
        yield Ignored(kind="voided_sale", start=job.start, end=job.end)
        return
    printed_codes = (*job.printed.codes, *written_codes(lines))
    codes = SheetCodes(printed_codes, job.sheet.lines if job.sheet is not None else ())
    at = 0
    for (found, name), after in zip_longest(chosen, chosen[1:]):
        yield from _rest(job, at, found.first, has_receipts=True, broken=broken)
        # What stands above the first receipt of a sheet is its own.
        codes_start = lines[found.first].start if at else job.start
        at = found.last
        start, end = _bytes_of(lines[found.first : found.last])
        codes_end = lines[after[0].first].start if after is not None else job.end
        part = PrintedJob(
            lines=lines[found.first : found.last],
            codes=tuple([code for code in printed_codes if start <= code.start < codes_end]),
        )
        piece = _read(readers.working[name], part, options, start, end)
        piece = _with_numbers(piece, lines[found.first : after[0].first if after is not None else len(lines)])
        piece = _with_code(piece, codes, codes_start, codes_end)
        if isinstance(piece, Receipt):
            # A job is what weak identity is made of; receipts that share one take their own part of it.
            job_bytes = document[job.start : job.end] if len(chosen) == 1 else document[start:end]
            piece = reconciled(identified(replace(piece, source=source or name), job_bytes))
        yield piece
    for rest in _rest_with_codes(job, at, codes, has_receipts=bool(chosen), broken=broken):
        if isinstance(rest, Receipt):
            yield _coded(rest, document[job.start : job.end], options, source=source)
        else:
            yield rest


def _bytes_of(lines: Sequence[TextLine]) -> tuple[int, int]:
    """From the first byte of `lines` to the last: paper that is fed back gets its lines out of the stream's order."""
    return min([line.start for line in lines]), max([line.end for line in lines])


def _with_numbers(piece: Receipt | DecodeProblem, lines: Sequence[TextLine]) -> Receipt | DecodeProblem:
    """What a reader made of the first of `lines`, with the fiscal numbers that stand in them."""
    if isinstance(piece, DecodeProblem):
        return replace(piece, known=known_by(printed_numbers(lines)))
    if piece.fiscal and piece.fiscal.scheme == "rs-purs":
        return piece
    return with_numbers(piece, printed_numbers(lines))


def _with_code(piece: Receipt | DecodeProblem, codes: SheetCodes, start: int, end: int) -> Receipt | DecodeProblem:
    """What a reader made of the text between `start` and `end`, with the fiscal code that stands there."""
    if isinstance(piece, Receipt):
        return codes.completed(piece, start, end)
    return codes.instead(Problem(code=piece.code, detail=piece.detail), start, end) or piece


def _rest_with_codes(
    job: Job, first: int, codes: SheetCodes, *, has_receipts: bool, broken: Sequence[str]
) -> Iterator[_Piece]:
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
    return not any(line.text.strip() for line, is_covered in zip(job.lines, covered, strict=True) if not is_covered)


def _read(
    reader: ReceiptReader, part: PrintedJob, options: DecodeOptions, start: int, end: int
) -> Receipt | DecodeProblem:
    return _checked(reader.name, partial(reader.read, part, options), start, end)


def _checked(reader: str, read: Callable[[], Receipt], start: int, end: int) -> Receipt | DecodeProblem:
    try:
        receipt = read()
        # Structs do not check themselves when made: what leaves here can be read back.
        _RECEIPTS.decode(_JSON.encode(receipt))
    except MalformedReceiptError as error:
        return DecodeProblem(code=error.code, detail=str(error), start=start, end=end)
    except msgspec.ValidationError as error:
        return DecodeProblem(code="out_of_bounds", detail=f"{error}; the receipt is damaged", start=start, end=end)
    except Exception as error:  # noqa: BLE001 - one bad receipt never stops the others
        detail = f"reader {reader} failed ({type(error).__name__}); report it with these bytes"
        return DecodeProblem(code="reader_failed", detail=detail, start=start, end=end)
    return receipt


_TOO_DENSE: Final = (
    f"a sheet with more than {MAX_COMMANDS} commands, and one for every {COMMAND_BYTES} bytes; not read from here on"
)
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
    printed = any(line.text.strip() for line in lines)
    if has_receipts and not printed:
        return
    start, end = _bytes_of(lines) if has_receipts else (job.start, job.end)
    kind = classified([line.text for line in lines])
    if not has_receipts and job.raster_only:
        yield _problem("raster_only", start, end)
    elif kind is not None:
        yield Ignored(kind=kind, start=start, end=end)
    elif not has_receipts and voided_before_total([line.text for line in lines]):
        yield Ignored(kind="voided_sale", start=start, end=end)
    elif not has_receipts and broken and not job.torn:
        yield DecodeProblem(code="reader_broken", detail=" ".join(broken), start=start, end=end)
    elif not has_receipts:
        yield _problem("torn" if job.torn else "unknown_layout", start, end)


def _problem(code: _Rest, start: int, end: int) -> DecodeProblem:
    return DecodeProblem(code=code, detail=_REST_DETAILS[code], start=start, end=end)
