"""The Serbian fiscal journal: the text that every Serbian receipt carries, as printed or as downloaded.

Owns its labels (Cyrillic, Latin, English), its wrapping and its signs. Reads by label, so that the
width of the paper (40, 38 or other columns), centring and missing separators do not matter.

Source: the technical guides of the Serbian Tax Administration for fiscal receipts, and real journals.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import ClassVar, Final, Literal

from msgspec import UNSET, Struct, UnsetType

from drivers.receipts.port import CERTAIN, DecodeOptions, Found, MalformedReceiptError, PrintedJob, TextLine
from drivers.receipts.wording import (
    WORDS_REMEMBERED,
    amount_minor,
    article_number,
    compact,
    decimal_text,
    line_kind,
    printed_date,
    printed_moment,
)
from loyalty.identity import key_of, rs_purs
from loyalty.money import AmountError, line_product_minor
from loyalty.receipt import (
    Fiscal,
    Issuer,
    Line,
    LineKind,
    Original,
    Receipt,
    ReceiptKind,
    ReceiptStatus,
    Tax,
    Tender,
    TenderKind,
)

CURRENCY: Final = "RSD"
TIME_ZONE: Final = "Europe/Belgrade"
DEFAULT_WIDTH: Final = 40
# A title is only one if the taxpayer's number follows within this many lines.
TITLE_TO_TIN_LINES: Final = 4
# A label's text that is longer is no label; wrapped with its amount it takes three lines at most.
MAX_LABEL_LETTERS: Final = 40
MAX_LABEL_LINES: Final = 3
# Names of items have up to 2048 letters by the tax authority's rules; on 20 columns that is 103 lines.
MAX_NAME_LINES: Final = 104
# A journal's longest line, by far, on the widest paper.
MAX_PAPER_LETTERS: Final = 4 * DEFAULT_WIDTH
# A line without markup; what is longer holds no journal text.
MAX_LINE_LETTERS: Final = 400

_FISCAL_TITLES: Final = frozenset(("FISKALNIRACUN", "FISCALINVOICE", "FISCALRECEIPT"))
_OTHER_TITLES: Final = frozenset(("OVONIJEFISKALNIRACUN", "THISISNOTAFISCALINVOICE", "THISISNOTAFISCALRECEIPT"))
_TITLES: Final = _FISCAL_TITLES | _OTHER_TITLES
_ENDS: Final = frozenset(("KRAJFISKALNOGRACUNA", "ENDOFFISCALINVOICE", "ENDOFFISCALRECEIPT"))

_TYPE: Final = re.compile(
    r"(PROMET|NORMAL|AVANS|ADVANCE|KOPIJA|COPY|OBUKA|TRAINING|PREDRACUN|PROFORMA)(PRODAJA|SALE|REFUNDACIJA|REFUND)"
)
_STATUS: Final[dict[str, ReceiptStatus]] = {
    "PROMET": "final", "NORMAL": "final", "AVANS": "advance", "ADVANCE": "advance", "KOPIJA": "copy", "COPY": "copy",
    "OBUKA": "training", "TRAINING": "training", "PREDRACUN": "proforma", "PROFORMA": "proforma",
}  # fmt: skip

_Field = Literal[
    "operator", "buyer", "ignored", "reference", "reference_time", "time", "number", "counter", "columns",
    "total", "change", "paid", "taxes", "tax_total", "items",
]  # fmt: skip
_LABELS: Final[dict[str, _Field]] = {
    "KASIR": "operator", "CASHIER": "operator",
    "IDKUPCA": "buyer", "BUYERID": "buyer", "BUYERTIN": "buyer", "CUSTOMERTIN": "buyer",
    "OPCIONOPOLJEKUPCA": "ignored", "IDOPCIONOGPOLJA": "ignored", "BUYERSCOSTCENTER": "ignored",
    "ESIRBROJ": "ignored", "BROJESIRA": "ignored", "POSNUMBER": "ignored", "ESIRNUMBER": "ignored",
    "ESIRVREME": "ignored", "VREMEESIRA": "ignored", "POSTIME": "ignored",
    "REFBROJ": "reference", "REFERENTNIBROJ": "reference", "REFNO": "reference", "REFNUMBER": "reference",
    "REFVREME": "reference_time", "REFERENTNOVREME": "reference_time", "REFDT": "reference_time",
    "REFTIME": "reference_time",
    "PFRVREME": "time", "SDCTIME": "time", "PFRTIME": "time",
    "PFRBROJRACUNA": "number", "SDCINVOICENO": "number", "PFRINVOICENUMBER": "number", "PFRNUMBER": "number",
    "BROJACRACUNA": "counter", "INVOICECOUNTER": "counter",
    "ARTIKLI": "items", "ITEMS": "items",
    "UKUPANIZNOS": "total", "UKUPNAREFUNDACIJA": "total", "TOTALPURCHASE": "total", "TOTALREFUND": "total",
    "TOTALAMOUNT": "total",
    "POVRACAJ": "change", "KUSUR": "change", "CHANGE": "change",
    "UKUPNOPLACANJE": "paid", "UKUPNOPLACENO": "paid", "UPLACENO": "paid", "PREOSTALOZAPLACANJE": "paid",
    "PDVNAAVANS": "paid", "TOTALPAID": "paid",
    "UKUPANIZNOSPOREZA": "tax_total", "TOTALTAX": "tax_total",
}  # fmt: skip
_TENDERS: Final[dict[str, TenderKind]] = {
    "GOTOVINA": "cash", "CASH": "cash",
    "PLATNAKARTICA": "card", "KARTICA": "card", "CARD": "card", "PAYMENTCARD": "card",
    "INSTANTPLACANJE": "instant", "INSTANTPAYMENT": "instant", "MOBILEMONEY": "instant", "IPS": "instant",
    "VAUCER": "voucher", "VOUCHER": "voucher",
    "PRENOSNARACUN": "transfer", "WIRETRANSFER": "transfer",
    "CEK": "cheque", "CHECK": "cheque", "CHEQUE": "cheque",
    "DRUGOBEZGOTOVINSKOPLACANJE": "other", "OTHERCASHLESSPAYMENT": "other", "OTHER": "other",
}  # fmt: skip
_COLUMNS: Final = ("NAZIVCENAKOLUKUPNO", "NAMEPRICEQTYTOTAL")

_LABELLED: Final = re.compile(r"\s*([^:]{2,40}):(.*)", re.DOTALL)
_NUMBER: Final = r"[-−]?\s?(?:\d{1,3}(?:[.,]\d{3}){1,4}|\d{1,12})[.,]\d{2}"
_AMOUNTS: Final = re.compile(rf"\s*({_NUMBER})\s+([-−]?\s?\d[\d.,]{{0,14}})\s+({_NUMBER})\s*")
_LABELLED_AMOUNT: Final = re.compile(rf"\s*(.{{2,60}}?)\s*:\s*({_NUMBER})\s*", re.DOTALL)
_REST_OF_AMOUNT: Final = re.compile(r"\s*[-−]?[\d.,]+\s*")
_TAX_ROW: Final = re.compile(rf"\s*(\S{{1,3}})\s+(\S.*?)\s+(\d{{1,3}}[.,]\d{{1,2}})\s*%\s+({_NUMBER})\s*")
_PLAIN_TAG: Final = re.compile(r"</?(?:pre|b|i|u|strong|span|div|p|code)\b[^<>]{0,200}>", re.IGNORECASE)
_ANY_TAG: Final = re.compile(r"<\s*[/!]?\s*[A-Za-z-]")
_SEPARATOR: Final = re.compile(r"\s*[=\-–—_*]{3,}\s*")
_TIN: Final = re.compile(r"\s*(?:(?:ПИБ|PIB|TIN)\s*:?\s*)?(\d{8,13})\s*", re.IGNORECASE)
_LOCATION: Final = re.compile(r"(\d{4,9})\s*-\s*(.*)", re.DOTALL)
_PFR_NUMBER: Final = re.compile(r"[A-Z0-9]{8}-[A-Z0-9]{8}-\d{1,12}")
_COUNTER: Final = re.compile(r"\d{1,12}/(\d{1,12})\D{2}")
_TAX_LABELS: Final = re.compile(r"\s*\(\s*(\w(?:\s*,\s*\w)*)\s*\)\s*$")
_UNIT_AFTER_SLASH: Final = re.compile(r"\s*[/\\]\s*([^\s/\\()]{1,8})$")
_UNIT_IN_PARENTHESES: Final = re.compile(r"\s*\(([^\s()]{1,8})\)$")
_UNIT_AFTER_SPACE: Final = re.compile(r"(.*\S)(\s+)([^\s()]{1,8})$", re.DOTALL)
_UNITS: Final = frozenset(
    (
        "KOM", "KO", "KMD", "KOMAD", "KOMADA", "PCS", "PC", "KG", "KGR", "G", "GR", "GRAM", "DAG", "DKG", "T", "TONA",
        "L", "LI", "LIT", "LITAR", "LTR", "DL", "CL", "ML", "M", "MET", "METAR", "M1", "M2", "M3", "CM", "MM", "KM",
        "PAK", "PKT", "PAKET", "PAR", "SET", "KUT", "KUTIJA", "FL", "FLASA", "BOCA", "CASA", "H", "HR", "SAT", "SATI",
        "DAN", "MES", "MESEC", "USL", "USLUGA", "KWH", "KVH", "TABLA", "ROL", "ROLNA", "VRECA", "KES", "KART",
        "KARTON", "POR", "PORCIJA", "NOC", "GAR", "BOX", "KPL", "KOMPLET", "TUBA", "TEGLA", "LIM", "PCE", "EA",
    )
)  # fmt: skip


_Mark = Literal["title", "end", "counter", "separator", ""]


class _Row(Struct, frozen=True, kw_only=True, gc=False):
    """A line of the journal without markup.

    `raw_length` is its length as it came. `word` is its letters and digits, for comparing; a line longer than any paper
    has none. `field` and `value` stand where it is a label that is known, a colon, and what follows.
    """

    text: str
    raw_length: int
    word: str = ""
    mark: _Mark = ""
    is_rule: bool = False
    field: _Field | None = None
    value: str = ""


class _Article(Struct, frozen=True, kw_only=True):
    """What the text of an item says of the article."""

    name: str
    unit: str | UnsetType
    labels: tuple[str, ...]
    kind: LineKind
    gtin: str | UnsetType


class _Payments(Struct, frozen=True, kw_only=True):
    total_minor: int
    tenders: tuple[Tender, ...]
    change_minor: int | UnsetType


class PursJournalReader:
    """Reads `purs-journal`."""

    name: ClassVar[str] = "purs-journal"

    def find(self, job: PrintedJob) -> Sequence[Found]:
        """From each title to its end line, or to the line after the counter where there is none."""
        marks = [_row(line.text).mark for line in job.lines]
        starts = [
            index
            for index, mark in enumerate(marks)
            if mark == "title" and _tin_follows(job.lines[index + 1 : index + 8])
        ]
        return [
            Found(first=first, last=_end(marks, first, following), certainty=CERTAIN)
            for first, following in pairwise([*starts, len(marks)])
        ]

    def read(self, job: PrintedJob, options: DecodeOptions) -> Receipt:
        """The receipt of one journal. Raises MalformedReceiptError."""
        rows = [_row(line.text) for line in job.lines]
        try:
            return _read(rows, job, options)
        except AmountError as error:
            raise MalformedReceiptError("bad_amount", f"{error}; the journal is damaged, print it again") from error


def _mark(text: str, word: str) -> _Mark:
    if word in _TITLES:
        return "title"
    if word in _ENDS:
        return "end"
    if word.startswith(("BROJACRACUNA", "INVOICECOUNTER")):
        return "counter"
    return "separator" if not word and _SEPARATOR.match(text) else ""


def _tin_follows(lines: Sequence[TextLine]) -> bool:
    """Whether a taxpayer's number comes soon, and no other title before it."""
    printed = [line.text for line in lines if line.text.strip() and not _SEPARATOR.fullmatch(line.text)]
    for text in printed[:TITLE_TO_TIN_LINES]:
        if _TIN.fullmatch(text):
            return True
        if _row(text).mark in ("title", "end"):
            return False
    return False


