"""The generic text layout: a plain receipt with English, German, Serbian, Croatian or Slovenian labels.

Owns that one layout, which `docs/decoding.md` defines and the demo's till prints. Lines it does not know
are tolerated; a receipt without a total is torn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from drivers.receipts.classify import card_slips, classified
from drivers.receipts.port import DecodeOptions, Found, MalformedReceiptError, PrintedJob, TextLine
from drivers.receipts.wording import (
    AMOUNT,
    WORDS_REMEMBERED,
    amount_minor,
    article_number,
    decimal_text,
    folded,
    line_kind,
    plain,
    printed_date,
    printed_moment,
)
from loyalty.identification import normal_code
from loyalty.identity import hr_jir, key_of, pos_id
from loyalty.money import AmountError, line_product_minor
from loyalty.receipt import (
    Discount,
    Fiscal,
    Line,
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

# ISO 4217 for "no currency": neither the receipt nor the settings name one.
NO_CURRENCY: Final = "XXX"
# Printed lines are at most 64 columns (80 mm, small font). Of a longer one, from a text file, both ends are read: what
# it is about, and its amount.
MAX_LINE_LETTERS: Final = 200

_NO: Final = r"(?:[\s-]*(?:NO|NR|NUMBER|NUMMER|BR|BROJ|ST|STEVILKA)\b)?[\s.:#]*"
_ID: Final = r"((?=[A-Z/_-]*\d)[A-Z0-9][A-Z0-9/_-]{0,31})(?![A-Z0-9/_-]|[.,]\d)"
_RECEIPT: Final = re.compile(rf"\b(?:RECEIPT|INVOICE|KASSENBON|BON|BELEG|RECHNUNG|RACUN){_NO}{_ID}")
_REGISTER: Final = re.compile(rf"\b(?:REGISTER|TILL|LANE|KASSE|KASA|BLAGAJNA|NAPLATNI UREDAJ){_NO}{_ID}")
_STORE: Final = re.compile(
    r"\b(?:STORE|SHOP|BRANCH|FILIALE|MARKT|PRODAVNICA|POSLOVNICA|RADNJA|OBJEKAT|POSLOVNI PROSTOR|POSLOVALNICA|TRGOVINA"
    rf"|PRODAJALNA){_NO}{_ID}"
)
_OPERATOR: Final = re.compile(
    r"\b(?:operator|cashier|clerk|served by|bediener(?:in)?|kassierer(?:in)?|kasir|prodava[cč]|operater|blagajni[kč]"
    r"|blagajničarka|prodajalec|prodajalka|konobar|natakar)\b[\s.:]*"
    r"(\S.*?)(?:\s{2,}|$)",
    re.IGNORECASE,
)
_BUSINESS_DAY: Final = re.compile(r"\b(?:BUSINESS DAY|BUCHUNGSTAG|POSLOVNI DAN)\b")
_RETURN: Final = re.compile(
    r"^\W*(?:RETURN|REFUND|RUE?CKGABE|RETOURE|GUTSCHRIFT|POVRAT|REFUNDACIJA|VRACILO BLAGA|DOBROPIS)\b(.*)"
)
_EXCHANGE: Final = re.compile(r"^\W*(?:EXCHANGE|UMTAUSCH|ZAMENA|ZAMJENA|ZAMENJAVA)\b")
_OF: Final = re.compile(
    rf"^[\s.:#]*(?:(?:OF|FOR|ZU|VON|ZA|OD|PO|K)\b)?\s*(?:(?:RECEIPT|BON|BELEG|RACUNA?)\b)?{_NO}{_ID}"
)
_MEMBER: Final = re.compile(
    r"\b(?:MEMBER|LOYALTY(?: CARD)?|KUNDENKARTE|KARTICA (?:LOJALNOSTI|VJERNOSTI|ZVESTOBE|KUPCA|KLUBA)|CLAN"
    rf"|CLANSKA KARTICA){_NO}([A-Z0-9][A-Z0-9 -]{{3,30}})$"
)
_STATUS_WORDS: Final[dict[str, ReceiptStatus]] = {
    **dict.fromkeys(("COPY", "DUPLICATE", "REPRINT", "KOPIE", "DUPLIKAT", "ZWEITSCHRIFT", "KOPIJA"), "copy"),
    **dict.fromkeys(("TRAINING", "TRAINING MODE", "SCHULUNG", "UEBUNG", "OBUKA", "UCNI NACIN"), "training"),
    **dict.fromkeys(
        ("VOID", "VOIDED", "CANCELLED", "STORNO", "STORNIERT", "STORNIRANO", "PONISTENO", "RAZVELJAVLJENO"), "voided"
    ),
    **dict.fromkeys(("SUSPENDED", "PARKED", "GEPARKT", "ODLOZENO", "ODGODJENO"), "suspended"),
    **dict.fromkeys(("PROFORMA", "PRO FORMA", "PREDRACUN"), "proforma"),
}

FiscalName = Literal["ZKI", "JIR", "ZOI"]
# Croatia prints ZKI and JIR under the receipt, Slovenia ZOI and EOR; the EOR names the receipt to the authority only.
_FISCAL_NUMBERS: Final[tuple[tuple[FiscalName, re.Pattern[str]], ...]] = (
    ("ZKI", re.compile(r"\bZKI\b[\s.:]*([0-9A-F]{32})\b")),
    ("JIR", re.compile(r"\bJIR\b[\s.:]*([0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})\b")),
    ("ZOI", re.compile(r"\bZOI\b[\s.:]*([0-9A-F]{32})\b")),
)

_CURRENCY: Final = (
    r"(?:(?:EUR|RSD|DIN|BAM|KM|USD|GBP|CHF|HUF|FT|PLN|CZK|RON|LEI|BGN|MKD|DEN|DKK|SEK|NOK|TRY|UAH)\b\.?|[€$£])"
)
_CODE_OF: Final = {
    "DIN": "RSD",
    "KM": "BAM",
    "FT": "HUF",
    "LEI": "RON",
    "DEN": "MKD",
    "€": "EUR",
    "$": "USD",
    "£": "GBP",
}
_QUANTITY: Final = r"(\d{1,6}(?:[.,]\d{1,3})?)\s?([A-Z]{1,4})?\s?[X×*@]\s{0,8}"
_PRICE: Final = rf"(\d[\d.,'’]{{0,14}})(?:\s?{_CURRENCY})?(?:\s?/\s?[A-Z]{{1,4}})?"
_LABEL: Final = r"(?:\s+([A-Z0-9*]{1,2}))?"
_FULL_ITEM: Final = re.compile(rf"\s*{_QUANTITY}{_PRICE}\s+(\S.*?\S)\s+({AMOUNT})\s*{_CURRENCY}?{_LABEL}\s*")
_TRAILING_ITEM: Final = re.compile(rf"\s*(\S.*?\S)\s+{_QUANTITY}{_PRICE}\s+({AMOUNT})\s*{_CURRENCY}?{_LABEL}\s*")
_DETAIL: Final = re.compile(rf"\s*{_QUANTITY}{_PRICE}(?:\s+({AMOUNT})\s*{_CURRENCY}?{_LABEL})?\s*")
_PLAIN_ITEM: Final = re.compile(rf"\s*(\S.*?)\s+({AMOUNT})\s*{_CURRENCY}?{_LABEL}\s*")
_DISCOUNT: Final = re.compile(
    r"(\s*)[-*]?\s*((?:DISCOUNT|SAVINGS?|RABATT|NACHLASS|POPUST|SNIZENJE|ZNIZANJE|COUPON|KUPON)\b.*?)"
    rf"\s+({AMOUNT})\s*{_CURRENCY}?\s*"
)
# Names that stand before an amount on card slips and sums, and sell nothing.
_NO_ITEM: Final = re.compile(
    r"(?:SUB ?-?TOTAL|ZWISCHENSUMME|MEDJ?UZB(?:IR|ROJ)|VMESNA VSOTA|NETTO|NET|AMOUNT|BETRAG|IZNOS|ZNESEK|PURCHASE"
    r"|KUPOVINA|KUPNJA|NAKUP|ZAHLUNG|KARTENZAHLUNG|PAYMENT|CARD PAYMENT|PLACANJE|PLACILO|SALE|BASE|OSNOVICA|VAT|TAX"
    r"|MWST|UST|PDV|DDV|DISCOUNT|RABATT|POPUST|CASH|BALANCE|FLOAT|TIP|VISA|MASTERCARD|MAESTRO|AMEX|DINACARD|GIROCARD|EC)\b"
)
_SUBTOTAL: Final = re.compile(r"\s*(?:SUB ?-?TOTAL|ZWISCHENSUMME|MEDJ?UZB(?:IR|ROJ)|VMESNA VSOTA|NETTO|NET)\b")
_TOTAL: Final = re.compile(
    r"\s*(?:GRAND )?(?:TOTAL|SUMME|GESAMT(?:BETRAG|SUMME)?|ENDBETRAG|ZU ZAHLEN|AMOUNT DUE|BALANCE DUE|TO PAY|UKUPNO"
    r"|SVEUKUPNO|ZA PLACANJE|ZA PLATITI|ZA UPLATU|UKUPAN IZNOS|SKUPAJ(?: ZA PLACILO)?|ZA PLACILO|ZNESEK RACUNA)"
    rf"\b[\s.:=*]*({_CURRENCY})?[\s.:=*]*({AMOUNT})\s*({_CURRENCY})?\s*"
)
_TAX: Final = re.compile(
    r"\s*(?:([A-Z0-9])\s*[:=]?\s+)?(?:INCL\.?|INKL\.?)?\s*((?:SALES )?TAX|VAT|GST|MWST|UST|PDV|DDV|POREZ)\b(.*)"
)
_LOOSE_TAX: Final = re.compile(r"()\s*(.*\b(?:TAX|VAT|GST|MWST|UST|PDV|DDV|POREZ)\b)(.*)")
_RATE: Final = re.compile(r"(\d{1,2}(?:[.,]\d{1,3})?)\s?%")
_ROUNDING: Final = re.compile(rf"\s*(?:ROUNDING|RUNDUNG|ZAOKR[UO]Z\w+|IZRAVNAVA)\b.*?({AMOUNT})\s*{_CURRENCY}?\s*")
_CHANGE: Final = re.compile(
    r"\s*(?:CHANGE|RUE?CKGELD|WECHSELGELD|KUSUR|POVRACAJ|POVRAT|ZA VRATITI|VRACENO|VRACILO|VRNJENO)\b.*?"
    rf"({AMOUNT})\s*{_CURRENCY}?\s*"
)
_TENDER: Final = re.compile(rf"\s*([A-Z].*?)[\s.:]+{_CURRENCY}?\s*({AMOUNT})\s*{_CURRENCY}?\s*")
_AMOUNT: Final = re.compile(AMOUNT)
_RULE: Final = re.compile(r"[\s=\-–—_*.#]*")
_TENDER_KINDS: Final[tuple[tuple[TenderKind, str], ...]] = (
    ("giftcard", "GIFT ?CARD|GESCHENKKARTE|(?:POKLON|DARILNA|DAROVNA) KARTICA"),
    ("points", "POINTS|PUNKTE|POENI|BODOVI|TOCKE"),
    ("instant", "INSTANT|IPS"),
    ("transfer", "TRANSFER|BANK TRANSFER|UE?BERWEISUNG|PRENOS|VIRMAN|NAKAZILO"),
    ("cheque", "CHEQUE|CHECK|SCHECK|CEK"),
    ("voucher", "VOUCHER|GUTSCHEIN|VAUCER|(?:POKLON|DARILNI) BON"),
    ("coupon", "COUPON|KUPON"),
    ("cash", "CASH|BAR|BARGELD|GOTOVINA|NOVCANICE"),
    (
        "card",
        "CARD|CREDIT|DEBIT|KARTE|EC|GIROCARD|KREDITKARTE|VISA|MASTERCARD|MAESTRO|AMEX|DINA ?CARD"
        "|(?:(?:PLATNA|PLACILNA|KREDITNA|DEBITNA) )?KARTIC[AE]",
    ),
)
_TENDER_WORDS: Final = tuple((kind, re.compile(rf"(?:{words})\b")) for kind, words in _TENDER_KINDS)


class _Text(Struct, frozen=True, kw_only=True, gc=False):
    """A printed line, its form for comparing, and what tells receipts apart.

    `is_sold` says that the line sells something, or may: an amount behind a name that stands for no sum.
    """

    printed: str
    plain: str
    number: str | None
    day: date | None
    is_total: bool
    is_sold: bool


class _Said(Struct, frozen=True, kw_only=True, gc=False):
    """What one line beside items and money says."""

    returned: str | None
    is_exchange: bool
    status: ReceiptStatus | None
    register: str | None
    store: str | None
    operator: str | None
    member: str | None
    is_business_day: bool
    time_text: str
    fiscal: tuple[FiscalName, str] | None


class _Facts(Struct, frozen=True, kw_only=True):
    """What the lines beside items and money say."""

    number: str | None = None
    register: str | None = None
    store: str | None = None
    operator: str | None = None
    member: str | None = None
    day: date | None = None
    business_day: date | None = None
    time_text: str = ""
    kind: ReceiptKind = "sale"
    status: ReceiptStatus = "final"
    original: Original | None = None
    fiscal: Mapping[FiscalName, str] = MappingProxyType({})


class _Money(Struct, frozen=True, kw_only=True):
    """What the lines of money say, in printed signs."""

    total_minor: int
    lines: tuple[Line, ...]
    discounts: tuple[Discount, ...]
    taxes: tuple[Tax, ...]
    tenders: tuple[Tender, ...]
    change_minor: int | None
    rounding_minor: int


# The longest till roll holds some hundred items; more lines than this are no receipt.
MAX_RECEIPT_LINES: Final = 3_000


class TextLayoutReader:
    """Reads `text`."""

    name: ClassVar[str] = "text"

    def find(self, job: PrintedJob) -> Sequence[Found]:
        """One receipt for each total under a head of its own; the job's lines are shared out.

        The last of them may be torn: it has a head and sells something, and its total is missing.
        """
        texts = [_text(line) for line in job.lines]
        slips = _slips(texts)
        bounds = [*_starts(texts, slips), len(texts)]
        found = []
        for bound, following in pairwise(bounds):
            first, last = _without_slips_around(texts, bound, following, slips)
            certainty = _certainty(_without_slips(texts[first:last]))
            if certainty:
                found.append(Found(first=first, last=last, certainty=certainty))
        return found

    def read(self, job: PrintedJob, options: DecodeOptions) -> Receipt:
        """The receipt of one job. Raises MalformedReceiptError."""
        whole = [_text(line) for line in job.lines]
        texts = _without_slips(whole)
        currency = _printed_currency(texts, options.currency) or NO_CURRENCY
        try:
            facts = _facts(texts, options.time_zone)
            money = _money(texts, currency)
            if not money.tenders and len(texts) < len(whole):
                money = replace(money, tenders=_slip_tender(whole, money.total_minor, currency))
            return _receipt(facts, money, currency, options)
        except AmountError as error:
            raise MalformedReceiptError("bad_amount", f"{error}; the receipt is damaged, print it again") from error


def _text(line: TextLine) -> _Text:
    text = line.text
    if len(text) > MAX_LINE_LETTERS:
        text = text[: MAX_LINE_LETTERS // 2] + text[-MAX_LINE_LETTERS // 2 :]
    return _known_text(text)


@lru_cache(maxsize=WORDS_REMEMBERED)
def _known_text(printed: str) -> _Text:
    letters = plain(printed).rstrip()
    item = _PLAIN_ITEM.fullmatch(letters)
    return _Text(
        printed=printed,
        plain=letters,
        number=_number_in(letters),
        day=printed_date(printed),
        is_total=_TOTAL.fullmatch(letters) is not None,
        is_sold=item is not None and not _NO_ITEM.match(item[1]) and any(map(str.isalpha, item[1])),
    )


def _number_in(letters: str) -> str | None:
    if _RETURN.match(letters):
        return None
    match = _RECEIPT.search(letters)
    return match[1] if match is not None else None


_Slips = Sequence[tuple[int, int]]


def _slips(texts: Sequence[_Text]) -> _Slips:
    return card_slips(
        [text.printed for text in texts],
        is_goods=lambda at: texts[at].is_sold and not texts[at].is_total,
        is_total=lambda at: texts[at].is_total,
    )


def _without_slips(texts: Sequence[_Text]) -> Sequence[_Text]:
    """The lines of a receipt without the card slips printed within it, unless those are all that has a total."""
    kept = list(texts)
    for first, last in reversed(_slips(texts)):
        del kept[first:last]
    return texts if len(kept) == len(texts) or _total_at(kept) is None else kept


def _without_slips_around(texts: Sequence[_Text], first: int, last: int, slips: _Slips) -> tuple[int, int]:
    """The range without a slip before its goods, and without one that ends it, where a receipt is left."""
    for start, end in slips:
        if (
            first <= start
            and end < last
            and _total_at(texts[end:last]) is not None
            and _total_at(texts[first:start]) is None
        ):
            first = end
        after = any(text.plain for text in texts[end:last])
        if first < start < last and not after and _total_at(texts[first:start]) is not None:
            last = start
    return first, last


def _total_at(texts: Sequence[_Text]) -> int | None:
    """The line of the total: the first one under something sold."""
    sold = False
    for at, text in enumerate(texts):
        if text.is_total and sold:
            return at
        sold = sold or (text.is_sold and not text.is_total)
    return None


def _starts(texts: Sequence[_Text], slips: _Slips) -> list[int]:
    """Where receipts begin.

    After a total the next one begins with a new number, at the block it stands in, or with the first line of the
    paper printed again; in either case if it sells something.
    """
    in_slip = {at for first, last in slips for at in range(first, last)}
    outside = [at for at in range(len(texts)) if at not in in_slip]
    last_sold = max((at for at in outside if texts[at].is_sold and not texts[at].is_total), default=-1)
    head = next((texts[at].plain for at in outside if any(map(str.isalpha, texts[at].plain))), "")
    starts = [0]
    number: str | None = None
    total_at: int | None = None
    sold = False
    for at in outside:
        text = texts[at]
        sold = sold or (text.is_sold and not text.is_total)
        if text.is_total and sold:
            total_at = at
        elif total_at is None or at > last_sold:
            number = text.number or number
        elif text.plain == head or (text.number is not None and number is not None and text.number != number):
            starts.append(at if text.plain == head else _block_start(texts, at, total_at))
            number, total_at, sold = text.number, None, False
        elif text.number is not None:
            number = text.number
    return starts


def _block_start(texts: Sequence[_Text], at: int, after: int) -> int:
    while at - 1 > after and texts[at - 1].plain:
        at -= 1
    return at


# Below that of any whole receipt.
TORN_CERTAINTY: Final = 10


def _certainty(texts: Sequence[_Text]) -> int:
    """How surely these lines are one receipt: it sells something, has a total, and says when or which.

    Without a total it is torn.
    """
    if len(texts) > MAX_RECEIPT_LINES:
        return 0
    total_at = _total_at(texts)
    sold = sum(text.is_sold for text in (texts if total_at is None else texts[:total_at]))
    if not sold:
        return 0
    has_number = any(text.number for text in texts)
    has_day = any(text.day for text in texts)
    if not (has_number or has_day) and (sold == 1 or total_at is None):
        return 0
    what = classified([text.printed for text in texts])
    if what in ("z_report", "x_report", "kitchen_ticket") or (what is not None and not (has_number and has_day)):
        return 0
    if total_at is None:
        return TORN_CERTAINTY if what is None else 0
    return 20 + 40 * has_number + 20 * has_day + min(sold, 5)


def _facts(texts: Sequence[_Text], time_zone: str | None) -> _Facts:
    """What is said first counts, but for the kind and the status of the receipt."""
    facts: dict[str, object] = {}
    fiscal: dict[FiscalName, str] = {}
    for text in texts:
        if not text.plain:
            continue
        said = _said(text)
        if said.returned is not None and "kind" not in facts:
            facts |= {"kind": "return", "original": _original(said.returned, text.printed, time_zone)}
        elif said.is_exchange:
            facts["kind"] = "exchange"
        elif said.status is not None:
            facts["status"] = said.status
        elif said.is_business_day:
            facts["business_day"] = text.day
        else:
            _add_facts(facts, text, said)
            if said.fiscal is not None:
                fiscal.setdefault(*said.fiscal)
    return _Facts(**facts, fiscal=fiscal)  # type: ignore[arg-type]


def _add_facts(facts: dict[str, object], text: _Text, said: _Said) -> None:
    for name, value in (
        ("number", text.number),
        ("day", text.day),
        ("register", said.register),
        ("store", said.store),
        ("operator", said.operator),
        ("member", said.member),
        ("time_text", said.time_text),
    ):
        if value and name not in facts:
            facts[name] = value


def _said(text: _Text) -> _Said:
    return _known_said(text.printed, text.plain, text.day is not None)


@lru_cache(maxsize=WORDS_REMEMBERED)
def _known_said(printed: str, letters: str, has_day: bool) -> _Said:
    returned = _RETURN.match(letters)

    def first(pattern: re.Pattern[str], source: str) -> str | None:
        match = pattern.search(source)
        return match[1].strip() if match is not None else None

    return _Said(
        returned=returned[1] if returned is not None and not _AMOUNT.search(returned[1]) else None,
        is_exchange=_EXCHANGE.match(letters) is not None,
        status=_STATUS_WORDS.get(folded(printed).rstrip(" 0123456789")),
        register=first(_REGISTER, letters),
        store=first(_STORE, letters),
        operator=first(_OPERATOR, printed),
        member=first(_MEMBER, letters),
        is_business_day=has_day and _BUSINESS_DAY.search(letters) is not None,
        time_text=_clock(printed),
        fiscal=_fiscal_number(letters),
    )


def _fiscal_number(letters: str) -> tuple[FiscalName, str] | None:
    """The code that a fiscal authority or the till's signature gave the receipt, where it is printed as text."""
    for name, pattern in _FISCAL_NUMBERS:
        if (match := pattern.search(letters)) is not None:
            return name, match[1].lower()
    return None


