"""The journal as most tills print it, read in one go: parted at its rules, each part in the one form that is usual.

Owns what is usual: a sale, amounts as `1.234,56`, labels on the lines of their values, five rules of one length. What
is in any other form it leaves to the reader of lines (`journal`), and what it takes it reads as that one does: the
parts that repeat, by its very functions, and remembered. Never says why it left a journal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from msgspec import UNSET

from drivers.receipts.journal_head import TIME_ZONE, Head, head_of
from drivers.receipts.journal_issuer import HEADS_REMEMBERED, TITLE_TO_TIN_LINES, tin_follows
from drivers.receipts.journal_items import CURRENCY, ONLY_AMOUNTS, Article, article_of
from drivers.receipts.journal_money import SUMS, change_of, tax_of, tender_kind
from drivers.receipts.journal_rows import (
    KNOWN_ROWS,
    LABELS,
    MAX_LABEL_LETTERS,
    MAX_PAPER_LETTERS,
    MIN_LABEL_LETTERS,
    Field,
    Mark,
    joined,
    read_row,
    rows_of,
)
from drivers.receipts.wording import WORDS_REMEMBERED, compact
from loyalty.receipt import Fiscal, Line, Receipt, Tax, Tender, TenderKind

# Between the parts of a journal: behind the heading of the items, the payments, the taxes, the numbers.
PARTS: Final = 5
# What is longer is no head, and not remembered.
MAX_HEAD_LETTERS: Final = 2_000

_EDGE: Final = re.compile(
    r"= (?:(ФИСКАЛНИ РАЧУН|FISKALNI RAČUN|FISCAL INVOICE)"
    r"|КРАЈ ФИСКАЛНОГ РАЧУНА|KRAJ FISKALNOG RAČUNA|END OF FISCAL INVOICE) =+(?=\n|\Z)"
)
_RULE: Final = re.compile(rf"\n(={{3,{MAX_PAPER_LETTERS}}})\n")
# Nine digits before the thousands' points of an amount are far below what a receipt can hold.
_AMOUNT: Final = r"([0-9]{1,3}(?:\.[0-9]{3}){0,2}),([0-9]{2})"
_QUANTITY: Final = r"([0-9]{1,4})(?:,([0-9]{1,3}))?"
# The lines of a name, and under them price, quantity and amount.
_ITEM: Final = re.compile(rf"([^\n]+(?:\n[^\n]+)*?)\n {{0,60}}{_AMOUNT} {{1,60}}{_QUANTITY} {{1,60}}{_AMOUNT}(?:\n|\Z)")
# Neither what markup is made of, nor a second colon. A line is no longer than a row may be.
_LABEL: Final = rf"([^\n:&<]{{{MIN_LABEL_LETTERS},{MAX_LABEL_LETTERS}}}): {{0,80}}"
_LABELLED_AMOUNT: Final = re.compile(_LABEL + _AMOUNT).fullmatch
_TAX: Final = re.compile(rf"([^%:&<]{{1,80}})% {{0,60}}{_AMOUNT}").fullmatch
_NUMBERS: Final = re.compile(
    rf"{_LABEL}([0-9]{{1,2}})\.([0-9]{{1,2}})\.([0-9]{{4}})\.? {{1,9}}([0-9]{{1,2}}):([0-9]{{2}}):([0-9]{{2}})\n"
    rf"{_LABEL}([A-Z0-9]{{8}}-[A-Z0-9]{{8}}-[0-9]{{1,12}})\n"
    rf"{_LABEL}([0-9]{{1,12}}/[0-9]{{1,12}}[^\W\d_]{{2}})"
).fullmatch
_ZONE: Final = ZoneInfo(TIME_ZONE)


def usual_journals(texts: Sequence[str]) -> Iterator[tuple[int, int, Receipt]]:
    """The usual journals in the lines of a paper: the first line, the one behind the last, and what they say.

    The receipt has neither key nor code, and nothing of the shop's settings.
    """
    text = "\n".join(texts)
    if text.count("\n") != len(texts) - 1:
        return
    title: re.Match[str] | None = None
    line = at = 0
    for edge in _EDGE.finditer(text):
        if edge[1] is not None:
            title = edge
        elif title is not None:
            start = text.rfind("\n", 0, title.start()) + 1
            receipt = _usual(text[start : edge.end()])
            if receipt is not None:
                line += text.count("\n", at, start)
                first, at = line, edge.end()
                line += text.count("\n", start, at)
                yield first, line + 1, receipt
            title = None


def _usual(text: str) -> Receipt | None:
    """The receipt of one whole journal; None where anything in it is out of the way."""
    rule = _RULE.search(text)
    if rule is None:
        return None
    parts = text.split(rule.group())
    width = len(rule[1])
    if len(parts) != PARTS or len(parts[0]) > MAX_HEAD_LETTERS:
        return None
    head = _HEADS[parts[0], width]
    if head is None or _mark_of(parts[4]) != "end":
        return None
    dashes = f"\n{'-' * width}\n"
    sold, _, paid = parts[1].partition(dashes)
    heading, _, items = sold.partition("\n")
    tax_table, _, tax_total = parts[2].partition(dashes)
    numbers = _NUMBERS(parts[3])
    if numbers is None or _mark_of(heading) != "columns" or not _is_tax_total(tax_total):
        return None
    lines, payments, taxes = _lines(items, width), _payments(paid), _taxes(tax_table)
    moment = _moment(numbers)
    if lines is None or payments is None or taxes is None or moment is None:
        return None
    total, tenders, change = payments
    number, counter = numbers[9], numbers[11]
    return Receipt(
        key="",
        kind=head.kind,
        status=head.status,
        number=number,
        business_day=moment.date(),
        issued_at=moment,
        operator=head.operator,
        currency=CURRENCY,
        total_minor=total,
        lines=lines,
        taxes=taxes,
        tenders=tenders,
        change_minor=change,
        fiscal=Fiscal(scheme="rs-purs", number=number, counter=counter, issuer=head.issuer),
    )


class _KnownHeads(dict[tuple[str, int], Head | None]):
    """Heads by their text and the width of their paper: a shop's are those of its cashiers.

    Asked for one that it does not know, it reads it. One that is out of the way is None and not kept, as a buyer's
    number may stand in it.
    """

    def __missing__(self, key: tuple[str, int]) -> Head | None:
        head = _read_head(*key)
        if head is not None:
            if len(self) >= HEADS_REMEMBERED:
                self.clear()
            self[key] = head
        return head


_HEADS: Final = _KnownHeads()


def _read_head(text: str, width: int) -> Head | None:
    """The lines from the title to the rule above the columns; of a sale without buyer and reference."""
    texts = text.split("\n")
    rows = rows_of(texts)
    marks: list[Mark] = [row.mark for row in rows]
    if marks[0] != "title" or sorted(filter(None, marks)) != ["title", "type"]:
        return None
    if not tin_follows(texts[1 : 2 * TITLE_TO_TIN_LINES]):
        return None
    head = head_of(texts, rows, marks, width)
    return head if head.kind == "sale" and not head.has_buyer and not head.original else None


def _lines(text: str, width: int) -> tuple[Line, ...] | None:
    """The items."""
    lines: list[Line] = []
    at = 0
    for item in _ITEM.finditer(text):
        name, whole, cents, pieces, part, amount, amount_cents = item.groups("")
        article = _article(name, width, bool(part.strip("0"))) if item.start() == at else None
        if article is None:
            return None
        at = item.end()
        whole = whole.replace(".", "")
        minor = int(amount.replace(".", "") + amount_cents)
        lines.append(
            Line(
                position=len(lines) + 1,
                kind=article.kind,
                description=article.name or UNSET,
                gtin=article.gtin,
                quantity=f"{pieces}.{part}" if part else pieces,
                unit=article.unit,
                unit_price=f"{whole}.{cents}",
                discount_minor=_hidden_discount(int(pieces + part), 10 ** len(part), int(whole + cents), minor),
                amount_minor=minor,
                tax_labels=article.labels,
            )
        )
    return tuple(lines) if at == len(text) else None


@lru_cache(maxsize=WORDS_REMEMBERED)
def _article(name: str, width: int, is_fraction: bool) -> Article | None:
    """What the lines of a name say; None where one of them may be something else."""
    rows = rows_of(name.split("\n"))
    if len(name) > MAX_PAPER_LETTERS or any(
        row.mark or not row.text.strip() or ONLY_AMOUNTS.fullmatch(row.text) for row in rows
    ):
        return None
    return article_of(joined(rows, width), is_fraction)


def _hidden_discount(parts: int, parts_of_one: int, price_minor: int, amount_minor: int) -> int:
    """What a line's price and its quantity, `parts` of `parts_of_one`, come to beyond its amount and any rounding."""
    exact = parts * price_minor
    hidden = (2 * exact + parts_of_one) // (2 * parts_of_one) - amount_minor
    return hidden if hidden > 0 and 2 * hidden * parts_of_one > parts_of_one + parts else 0