def _end(marks: Sequence[_Mark], first: int, following: int) -> int:
    """The line after the last of the journal that begins at `first`."""
    counter = next((index for index in range(first, following) if marks[index] == "counter"), None)
    if counter is None:
        return following
    for index in range(counter + 1, following):
        if marks[index] in ("end", "title"):
            return index + 1
    for index in range(counter + 1, following):
        if marks[index] == "separator":
            return index + 1
    return following


def _row(text: str) -> _Row:
    """`text` without what HTML adds: the picture after `<br/>`, tags, entities."""
    return _short_row(text) if len(text) <= MAX_PAPER_LETTERS else _read_row(text)


@lru_cache(maxsize=WORDS_REMEMBERED)
def _short_row(text: str) -> _Row:
    return _read_row(text)


def _read_row(text: str) -> _Row:
    if "<" in text:
        text = _PLAIN_TAG.sub("", text)
        if (tag := _ANY_TAG.search(text)) is not None:
            text = text[: tag.start()]
    text = text[:MAX_LINE_LETTERS]
    raw_length = len(text)
    if "&" in text:
        text = html.unescape(text)
    text = text.replace("\u00a0", " ")
    word = compact(text) if raw_length <= MAX_PAPER_LETTERS else ""
    label = _LABELLED.fullmatch(text) if ":" in text else None
    field = _LABELS.get(compact(label[1])) if label is not None else None
    return _Row(
        text=text,
        raw_length=raw_length,
        word=word,
        mark=_mark(text, word),
        is_rule=_SEPARATOR.fullmatch(text) is not None,
        field=field,
        value=label[2] if label is not None and field is not None else "",
    )


