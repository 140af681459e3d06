"""One printed line of a Serbian journal: without markup, with its label known, and put together where it was wrapped.

Owns the labels (Cyrillic, Latin, English) and the wrapping. Never says what the lines of a journal mean together.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from drivers.receipts.wording import WORDS_REMEMBERED, beginning, beginnings, compact, compacted

DEFAULT_WIDTH: Final = 40
# A journal's longest line, by far, on the widest paper.
MAX_PAPER_LETTERS: Final = 4 * DEFAULT_WIDTH
# A line without markup; what is longer holds no journal text.
MAX_LINE_LETTERS: Final = 400

Field = Literal[
    "operator", "buyer", "ignored", "reference", "reference_time", "time", "number", "counter",
    "total", "change", "paid", "tax_total", "items",
]  # fmt: skip
# Where a line stands in the journal. A type without a rule around it may be a shop's name as well.
Mark = Literal["title", "end", "type", "bare type", "columns", "total", "tax columns", "time", "counter", "rule", ""]

LABELS: Final[dict[str, Field]] = {
    "KASIR": "operator", "KASIRKA": "operator", "CASHIER": "operator",
    "IDKUPCA": "buyer", "PIBKUPCA": "buyer", "KUPAC": "buyer", "IDENTIFIKACIJAKUPCA": "buyer", "BUYERID": "buyer",
    "BUYERTIN": "buyer", "CUSTOMERID": "buyer", "CUSTOMERTIN": "buyer", "BUYER": "buyer",
    "OPCIONOPOLJEKUPCA": "ignored", "OPCIONOPOLJE": "ignored", "IDOPCIONOGPOLJA": "ignored",
    "BUYERSCOSTCENTER": "ignored", "BUYERCOSTCENTER": "ignored", "BUYERSCOSTCENTERID": "ignored",
    "BUYERCOSTCENTERID": "ignored", "CUSTOMERCOSTCENTER": "ignored",
    "ESIRBROJ": "ignored", "BROJESIRA": "ignored", "POSNUMBER": "ignored", "POSNO": "ignored",
    "ESIRNUMBER": "ignored", "ESIRNO": "ignored",
    "ESIRVREME": "ignored", "VREMEESIRA": "ignored", "POSTIME": "ignored", "ESIRTIME": "ignored",
    "REFBROJ": "reference", "REFERENTNIBROJ": "reference", "REFNO": "reference", "REFNUMBER": "reference",
    "REFERENTNIDOKUMENT": "reference", "REFERENCENUMBER": "reference", "REFDOCUMENTNUMBER": "reference",
    "REFDOCNO": "reference", "REFERENTDOCUMENTNUMBER": "reference",
    "REFVREME": "reference_time", "REFERENTNOVREME": "reference_time", "REFDT": "reference_time",
    "REFTIME": "reference_time", "REFDOCDT": "reference_time", "REFERENCETIME": "reference_time",
    "PFRVREME": "time", "SDCTIME": "time", "PFRTIME": "time",
    "PFRBROJRACUNA": "number", "PFRBROJ": "number", "SDCINVOICENO": "number", "SDCINVOICENUMBER": "number",
    "PFRINVOICENUMBER": "number", "PFRINVOICENO": "number", "PFRNUMBER": "number",
    "BROJACRACUNA": "counter", "INVOICECOUNTER": "counter",
    "ARTIKLI": "items", "ITEMS": "items",
    "UKUPANIZNOS": "total", "UKUPNAREFUNDACIJA": "total", "TOTALPURCHASE": "total", "TOTALREFUND": "total",
    "TOTALAMOUNT": "total", "TOTAL": "total",
    "POVRACAJ": "change", "KUSUR": "change", "CHANGE": "change",
    "UKUPNOPLACANJE": "paid", "UKUPNOPLACENO": "paid", "UPLACENO": "paid", "PREOSTALOZAPLACANJE": "paid",
    "ZAUPLATU": "paid", "PDVNAAVANS": "paid", "TOTALPAID": "paid",
    "UKUPANIZNOSPOREZA": "tax_total", "TOTALTAX": "tax_total",
}  # fmt: skip

_TITLES: Final = frozenset(
    (
        "FISKALNIRACUN", "FISCALINVOICE", "FISCALRECEIPT",
        "OVONIJEFISKALNIRACUN", "THISISNOTAFISCALINVOICE", "THISISNOTAFISCALRECEIPT",
    )
)  # fmt: skip
# As most papers print it: told without folding the whole text.
_TITLE_WORD: Final = re.compile("ФИСКАЛНИ|FISKALNI|FISCAL")
_ENDS: Final = frozenset(("KRAJFISKALNOGRACUNA", "ENDOFFISCALINVOICE", "ENDOFFISCALRECEIPT"))
COLUMNS: Final = ("NAZIVCENAKOLUKUPNO", "NAMEPRICEQTYTOTAL")
_TAX_COLUMNS: Final = ("OZNAKAIME", "LABELNAME")
_TYPES: Final = (
    "PROMET", "NORMAL", "AVANS", "ADVANCE", "KOPIJA", "COPY", "OBUKA", "TRAINING", "PREDRACUN", "PROFORMA",
)  # fmt: skip
TYPE: Final = re.compile(rf"({'|'.join(_TYPES)})(PRODAJA|SALE|REFUNDACIJA|REFUND)")
_WORDS: Final[dict[str, Mark]] = {
    **dict.fromkeys(_TITLES, "title"), **dict.fromkeys(_ENDS, "end"), **dict.fromkeys(COLUMNS, "columns"),
}  # fmt: skip
_MARK_LETTERS: Final = beginnings((*_WORDS, *_TAX_COLUMNS, *_TYPES))
PFR_NUMBER: Final = re.compile(r"[A-Z0-9]{8}-[A-Z0-9]{8}-\d{1,12}")
PFR_NUMBER_HYPHENS: Final = 2
AMOUNT: Final = r"[-−]?\s?(?:\d{1,3}(?:[.,]\d{3}){1,4}|\d{1,12})[.,]\d{2}"

# What stands before a colon is a label with so many letters.
MIN_LABEL_LETTERS: Final = 2
MAX_LABEL_LETTERS: Final = 40
# What a label that is told by its value must have behind it: a name may begin with the same words.
_VALUES: Final[dict[Field, re.Pattern[str]]] = {
    "total": re.compile(rf"\s*(?:{AMOUNT}|\d[\d.,]*)?\s*"),
    "time": re.compile(r"\s*(?:\d.*)?", re.DOTALL),
    "counter": re.compile(r"\s*(?:\d.*)?", re.DOTALL),
}
_WITHOUT_COLON: Final[tuple[tuple[Field, re.Pattern[str]], ...]] = (
    ("total", re.compile(rf"(\D{{5,40}}?)(\s{AMOUNT}\s*)", re.DOTALL)),
    ("time", re.compile(r"(\D{5,40}?)(\s\d{1,2}\.\d{1,2}\.\d{4}.*)", re.DOTALL)),
    ("number", re.compile(r"(.{5,40}?)(\s[A-Z0-9]{8}-[A-Z0-9]{8}-.*)", re.DOTALL)),
    ("counter", re.compile(r"(\D{5,40}?)(\s\d{1,12}/\d{1,12}\D{0,2}\s*)", re.DOTALL)),
)
_MARKS: Final[dict[Field, Mark]] = {"total": "total", "time": "time", "counter": "counter"}
_RULE: Final = re.compile(r"\s*[=\-–—_*]{3,}\s*")
_RULED: Final = tuple("=-–—_*")
# Prices, quantities and amounts, of which no word can be made; and one of them alone.
_WORDLESS: Final = re.compile(r"[-−]?[\d.,][\s\d.,−-]*")
_NUMBER_ONLY: Final = re.compile(r"[-−]?[\d.,]+")
_DIGIT: Final = re.compile("[0-9]")
# What a buyer is known by, where paper put it below its label.
_BUYER_NUMBER: Final = re.compile(r"\s*\d{2}\s*:\s*\w")
_ODD_SPACES: Final = re.compile("[\u00a0\u2000-\u200b\u202f\ufeff\t]")
# With a semicolon only: a shop sells `B&REGAL` as well.
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,10});")
_TAG_NAMES: Final = (
    r"(?:pre|b|i|u|p|a|strong|em|span|div|code|font|center|html|head|body|title|style|script|meta|table|tbody|tr|td|th"
    r"|h[1-6]|hr|br|img|!--|!doctype)(?![\w-])"
)
_WHOLE_TAG: Final = re.compile(rf"</?{_TAG_NAMES}[^<>]*>", re.IGNORECASE)
_TORN_TAG: Final = re.compile(rf"</?{_TAG_NAMES}", re.IGNORECASE)


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """A line of the journal without markup.

    `raw_length` is its length with entities as they came. `field` and `value` stand where it is a label that is
    known, a colon, and what follows; `is_labelled` says that it looks like any label with its value.
    """

    text: str
    raw_length: int
    length: int
    mark: Mark = ""
    field: Field | None = None
    value: str = ""
    is_labelled: bool = False
    is_number: bool = False

    def fills(self, width: int) -> bool:
        """Whether paper of `width` had no room for another letter, so that the next line may go on with a word."""
        return self.length >= width or self.raw_length == width


def rows_of(texts: Sequence[str]) -> list[Row]:
    """Lines without what HTML adds: tags, the picture in one, entities."""
    if max(map(len, texts), default=0) <= MAX_PAPER_LETTERS:
        return list(map(KNOWN_ROWS.__getitem__, texts))
    return [KNOWN_ROWS[text] if len(text) <= MAX_PAPER_LETTERS else read_row(text) for text in texts]


def may_hold_title(texts: Sequence[str]) -> bool:
    """Whether a title may be among the lines; where there is none, no line has to be looked at."""
    text = "\n".join(texts)
    if _TITLE_WORD.search(text) is not None or "<" in text or "&" in text:
        return True
    # The words may be spaced out.
    word = compacted(text)
    return any(title in word for title in _TITLES)


def read_row(text: str) -> Row:
    """One line, read and not remembered."""
    if "<" in text:
        text = _without_tags(text)
    text = text[:MAX_LINE_LETTERS]
    raw_length = len(text)
    if "&" in text:
        text = unescaped(text)
    if not (text.isascii() or text.isprintable()):
        text = _ODD_SPACES.sub(" ", text)
    stripped = text.strip()
    if not stripped or len(text) > MAX_PAPER_LETTERS:
        return Row(text=text, raw_length=raw_length, length=len(text))
    if _WORDLESS.fullmatch(stripped) is not None:
        is_number = _NUMBER_ONLY.fullmatch(stripped) is not None
        return Row(text=text, raw_length=raw_length, length=len(text), is_number=is_number)
    field, value, is_labelled = _label(text, stripped)
    mark = _MARKS.get(field, "") if field is not None else _mark(stripped)
    if mark == "rule":
        return Row(text=stripped, raw_length=raw_length, length=len(stripped), mark=mark)
    return Row(
        text=text,
        raw_length=raw_length,
        length=len(text),
        mark=mark,
        field=field,
        value=value,
        is_labelled=is_labelled,
    )


class _KnownRows(dict[str, Row]):
    """Rows by their lines: labels, headings and what a shop sells repeat on every receipt.

    Asked for a line that it does not know, it reads it. A buyer's number is personal and is not kept.
    """

    def __missing__(self, text: str) -> Row:
        row = read_row(text)
        if row.field != "buyer" and not _BUYER_NUMBER.match(text):
            if len(self) >= WORDS_REMEMBERED:
                self.clear()
            self[text] = row
        return row


KNOWN_ROWS: Final = _KnownRows()


def _without_tags(text: str) -> str:
    text = _WHOLE_TAG.sub("", text)
    torn = _TORN_TAG.search(text)
    return text[: torn.start()] if torn is not None else text


def unescaped(text: str) -> str:
    """`text` with its HTML entities as letters."""
    return _ENTITY.sub(lambda entity: html.unescape(entity.group()), text)


def _label(text: str, stripped: str) -> tuple[Field | None, str, bool]:
    """The known label that `text` begins with, and its value; and whether it looks like any label with a value."""
    before, colon, value = text.partition(":")
    if colon and len(before) >= MIN_LABEL_LETTERS and len(label := before.lstrip()) <= MAX_LABEL_LETTERS:
        field = LABELS.get(compact(label))
        if field is not None and ((shape := _VALUES.get(field)) is None or shape.fullmatch(value)):
            return field, value, True
        return None, "", value.startswith("  ")
    if stripped[-1].isdigit() or stripped[-3:-2].isdigit():
        # The number's own letters may stand before its first digit.
        if LABELS.get(compact(_before_digits(text))) is None and text.count("-") < PFR_NUMBER_HYPHENS:
            return None, "", False
        for named, shape in _WITHOUT_COLON:
            if (found := shape.fullmatch(text)) is not None and LABELS.get(compact(found[1])) == named:
                return named, found[2], True
    return None, "", False


def _mark(stripped: str) -> Mark:
    """What a line without a label is, by its words alone."""
    if beginning(stripped) not in _MARK_LETTERS:
        return ""
    words = _before_digits(stripped)
    if len(words) < len(stripped):
        # No other heading has a number in it. What stands before one repeats, unlike the whole line.
        return "tax columns" if compact(words).startswith(_TAX_COLUMNS) else ""
    word = compact(stripped)
    is_ruled = stripped.startswith(_RULED) or stripped.endswith(_RULED)
    if not word:
        return "rule" if is_ruled and _RULE.fullmatch(stripped) else ""
    if (mark := _WORDS.get(word)) is not None:
        return mark
    if word.startswith(_TAX_COLUMNS):
        return "tax columns"
    if TYPE.fullmatch(word):
        return "type" if is_ruled else "bare type"
    return ""


def _before_digits(text: str) -> str:
    digit = _DIGIT.search(text)
    return text[: digit.start()] if digit is not None else text


def mark_at(marks: Sequence[Mark], wanted: Mark, start: int, end: int) -> int | None:
    """Where the first `wanted` mark stands from `start` up to `end`."""
    try:
        return marks.index(wanted, start, end)
    except ValueError:
        return None


def width_of(rows: Iterable[Row]) -> int:
    """How many letters a line has, as the rules show it."""
    return max([row.length for row in rows if row.mark == "rule"], default=DEFAULT_WIDTH)


def joined(rows: Sequence[Row], width: int) -> str:
    """Lines that were wrapped at any letter, as one: a line that was not full gets its blank back."""
    parts = []
    for row in rows:
        text = row.text
        if row.fills(width):
            # Blanks beyond the paper's edge are no part of the line.
            beyond = row.length - width
            parts.append(text[:-beyond] if beyond > 0 and text[-beyond:].isspace() else text)
        else:
            parts.append(text + " ")
    text = "".join(parts)
    # An entity that the end of a line had parted.
    return unescaped(text) if "&" in text else text


class Fields:
    """The labelled values of a block. The first value of a label counts."""

    def __init__(self, rows: Iterable[Row], width: int) -> None:
        self._values: dict[Field, list[Row]] = {}
        self._width = width
        field: Field | None = None
        for row in rows:
            if row.field is not None:
                field = row.field if row.field not in self._values else None
                if field is not None:
                    self._values[field] = [_value(row)]
            elif field is not None and not self._goes_on(field, row):
                field = None
            elif field is not None:
                self._values[field].append(row)

    def text(self, field: Field) -> str:
        """The value as words; empty where the label is absent or has none."""
        rows = self._values.get(field)
        return joined(rows, self._width).strip() if rows else ""

    def word(self, field: Field) -> str:
        """The value as one word, wherever it was wrapped."""
        return "".join("".join([row.text for row in self._values.get(field, ())]).split())

    def _goes_on(self, field: Field, row: Row) -> bool:
        """Whether `row` is the rest of what was said of `field`: there was no room for it, or only for the label."""
        if row.mark or row.is_labelled:
            return False
        rows = self._values[field]
        if rows[-1].fills(self._width) or not rows[-1].text.strip():
            return True
        return field in ("number", "counter") and " " not in row.text.strip()


def _value(row: Row) -> Row:
    """What stands behind a label, which was on a line as long as the whole."""
    return Row(text=row.value, raw_length=row.raw_length, length=row.length)
