"""Readers of plain printed receipts: `text`, by all shipped templates at once, and a reader for each template given.

Owns where receipts begin and end on a paper, and how facts and money make one. Lines that are not known are tolerated;
a receipt without a total is torn. What words and shapes a layout has is data (`template`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar, Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from drivers.receipts.classify import card_slips, classified, voided_before_total
from drivers.receipts.layout_facts import Facts, read_facts
from drivers.receipts.layout_money import Money, read_foot, read_money, total_at
from drivers.receipts.port import TORN_CERTAINTY, DecodeOptions, Found, MalformedReceiptError, PrintedJob
from drivers.receipts.template import Template, merged
from drivers.receipts.template_files import SHIPPED, shipped
from drivers.receipts.wording import printed_moment
from drivers.receipts.words import Layout, Text
from loyalty.identification import normal_code
from loyalty.identity import key_of, pos_id
from loyalty.money import AmountError
from loyalty.receipt import Line, MemberReference, Original, Problem, Receipt, Tax, Tender

# ISO 4217 for "no currency": neither the receipt nor the settings name one.
NO_CURRENCY: Final = "XXX"
# The longest till roll holds some hundred items; more lines than this are no receipt.
MAX_RECEIPT_LINES: Final = 3_000
# Above that of any layout that is told by nothing of its own, below that of a fiscal journal.
TEMPLATE_CERTAINTY: Final = 90
_CODE_OF: Final = {
    "DIN": "RSD", "KM": "BAM", "FT": "HUF", "LEI": "RON", "DEN": "MKD", "ZL": "PLN", "KC": "CZK", "€": "EUR",
    "$": "USD", "£": "GBP",
}  # fmt: skip


class TemplateReader:
    """Reads the layout of one template."""

    name: ClassVar[str] = "template"

    def __init__(self, template: Template) -> None:
        self.layout = Layout(template)

    def find(self, job: PrintedJob) -> Sequence[Found]:
        """One receipt for each total under a head of its own; the job's lines are shared out.

        The last of them may be torn: it has a head and sells something, and its total is missing.
        """
        texts = [self.layout.line(line) for line in job.lines]
        if not self.layout.is_recognised(texts):
            return []
        slips = _slips(texts)
        outline = _Outline(texts)
        bounds = [*_starts(texts, slips), len(texts)]
        found = []
        for bound, following in pairwise(bounds):
            first, last = _without_slips_around(outline, bound, following, slips)
            certainty = self._certainty(_without_slips(texts[first:last]))
            if certainty:
                found.append(Found(first=first, last=last, certainty=certainty))
        return found

    def read(self, job: PrintedJob, options: DecodeOptions) -> Receipt:
        """The receipt of one job. Raises MalformedReceiptError."""
        layout = self.layout
        whole = [layout.line(line) for line in job.lines]
        texts = _without_slips(whole)
        expected = options.currency or layout.template.currency
        currency = _printed_currency(texts, layout, expected) or NO_CURRENCY
        try:
            facts = read_facts(texts, layout, options.time_zone)
            money = read_money(texts, layout, currency)
            if not money.tenders and len(texts) < len(whole):
                money = replace(money, tenders=_slip_tender(whole, layout, money.total_minor, currency))
            return _receipt(facts, money, currency, options)
        except AmountError as error:
            raise MalformedReceiptError("bad_amount", f"{error}; the receipt is damaged, print it again") from error

    def _certainty(self, texts: Sequence[Text]) -> int:
        certainty = _certainty(texts, self.layout.template.marks.voided)
        if certainty <= TORN_CERTAINTY or not self.layout.tells_itself:
            return certainty
        return TEMPLATE_CERTAINTY + min(certainty // 10, 9)


@lru_cache(maxsize=64)
def reader_of(template: Template) -> TemplateReader:
    """The reader of a template, made once."""
    return TemplateReader(template)


def generic_template() -> Template:
    """All shipped templates as one."""
    return merged("text", [shipped(name) for name in SHIPPED])


class TextLayoutReader(TemplateReader):
    """Reads `text`: any layout that the shipped templates know, whatever its language."""

    name: ClassVar[str] = "text"

    def __init__(self) -> None:
        super().__init__(generic_template())


_Slips = Sequence[tuple[int, int]]


def _slips(texts: Sequence[Text]) -> _Slips:
    return card_slips(
        [text.printed for text in texts],
        is_goods=lambda at: texts[at].is_sold and not texts[at].is_total,
        is_total=lambda at: texts[at].is_total,
    )


def _without_slips(texts: Sequence[Text]) -> Sequence[Text]:
    """The lines of a receipt without the card slips printed within it, unless those are all that has a total."""
    kept = list(texts)
    for first, last in reversed(_slips(texts)):
        del kept[first:last]
    return texts if len(kept) == len(texts) or total_at(kept) is None else kept


class _Outline:
    """Where a paper sells something, has a total, and is printed at all."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self._sold = [at for at, text in enumerate(texts) if text.is_sold and not text.is_total]
        self._totals = [at for at, text in enumerate(texts) if text.is_total]
        self._printed = [at for at, text in enumerate(texts) if text.plain]

    def has_total(self, first: int, last: int) -> bool:
        """Whether there is a total under something sold, as `total_at` finds it, in a range of lines."""
        sold, after = bisect_left(self._sold, first), bisect_left(self._totals, last)
        return sold < len(self._sold) and after > 0 and self._sold[sold] < self._totals[after - 1]

    def is_blank(self, first: int, last: int) -> bool:
        return bisect_left(self._printed, first) == bisect_left(self._printed, last)