def _read(rows: list[_Row], job: PrintedJob, options: DecodeOptions) -> Receipt:
    width = max((len(row.text.strip()) for row in rows if row.is_rule), default=DEFAULT_WIDTH)
    words = [row.word for row in rows]
    kind_at, status, kind = _type(words)
    header = _Fields(rows[1:kind_at], width)
    columns_at = _after_columns(words, kind_at, _COLUMNS, "columns")
    total_at = _index(words, columns_at, "total", "the total")
    taxes_at = next((at for at in range(total_at, len(words)) if words[at].startswith(("OZNAKA", "LABELNAME"))), None)
    number_at = _index(words, total_at, "time", "the PFR time")
    fiscal = _Fields(rows[number_at:], width)
    number = _pfr_number(fiscal.joined("number"))
    counter = _counter(fiscal.joined("counter"))
    sign = -1 if kind == "return" else 1
    payments = _payments(rows[total_at : taxes_at or number_at], width, sign)
    lines = _lines(rows[columns_at:total_at], width, sign)
    taxes = _taxes(rows[taxes_at:number_at], sign) if taxes_at is not None else ()
    time_text = fiscal.text("time") or ""
    day = printed_date(time_text)
    if day is None:
        raise MalformedReceiptError("no_time", "the PFR time cannot be read; the journal is damaged, print it again")
    return Receipt(
        key="",
        kind=kind,
        status=status,
        store=options.store or UNSET,
        register=options.register or UNSET,
        number=number,
        business_day=day,
        issued_at=printed_moment(day, time_text, TIME_ZONE) or UNSET,
        operator=header.text("operator") or UNSET,
        currency=CURRENCY,
        total_minor=payments.total_minor,
        lines=lines,
        taxes=taxes,
        tenders=payments.tenders,
        change_minor=_change(payments),
        fiscal=Fiscal(
            scheme="rs-purs",
            number=number,
            counter=counter,
            issuer=_issuer(header.unlabelled, width),
            buyer_kind=_buyer_kind(header.text("buyer")),
            verification_url=_verification_url(job),
        ),
        original=_original(header),
    )


