"""A template made ready to read with: its words and shapes as patterns, and what each printed line is by them.

Owns the patterns around a template's words. Never joins lines to a receipt (`layout` does).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Final, get_args

from msgspec import Struct

from drivers.receipts.dates import date_in
from drivers.receipts.port import TextLine
from drivers.receipts.shapes import CURRENCY, ID, LABEL, Shape, amount_pattern, compiled_shape
from drivers.receipts.template import SHAPE_FIELDS, Template
from drivers.receipts.wording import WORDS_REMEMBERED, folded, plain, without_leaders
from loyalty.receipt import ReceiptStatus, TenderKind

# Printed lines are at most 64 columns (80 mm, small font). Of a longer one, from a text file, both ends are read: what
# it is about, and its amount.
MAX_LINE_LETTERS: Final = 200
# In this order, since a gift card is a card too.
_TENDER_ORDER: Final[tuple[TenderKind, ...]] = (
    "giftcard", "points", "instant", "transfer", "cheque", "voucher", "coupon", "cash", "card", "other",
)  # fmt: skip
_STATUSES: Final = tuple(status for status in get_args(ReceiptStatus) if status != "final")
_NOTHING: Final = re.compile(r"(?!)")
_RULE: Final = re.compile(r"[\s=\-–—_*.#+~]*")
_DIGIT: Final = re.compile(r"\d")
# What ends the name of who sold: a gap, a stroke, a date or a time.
_NAME_ENDS: Final = r"\s{2,}|\s*\||\s+[-–/]\s|\s+(?=\d{1,4}[./-]\s?\d{1,2}[./-]|\d{1,2}:\d{2})"
# Two or three words, and as many values: `Kasa/Račun: 3/4711`.
_JOINT: Final = re.compile(
    r"\W*([^\W\d_][^\d:/]{0,30}(?:/[^\d:/]{1,30}){1,3}?)[\s.:#]*((?<![^\W\d_])[^\s/:]+(?:\s?/\s?[^\s/:]+){1,3})\s*"
)
_INCLUDING: Final = r"(?:(?:INCL|INKL|UKLJ|VKLJ)\.?\s*)?"


class Text(Struct, frozen=True, kw_only=True, gc=False, eq=False):
    """A printed line without dots that lead to an amount, its form for comparing, and what tells receipts apart.

    `is_sold` says that the line sells something, or may: an amount behind a name that stands for no sum. `is_name`
    that it may be an item's name: words, and no amount. Without `has_digit` nothing on it is an amount or a number,
    without `has_amount` no amount stands by itself. Two are the same only if they are one: what is remembered of a line
    is found by it.
    """

    printed: str
    plain: str
    has_digit: bool
    has_amount: bool
    number: str | None
    day: date | None
    is_total: bool
    is_sold: bool
    is_name: bool
    is_end: bool


def _any_of(words: Sequence[str]) -> str:
    """The words as a pattern for plain letters, longer ones first."""
    written = {r"\s+".join(map(re.escape, plain(word).split())): plain(word).strip() for word in words}
    ordered = sorted(written.items(), key=lambda each: -len(each[1]))
    return "|".join(pattern + (r"(?!\w)" if word[-1].isalnum() else "") for pattern, word in ordered)


def _after(words: Sequence[str], rest: str, before: str = r"(?<!\w)") -> re.Pattern[str]:
    """What follows one of the words, on the same line; nothing where there are no words."""
    return re.compile(rf"{before}(?:{_any_of(words)}){rest}") if words else _NOTHING


class Layout:
    """The patterns of one template, all for plain letters, and what it says of a line."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.amount = re.compile(amount_pattern(template.notation))
        self._amount_before = (
            re.compile(rf"\s*({self.amount.pattern}(?:\s?{CURRENCY})?)\s+(\S.*)")
            if template.amounts == "before"
            else None
        )
        self._labels(template)
        self._sums(template)
        self.items = self._shapes("items")
        self.head = self._shapes("head")
        self.recognise = template.recognise
        self.text = lru_cache(maxsize=WORDS_REMEMBERED)(self._text)

    def _shapes(self, table: str) -> tuple[Shape, ...]:
        return tuple(
            compiled_shape(
                (written,) if isinstance(written, str) else written, SHAPE_FIELDS[table], self.template.notation
            )
            for written in getattr(self.template, table).lines
        )

    def _labels(self, template: Template) -> None:
        labels, marks = template.labels, template.marks
        numero = f"(?:[\\s-]*(?:{_any_of(labels.numero)}))?" if labels.numero else ""
        self.numero = rf"{numero}[\s.:#]*"
        value = rf"{self.numero}({ID})"
        self.number = _after(labels.number, value)
        self.register = _after(labels.register, value)
        self.store = _after(labels.store, value)
        others = [*labels.number, *labels.store, *labels.register]
        label = rf"|,?\s+(?=(?:{_any_of(others)}){value})" if others else ""
        self.operator = _after(labels.operator, rf"{numero}[\s.:]*(\S.*?)(?:{_NAME_ENDS}{label}|$)")
        self._label_of = {
            folded(plain(f"{word} {numero}")): name
            for name in ("operator", "store", "register", "number")
            for word in getattr(labels, name)
            for numero in ("", *labels.numero)
        }
        self.member = _after(labels.member, rf"{self.numero}([A-Z0-9][A-Z0-9 -]{{3,30}})$")
        self.business_day = _after(labels.business_day, "")
        self.original = _after(labels.original, "(.*)")
        of = rf"(?:(?:{_any_of(labels.of)})\s*){{0,2}}" if labels.of else ""
        receipt = f"(?:(?:{_any_of(labels.number)}))?" if labels.number else ""
        self.of = re.compile(rf"[\s.:#]*{of}{receipt}{value}")
        self.returned = _after(marks.returned, "(.*)", r"^\W*")
        self.exchange = _after(marks.exchange, "", r"^\W*")
        self.statuses: dict[str, ReceiptStatus] = {
            folded(word): status for status in _STATUSES for word in getattr(marks, status)
        }

    def _sums(self, template: Template) -> None:
        amount = self.amount.pattern
        money = rf"({amount})\s*{CURRENCY}?\s*"
        start = r"[\s*=#>]*"
        self.priced = re.compile(rf"\s*(\S.*?)\s+({amount})\s*{CURRENCY}?(?:\s+\(?\*?({LABEL})\*?\)?)?\s*")
        self.total = _after(
            template.total.words, rf"[\s.:=*]*({CURRENCY})?[\s.:=*]*({amount})\s*({CURRENCY})?[\s*]*", start
        )
        self.total_word = _after(template.total.words, "", start)
        self.total_lines = self._shapes("total")
        self.subtotal = _after(template.subtotal.words, "", start)
        self.subtotal_lines = self._shapes("subtotal")
        self.rounding = _after(template.rounding.words, rf".*?{money}", start)
        self.rounding_lines = self._shapes("rounding")
        self.change = _after(template.change.words, rf".*?{money}", start)
        self.change_lines = self._shapes("change")
        taxes = template.taxes.words
        self.tax = re.compile(
            rf"\s*(?:([A-Z0-9])\s*[:=]?\s+)?{_INCLUDING}((?:{_any_of(taxes)}))(.*)" if taxes else "(?!)"
        )
        self.loose_tax = re.compile(rf"()\s*(.*\b(?:{_any_of(taxes)}))(.*)" if taxes else "(?!)")
        self.tax_lines = self._shapes("taxes")
        words = template.discounts.words
        self.discount = re.compile(
            rf"(\s*)[-*]?\s*((?:{_any_of(words)}).*?)\s+({amount})\s*{CURRENCY}?(?:\s+[A-Z0-9*]{{1,2}})?\s*"
            if words
            else "(?!)"
        )
        self.discount_lines = self._shapes("discounts")
        self.void = _after(template.items.void, "(.*)", r"^\W*")
        self.skip = _after(template.items.skip, "", r"\s*")
        self.begin = _after(template.items.begin, "", r"^\W*")
        self.end = _after(template.end.words, "", r"^\W*")
        self.tender = re.compile(
            rf"\W*(?P<words>[^\W\d_].*?)[\s.:]+{CURRENCY}?\s*(?P<amount>{amount})\s*{CURRENCY}?\s*"
        )
        self.tender_behind = re.compile(rf"\s*(?P<amount>{amount})\s+(?P<words>[^\W\d_].*?)\s*")
        self._tenders = tuple(
            (kind, re.compile(rf"(?:{'|'.join(sorted(map(folded, words), key=len, reverse=True))})\b"))
            for kind in _TENDER_ORDER
            if (words := getattr(template.tenders, kind))
        )

    def line(self, line: TextLine) -> Text:
        """What a printed line is."""
        text = line.text
        if len(text) > MAX_LINE_LETTERS:
            text = text[: MAX_LINE_LETTERS // 2] + text[-MAX_LINE_LETTERS // 2 :]
        return self.text(text)

    def _text(self, printed: str) -> Text:
        printed = without_leaders(printed)
        letters = plain(printed).rstrip()
        if self._amount_before is not None and (turned := self._amount_before.fullmatch(letters)) is not None:
            printed = f"{printed[turned.start(2) : turned.end(2)]}  {printed[turned.start(1) : turned.end(1)]}"
            letters = plain(printed)
        is_rule = _RULE.fullmatch(letters) is not None
        has_digit = _DIGIT.search(letters) is not None
        has_amount = has_digit and self.amount.search(letters) is not None
        is_total = has_digit and self.total_of(printed, letters) is not None
        priced = self.priced.fullmatch(letters) if has_amount else None
        return Text(
            printed=printed,
            plain="" if is_rule and not letters.strip() else letters,
            has_digit=has_digit,
            has_amount=has_amount,
            number=self._number_in(printed, letters) if has_digit else None,
            day=date_in(printed, self.template.dates) if has_digit else None,
            is_total=is_total,
            is_sold=has_digit and not is_rule and self._sells(printed, letters, priced),
            is_name=not is_total and priced is None and any(map(str.isalpha, letters)),
            is_end=self.end.match(letters) is not None,
        )

    def is_rule(self, text: Text) -> bool:
        """Whether nothing but a rule, or nothing, is printed."""
        return not text.plain or _RULE.fullmatch(text.plain) is not None

    def _number_in(self, printed: str, letters: str) -> str | None:
        if self.returned.match(letters) or self.original.match(letters):
            return None
        if (joint := self.joint(printed, letters)) is not None:
            return plain(joint["number"]) if "number" in joint else None
        for shape in self.head:
            if len(shape.lines) == 1 and (values := shape.lines[0].match(printed, letters)) and "number" in values:
                return values["number"]
        match = self.number.search(letters)
        return match[1] if match is not None else None

    def joint(self, printed: str, letters: str) -> dict[str, str] | None:
        """What a line says that names several facts at once, and then all of them: `Store/Till: 12/3`."""
        match = _JOINT.fullmatch(letters) if "/" in letters else None
        if match is None:
            return None
        names = [self._label_of.get(folded(word)) for word in match[1].split("/")]
        values = [value.strip() for value in printed[match.start(2) : match.end(2)].split("/")]
        if len(names) != len(values) or None in names or len(set(names)) != len(names):
            return None
        return {name: value for name, value in zip(names, values, strict=True) if name is not None}

    def _sells(self, printed: str, letters: str, priced: re.Match[str] | None) -> bool:
        """Whether an amount stands where an item's may, behind a name that is no sum's."""
        if priced is not None and any(map(str.isalpha, priced[1])):
            return not self.skip.match(priced[1])
        for shape in self.items:
            for line in shape.lines:
                if "amount" in line.fields and (values := line.match(printed, letters)) is not None:
                    name = plain(values.get("name", ""))
                    return not self.skip.match(name) and ("name" not in values or any(map(str.isalpha, name)))
        return False

    def total_of(self, printed: str, letters: str) -> tuple[str, str | None] | None:
        """The amount of a total and the currency beside it, where the line is one."""
        match = self.total.fullmatch(letters)
        if match is not None:
            return match[2], match[1] or match[3]
        values = first_match(self.total_lines, printed, letters)
        return (values["amount"], values.get("currency")) if values else None

    def sum_of(self, name: str, text: Text) -> str | None:
        """The amount of a `rounding` or `change` line, where the line is one."""
        if not text.has_digit:
            return None
        match = getattr(self, name).fullmatch(text.plain)
        if match is not None:
            return str(match[1])
        values = first_match(getattr(self, f"{name}_lines"), text.printed, text.plain)
        return values["amount"] if values else None

    def is_subtotal(self, text: Text) -> bool:
        """Whether the line is a sum to be passed over."""
        if self.subtotal.match(text.plain) is not None:
            return True
        return first_match(self.subtotal_lines, text.printed, text.plain) is not None

    def is_discount(self, text: Text) -> bool:
        """Whether the line takes something off."""
        if text.has_amount and self.discount.fullmatch(text.plain) is not None:
            return True
        return first_match(self.discount_lines, text.printed, text.plain) is not None

    def tender_of(self, text: Text) -> tuple[TenderKind, str, str] | None:
        """Kind, words and amount, where the line says how is paid."""
        if not text.has_amount:
            return None
        match = self.tender.fullmatch(text.plain) or self.tender_behind.fullmatch(text.plain)
        if match is None:
            return None
        words = " ".join(text.printed[match.start("words") : match.end("words")].split())
        kind = self.tender_kind(words)
        return (kind, words, match["amount"]) if kind is not None else None

    def tender_kind(self, words: str) -> TenderKind | None:
        """How is paid, by the words before the amount."""
        word = folded(words)
        return next((kind for kind, pattern in self._tenders if pattern.match(word)), None)

    def status(self, printed: str) -> ReceiptStatus | None:
        """What a line of nothing but a mark says."""
        return self.statuses.get(folded(printed).rstrip(" 0123456789"))

    def is_recognised(self, texts: Sequence[Text]) -> bool:
        """Whether the words stand there that tell the layout; without any, every layout may be it."""
        paper = "\n".join(text.plain for text in texts)
        rule = self.recognise
        if any(plain(word) not in paper for word in rule.all) or any(plain(word) in paper for word in rule.none):
            return False
        return not rule.any or any(plain(word) in paper for word in rule.any)

    @property
    def tells_itself(self) -> bool:
        """Whether it says by which words it is told."""
        return bool(self.recognise.all or self.recognise.any)


def first_match(shapes: Sequence[Shape], printed: str, letters: str) -> dict[str, str] | None:
    """The fields of the first shape of one line that the line has."""
    for shape in shapes:
        values = shape.lines[0].match(printed, letters)
        if values is not None:
            return values
    return None
