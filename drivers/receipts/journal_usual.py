"""The journal as most tills print it, read in one go: parted at its rules, each part in the one form that is usual.

Owns what is usual: a sale, amounts as `1.234,56`, labels on the lines of their values, five rules of one length. What
is in any other form it leaves to the reader of lines (`journal`), and what it takes it reads as that one does: the
parts that repeat, by its very functions, and remembered. Never says why it left a journal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from msgspec import UNSET, Struct

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
from loyalty.money import AmountError
from loyalty.receipt import Fiscal, Line, Receipt, Tax, Tender, TenderKind

# A title begins so, and the rules of its journal are as long as it is.
RULED: Final = "==="
# So many lines are looked through for the next rule: some hundred items.
MAX_PART_LINES: Final = 400
# What is longer is no head, and not remembered.
MAX_HEAD_LETTERS: Final = 2_000
# A name on more lines is left to the reader of lines.
MAX_NAME_LINES: Final = 6

# Nine digits before the decimal mark of an amount are far below what a receipt can hold.
_AMOUNT: Final = r"([0-9]{1,3}(?:\.[0-9]{3}){0,2}),([0-9]{2})"
# Lines as they are joined, none longer than MAX_PAPER_LETTERS where its amounts stand.
_ITEMS: Final = re.compile(
    rf"^([^\n]*(?:\n[^\n]*){{0,{MAX_NAME_LINES - 1}}}?)\n"
    rf" {{0,40}}{_AMOUNT} {{1,40}}([0-9]{{1,4}})(?:,([0-9]{{1,3}}))? {{1,40}}{_AMOUNT} {{0,4}}$",
    re.MULTILINE,
).findall
# Neither what markup is made of, nor a second colon.
_LABEL: Final = rf"[^\n:&<]{{{MIN_LABEL_LETTERS},{MAX_LABEL_LETTERS}}}"
_IS_LABEL: Final = re.compile(_LABEL).fullmatch
_LABELLED: Final = re.compile(rf"^({_LABEL}): {{0,80}}{_AMOUNT} {{0,9}}$", re.MULTILINE).findall
_TAXES: Final = re.compile(rf"^([^\n%]{{1,80}})% {{0,40}}{_AMOUNT} {{0,9}}$", re.MULTILINE).findall
_NUMBERS: Final = re.compile(
    rf"({_LABEL}): {{0,80}}([0-9]{{1,2}}\.[0-9]{{1,2}}\.[0-9]{{4}})\.? {{1,9}}([0-9]{{1,2}}:[0-9]{{2}}:[0-9]{{2}})\n"
    rf"({_LABEL}): {{0,80}}([A-Z0-9]{{8}}-[A-Z0-9]{{8}}-[0-9]{{1,12}})\n"
    rf"({_LABEL}): {{0,80}}([0-9]{{1,12}}/[0-9]{{1,12}}[^\W\d_]{{2}})"
).fullmatch
_ZONE: Final = ZoneInfo(TIME_ZONE)


def usual_journals(texts: Sequence[str]) -> Iterator[tuple[int, int, Receipt]]:
    """The usual journals in the lines of a paper: the first line, the one behind the last, and what they say.

    The receipt has neither key nor code, and nothing of the shop's settings.
    """
    at = 0
    while at < len(texts):
        first, at = at, at + 1
        if texts[first][:3] == RULED and _mark_of(texts[first]) == "title":
            parts = _parts(texts, first)
            receipt = _usual(parts) if parts is not None else None
            if parts is not None and receipt is not None:
                at = parts.last
                yield first, at, receipt


class _Parts(Struct, frozen=True, gc=False):
    """What stands between the rules of a journal, on paper of a `width`; `last` is the line behind its end."""

    width: int
    last: int
    head: Sequence[str]
    sold: Sequence[str]
    paid: Sequence[str]
    taxes: Sequence[str]
    tax_total: Sequence[str]
    numbers: Sequence[str]


def _parts(texts: Sequence[str], first: int) -> _Parts | None:
    """The parts of the journal whose title is the line `first`; None where it is not parted as usual."""
    width = len(texts[first])
    rule, dashes = "=" * width, "-" * width
    at = first
    rules = []
    try:
        for line in (rule, dashes, rule, dashes, rule, rule):
            at = texts.index(line, at + 1, at + MAX_PART_LINES)
            rules.append(at)
    except ValueError:
        return None
    sold_at, paid_at, taxed_at, tax_total_at, numbered_at, over_at = rules
    end_at = over_at + 2 if _is_picture(texts[over_at + 1 : over_at + 2]) else over_at + 1
    if end_at >= len(texts) or _mark_of(texts[end_at]) != "end":
        return None
    return _Parts(
        width,
        end_at + 1,
        texts[first:sold_at],
        texts[sold_at + 1 : paid_at],
        texts[paid_at + 1 : taxed_at],
        texts[taxed_at + 1 : tax_total_at],
        texts[tax_total_at + 1 : numbered_at],
        texts[numbered_at + 1 : over_at],
    )


def _is_picture(texts: Sequence[str]) -> bool:
    """Whether a line is a picture and no more: a download has that of its code between the last rule and the end."""
    return any(text.startswith("<img ") and text.rfind("<") == 0 and text.find(">") == len(text) - 1 for text in texts)


def _mark_of(line: str) -> Mark:
    return KNOWN_ROWS[line].mark if len(line) <= MAX_PAPER_LETTERS else ""


def _usual(parts: _Parts) -> Receipt | None:
    """What a journal says; None where anything in it is out of the way."""
    numbers, title = _NUMBERS("\n".join(parts.numbers)), "\n".join(parts.head)
    if numbers is None or len(title) > MAX_HEAD_LETTERS:
        return None
    head, moment = _HEADS[title, parts.width], _moment(numbers)
    if head is None or moment is None or not _is_tax_total(parts.tax_total):
        return None
    lines, payments, taxes = _lines(parts.sold, parts.width), _payments(parts.paid), _taxes(parts.taxes)
    if lines is None or payments is None or taxes is None:
        return None
    total, tenders, change = payments
    number, counter = numbers[5], numbers[7]
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
    """What stands above the columns, from the title on; of a sale without buyer and reference."""
    texts = text.split("\n")
    rows = rows_of(texts)
    marks: list[Mark] = [row.mark for row in rows]
    if marks[0] != "title" or sorted(filter(None, marks)) != ["title", "type"]:
        return None
    if not tin_follows(texts[1 : 2 * TITLE_TO_TIN_LINES]):
        return None
    head = head_of(texts, rows, marks, width)
    return head if head.kind == "sale" and not head.has_buyer and not head.original else None


def _lines(texts: Sequence[str], width: int) -> tuple[Line, ...] | None:
    """The items under their heading: of each the lines of its name, and below price, quantity and amount."""
    if not texts or _mark_of(texts[0]) != "columns":
        return None
    lines: list[Line] = []
    read = 1
    # The first line of an item is its name, whatever it looks like.
    for name, price, price_cents, pieces, part, amount, cents in _ITEMS("\n".join(texts[1:])):
        read += name.count("\n") + 2
        unit_price = f"{price.replace('.', '')}.{price_cents}"
        amount_minor = int(amount.replace(".", "") + cents)
        # Of which one piece has as many as `one`.
        parts, one = int(pieces + part), 10 ** len(part)
        article = _article(name, width, parts % one != 0)
        if article is None:
            return None
        lines.append(
            Line(
                position=len(lines) + 1,
                kind=article.kind,
                description=article.name or UNSET,
                gtin=article.gtin,
                quantity=f"{pieces}.{part}" if part else pieces,
                unit=article.unit,
                unit_price=unit_price,
                discount_minor=_hidden_discount(parts * int(unit_price.replace(".", "")), amount_minor, parts, one),
                amount_minor=amount_minor,
                tax_labels=article.labels,
            )
        )
    return tuple(lines) if read == len(texts) else None


def _article(name: str, width: int, is_fraction: bool) -> Article | None:
    """What the lines of a name say; None where one of them may be something else."""
    return _known_article(name, width, is_fraction) if len(name) <= MAX_PAPER_LETTERS else None


@lru_cache(maxsize=WORDS_REMEMBERED)
def _known_article(name: str, width: int, is_fraction: bool) -> Article | None:
    rows = rows_of(name.split("\n"))
    if any(row.mark or not row.text.strip() or ONLY_AMOUNTS.fullmatch(row.text) for row in rows):
        return None
    return article_of(joined(rows, width), is_fraction)


def _hidden_discount(exact: int, amount_minor: int, parts: int, one: int) -> int:
    """What quantity × price, `exact` in minor units of the `one`, comes to beyond the amount and any rounding."""
    if exact <= amount_minor * one:
        return 0
    hidden = (2 * exact + one) // (2 * one) - amount_minor
    return hidden if 2 * hidden * one > one + parts else 0


def _payments(rows: Sequence[str]) -> tuple[int, tuple[Tender, ...], int] | None:
    """Total, tenders and change; each line has its label and its amount."""
    total = change = None
    tenders: list[Tender] = []
    labelled = _LABELLED("\n".join(rows))
    if len(labelled) != len(rows):
        return None
    for label, whole, cents in labelled:
        minor, role = int(whole.replace(".", "") + cents), _role(label)
        if role is None or (total is None and role != "total"):
            return None
        total = minor if total is None else total
        match role:
            case "change":
                change = minor
            case "total" | "sum":
                pass
            case kind:
                tenders.append(Tender(kind=kind, description=label.rstrip(" "), amount_minor=minor))
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


def _taxes(rows: Sequence[str]) -> tuple[Tax, ...] | None:
    """The rows of the tax table under their heading."""
    if not rows or _mark_of(rows[0]) != "tax columns":
        return None
    taxes: list[Tax] = []
    printed = _TAXES("\n".join(rows[1:]))
    if len(printed) != len(rows) - 1:
        return None
    for said, whole, cents in printed:
        kind = _tax_kind(said)
        if kind is None:
            return None
        minor = int(whole.replace(".", "") + cents)
        taxes.append(Tax(label=kind.label, name=kind.name, rate=kind.rate, amount_minor=minor))
    return tuple(taxes)


@lru_cache(maxsize=WORDS_REMEMBERED)
def _tax_kind(said: str) -> Tax | None:
    """Label, name and rate of a row, as of one without an amount; None where it may be no tax."""
    text = f"{said}% 0,00"
    row = read_row(text)
    if row.mark or row.field or any(map(said.count, ":&<")):
        return None
    try:
        return tax_of(row.text)
    except AmountError:
        # The reader of lines says what is wrong with the rate.
        return None


def _is_tax_total(rows: Sequence[str]) -> bool:
    labelled = _LABELLED("\n".join(rows))
    return len(labelled) == len(rows) == 1 and _field(labelled[0][0]) == "tax_total"


def _moment(numbers: re.Match[str]) -> datetime | None:
    """When the journal was issued; None where it says no time, or one of its labels is another's."""
    time_label, day, clock, number_label, _, counter_label, _ = numbers.groups()
    if not _are_labels(time_label, number_label, counter_label):
        return None
    sold_on = _day(day)
    try:
        return datetime.combine(sold_on, time.fromisoformat(f"{clock:0>8}"), _ZONE) if sold_on is not None else None
    except ValueError:
        return None


@lru_cache(maxsize=WORDS_REMEMBERED)
def _are_labels(time_label: str, number_label: str, counter_label: str) -> bool:
    return (_field(time_label), _field(number_label), _field(counter_label)) == ("time", "number", "counter")


@lru_cache(maxsize=WORDS_REMEMBERED)
def _day(text: str) -> date | None:
    day, month, year = map(int, text.split("."))
    try:
        return date(year, month, day)
    except ValueError:
        return None


@lru_cache(maxsize=WORDS_REMEMBERED)
def _field(label: str) -> Field | None:
    return LABELS.get(compact(label)) if _is_plain(label) else None


def _is_plain(label: str) -> bool:
    """Whether single blanks alone stand between the words of a label, and one at most behind the last."""
    return (
        _IS_LABEL(label) is not None
        and label.isprintable()
        and label.removesuffix(" ") == " ".join(label.split())
        and len(label.strip()) >= MIN_LABEL_LETTERS
    )