_CLOCK: Final = re.compile(r"(?<![\d:.,])\d{1,2}:\d{2}(?::\d{2})?(?:\s?(?:Z|[+-]\d{2}:?\d{2}))?(?![\d:])")


def _clock(printed: str) -> str:
    match = _CLOCK.search(printed.replace("T", " "))
    return match.group() if match is not None else ""


def _original(rest: str, printed: str, time_zone: str | None) -> Original | None:
    """`of 4710`, and after it, as far as the till prints them, store, register, date and time."""
    match = _OF.match(rest)
    if match is None:
        return None
    after = rest[match.end() :]
    store, register = _STORE.search(after), _REGISTER.search(after)
    day = printed_date(printed)
    issued_at = printed_moment(day, _clock(printed), time_zone) if day is not None else None
    return Original(
        number=match[1],
        store=store[1] if store is not None else UNSET,
        register=register[1] if register is not None else UNSET,
        business_day=day or UNSET,
        issued_at=issued_at or UNSET,
    )


def _printed_currency(texts: Sequence[_Text], expected: str | None) -> str | None:
    """The currency beside the total. A dollar sign is many countries': there, the settings know better."""
    for text in texts:
        match = _TOTAL.fullmatch(text.plain) if text.is_total else None
        if match is not None and (mark := match[1] or match[3]):
            code = mark.rstrip(".")
            return expected if code == "$" and expected else _CODE_OF.get(code, code)
    return expected


