"""The money of a Serbian journal: its total, what was paid with what, the change, and the taxes.

Owns the means of payment by name and the signs of a refund. Never says whether it adds up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from msgspec import UNSET, Struct

from drivers.receipts.journal_items import CURRENCY
from drivers.receipts.journal_rows import AMOUNT, LABELS, MAX_LABEL_LETTERS, Row, joined
from drivers.receipts.port import MalformedReceiptError
from drivers.receipts.wording import WORDS_REMEMBERED, amount_minor, compact, decimal_text
from loyalty.receipt import Tax, Tender, TenderKind

# A label that is wrapped with its amount takes three lines at most.
MAX_LABEL_LINES: Final = 3

_TENDERS: Final[dict[str, TenderKind]] = {
    "GOTOVINA": "cash", "CASH": "cash",
    "PLATNAKARTICA": "card", "KARTICA": "card", "CARD": "card", "PAYMENTCARD": "card",
    "INSTANTPLACANJE": "instant", "INSTANTPAYMENT": "instant", "MOBILEMONEY": "instant", "IPS": "instant",
    "PRENOSNARACUN": "transfer", "WIRETRANSFER": "transfer", "BANKTRANSFER": "transfer",
    "VAUCER": "voucher", "VOUCHER": "voucher",
    "CEK": "cheque", "CEKOVI": "cheque", "CHECK": "cheque", "CHEQUE": "cheque",
    "DRUGOBEZGOTOVINSKOPLACANJE": "other", "OTHERCASHLESSPAYMENT": "other", "OTHER": "other",
}  # fmt: skip
# Lines beside payments that sum up what others say.
SUMS: Final = ("UKUPNO", "TOTAL", "PREOSTALO", "ZAUPLATU", "REMAINING")

# Texts are without blanks at their ends when these look at them; so what is hostile costs no more than its length.
_LABELLED_AMOUNT: Final = re.compile(rf"(.{{1,60}}?\S)(?:\s?:\s*|\s{{2,}}:?\s*)({AMOUNT})", re.DOTALL)
_TAX_ROW: Final = re.compile(
    rf"(\S{{1,3}})\s+(?:(\S.{{0,60}}?)\s+)?(\d{{1,3}}[.,]\d{{1,2}})\s*%\s*({AMOUNT})", re.DOTALL
)


class Payments(Struct, frozen=True, kw_only=True, gc=False):
    total_minor: int
    tenders: tuple[Tender, ...]
    change_minor: int


def payments_of(rows: Sequence[Row], width: int, *, is_return: bool) -> Payments:
    """Total, tenders and change: labels with amounts, either of which narrow paper wraps.

    Raises MalformedReceiptError (`no_total`) and AmountError.
    """
    sign = -1 if is_return else 1
    total: int | None = None
    tenders: list[Tender] = []
    change: int | None = None
    for label, amount in _labelled_amounts(rows, width):
        if total is None:
            total = signed(amount, is_return=is_return)
            continue
        word = compact(label)
        field = LABELS.get(word)
        if field == "change":
            change = signed(amount, is_return=is_return)
        elif field not in ("paid", "total", "tax_total") and not word.startswith(SUMS):
            kind = tender_kind(word)
            tenders.append(Tender(kind=kind, description=label, amount_minor=sign * abs(amount)))
    if total is None:
        raise MalformedReceiptError("no_total", "the total cannot be read; the journal is damaged, print it again")
    return Payments(total_minor=total, tenders=tuple(tenders), change_minor=change_of(total, tenders, change))


def signed(amount: int, *, is_return: bool) -> int:
    """On a refund every amount is negative, whatever is printed."""
    return -abs(amount) if is_return else amount


def tender_kind(word: str) -> TenderKind:
    """By the whole label, or by its beginning: `Платна картица Visa`."""
    known = _TENDERS.get(word)
    if known is not None:
        return known
    return next((kind for name, kind in _TENDERS.items() if word.startswith(name)), "other")


def _labelled_amounts(rows: Sequence[Row], width: int) -> Iterator[tuple[str, int]]:
    begun: list[Row] = []
    for row, following in zip_longest(rows, rows[1:]):
        if row.mark in ("rule", "title") or not row.text.strip():
            begun = []
            continue
        begun = [*begun[1 - MAX_LABEL_LINES :], row]
        if following is not None and following.is_number:
            continue
        found = _labelled_amount(joined(begun, width))
        if found is None and len(begun) > 1:
            found = _labelled_amount("".join(part.text.rstrip() for part in begun))
        if found is not None:
            yield found
            begun = []


@lru_cache(maxsize=WORDS_REMEMBERED)
def _labelled_amount(text: str) -> tuple[str, int] | None:
    text = text.strip()
    match = _LABELLED_AMOUNT.fullmatch(text) if text and text[-1].isdigit() else None
    if match is None or len(match[1]) > MAX_LABEL_LETTERS:
        return None
    return " ".join(match[1].split()), amount_minor(match[2], CURRENCY)


def change_of(total: int, tenders: Sequence[Tender], printed: int | None) -> int:
    """The printed change, or what was paid beyond the total where none is printed."""
    if printed is not None or not tenders:
        return printed or 0
    over = sum([tender.amount_minor for tender in tenders]) - total
    return over if (over > 0) == (total >= 0) else 0


def taxes_of(rows: Sequence[Row], width: int, *, is_return: bool) -> tuple[Tax, ...]:
    """The rows of the tax table, up to its total."""
    taxes: list[Tax] = []
    begun: Row | None = None
    for row in rows:
        if row.field == "tax_total":
            break
        tax = tax_of(row.text)
        if tax is None and begun is not None:
            tax = tax_of(joined((begun, row), width))
        begun = row if tax is None and not row.mark and row.text.strip() else None
        if tax is not None:
            taxes.append(_given_back(tax) if is_return else tax)
    return tuple(taxes)


@lru_cache(maxsize=WORDS_REMEMBERED)
def tax_of(text: str) -> Tax | None:
    """A row of the tax table; None for any other line."""
    match = _TAX_ROW.fullmatch(text.strip())
    if match is None:
        return None
    label, name, rate, amount = match.groups()
    return Tax(
        label=label,
        name=" ".join(name.split()) if name else UNSET,
        rate=decimal_text(rate),
        amount_minor=amount_minor(amount, CURRENCY),
    )


def _given_back(tax: Tax) -> Tax:
    amount = signed(tax.amount_minor, is_return=True)
    return Tax(label=tax.label, name=tax.name, rate=tax.rate, amount_minor=amount)