def _type(words: Sequence[str]) -> tuple[int, ReceiptStatus, ReceiptKind]:
    """Where the type line stands, and what it says."""
    for at, word in enumerate(words):
        if (match := _TYPE.fullmatch(word)) is not None:
            return at, _STATUS[match[1]], "return" if match[2].startswith("REFUND") else "sale"
    raise MalformedReceiptError("torn", "the journal says neither sale nor refund; it is incomplete, print it again")


def _index(words: Sequence[str], start: int, field: _Field, what: str) -> int:
    beginnings = _BEGINNINGS[field]
    for at in range(start, len(words)):
        if words[at].startswith(beginnings) and _field_of(words[at]) == field:
            return at
    raise MalformedReceiptError("torn", f"the journal ends before {what}; it is incomplete, print it again")


def _field_of(word: str) -> _Field | None:
    """The field whose label a line begins with: the label alone or followed by its value."""
    match = _LABEL_AT_START.match(word)
    return _LABELS[match.group()] if match is not None else None


# The longest label that fits: UKUPANIZNOSPOREZA is not UKUPANIZNOS.
_LABEL_AT_START: Final = re.compile("|".join(sorted(_LABELS, key=len, reverse=True)))
_BEGINNINGS: Final = {
    field: tuple(label for label, its in _LABELS.items() if its == field) for field in set(_LABELS.values())
}