def _money(texts: Sequence[_Text], currency: str) -> _Money:
    total_at = _total_at(texts)
    if total_at is None:
        raise MalformedReceiptError("torn", "the receipt has no total; its end is missing, print it again")
    total = _TOTAL.fullmatch(texts[total_at].plain)
    goods = _Goods(currency)
    for text in texts[:total_at]:
        goods.take(text)
    foot = _Foot(currency)
    for text in texts[total_at + 1 :]:
        foot.take(text)
    return _Money(
        total_minor=amount_minor(total[2], currency) if total is not None else 0,
        lines=goods.finished(),
        discounts=tuple(goods.discounts),
        taxes=(*goods.taxes, *foot.taxes),
        tenders=tuple(foot.tenders),
        change_minor=foot.change_minor,
        rounding_minor=goods.rounding_minor + foot.rounding_minor,
    )


class _Goods:
    """Lines between the head and the total."""

    def __init__(self, currency: str) -> None:
        self.discounts: list[Discount] = []
        self.taxes: list[Tax] = []
        self.rounding_minor = 0
        self._currency = currency
        self._lines: list[Line] = []
        self._name: str | None = None  # a name that waits for its amounts
        self._detail: re.Match[str] | None = None  # quantity and price that wait for their line
        self._closed = False  # a subtotal was printed

    def finished(self) -> tuple[Line, ...]:
        return tuple(self._lines)

    def take(self, text: _Text) -> None:
        """Read one line; what it does not know, it passes over."""
        if not text.plain or _RULE.fullmatch(text.plain):
            self._name = None
        elif _SUBTOTAL.match(text.plain):
            self._closed = True
        elif (match := _ROUNDING.fullmatch(text.plain)) is not None:
            self.rounding_minor += amount_minor(match[1], self._currency)
        elif (tax := _tax(text, self._currency, included=False, loose=self._closed)) is not None:
            self.taxes.append(tax)
        elif (match := _DISCOUNT.fullmatch(text.plain)) is not None:
            self._discount(match, text)
        elif not self._closed:
            self._item(text)

    def _discount(self, match: re.Match[str], text: _Text) -> None:
        """An indented discount belongs to the line above it, any other to the whole receipt."""
        amount = abs(amount_minor(match[3], self._currency))
        if len(match[1]) >= 2 and self._lines and not self._closed:
            last = self._lines[-1]
            signed = amount if last.amount_minor >= 0 else -amount
            self._lines[-1] = replace(
                last, amount_minor=last.amount_minor - signed, discount_minor=last.discount_minor + signed
            )
        else:
            name = " ".join(text.printed[: match.end(2)].split())
            self.discounts.append(Discount(description=name, amount_minor=amount))

    def _item(self, text: _Text) -> None:
        if (match := _FULL_ITEM.fullmatch(text.plain)) is not None:
            quantity, unit, price, _, amount, label = match.groups()
            self._add(_part(text, match, 4), amount, label, (quantity, unit, price))
        elif (match := _DETAIL.fullmatch(text.plain)) is not None:
            self._details(match)
        elif (match := _TRAILING_ITEM.fullmatch(text.plain)) is not None:
            _, quantity, unit, price, amount, label = match.groups()
            self._add(_part(text, match, 1), amount, label, (quantity, unit, price))
        elif (match := _PLAIN_ITEM.fullmatch(text.plain)) is not None:
            self._plain_item(match, text)
        else:
            self._name = text.printed

    def _plain_item(self, match: re.Match[str], text: _Text) -> None:
        name, held = _part(text, match, 1), self._detail
        if not any(letter.isalpha() for letter in name):
            return
        if held is not None:
            self._add(name, match[2], match[3], (held[1], held[2], held[3]))
        else:
            self._add(name, match[2], match[3], None)

    def _details(self, match: re.Match[str]) -> None:
        """Quantity and price on a line of their own: under a name, under a priced line, or above one."""
        quantity, unit, price, amount, label = match.groups()
        if amount is not None and self._name is not None:
            self._add(self._name, amount, label, (quantity, unit, price))
            return
        last = self._lines[-1] if self._lines else None
        if last is not None and last.quantity is UNSET and last.amount_minor == self._product(quantity, price):
            self._lines[-1] = replace(
                last, quantity=decimal_text(quantity), unit_price=decimal_text(price), unit=unit or UNSET
            )
        else:
            self._detail = match

    def _product(self, quantity: str, price: str) -> int:
        return line_product_minor(decimal_text(quantity), decimal_text(price), self._currency)

    def _add(
        self, name: str, amount: str, label: str | None, count_and_price: tuple[str, str | None, str] | None
    ) -> None:
        quantity, unit, price = count_and_price or (None, None, None)
        minor = amount_minor(amount, self._currency)
        count = decimal_text(quantity) if quantity else None
        unit_price = decimal_text(price) if price else None
        if count is not None and minor < 0:
            count = f"-{count}"
        hidden = line_product_minor(count, unit_price, self._currency) - minor if count and unit_price else 0
        description = " ".join(name.split())
        self._lines.append(
            Line(
                position=len(self._lines) + 1,
                kind=line_kind(description),
                description=description,
                gtin=article_number(description) or UNSET,
                quantity=count or UNSET,
                unit=unit or UNSET,
                unit_price=unit_price or UNSET,
                discount_minor=hidden if _is_discount(hidden, minor, count) else 0,
                amount_minor=minor,
                tax_labels=(label,) if label else (),
            )
        )
        self._name = self._detail = None


