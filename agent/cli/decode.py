"""`tillside decode`: the receipts in a file, with no configuration and no enrolment."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from msgspec.structs import replace

from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from drivers.capture import MAX_CAPTURE_BYTES, CaptureError, decode_capture, is_capture
from drivers.receipts.decode import MAX_DOCUMENT_BYTES, DecodeOptionsError, decode, paper_sheets, paper_text
from drivers.receipts.port import DecodeOptions
from drivers.receipts.row_mapping import MAX_MAPPING_BYTES, MappingError, RowMapping, mapping_from
from drivers.receipts.template import TemplateError
from drivers.receipts.template_files import load_template
from loyalty.item_map import ItemMapError
from loyalty.item_map_file import MAX_FILE_BYTES, item_map_from_file
from loyalty.item_matching import ItemMatcher, mapped

# A capture is larger than what was captured.
MAX_READ_BYTES = max(MAX_DOCUMENT_BYTES, MAX_CAPTURE_BYTES) + 1


def decode_command(
    *,
    file: str,
    format: str,  # noqa: A002 - named as its option
    code_page: str | None,
    profile: str | None,
    text: bool,
    as_json: bool,
    png: str | None = None,
    guess: bool = False,
    items: str | None = None,
    mapping: str | None = None,
    template: str | None = None,
    currency: str | None = None,
    time_zone: str | None = None,
) -> int:
    """Print `{"receipts":[…],"ignored":[…],"problems":[…]}`, on one line with `as_json`; or the paper's text.

    Or write what the paper looked like to the file `png` and print nothing; with `as_json`, `{"png":[files]}`. With
    `guess`, the code pages that nobody tells and a line of the paper in each.

    `mapping` is the file that says which columns of a CSV file are what. With `template`, that template is read with
    too; with `items`, the lines are mapped with the item map in that file. `currency` and `time_zone` complete receipts
    that do not say theirs. Of a capture, what was captured is read.
    Exit codes: 0 all was read, 1 something was not, 2 the file or an option is wrong.
    """
    try:
        matcher = _item_map(items) if items is not None else None
        columns = _mapping(mapping) if mapping is not None else None
        templates = (load_template(template),) if template is not None else ()
        document = _document(file)
    except OSError as error:
        named = error.filename or file
        sys.stderr.write(f"tillside decode: {named}: {error.strerror or error}. Name a file that can be read, or -.\n")
        return USAGE
    except (ItemMapError, CaptureError, MappingError, TemplateError) as error:
        says_where = isinstance(error, MappingError | TemplateError)
        where = "" if says_where else f"{items if isinstance(error, ItemMapError) else file}: "
        sys.stderr.write(f"tillside decode: {where}{error}.\n")
        return USAGE
    options = DecodeOptions(
        format=format,
        code_page=code_page,
        profile=profile,
        mapping=columns,
        templates=templates,
        currency=currency,
        time_zone=time_zone,
    )
    try:
        if png is not None:
            return _draw(document, options, Path(png), as_json=as_json)
        if guess:
            from agent.cli.guess import guess_command

            return guess_command(document, options, as_json=as_json)
        if text:
            for part in paper_text(document, options):
                _write(_harmless(part))
            return DONE
        decoded = decode(document, options)
    except DecodeOptionsError as error:
        sys.stderr.write(f"tillside decode: {error}\n")
        return USAGE
    if matcher is not None:
        decoded = replace(decoded, receipts=tuple(mapped(receipt, matcher) for receipt in decoded.receipts))
    answer = msgspec.json.encode(decoded)
    _write((answer if as_json else msgspec.json.format(answer)).decode() + "\n")
    return PROBLEM if decoded.problems else DONE


def _draw(document: bytes, options: DecodeOptions, first: Path, *, as_json: bool) -> int:
    """Write the paper to `first`, and what is too long for it to files numbered beside it."""
    from drivers.receipts.paper_png import paper_pngs

    written = []
    for number, image in enumerate(paper_pngs(paper_sheets(document, options)), 1):
        path = first if number == 1 else first.with_stem(f"{first.stem}-{number}")
        try:
            path.write_bytes(image)
        except OSError as error:
            sys.stderr.write(f"tillside decode: {path}: {error.strerror or error}. Name a file that can be written.\n")
            return USAGE
        written.append(str(path))
    if as_json:
        _write(msgspec.json.encode({"png": written}).decode() + "\n")
    return DONE


def _item_map(file: str) -> ItemMatcher:
    """An operator's file, made ready as a register makes it. Raises OSError and ItemMapError."""
    with Path(file).open("rb") as source:
        return ItemMatcher(item_map_from_file(source.read(MAX_FILE_BYTES + 1)).item_map)


def _mapping(file: str) -> RowMapping:
    with Path(file).open("rb") as source:
        return mapping_from(source.read(MAX_MAPPING_BYTES + 1), file)


def _document(file: str) -> bytes:
    """The file, or what was captured in it, up to a byte more than `decode` takes, so that it can say so."""
    if file == "-":
        document = sys.stdin.buffer.read(MAX_READ_BYTES)
    else:
        with Path(file).open("rb") as source:
            document = source.read(MAX_READ_BYTES)
    return (_captured(document) if is_capture(document) else document)[: MAX_DOCUMENT_BYTES + 1]


def _captured(document: bytes) -> bytes:
    """The bytes of a capture; of a scanner that types, a line for each code."""
    capture = decode_capture(document)
    if not capture.has_keys:
        return capture.data
    from drivers.capture_codes import codes_of

    return "\n".join(str(code.said) for code in codes_of(capture).codes).encode()


def _harmless(text: str) -> str:
    """Text that cannot steer the terminal."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def _write(text: str) -> None:
    """UTF-8 whatever the terminal's locale says: the contract is Unicode."""
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
