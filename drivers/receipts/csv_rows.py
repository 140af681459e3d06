"""Rows of a CSV file with the bytes they came from.

Owns delimiters, quotes, line ends and the header. A row that is not well-formed costs itself. Never knows what a
column means.

Source: RFC 4180, and what tills write under that name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import islice
from typing import Final

from drivers.escpos.codepages import code_page
from drivers.receipts.documents import wide_codec
from drivers.receipts.port import DecodeOptions, MalformedReceiptError, Part
from drivers.receipts.row_mapping import MAX_COLUMNS, RowMapping
from drivers.receipts.row_receipts import Row, receipts_of

# A quoted address has some lines; a quote that is never closed must not swallow the file.
MAX_LINES_OF_ROW: Final = 100
MAX_LINE_BYTES: Final = 1024 * 1024

_Placed = tuple[str, int, int]


def read_csv(document: bytes, mapping: RowMapping, options: DecodeOptions) -> Iterator[tuple[Part, int, int]]:
    """Each receipt, or why it cannot be read, with its byte range; `blank` where there is no row. Never raises."""
    records = _records(_lines(document, options.code_page or mapping.encoding), mapping)
    names: Sequence[str] | None = None
    if mapping.header:
        first = next(records, None)
        if first is None:
            yield "blank", 0, len(document)
            return
        names = [name.strip() for name in first[0]] if isinstance(first[0], list) else []
        missing = [column for column in mapping.columns() if column not in names]
        if missing:
            detail = f"the header has no column {missing[0]!r}; correct the mapping, or its delimiter or encoding"
            yield MalformedReceiptError("bad_header", detail), 0, len(document)
            return
    is_blank = True
    for part in receipts_of(_rows(records, names), mapping, options):
        is_blank = False
        yield part
    if is_blank:
        yield "blank", 0, len(document)


def _rows(records: Iterator[tuple[list[str] | str, int, int]], names: Sequence[str] | None) -> Iterator[Row]:
    for cells, start, end in records:
        if isinstance(cells, str):
            yield Row(cells={}, start=start, end=end, broken=cells)
            continue
        columns = names or [str(number) for number in range(1, len(cells) + 1)]
        broken = ""
        if names is not None and len(cells) != len(names):
            broken = f"the row has {len(cells)} cells and the header {len(names)}; correct it at the sender"
        yield Row(cells=dict(zip(columns, cells, strict=False)), start=start, end=end, broken=broken)


def _records(lines: Iterator[_Placed], mapping: RowMapping) -> Iterator[tuple[list[str] | str, int, int]]:
    """Cells of each row that has any, or what is wrong with it."""
    waiting: list[_Placed] = []
    while True:
        waiting += islice(lines, max(1, 2 - len(waiting)))
        if not waiting:
            return
        if not waiting[0][0].strip():
            waiting.pop(0)
            continue
        used = _Used(waiting, lines)
        try:
            cells = next(csv.reader(used, delimiter=mapping.delimiter, quotechar=mapping.quote, strict=True))
            if len(cells) > MAX_COLUMNS:
                raise csv.Error(f"more than {MAX_COLUMNS} cells")
        except csv.Error as error:
            # What follows its first line is read anew.
            _, start, end = waiting.pop(0)
            yield f"not a row of CSV: {error}; correct it at the sender", start, end
            continue
        taken, waiting = waiting[: used.count], waiting[used.count :]
        yield cells, taken[0][1], taken[-1][2]


class _Used:
    """The lines of one row, as many as its quotes ask for; they stay in `waiting`."""

    def __init__(self, waiting: list[_Placed], lines: Iterator[_Placed]) -> None:
        self.count = 0
        self._waiting = waiting
        self._lines = lines

    def __iter__(self) -> _Used:
        return self

    def __next__(self) -> str:
        if self.count == MAX_LINES_OF_ROW:
            raise StopIteration
        if self.count == len(self._waiting):
            self._waiting.append(next(self._lines))
        self.count += 1
        return self._waiting[self.count - 1][0]


def _lines(document: bytes, encoding: str) -> Iterator[_Placed]:
    """Physical lines with their line ends. What is too long for a line is cut, and so is no row."""
    codec = wide_codec(document)
    if codec is not None:
        at = 0
        for line in StringIO(document.decode(codec, "replace"), newline=""):
            end = min(at + len(line.encode(codec, "replace")), len(document))
            yield line.removeprefix("\ufeff"), at, end
            at = end
        return
    decode = code_page(encoding).decode
    at = 3 if document.startswith(b"\xef\xbb\xbf") else 0
    size = len(document)
    while at < size:
        end = document.find(b"\n", at, at + MAX_LINE_BYTES) + 1
        if not end:
            end = min(at + MAX_LINE_BYTES, size)
        yield decode(document[at:end]), at, end
        at = end