def _is_discount(hidden: int, amount: int, count: str | None) -> bool:
    """Whether quantity × price − amount is more than the rounding of printed prices."""
    rounding = (1 + abs(Decimal(count or 0))) / 2
    return abs(hidden) > rounding and (hidden > 0) == (amount >= 0)


def _part(text: _Text, match: re.Match[str], group: int) -> str:
    """A matched part as it was printed: positions in `plain` are those in `printed`."""
    return text.printed[match.start(group) : match.end(group)]


class _Foot:
    """Lines after the total."""

    def __init__(self, currency: str) -> None:
        self.taxes: list[Tax] = []
        self.tenders: list[Tender] = []
        self.change_minor: int | None = None
        self.rounding_minor = 0
        self._currency = currency

    def take(self, text: _Text) -> None:
        if (tax := _tax(text, self._currency, included=True, loose=False)) is not None:
            self.taxes.append(tax)
        elif (match := _CHANGE.fullmatch(text.plain)) is not None:
            self.change_minor = amount_minor(match[1], self._currency)
        elif (match := _ROUNDING.fullmatch(text.plain)) is not None:
            self.rounding_minor += amount_minor(match[1], self._currency)
        elif (match := _TENDER.fullmatch(text.plain)) is not None and (kind := _tender_kind(match[1])) is not None:
            name = " ".join(_part(text, match, 1).split())
            self.tenders.append(
                Tender(kind=kind, description=name, amount_minor=amount_minor(match[2], self._currency))
            )


