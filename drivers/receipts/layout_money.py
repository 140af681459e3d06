"""What the lines of money say: items, discounts, taxes, payments and change, in printed signs.

Owns the joining of lines to items by a layout's shapes. Never says whether a receipt adds up (`loyalty.reconcile`
does), but for which of several shapes a line has: the one whose arithmetic holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from drivers.receipts.port import MalformedReceiptError
from drivers.receipts.shapes import Shape
from drivers.receipts.wording import amount_minor, article_number, decimal_text, line_kind, plain
from drivers.receipts.words import Layout, Text, first_match
from loyalty.money import AmountError, line_product_minor
from loyalty.receipt import Discount, Line, Tax, Tender

_NO_TOTAL: Final = (
    "no total is found; where the paper has one, a template has to name its word (docs/templates.md), "
    "else its end is missing: print it again"
)
_RATE: Final = re.compile(r"(\d{1,2}(?:[.,]\d{1,3})?)\s?%")
_COUNT_AND_UNIT: Final = re.compile(r"(-?)([\d.,]+)([-−]?)\s*(.*)")


class Money(Struct, frozen=True, kw_only=True):
    """What the lines of money say, in printed signs."""

    total_minor: int
    lines: tuple[Line, ...]
    discounts: tuple[Discount, ...]
    taxes: tuple[Tax, ...]
    tenders: tuple[Tender, ...]
    change_minor: int | None
    rounding_minor: int


def total_at(texts: Sequence[Text]) -> int | None:
    """The line of the total: the first one under something sold."""
    sold = False
    for at, text in enumerate(texts):
        if text.is_total and sold:
            return at
        sold = sold or (text.is_sold and not text.is_total)
    return None


def read_money(texts: Sequence[Text], layout: Layout, currency: str) -> Money:
    """The money of one receipt. Raises MalformedReceiptError where it has no total, AmountError."""
    last = total_at(texts)
    if last is None:
        raise MalformedReceiptError("torn", _NO_TOTAL)
    total = layout.total_of(texts[last].printed, texts[last].plain)
    begin = next((at + 1 for at, text in enumerate(texts[:last]) if layout.begin.match(text.plain)), 0)
    goods = _Goods(layout, currency)
    goods.take(texts[begin:last])
    foot = read_foot(texts[last + 1 :], layout, currency)
    return Money(
        total_minor=amount_minor(total[0], currency) if total is not None else 0,
        lines=tuple(goods.lines),
        discounts=tuple(goods.discounts),
        taxes=(*goods.taxes, *foot.taxes),
        tenders=tuple(foot.tenders),
        change_minor=foot.change_minor,
        rounding_minor=goods.rounding_minor + foot.rounding_minor,
    )


class ItemMatch(Struct, frozen=True, kw_only=True):
    """The shape that lines have, with their fields. `agrees` says whether quantity × price is the amount."""

    shape: Shape
    values: Mapping[str, str]
    agrees: bool | None


def item_at(texts: Sequence[Text], at: int, layout: Layout, currency: str) -> ItemMatch | None:
    """The item that begins at a line: of the shape whose arithmetic holds, or else the first that fits."""
    fits: ItemMatch | None = None
    for shape in layout.items:
        values = _shaped(shape, texts, at)
        if values is None:
            continue
        agrees = _agrees(values, currency)
        match = ItemMatch(shape=shape, values=values, agrees=agrees)
        if agrees:
            return match
        if fits is None and not _needs_proof(shape):
            fits = match
    return fits


def _needs_proof(shape: Shape) -> bool:
    """Quantity and price below a line that is whole without them may be those of the next item."""
    first = shape.lines[0].fields
    return "amount" in first and "quantity" in shape.fields and "quantity" not in first


def _shaped(shape: Shape, texts: Sequence[Text], at: int) -> dict[str, str] | None:
    if at + len(shape.lines) > len(texts):
        return None
    values: dict[str, str] = {}
    # The last line tells most: any line may be a name.
    last = texts[at + len(shape.lines) - 1]
    if "amount" in shape.lines[-1].fields and not last.has_digit:
        return None
    if len(shape.lines) > 1 and shape.lines[-1].match(last.printed, last.plain) is None:
        return None
    for line, text in zip(shape.lines, texts[at : at + len(shape.lines)], strict=True):
        if not text.plain or (line.fields == ("name",) and not text.is_name):
            return None
        found = line.match(text.printed, text.plain)
        if found is None:
            return None
        values |= found
    if "name" in values and not any(map(str.isalpha, values["name"])):
        return None
    return values if "amount" in values else None


def _agrees(values: Mapping[str, str], currency: str) -> bool | None:
    if "quantity" not in values or "price" not in values:
        return None
    try:
        count, _ = _count_and_unit(values["quantity"])
        product = line_product_minor(count, decimal_text(values["price"]), currency)
        return abs(abs(product) - abs(amount_minor(values["amount"], currency))) <= 1
    except AmountError:
        return False


def _count_and_unit(printed: str) -> tuple[str, str]:
    match = _COUNT_AND_UNIT.fullmatch(printed)
    if match is None:
        raise AmountError(f"{printed!r} is no quantity")
    count = decimal_text(match[2])
    return (f"-{count}" if match[1] or match[3] else count), match[4].rstrip(".").upper()


class _Goods:
    """Lines between the head and the total."""

    def __init__(self, layout: Layout, currency: str) -> None:
        self.lines: list[Line] = []
        self.discounts: list[Discount] = []
        self.taxes: list[Tax] = []
        self.rounding_minor = 0
        self._layout = layout
        self._currency = currency
        self._closed = False  # a subtotal was printed

    def take(self, texts: Sequence[Text]) -> None:
        """Read the lines; what is not known is passed over."""
        at = 0
        while at < len(texts):
            at += 1 if self._took_sum(texts[at]) else self._take_item(texts, at)

    def _took_sum(self, text: Text) -> bool:
        """Whether a line is something else than an item, which is kept then."""
        layout = self._layout
        if layout.is_rule(text):
            return True
        if layout.is_subtotal(text):
            self._closed = True
        elif (rounding := layout.sum_of("rounding", text)) is not None:
            self.rounding_minor += amount_minor(rounding, self._currency)
        elif (tax := tax_in(text, layout, self._currency, included=False, loose=self._closed)) is not None:
            self.taxes.append(tax)
        else:
            return self._took_void(text) or self._took_discount(text) or self._closed
        return True

    def _took_void(self, text: Text) -> bool:
        """A line that takes an item back: the last one of its amount, or the one above where it names none."""
        match = self._layout.void.match(text.plain)
        if match is None:
            return False
        amounts = self._layout.amount.findall(match[1])
        if not amounts and self._layout.status(text.printed) is not None:
            return False
        wanted = abs(amount_minor(amounts[-1], self._currency)) if amounts else None
        for at in reversed(range(len(self.lines))):
            line = self.lines[at]
            if not line.voided and wanted in (None, abs(line.amount_minor)):
                self.lines[at] = replace(line, voided=True)
                return True
        return False

    def _took_discount(self, text: Text) -> bool:
        layout = self._layout
        if not text.has_digit:
            return False
        match = layout.discount.fullmatch(text.plain) if text.has_amount else None
        if match is not None:
            indent, name, printed = len(match[1]), text.printed[: match.end(2)], match[3]
        elif (values := first_match(layout.discount_lines, text.printed, text.plain)) is not None:
            indent = len(text.plain) - len(text.plain.lstrip())
            name, printed = values.get("name", text.printed), values["amount"]
        else:
            return False
        amount = abs(amount_minor(printed, self._currency))
        of = layout.template.discounts.of
        if self.lines and not self._closed and (of == "line" or (of == "indented" and indent >= 2)):
            last = self.lines[-1]
            signed = amount if last.amount_minor >= 0 else -amount
            self.lines[-1] = replace(
                last, amount_minor=last.amount_minor - signed, discount_minor=last.discount_minor + signed
            )
        else:
            self.discounts.append(Discount(description=" ".join(name.split()), amount_minor=amount))
        return True

    def _take_item(self, texts: Sequence[Text], at: int) -> int:
        match = item_at(texts, at, self._layout, self._currency)
        if match is None:
            return 1
        name = plain(match.values.get("name", "")).strip()
        if self._layout.template.items.begin and self._layout.skip.match(name):
            return 1
        self.lines.append(self._line(match.values))
        return len(match.shape.lines)

    def _line(self, values: Mapping[str, str]) -> Line:
        minor = amount_minor(values["amount"], self._currency)
        count, unit = _count_and_unit(values["quantity"]) if "quantity" in values else (None, "")
        unit_price = decimal_text(values["price"]) if "price" in values else None
        if count is not None and minor < 0:
            count = f"-{count.lstrip('-')}"
        hidden = line_product_minor(count, unit_price, self._currency) - minor if count and unit_price else 0
        if not (count and unit_price) and "discount" in values:
            hidden, is_known = abs(amount_minor(values["discount"], self._currency)), True
        else:
            is_known = _is_discount(hidden, minor, count)
        description = " ".join(values.get("name", "").split())
        code = values.get("sku", "")
        gtin = article_number(description) or article_number(code)
        return Line(
            position=len(self.lines) + 1,
            kind=line_kind(description),
            description=description or UNSET,
            gtin=gtin or UNSET,
            sku=code if code and code != gtin else UNSET,
            quantity=count or UNSET,
            unit=values.get("unit", "").rstrip(".").upper() or unit or UNSET,
            unit_price=unit_price or UNSET,
            discount_minor=hidden if is_known else 0,
            amount_minor=minor,
            tax_labels=(values["label"],) if "label" in values else (),
        )


def _is_discount(hidden: int, amount: int, count: str | None) -> bool:
    """Whether quantity × price − amount is more than the rounding of printed prices."""
    rounding = (1 + abs(Decimal(count or 0))) / 2
    return abs(hidden) > rounding and (hidden > 0) == (amount >= 0)


class Foot:
    """Lines after the total."""

    def __init__(self) -> None:
        self.taxes: list[Tax] = []
        self.tenders: list[Tender] = []
        self.change_minor: int | None = None
        self.rounding_minor = 0


def read_foot(texts: Sequence[Text], layout: Layout, currency: str) -> Foot:
    """What stands below the total."""
    foot = Foot()
    for text in texts:
        if (tax := tax_in(text, layout, currency, included=True, loose=False)) is not None:
            foot.taxes.append(tax)
        elif (change := layout.sum_of("change", text)) is not None:
            foot.change_minor = amount_minor(change, currency)
        elif (rounding := layout.sum_of("rounding", text)) is not None:
            foot.rounding_minor += amount_minor(rounding, currency)
        elif (tender := layout.tender_of(text)) is not None:
            kind, words, amount = tender
            foot.tenders.append(Tender(kind=kind, description=words, amount_minor=amount_minor(amount, currency)))
    return foot


def tax_in(text: Text, layout: Layout, currency: str, *, included: bool, loose: bool) -> Tax | None:
    """A row of a shape; or `[A] VAT 20% [net] 0.91`: the last amount is the tax.

    Where `loose`, under a subtotal, any name with a tax's word will do.
    """
    if not text.has_digit:
        return None
    if (included or loose) and (values := first_match(layout.tax_lines, text.printed, text.plain)) is not None:
        return Tax(
            label=values.get("label", UNSET),
            name=values.get("name", UNSET),
            rate=decimal_text(values["rate"]) if "rate" in values else UNSET,
            amount_minor=amount_minor(values["tax"], currency),
            included=included,
        )
    match = layout.tax.fullmatch(text.plain) or (layout.loose_tax.fullmatch(text.plain) if loose else None)
    amounts = layout.amount.findall(match[3]) if match is not None else []
    if match is None or not amounts:
        return None
    rate = _RATE.search(match[3])
    return Tax(
        label=match[1] or UNSET,
        name=" ".join(text.printed[match.start(2) : match.end(2)].split()),
        rate=decimal_text(rate[1]) if rate is not None else UNSET,
        amount_minor=amount_minor(amounts[-1], currency),
        included=included,
    )