def _after_columns(words: Sequence[str], start: int, headings: tuple[str, ...], what: str) -> int:
    """The line after a heading, which narrow paper may have wrapped."""
    for at in range(start, len(words)):
        joined = ""
        for length in range(3):
            if at + length >= len(words):
                break
            joined += words[at + length]
            if joined in headings:
                return at + length + 1
            if not any(heading.startswith(joined) for heading in headings):
                break
    raise MalformedReceiptError("torn", f"the journal ends before the {what}; it is incomplete, print it again")


class _Fields:
    """Labelled values of a block, and the lines before the first label."""

    def __init__(self, rows: Sequence[_Row], width: int) -> None:
        self.unlabelled: list[_Row] = []
        self._values: dict[_Field, list[_Row]] = {}
        self._width = width
        current: list[_Row] | None = None
        for row in rows:
            if row.is_rule or row.mark in ("title", "end"):
                current = None if self._values else current
            elif row.field is not None:
                current = self._values.setdefault(row.field, [])
                # Padding before the value says how long the line was.
                current.append(_Row(text=row.value, raw_length=row.raw_length))
            elif current is not None:
                current.append(row)
            elif not self._values:
                self.unlabelled.append(row)

    def text(self, field: _Field) -> str | None:
        """The value as words; None where the label is absent or empty."""
        rows = self._values.get(field)
        return _joined(rows, self._width).strip() or None if rows else None

    def joined(self, field: _Field) -> str:
        """The value as one word, wherever it was wrapped."""
        return "".join("".join(row.text.split()) for row in self._values.get(field, ()))


def _joined(rows: Sequence[_Row], width: int) -> str:
    """Lines that were wrapped at any character, as one: a line that was not full gets its spaces back."""
    parts = [row.text if row.raw_length >= width else row.text + " " for row in rows]
    return html.unescape("".join(parts)) if any("&" in part for part in parts) else "".join(parts)


def _pfr_number(text: str) -> str:
    match = _PFR_NUMBER.match(text.upper())
    if match is None:
        raise MalformedReceiptError(
            "no_number", "the PFR number cannot be read; the journal is damaged, print it again"
        )
    return match.group()


def _counter(text: str) -> str | UnsetType:
    match = _COUNTER.match(text)
    return match.group() if match is not None else UNSET


def _buyer_kind(text: str | None) -> str | UnsetType:
    """The two digits before the colon. The buyer's own number is personal and stays behind."""
    match = re.match(r"\s*(\d{2})\s*:", text or "")
    return match[1] if match is not None else UNSET


def _original(header: _Fields) -> Original | UnsetType:
    match = _PFR_NUMBER.match(header.joined("reference").upper())
    if match is None:
        return UNSET
    time_text = header.text("reference_time") or ""
    day = printed_date(time_text)
    issued_at = printed_moment(day, time_text, TIME_ZONE) if day is not None else None
    number = match.group()
    return Original(key=key_of(rs_purs(number)), number=number, issued_at=issued_at or UNSET)


def _verification_url(job: PrintedJob) -> str | UnsetType:
    for code in job.codes:
        if code.data.startswith(b"https://suf.purs.gov.rs/"):
            return code.data.decode("ascii", "replace")
    return UNSET


def _issuer(rows: Sequence[_Row], width: int) -> Issuer | UnsetType:
    """Taxpayer, name, location, address and city: five lines, of which long ones are wrapped."""
    printed = [row for row in rows if row.text.strip()]
    tin_at = next((at for at, row in enumerate(printed) if _TIN.fullmatch(row.text)), None)
    if tin_at is None:
        return UNSET
    tin = _TIN.fullmatch(printed[tin_at].text)
    rest = printed[tin_at + 1 :]
    location_at = next((at for at, row in enumerate(rest) if _LOCATION.match(row.text.strip())), min(1, len(rest)))
    name = _words(rest[:location_at], width)
    places = _unwrapped(rest[location_at:], width)
    location = _LOCATION.match(places[0]) if places else None
    if location is None:
        places = ["", *places]
    # One line more than three: the location's name went over its line's end without filling it.
    while len(places) > 3:
        places[:2] = [f"{places[0]} {places[1]}"]
    if location is not None:
        location = _LOCATION.match(places[0])
    return Issuer(
        tin=tin[1] if tin is not None else UNSET,
        name=name or UNSET,
        location_id=location[1] if location is not None else UNSET,
        location_name=(location[2].strip() or UNSET) if location is not None else UNSET,
        address=places[1] if len(places) > 1 else UNSET,
        city=places[2] if len(places) > 2 else UNSET,
    )