def _slip_tender(texts: Sequence[_Text], total_minor: int, currency: str) -> tuple[Tender, ...]:
    """The payment of a receipt that names it in its card slip only."""
    foot = _Foot(currency)
    for text in texts[(_total_at(texts) or 0) + 1 :]:
        foot.take(text)
    return tuple(tender for tender in foot.tenders if tender.amount_minor == total_minor)[:1]


def _tender_kind(words: str) -> TenderKind | None:
    word = folded(words)
    return next((kind for kind, pattern in _TENDER_WORDS if pattern.match(word)), None)


def _tax(text: _Text, currency: str, *, included: bool, loose: bool) -> Tax | None:
    """`[A] VAT 20% [net] 0.91`: the last amount is the tax. Under a subtotal any name with such a word will do."""
    match = _TAX.fullmatch(text.plain) or (_LOOSE_TAX.fullmatch(text.plain) if loose else None)
    amounts = _AMOUNT.findall(match[3]) if match is not None else []
    if match is None or not amounts:
        return None
    rate = _RATE.search(match[3])
    return Tax(
        label=match[1] or UNSET,
        name=" ".join(_part(text, match, 2).split()),
        rate=decimal_text(rate[1]) if rate is not None else UNSET,
        amount_minor=amount_minor(amounts[-1], currency),
        included=included,
    )