def _payments(text: str) -> tuple[int, tuple[Tender, ...], int] | None:
    """Total, tenders and change; each line has its label and its amount."""
    total = change = None
    tenders: list[Tender] = []
    for row in text.split("\n"):
        found = _LABELLED_AMOUNT(row)
        role = _role(found[1]) if found is not None else None
        if found is None or role is None or (total is None and role != "total"):
            return None
        minor = int(found[2].replace(".", "") + found[3])
        total = minor if total is None else total
        match role:
            case "change":
                change = minor
            case "total" | "sum":
                pass
            case kind:
                tenders.append(Tender(kind=kind, description=found[1].rstrip(" "), amount_minor=minor))
    return (total, tuple(tenders), change_of(total, tenders, change)) if total is not None else None


@lru_cache(maxsize=WORDS_REMEMBERED)
def _role(label: str) -> TenderKind | Literal["total", "sum", "change"] | None:
    """What the amount behind a label is; None where the line may be no payment."""
    row = read_row(f"{label}: 0,00")
    if not _is_plain(label) or row.mark not in ("", "total"):
        return None
    word = compact(label)
    match row.field:
        case "total":
            return "total"
        case "change":
            return "change"
        case "paid" | "tax_total":
            return "sum"
        case None:
            return "sum" if word.startswith(SUMS) else tender_kind(word)
        case _:
            return None


