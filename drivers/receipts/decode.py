"""One door for every receipt source: bytes in; receipts, what was no receipt, and problems out.

Owns the choice of the reader, and that nothing in a document can stop the rest of it from being read. A
reader that does not work is logged, and named where a receipt might have been its.
Never raises on malformed input; wrong options are DecodeOptionsError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Final, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from drivers.escpos.codepages import CodePageError, code_page, profile_pages
from drivers.escpos.effort import COMMAND_BYTES, MAX_COMMANDS, is_a_sheet_too_many
from drivers.escpos.guess import GuessedPage
from drivers.escpos.paper import Sheet
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
from drivers.receipts.fiscal_codes import KnownOfReceipt, known_of
from drivers.receipts.fiscal_qr import FiscalFormat, fiscal_code, receipt_of
from drivers.receipts.json_receipts import journals_of, read_json
from drivers.receipts.pieces import DecodeProblem, Ignored, Piece, checked, coded
from drivers.receipts.port import (
    DecodeOptions,
    MalformedReceiptError,
    Part,
    ReceiptReader,
)
from drivers.receipts.poslog import read_poslog
from drivers.receipts.poslog_cut import is_xml_document
from drivers.receipts.readers import Readers, installed
from drivers.receipts.sheet_pieces import pieces_of
from loyalty.receipt import Receipt
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


class Decoded(Struct, frozen=True, kw_only=True):
    """All that a document holds, each part in the order of the document.

    `code_page_guessed` says which parts of a printer stream were read in a page that nobody told, or other than told.
    """

    receipts: tuple[Receipt, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    problems: tuple[DecodeProblem, ...] = ()
    code_page_guessed: tuple[GuessedPage, ...] | UnsetType = UNSET


def formats() -> tuple[str, ...]:
    """Formats that can be asked for in this installation."""
    return tuple(dict.fromkeys(("auto", *PRINTER_FORMATS, *FILE_FORMATS, *CODE_FORMATS, *installed().working)))


def decode(document: bytes, options: DecodeOptions | None = None) -> Decoded:
    """Everything in `document`. Raises DecodeOptionsError on an unknown format, code page or profile."""
    options = options or DecodeOptions()
    readers = _with_templates(_asked_readers(options.format), options)
    check_options(options)
    if len(document) > MAX_DOCUMENT_BYTES:
        detail = f"more than {MAX_DOCUMENT_BYTES // 1024**2} MiB; cut it into smaller files"
        return Decoded(problems=(DecodeProblem(code="too_large", detail=detail, start=0, end=len(document)),))
    return _gathered(_pieces(document, options, readers), len(document))


def paper_text(document: bytes, options: DecodeOptions | None = None) -> Iterator[str]:
    """What the paper shows, in parts that end in a line end. Raises DecodeOptionsError, as `decode` does."""
    options = options or DecodeOptions()
    _asked_readers(options.format)
    check_options(options)
    language = _language(document, options)
    yield from text_of(
        document, code_page=options.code_page, profile=options.profile, language=language, letters=options.letters
    )


def paper_sheets(document: bytes, options: DecodeOptions | None = None) -> Iterator[Sheet]:
    """The sheets of paper that `document` prints, with their pictures. Raises DecodeOptionsError, as `decode` does."""
    options = options or DecodeOptions()
    _asked_readers(options.format)
    check_options(options)
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
    check_options(options)
    language = _language(document, options)
    if language is not None:
        profile = options.profile
        for guessed in pages_guessed(document, code_page=options.code_page, profile=profile, language=language):
            yield guessed, lines_in_pages(document, guessed, profile=profile, language=language)


def check_options(options: DecodeOptions) -> None:
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


def _language(document: bytes, options: DecodeOptions) -> PrinterLanguage | None:
    """Whose printer commands to read `document` as; None for plain text."""
    asked = next((language for language in PRINTER_FORMATS if language == options.format), None)
    return asked or printer_language(document)


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


def _gathered(pieces: Iterator[Piece], size: int) -> Decoded:
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


def _pieces(document: bytes, options: DecodeOptions, readers: Readers) -> Iterator[Piece]:
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


_TOO_DENSE: Final = (
    f"a sheet with more than {MAX_COMMANDS} commands, and one for every {COMMAND_BYTES} bytes; not read from here on"
)


def _paper_pieces(
    jobs: Iterator[Job], document: bytes, options: DecodeOptions, readers: Readers, *, source: PrinterLanguage | None
) -> Iterator[Piece]:
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
            yield from pieces_of(job, document, options, readers, source=source)
        if job.sheet is not None and job.sheet.lost_lines:
            detail = f"{job.sheet.lost_lines} lines more than a sheet or a page on it can hold; they are not read"
            yield DecodeProblem(code="too_long", detail=detail, start=job.start, end=job.end)
        if job.asks_too_much:
            printed = True
            yield DecodeProblem(code="too_dense", detail=_TOO_DENSE, start=job.end, end=len(document))
    # Paper without print beside a receipt is a feed or the drawer's kick; alone it says what happened.
    if not printed:
        yield Ignored(kind="drawer" if kicks else "blank", start=0, end=len(document))


def _json_pieces(document: bytes, options: DecodeOptions, readers: Readers) -> Iterator[Piece]:
    journals = journals_of(document)
    if journals is not None:
        whole = {"start": 0, "end": len(document)}
        for piece in _pieces(journals.encode(), replace(options, format="auto"), readers):
            yield piece if isinstance(piece, Receipt | GuessedPage) else replace(piece, **whole)
        return
    yield from _file_pieces("json", read_json(document, options))


def _file_pieces(source: str, parts: Iterator[tuple[Part, int, int]]) -> Iterator[Piece]:
    """What a file of records holds, each part with its byte range."""
    for part, start, end in parts:
        if isinstance(part, Receipt):
            yield checked(source, partial(reconciled, part), start, end)
        elif isinstance(part, MalformedReceiptError):
            yield DecodeProblem(code=part.code, detail=str(part), start=start, end=end)
        else:
            yield Ignored(kind=part, start=start, end=end)


def _code_pieces(document: bytes, options: DecodeOptions) -> Iterator[Piece]:
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
            yield coded(receipt_of(code), document[line.start : line.end], options, source=code.format)
        except MalformedReceiptError as error:
            yield DecodeProblem(code=error.code, detail=str(error), start=line.start, end=line.end, known=known)
    if not printed:
        yield Ignored(kind="blank", start=0, end=len(document))