def _receipt(facts: _Facts, money: _Money, currency: str, options: DecodeOptions) -> Receipt:
    if facts.kind == "return":
        money = _as_return(money)
    store, register = facts.store or options.store, facts.register or options.register
    business_day = facts.business_day or facts.day
    issued_at = printed_moment(facts.day, facts.time_text, options.time_zone) if facts.day is not None else None
    problems = []
    if currency == NO_CURRENCY:
        problems.append(Problem(code="currency_unknown", detail="name the currency in the settings"))
    if issued_at is None and facts.day is not None and facts.time_text:
        problems.append(Problem(code="time_zone_unknown", detail="name the time zone in the settings"))
    return Receipt(
        key="",
        kind=facts.kind,
        status=facts.status,
        store=store or UNSET,
        register=register or UNSET,
        number=facts.number or UNSET,
        business_day=business_day or UNSET,
        issued_at=issued_at or UNSET,
        operator=facts.operator or UNSET,
        currency=currency,
        total_minor=money.total_minor,
        rounding_minor=money.rounding_minor,
        lines=money.lines,
        discounts=money.discounts,
        taxes=_with_inclusion(money),
        tenders=money.tenders,
        change_minor=_change(money),
        fiscal=_fiscal(facts.fiscal),
        also=(hr_jir(facts.fiscal["JIR"]),) if "JIR" in facts.fiscal else (),
        original=_completed(facts.original, store, register),
        member=_member(facts.member),
        problems=tuple(problems),
    )


