"""Receipts out of rows: of a CSV file, or of a query to a POS's database.

Owns the grouping of rows and what a cell's text means by the mapping. Pure: rows in, receipts out. A cell is text and
never a formula. Never knows where rows come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final, TypeVar, get_args

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from drivers.receipts.dates import date_in
from drivers.receipts.port import DecodeOptions, MalformedReceiptError, Part
from drivers.receipts.row_mapping import RowMapping
from drivers.receipts.wording import line_kind, printed_moment
from loyalty.check_digit import GTIN_LENGTHS, has_valid_check_digit
from loyalty.identity import identified
from loyalty.money import AmountError, to_minor
from loyalty.pan import first_pan
from loyalty.receipt import (
    Discount,
    Line,
    LineKind,
    MemberReference,
    Original,
    Problem,
    Receipt,
    ReceiptKind,
    ReceiptStatus,
    Tax,
    Tender,
    TenderKind,
)

# The longest receipt that tills print has some hundred lines; a group without an end must not take all the memory.
MAX_ROWS_OF_RECEIPT: Final = 5_000
NO_CURRENCY: Final = "XXX"

# Thousands may be parted by the other mark or a space, in threes; anything else is no number of the mapping.
_NUMBERS: Final = {
    ".": re.compile(r"[-+]?(?:\d{1,3}(?:[, \u00a0]\d{3}){1,4}|\d{1,15})(?:\.\d{1,9})?", re.ASCII).fullmatch,
    ",": re.compile(r"[-+]?(?:\d{1,3}(?:[. \u00a0]\d{3}){1,4}|\d{1,15})(?:,\d{1,9})?", re.ASCII).fullmatch,
}
_PARTING: Final = {".": str.maketrans("", "", ", \u00a0"), ",": str.maketrans("", "", ". \u00a0")}

_Said = TypeVar("_Said", ReceiptKind, ReceiptStatus, TenderKind, LineKind)


class Row(Struct, frozen=True, kw_only=True):
    """A row: its cells by column, and where it stands, in bytes of a file or in rows of an answer.

    `broken` says what is wrong with a row whose cells cannot be told apart.
    """

    cells: Mapping[str, str]
    start: int
    end: int
    broken: str = ""


def cell_text(value: object) -> str:
    """The text of a database's value, as a file would have it, with a decimal point and dates as `2026-11-22`."""
    match value:
        case None:
            return ""
        case bool():
            return "1" if value else "0"
        case float():
            # Some databases have no decimals; the shortest text that means the value is what was stored.
            return f"{Decimal(repr(value)):f}"
        case Decimal():
            return f"{value:f}"
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "replace")
        case _:
            return str(value)


def receipts_of(rows: Iterable[Row], mapping: RowMapping, options: DecodeOptions) -> Iterator[tuple[Part, int, int]]:
    """Each receipt, or why it cannot be read, with the place of its rows. Never raises.

    Rows of one receipt stand next to each other. Where one of them is broken, the receipt is, too.
    """
    for group in _grouped(rows, mapping.group):
        yield _read(group, mapping, options), group[0].start, group[-1].end


