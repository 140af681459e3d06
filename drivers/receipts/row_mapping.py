"""A mapping as data: which columns of a table say which facts of a receipt.

Owns the mapping's types and checks; `docs/csv.md` explains every key. Never reads a file, a table or a receipt
(`csv_rows` and `row_receipts` do).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from drivers.escpos.codepages import CodePageError, code_page
from drivers.receipts.dates import DateFormat, DateFormatError, check_date_format
from loyalty.receipt import Currency, DecimalText, LineKind, ReceiptKind, ReceiptStatus, TenderKind

# A mapping fills a page; a table of a POS has some dozen columns.
MAX_MAPPING_BYTES: Final = 64 * 1024
MAX_COLUMNS: Final = 256

Column = Annotated[str, Meta(min_length=1, max_length=256)]
Columns = Annotated[tuple[Column, ...], Meta(min_length=1, max_length=8)]
OneLetter = Annotated[str, Meta(min_length=1, max_length=1)]
Text = Annotated[str, Meta(min_length=1, max_length=256)]


class MappingError(ValueError):
    """A mapping cannot be used. The message names where it is from, the key and the remedy."""


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a mapping."""


class ReceiptColumns(_Part, frozen=True, kw_only=True):
    """Columns of a receipt's facts. `issued_at` may be one, or several: the date and the time."""

    number: Column | None = None
    store: Column | None = None
    register: Column | None = None
    business_day: Column | None = None
    issued_at: Column | Columns | None = None
    operator: Column | None = None
    currency: Column | None = None
    kind: Column | None = None
    status: Column | None = None
    total: Column | None = None
    discount: Column | None = None
    rounding: Column | None = None
    change: Column | None = None
    member: Column | None = None
    original_number: Column | None = None


class Constants(_Part, frozen=True, kw_only=True):
    """Facts that no column says, since they are the same in every row."""

    store: Text | None = None
    register: Text | None = None
    currency: Currency | None = None
    kind: ReceiptKind | None = None
    status: ReceiptStatus | None = None


class LineColumns(_Part, frozen=True, kw_only=True):
    """Columns of what was sold; a row without an `amount` has no line."""

    amount: Column
    description: Column | None = None
    gtin: Column | None = None
    sku: Column | None = None
    quantity: Column | None = None
    unit: Column | None = None
    unit_price: Column | None = None
    discount: Column | None = None
    tax_label: Column | None = None
    department: Column | None = None
    kind: Column | None = None
    voided: Column | None = None


class TenderColumn(_Part, frozen=True, kw_only=True):
    """A column that holds what was paid in one way."""

    column: Column
    kind: TenderKind


class NamedTender(_Part, frozen=True, kw_only=True):
    """Columns that name how was paid and how much; without `amount` it is the total."""

    kind: Column
    amount: Column | None = None


class TaxColumn(_Part, frozen=True, kw_only=True):
    """A column that holds one tax of the receipt."""

    column: Column
    label: Text | None = None
    name: Text | None = None
    rate: DecimalText | None = None
    included: bool = True


class Values(_Part, frozen=True, kw_only=True):
    """What the words in columns mean. A word that is not named here is taken if it is one of the contract's."""

    kind: dict[str, ReceiptKind] = {}
    status: dict[str, ReceiptStatus] = {}
    tender: dict[str, TenderKind] = {}
    line: dict[str, LineKind] = {}
    voided: tuple[str, ...] = ("1", "true", "yes", "Y", "X")