def _fiscal(numbers: Mapping[FiscalName, str]) -> Fiscal | UnsetType:
    """Croatia's and Slovenia's codes; a JIR alone still says whose scheme it is."""
    if "ZOI" in numbers:
        return Fiscal(scheme="si-furs", number=numbers["ZOI"])
    if "ZKI" in numbers or "JIR" in numbers:
        return Fiscal(scheme="hr-fisk", number=numbers.get("ZKI", UNSET))
    return UNSET


def _member(code: str | None) -> MemberReference | UnsetType:
    return MemberReference(code=normal_code(code), entry="receipt") if code else UNSET


def _completed(original: Original | None, store: str | None, register: str | None) -> Original | UnsetType:
    """The original with its key, where number and day are printed; a till leaves its own store and register out."""
    if original is None:
        return UNSET
    number, day = original.number, original.business_day
    store, register = original.store or store, original.register or register
    if not (number and day and store and register):
        return original
    return replace(
        original, store=store, register=register, key=key_of(pos_id(store, register, day.isoformat(), number))
    )


def _as_return(money: _Money) -> _Money:
    """The shop's signs: whatever a return prints, everything on it is negative."""
    flip_lines = sum(line.amount_minor for line in money.lines) > 0
    return replace(
        money,
        total_minor=-abs(money.total_minor),
        lines=tuple(_turned(line) for line in money.lines) if flip_lines else money.lines,
        discounts=tuple(replace(each, amount_minor=-abs(each.amount_minor)) for each in money.discounts),
        taxes=tuple(replace(tax, amount_minor=-abs(tax.amount_minor)) for tax in money.taxes),
        tenders=tuple(replace(tender, amount_minor=-abs(tender.amount_minor)) for tender in money.tenders),
        change_minor=-abs(money.change_minor) if money.change_minor is not None else None,
    )


def _turned(line: Line) -> Line:
    quantity = line.quantity
    if quantity is not UNSET:
        quantity = quantity[1:] if quantity.startswith("-") else f"-{quantity}"
    return replace(line, amount_minor=-line.amount_minor, discount_minor=-line.discount_minor, quantity=quantity)


def _with_inclusion(money: _Money) -> tuple[Tax, ...]:
    """Taxes printed before the total are added to it only where the sum needs them."""
    added = sum(tax.amount_minor for tax in money.taxes if not tax.included)
    lines = sum(line.amount_minor for line in money.lines)
    discounts = sum(discount.amount_minor for discount in money.discounts)
    missing = money.total_minor - (lines - discounts + money.rounding_minor)
    if abs(missing - added) < abs(missing):
        return money.taxes
    return tuple(replace(tax, included=True) for tax in money.taxes)


def _change(money: _Money) -> int:
    if money.change_minor is not None:
        return money.change_minor
    over = sum(tender.amount_minor for tender in money.tenders) - money.total_minor
    return over if money.tenders and over and (over > 0) == (money.total_minor >= 0) else 0