def _grouped(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[list[Row]]:
    group: list[Row] = []
    names: tuple[str, ...] | None = None
    for row in rows:
        name = tuple(row.cells.get(column, "") for column in columns)
        apart = not columns or not any(name) or name != names or len(group) >= MAX_ROWS_OF_RECEIPT
        if group and apart:
            yield group
            group = []
        group.append(row)
        names = name
    if group:
        yield group


def _read(group: Sequence[Row], mapping: RowMapping, options: DecodeOptions) -> Part:
    broken = next((row.broken for row in group if row.broken), "")
    try:
        if broken:
            raise MalformedReceiptError("bad_row", broken)
        receipt = _Reading(group, mapping, options).receipt()
    except AmountError as error:
        return MalformedReceiptError("bad_amount", f"{error}; correct the row, or the mapping")
    except MalformedReceiptError as error:
        return error
    except Exception as error:  # noqa: BLE001 - one bad receipt never stops the others
        return MalformedReceiptError("reader_failed", f"reader csv failed ({type(error).__name__}); report it")
    job = repr([sorted(row.cells.items()) for row in group]).encode("utf-8", "replace")
    return identified(receipt, job)


class _Reading:
    """One receipt as it is read: facts come from the first row that has them."""

    def __init__(self, rows: Sequence[Row], mapping: RowMapping, options: DecodeOptions) -> None:
        self._rows = rows
        self._mapping = mapping
        self._options = options
        told = self._fact(mapping.receipt.currency) or mapping.constants.currency or options.currency
        self._currency = told or NO_CURRENCY

    def receipt(self) -> Receipt:
        mapping, columns, constants = self._mapping, self._mapping.receipt, self._mapping.constants
        lines = self._lines()
        total = self._minor(columns.total)
        discount, rounding = self._minor(columns.discount) or 0, self._minor(columns.rounding) or 0
        taxes = self._taxes()
        if total is None:
            if not lines:
                raise MalformedReceiptError("no_total", "the rows have no total and no amount; correct the mapping")
            on_top = sum(tax.amount_minor for tax in taxes if not tax.included)
            total = sum(line.amount_minor for line in lines if not line.voided) - discount + on_top + rounding
        kind = self._kind(total, lines)
        sign = _Signs(kind == "return" and mapping.signs == "by_kind")
        day, issued_at, problems = self._when()
        member, original = self._fact(columns.member), self._fact(columns.original_number)
        total = sign(total)
        tenders = tuple(replace(tender, amount_minor=sign(tender.amount_minor)) for tender in self._tenders(total))
        change = self._minor(columns.change)
        over = sum(tender.amount_minor for tender in tenders) - total
        return Receipt(
            key="",
            source="csv",
            kind=kind,
            status=self._said(columns.status, mapping.values.status, ReceiptStatus) or constants.status or "final",
            store=self._fact(columns.store) or constants.store or self._options.store or UNSET,
            register=self._fact(columns.register) or constants.register or self._options.register or UNSET,
            number=self._fact(columns.number) or UNSET,
            business_day=day or UNSET,
            issued_at=issued_at,
            operator=self._fact(columns.operator) or UNSET,
            currency=self._currency,
            total_minor=total,
            rounding_minor=rounding,
            lines=tuple(sign.line(line) for line in lines),
            discounts=(Discount(amount_minor=sign(discount)),) if discount else (),
            taxes=tuple(replace(tax, amount_minor=sign(tax.amount_minor)) for tax in taxes),
            tenders=tenders,
            change_minor=sign(change) if change is not None else over if tenders and total >= 0 < over else 0,
            original=Original(number=original) if original and kind != "sale" else UNSET,
            member=MemberReference(code=member, entry="receipt") if member and first_pan(member) is None else UNSET,
            problems=problems,
        )

    def _fact(self, column: str | None) -> str:
        if column is None:
            return ""
        return next((text for row in self._rows if (text := " ".join(row.cells.get(column, "").split()))), "")

    def _said(
        self, column: str | None, known: Mapping[str, _Said], names: object, row: Row | None = None
    ) -> _Said | None:
        """What a word in a column means. Raises MalformedReceiptError where nobody says."""
        text = self._fact(column) if row is None else " ".join(row.cells.get(column or "", "").split())
        if not text:
            return None
        if text in known:
            return known[text]
        found = next((name for name in get_args(names) if name == text), None)
        if found is None:
            detail = f"column {column!r} says {text[:40]!r}; name it in the mapping's [values]"
            raise MalformedReceiptError("bad_value", detail)
        return found  # type: ignore[no-any-return]

    def _kind(self, total: int, lines: Sequence[Line]) -> ReceiptKind:
        said = self._said(self._mapping.receipt.kind, self._mapping.values.kind, ReceiptKind)
        if said is not None or self._mapping.constants.kind is not None:
            return said or self._mapping.constants.kind or "sale"
        counted = [line.amount_minor for line in lines if not line.voided]
        return "return" if total < 0 and all(amount <= 0 for amount in counted) else "sale"

    def _number(self, text: str) -> str:
        """A cell as a decimal text. Raises AmountError."""
        mark = self._mapping.decimal_mark
        if _NUMBERS[mark](text) is None:
            raise AmountError(f"{text[:40]!r} is no number with the decimal mark {mark!r}")
        return text.translate(_PARTING[mark]).replace(",", ".").removeprefix("+")

    def _minor(self, column: str | None, row: Row | None = None) -> int | None:
        text = self._fact(column) if row is None else row.cells.get(column or "", "").strip()
        if not text:
            return None
        number = self._number(text)
        whole, _, fraction = number.partition(".")
        return to_minor(f"{whole}.{fraction.rstrip('0')}" if fraction.rstrip("0") else whole, self._currency)

    def _lines(self) -> list[Line]:
        columns = self._mapping.line
        if columns is None:
            return []
        lines: list[Line] = []
        for row in self._rows:
            amount = self._minor(columns.amount, row)
            if amount is None:
                continue

            def text(column: str | None, row: Row = row) -> str | UnsetType:
                return " ".join(row.cells.get(column or "", "").split()) or UNSET

            description, quantity, price = text(columns.description), text(columns.quantity), text(columns.unit_price)
            label, gtin = text(columns.tax_label), text(columns.gtin)
            kind = self._said(columns.kind, self._mapping.values.line, LineKind, row)
            lines.append(
                Line(
                    position=len(lines) + 1,
                    kind=kind or line_kind(description or ""),
                    description=description,
                    gtin=gtin if gtin and _is_gtin(gtin) else UNSET,
                    sku=text(columns.sku),
                    quantity=self._number(quantity) if quantity else UNSET,
                    unit=text(columns.unit),
                    unit_price=self._number(price) if price else UNSET,
                    discount_minor=self._minor(columns.discount, row) or 0,
                    amount_minor=amount,
                    tax_labels=(label,) if label else (),
                    voided=text(columns.voided) in self._mapping.values.voided,
                    department=text(columns.department),
                )
            )
        return lines

    def _tenders(self, total: int) -> Iterator[Tender]:
        for part in self._mapping.tenders:
            amount = self._minor(part.column)
            if amount:
                yield Tender(kind=part.kind, amount_minor=amount)
        named = self._mapping.tender
        said = self._said(named.kind, self._mapping.values.tender, TenderKind) if named is not None else None
        if named is not None and said is not None:
            amount = self._minor(named.amount)
            yield Tender(
                kind=said, description=self._fact(named.kind), amount_minor=total if amount is None else amount
            )

    def _taxes(self) -> tuple[Tax, ...]:
        found = []
        for part in self._mapping.taxes:
            amount = self._minor(part.column)
            if amount:
                label, name, rate = part.label or UNSET, part.name or UNSET, part.rate or UNSET
                found.append(Tax(label=label, name=name, rate=rate, amount_minor=amount, included=part.included))
        return tuple(found)

    def _when(self) -> tuple[date | None, datetime | UnsetType, tuple[Problem, ...]]:
        columns, forms = self._mapping.receipt, self._mapping.dates
        named = columns.issued_at or ()
        text = " ".join(self._fact(column) for column in ((named,) if isinstance(named, str) else named))
        printed = date_in(text, forms)
        written = self._fact(columns.business_day)
        day = date_in(written, forms)
        if (written and day is None) or (text.strip() and printed is None):
            detail = f"{(written or text)[:40]!r} is no date of the mapping's forms; correct `dates`"
            raise MalformedReceiptError("no_time", detail)
        moment = printed_moment(printed, text, self._options.time_zone) if printed is not None else None
        problems = []
        if self._currency == NO_CURRENCY:
            problems.append(Problem(code="currency_unknown", detail="name the currency in the mapping or the settings"))
        if moment is None and printed is not None and ":" in text:
            problems.append(Problem(code="time_zone_unknown", detail="name the time zone in the settings"))
        return day or printed, moment or UNSET, tuple(problems)


class _Signs:
    """Makes amounts of a return negative, whatever is written."""

    def __init__(self, turns: bool) -> None:
        self._turns = turns

    def __call__(self, minor: int) -> int:
        return -abs(minor) if self._turns else minor

    def line(self, line: Line) -> Line:
        if not self._turns:
            return line
        quantity = line.quantity
        return replace(
            line,
            quantity=f"-{quantity.removeprefix('-')}" if quantity and quantity.strip("-0.") else quantity,
            discount_minor=self(line.discount_minor),
            amount_minor=self(line.amount_minor),
        )


def _is_gtin(text: str) -> bool:
    return len(text) in GTIN_LENGTHS and text.isascii() and text.isdecimal() and has_valid_check_digit(text)