def _without_slips_around(outline: _Outline, first: int, last: int, slips: _Slips) -> tuple[int, int]:
    """The range without a slip before its goods, and without one that ends it, where a receipt is left."""
    for start, end in slips[bisect_left(slips, (first, 0)) :]:
        if start >= last:
            break
        if first <= start and end < last and outline.has_total(end, last) and not outline.has_total(first, start):
            first = end
        if first < start and outline.is_blank(end, max(end, last)) and outline.has_total(first, start):
            last = start
    return first, last


def _starts(texts: Sequence[Text], slips: _Slips) -> list[int]:
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
    last_total: int | None = None
    sold = False
    for at in outside:
        text = texts[at]
        sold = sold or (text.is_sold and not text.is_total)
        if text.is_total and sold:
            last_total = at
        elif text.is_end and last_total is not None and at < last_sold:
            starts.append(at + 1)
            number, last_total, sold = None, None, False
        elif last_total is None or at > last_sold:
            number = text.number or number
        elif text.plain == head or (text.number is not None and number is not None and text.number != number):
            starts.append(at if text.plain == head else _block_start(texts, at, last_total))
            number, last_total, sold = text.number, None, False
        elif text.number is not None:
            number = text.number
    return starts


def _block_start(texts: Sequence[Text], at: int, after: int) -> int:
    while at - 1 > after and texts[at - 1].plain:
        at -= 1
    return at


def _certainty(texts: Sequence[Text], voided: Sequence[str]) -> int:
    """How surely these lines are one receipt: it sells something, has a total, and says when or which.

    Without a total it is torn.
    """
    if len(texts) > MAX_RECEIPT_LINES:
        return 0
    closed_at = total_at(texts)
    sold = sum(text.is_sold for text in (texts if closed_at is None else texts[:closed_at]))
    if not sold:
        return 0
    has_number = any(text.number for text in texts)
    has_day = any(text.day for text in texts)
    if not (has_number or has_day) and (sold == 1 or closed_at is None):
        return 0
    what = classified([text.printed for text in texts])
    if what in ("z_report", "x_report", "kitchen_ticket") or (what is not None and not (has_number and has_day)):
        return 0
    if closed_at is None:
        is_voided = voided_before_total([text.printed for text in texts], voided)
        return 0 if what is not None or is_voided else TORN_CERTAINTY
    return 20 + 40 * has_number + 20 * has_day + min(sold, 5)


def _printed_currency(texts: Sequence[Text], layout: Layout, expected: str | None) -> str | None:
    """The currency beside the total. A dollar sign is many countries': there, the settings know better."""
    for text in texts:
        total = layout.total_of(text.printed, text.plain) if text.is_total else None
        if total is not None and total[1]:
            code = total[1].upper().rstrip(".")
            return expected if code == "$" and expected else _CODE_OF.get(code, code)
    return expected


def _slip_tender(texts: Sequence[Text], layout: Layout, total_minor: int, currency: str) -> tuple[Tender, ...]:
    """The payment of a receipt that names it in its card slip only."""
    foot = read_foot(texts[(total_at(texts) or 0) + 1 :], layout, currency)
    return tuple(tender for tender in foot.tenders if tender.amount_minor == total_minor)[:1]


def _receipt(facts: Facts, money: Money, currency: str, options: DecodeOptions) -> Receipt:
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
    is_returned = facts.kind == "sale" and money.total_minor < 0 and all(line.amount_minor <= 0 for line in money.lines)
    return Receipt(
        key="",
        kind="return" if is_returned else facts.kind,
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
        original=_completed(facts.original, store, register),
        member=_member(facts.member),
        problems=tuple(problems),
    )


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


def _as_return(money: Money) -> Money:
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


def _with_inclusion(money: Money) -> tuple[Tax, ...]:
    """Taxes printed before the total are added to it only where the sum needs them."""
    added = sum(tax.amount_minor for tax in money.taxes if not tax.included)
    lines = sum(line.amount_minor for line in money.lines)
    discounts = sum(discount.amount_minor for discount in money.discounts)
    missing = money.total_minor - (lines - discounts + money.rounding_minor)
    if abs(missing - added) < abs(missing):
        return money.taxes
    return tuple(replace(tax, included=True) for tax in money.taxes)


def _change(money: Money) -> int:
    if money.change_minor is not None:
        return money.change_minor
    over = sum(tender.amount_minor for tender in money.tenders) - money.total_minor
    return over if money.tenders and over and (over > 0) == (money.total_minor >= 0) else 0