def _words(rows: Sequence[_Row], width: int) -> str:
    """Header lines as one. What continues a full line may be centred: then its indent is no space of the text."""
    uncentred = [
        _Row(text=row.text.lstrip(), raw_length=row.raw_length) if index and row.text.startswith("  ") else row
        for index, row in enumerate(rows)
    ]
    return " ".join(_joined(uncentred, width).split())


def _unwrapped(rows: Sequence[_Row], width: int) -> list[str]:
    """Lines as they were before wrapping; a full line belongs together with the next, if there are too many."""
    texts = [" ".join(row.text.split()) for row in rows]
    if len(texts) <= 3:
        return texts
    groups: list[list[_Row]] = []
    for row in rows:
        if groups and groups[-1][-1].raw_length >= width:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [_words(group, width) for group in groups]


def _lines(rows: Sequence[_Row], width: int, sign: int) -> tuple[Line, ...]:
    lines: list[Line] = []
    name: list[_Row] = []
    for row in rows:
        if row.is_rule or not row.text.strip():
            continue
        amounts = _AMOUNTS.fullmatch(row.text)
        if amounts is None:
            name.append(row)
            if len(name) > MAX_NAME_LINES:
                raise MalformedReceiptError("torn", "an item has no amounts; the journal is damaged, print it again")
            continue
        lines.append(_line(len(lines) + 1, name, width, amounts))
        name = []
    if name:
        raise MalformedReceiptError("torn", "an item has no amounts; the journal is incomplete, print it again")
    # Refunds print their lines with a minus, most of them; the contract wants one in any case.
    if sign < 0 and sum(line.amount_minor for line in lines) > 0:
        return tuple(_turned(line) for line in lines)
    return tuple(lines)


def _line(position: int, name: Sequence[_Row], width: int, amounts: re.Match[str]) -> Line:
    price, quantity, amount = amounts.groups()
    amount_in_minor = amount_minor(amount, CURRENCY)
    unit_price = decimal_text(price)
    count = decimal_text(_plain_quantity(quantity, price))
    if amount_in_minor < 0 and not count.startswith("-") and not unit_price.startswith("-"):
        count = f"-{count}"
    article = _article(_joined(name, width), fractional="." in count and Decimal(count) % 1 != 0)
    return Line(
        position=position,
        kind=article.kind,
        description=article.name or UNSET,
        gtin=article.gtin,
        quantity=count,
        unit=article.unit,
        unit_price=unit_price,
        discount_minor=_hidden_discount(count, unit_price, amount_in_minor),
        amount_minor=amount_in_minor,
        tax_labels=article.labels,
    )


def _plain_quantity(quantity: str, price: str) -> str:
    """A quantity without thousands separators; the price shows which mark is the decimal point."""
    thousands = "." if price.strip()[-3] == "," else ","
    return quantity.replace(thousands, "").rstrip(".,")


def _hidden_discount(quantity: str, unit_price: str, amount: int) -> int:
    """quantity × unit price − amount, where that is more than the rounding of printed prices can make."""
    hidden = line_product_minor(quantity, unit_price, CURRENCY) - amount
    rounding = (1 + abs(Decimal(quantity))) / 2
    is_discount = hidden > 0 if amount >= 0 else hidden < 0
    return hidden if is_discount and abs(hidden) > rounding else 0


def _turned(line: Line) -> Line:
    quantity = line.quantity
    if quantity is not UNSET:
        quantity = quantity.removeprefix("-") if quantity.startswith("-") else f"-{quantity}"
    return Line(
        position=line.position,
        kind=line.kind,
        description=line.description,
        gtin=line.gtin,
        quantity=quantity,
        unit=line.unit,
        unit_price=line.unit_price,
        discount_minor=-line.discount_minor,
        amount_minor=-line.amount_minor,
        tax_labels=line.tax_labels,
    )


def _article(text: str, *, fractional: bool) -> _Article:
    """What an item's text says; a shop sells the same all day."""
    return _known_article(text, fractional) if len(text) <= MAX_PAPER_LETTERS else _read_article(text, fractional)


@lru_cache(maxsize=WORDS_REMEMBERED)
def _known_article(text: str, fractional: bool) -> _Article:
    return _read_article(text, fractional)