def _taxes(text: str) -> tuple[Tax, ...] | None:
    """The rows of the tax table under their heading."""
    heading, *rows = text.split("\n")
    if _mark_of(heading) != "tax columns":
        return None
    taxes: list[Tax] = []
    for row in rows:
        match = _TAX(row)
        kind = _tax_kind(match[1]) if match is not None else None
        if match is None or kind is None:
            return None
        minor = int(match[2].replace(".", "") + match[3])
        taxes.append(Tax(label=kind.label, name=kind.name, rate=kind.rate, amount_minor=minor))
    return tuple(taxes)


@lru_cache(maxsize=WORDS_REMEMBERED)
def _tax_kind(said: str) -> Tax | None:
    """Label, name and rate of a row, as of one without an amount; None where it may be no tax."""
    text = f"{said}% 0,00"
    row = read_row(text)
    return tax_of(row.text) if not row.mark and row.field is None else None


def _is_tax_total(text: str) -> bool:
    match = _LABELLED_AMOUNT(text)
    return match is not None and _field(match[1]) == "tax_total"


def _moment(numbers: re.Match[str]) -> datetime | None:
    """When the journal was issued; None where it says no time, or one of its labels is another's."""
    if (_field(numbers[1]), _field(numbers[8]), _field(numbers[10])) != ("time", "number", "counter"):
        return None
    day, month, year, hour, minute, second = map(int, numbers.groups()[1:7])
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=_ZONE)
    except ValueError:
        return None


@lru_cache(maxsize=WORDS_REMEMBERED)
def _field(label: str) -> Field | None:
    return LABELS.get(compact(label)) if _is_plain(label) else None


def _is_plain(label: str) -> bool:
    """Whether single blanks alone stand between the words of a label, and one at most behind the last."""
    return label.isprintable() and label.removesuffix(" ") == " ".join(label.split()) and len(label.strip()) > 1


def _mark_of(line: str) -> Mark:
    """What a heading is; nothing where it is more than a line."""
    return KNOWN_ROWS[line].mark if "\n" not in line and len(line) <= MAX_PAPER_LETTERS else ""