class RowMapping(_Part, frozen=True, kw_only=True):
    """How a table is read. `group` names columns that are alike in all rows of a receipt; without it each row is one.

    `signs`: `by_kind` makes everything on a return negative, whatever is written; `as_written` takes it as it is.
    """

    delimiter: OneLetter = ","
    quote: OneLetter = '"'
    encoding: Text = "UTF-8"
    header: bool = True
    decimal_mark: Literal[".", ","] = "."
    dates: tuple[DateFormat, ...] = ()
    group: Annotated[tuple[Column, ...], Meta(max_length=8)] = ()
    signs: Literal["by_kind", "as_written"] = "by_kind"
    receipt: ReceiptColumns = ReceiptColumns()
    constants: Constants = Constants()
    line: LineColumns | None = None
    tender: NamedTender | None = None
    tenders: Annotated[tuple[TenderColumn, ...], Meta(max_length=16)] = ()
    taxes: Annotated[tuple[TaxColumn, ...], Meta(max_length=16)] = ()
    values: Values = Values()

    def columns(self) -> tuple[str, ...]:
        """Every column that it names."""
        named = [*self.group, *_named(self.receipt)]
        named += [*_named(self.line), *_named(self.tender)]
        named += [part.column for part in self.tenders] + [part.column for part in self.taxes]
        return tuple(dict.fromkeys(named))


def _named(part: Struct | None) -> Iterator[str]:
    for name in part.__struct_fields__ if part is not None else ():
        column = getattr(part, name)
        if column is not None:
            yield from (column,) if isinstance(column, str) else column


def mapping_from(document: bytes, where: str) -> RowMapping:
    """The mapping in a TOML `document` that came from `where`. Raises MappingError."""
    if len(document) > MAX_MAPPING_BYTES:
        raise MappingError(f"{where}: larger than {MAX_MAPPING_BYTES} bytes. This is no mapping; name another file")
    try:
        content = tomllib.loads(document.decode())
    except UnicodeDecodeError as error:
        raise MappingError(f"{where}: byte {error.start}: not UTF-8. Save the file as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MappingError(f"{where}: not TOML: {error}. Correct that line") from error
    return mapping_of(content, where)


def mapping_of(content: Mapping[str, Any], where: str) -> RowMapping:
    """The mapping that a TOML table is, for settings that hold one. Raises MappingError."""
    unknown = next(_unknown_keys(content), None)
    if unknown is not None:
        raise MappingError(f"{where}: {unknown}")
    try:
        mapping = msgspec.convert(content, RowMapping)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at ")
        key = re.sub(r"\[(\d+)\]", lambda found: f" number {int(found[1]) + 1}", path.strip("`").removeprefix("$."))
        raise MappingError(f"{where}: {key}: {problem[:1].lower() + problem[1:]}. Correct the value") from error
    wrong = _what_types_cannot_say(mapping)
    if wrong:
        raise MappingError(f"{where}: {wrong}")
    return mapping


def _unknown_keys(content: Mapping[str, Any]) -> Iterator[str]:
    hints = get_type_hints(RowMapping)
    for name, value in content.items():
        if name not in hints:
            yield _unknown(name, "", RowMapping.__struct_fields__)
            continue
        part = _table_of(hints[name])
        if part is not None and isinstance(value, dict):
            unknown = (key for key in value if key not in part.__struct_fields__)
            yield from (_unknown(key, f"[{name}] ", part.__struct_fields__) for key in unknown)


def _table_of(hint: Any) -> type[Struct] | None:
    """The type of a key that is a table, if it is."""
    tables = (one for one in (hint, *get_args(hint)) if isinstance(one, type) and issubclass(one, Struct))
    return next(tables, None)


def _unknown(key: str, place: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    remedy = f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(sorted(known))}"
    return f"{place}{key}: no such key. {remedy}"


def _what_types_cannot_say(mapping: RowMapping) -> str:
    """What is wrong with the mapping as a whole; empty where nothing is."""
    for index, form in enumerate(mapping.dates, 1):
        try:
            check_date_format(form)
        except DateFormatError as error:
            return f"dates number {index}: {error}. Write it like dd.mm.yyyy"
    try:
        code_page(mapping.encoding)
    except CodePageError as error:
        return f"encoding: {error}"
    if mapping.delimiter == mapping.quote or mapping.delimiter in "\r\n" or mapping.quote in "\r\n":
        return "delimiter: it is the quote, or ends a line. Choose another letter"
    if mapping.receipt.total is None and mapping.line is None:
        return "[receipt] total: nothing says an amount. Name the column of the total, or [line] amount"
    if mapping.line is not None and not mapping.group and mapping.receipt.total is None:
        return "group: each row would be a receipt. Name columns that are alike in all rows of one, or [receipt] total"
    return ""