def _read_article(text: str, fractional: bool) -> _Article:
    labels: tuple[str, ...] = ()
    match = _TAX_LABELS.search(text)
    if match is not None:
        labels = tuple(label.strip() for label in match[1].split(","))
        text = text[: match.start()]
    text = text.rstrip()
    name, unit = _without_unit(text, fractional=fractional)
    name = " ".join(name.split())
    return _Article(
        name=name, unit=unit or UNSET, labels=labels, kind=line_kind(name), gtin=article_number(name) or UNSET
    )


def _without_unit(text: str, *, fractional: bool) -> tuple[str, str]:
    for pattern in (_UNIT_AFTER_SLASH, _UNIT_IN_PARENTHESES):
        match = pattern.search(text)
        if match is not None and match.start() and _is_unit(match[1]):
            # (M) and (L) are sizes of clothes as often as units; only a fraction of one tells.
            if pattern is _UNIT_IN_PARENTHESES and len(match[1]) == 1 and not fractional:
                continue
            return text[: match.start()], match[1].rstrip(".")
    match = _UNIT_AFTER_SPACE.fullmatch(text)
    if match is None or not _is_unit(match[3]):
        return text, ""
    name, gap, unit = match.groups()
    if len(gap) == 1 and ((len(unit) == 1 and not fractional) or name[-1].isdigit()):
        return text, ""  # a size, or the contents of a pack: `0.5 L`, `6 KOM`
    return name, unit.rstrip(".")


def _is_unit(text: str) -> bool:
    return compact(text) in _UNITS


def _payments(rows: Sequence[_Row], width: int, sign: int) -> _Payments:
    """Total, tenders and change: labels with amounts, either of which narrow paper wraps."""
    total: int | None = None
    tenders: list[Tender] = []
    change: int | UnsetType = UNSET
    for label, amount in _labelled_amounts(rows, width):
        word = compact(label)
        field = _LABELS.get(word)
        if total is None:
            total = _signed(amount, sign)
        elif field == "change":
            change = _signed(amount, sign)
        elif field not in ("paid", "total", "tax_total"):
            tenders.append(
                Tender(
                    kind=_TENDERS.get(word, "other"),
                    description=" ".join(label.split()),
                    amount_minor=sign * abs(amount),
                )
            )
    if total is None:
        raise MalformedReceiptError("no_total", "the total cannot be read; the journal is damaged, print it again")
    return _Payments(total_minor=total, tenders=tuple(tenders), change_minor=change)


def _signed(amount: int, sign: int) -> int:
    """On a refund every amount is negative, whatever is printed."""
    return -abs(amount) if sign < 0 else amount


def _labelled_amounts(rows: Sequence[_Row], width: int) -> Iterable[tuple[str, int]]:
    begun: list[_Row] = []
    for row, following in zip_longest(rows, rows[1:]):
        if row.is_rule or not row.text.strip() or row.mark == "title":
            begun = []
            continue
        begun = [*begun[1 - MAX_LABEL_LINES :], row]
        if following is not None and _REST_OF_AMOUNT.fullmatch(following.text):
            continue
        match = _LABELLED_AMOUNT.fullmatch(_joined(begun, width))
        if match is None and len(begun) > 1:
            match = _LABELLED_AMOUNT.fullmatch("".join(part.text.rstrip() for part in begun))
        if match is not None and len(match[1]) <= MAX_LABEL_LETTERS:
            yield match[1], amount_minor(match[2], CURRENCY)
            begun = []


def _change(payments: _Payments) -> int:
    """The printed change, or what was paid beyond the total where none is printed."""
    if payments.change_minor is not UNSET:
        return payments.change_minor
    over = sum(tender.amount_minor for tender in payments.tenders) - payments.total_minor
    return over if payments.tenders and (over > 0) == (payments.total_minor >= 0) else 0


def _taxes(rows: Sequence[_Row], sign: int) -> tuple[Tax, ...]:
    taxes = []
    for row in rows:
        if row.word.startswith(_BEGINNINGS["tax_total"]):
            break
        match = _TAX_ROW.fullmatch(row.text)
        if match is not None:
            label, name, rate, amount = match.groups()
            taxes.append(
                Tax(
                    label=label,
                    name=" ".join(name.split()),
                    rate=decimal_text(rate),
                    amount_minor=_signed(amount_minor(amount, CURRENCY), sign),
                )
            )
    return tuple(taxes)
