"""What a POSLog's sale comes to: lines, payments, member and links in the contract's signs.

Owns the kinds of line items and whether goods went out or came back. Never knows who the transaction is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from xml.etree.ElementTree import Element

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from drivers.receipts.port import MalformedReceiptError
from drivers.receipts.poslog_lines import (
    DISCOUNT_ELEMENTS,
    GOODS_ELEMENTS,
    VOID_FLAGS,
    Goods,
    Paid,
    RewardGroup,
    change_of,
    discount_of,
    discounts_of,
    goods_of,
    paid_of,
    rounding_of,
    tax_of,
)
from drivers.receipts.poslog_member import MEMBER_ELEMENTS, best_member
from drivers.receipts.poslog_sums import settled
from drivers.receipts.poslog_tree import amount_in, attribute, children, each, innermost, is_flagged, text_of
from drivers.receipts.wording import printed_date
from loyalty.identity import key_of, pos_id
from loyalty.receipt import Discount, Line, MemberReference, Original, ReceiptKind, Tax, Tender

# What a line item holds beside goods, a member and links to other transactions.
_AMOUNT_ELEMENTS: Final = frozenset(("Tax", "Rounding", "Tender", "TenderChange", *DISCOUNT_ELEMENTS))
_TOTAL_TYPES: Final = (
    "TransactionGrandAmount", "TransactionGrossAmount", "", "TransactionNetAmount", "TransactionPurchaseAmount",
    "TransactionTenderApplied",
)  # fmt: skip
_KNOWN_TOTALS: Final = frozenset((*_TOTAL_TYPES, "TransactionTaxAmount"))


class Body(Struct, frozen=True, kw_only=True):
    """A sale's amounts, signed as in the contract, and what it says of others: member, and links with their reasons."""

    kind: ReceiptKind
    total_minor: int
    rounding_minor: int
    lines: tuple[Line, ...]
    discounts: tuple[Discount, ...]
    taxes: tuple[Tax, ...]
    tenders: tuple[Tender, ...]
    change_minor: int
    member: MemberReference | UnsetType
    links: tuple[tuple[Element, str], ...]

    def as_sale(self) -> Body:
        """The sale that this one, all negative, takes back."""
        return _negated(self) if self.kind == "return" else self


class _Items(Struct, kw_only=True):
    """The line items of a sale as they are met."""

    goods: list[Goods] = []
    taxes: list[Tax] = []
    rewards: list[RewardGroup] = []
    paid: list[Paid] = []
    change_minor: int = 0
    rounding_minor: int = 0
    members: list[tuple[Element, str]] = []
    links: list[tuple[Element, str]] = []


def body_of(transaction: Element, sale: Element, currency: str) -> Body:
    """The amounts of `sale`. Raises MalformedReceiptError (`no_total`, `bad_amount`)."""
    items = _Items()
    for item in sale.findall("LineItem"):
        _take(item, items, currency)
    for around in (sale, transaction):
        items.members += [(child, "") for child in each(around, MEMBER_ELEMENTS)]
        items.links += [(link, _reason(link)) for link in around.findall("TransactionLink")]
    discounts = discounts_of(items.rewards)
    taxes = tuple(items.taxes) or _summed(tax for one in items.goods if not one.line.voided for tax in one.taxes)
    kind = _kind(items)
    total = _total(sale, items, currency)
    if _is_turned(items, kind, total):
        kind = "return"
    if kind == "return":
        goods, total = [_turned(one) for one in items.goods], -abs(total)
        discounts = tuple(replace(one, amount_minor=-abs(one.amount_minor)) for one in discounts)
        taxes = tuple(replace(tax, amount_minor=-abs(tax.amount_minor)) for tax in taxes)
    else:
        goods = items.goods
        if kind == "exchange" and total > 0 and sum(one.line.amount_minor for one in goods) == -total:
            total = -total
    found = settled(goods, discounts, taxes, items.rounding_minor, total)
    tenders, change = _payments(items, kind, total, found.rounding_minor)
    return Body(
        kind=kind,
        total_minor=total,
        rounding_minor=found.rounding_minor,
        lines=found.lines,
        discounts=found.discounts,
        taxes=found.taxes,
        tenders=tenders,
        change_minor=change,
        member=best_member(items.members),
        links=tuple(items.links),
    )


def _take(item: Element, items: _Items, currency: str) -> None:
    """One line item. Of a voided one only goods are kept, since paper shows them."""
    names = [element.tag for element in item]
    voided = is_flagged(item, names, VOID_FLAGS)
    for name, element in zip(names, item, strict=True):
        if name in GOODS_ELEMENTS:
            parts = children(element)
            goods = goods_of(element, parts, len(items.goods) + 1, currency, voided=voided)
            if goods is not None:
                items.goods.append(goods)
            if "TransactionLink" in parts:
                items.links += [(link, _reason(link)) for link in element.findall("TransactionLink")]
            if not MEMBER_ELEMENTS.isdisjoint(parts):
                entry = attribute(item, "EntryMethod")
                items.members += [(child, entry) for child in each(element, MEMBER_ELEMENTS)]
        elif name in MEMBER_ELEMENTS:
            items.members.append((element, attribute(item, "EntryMethod")))
        elif name == "TransactionLink":
            items.links.append((element, _reason(element)))
        elif name in _AMOUNT_ELEMENTS and not voided:
            _take_amount(element, name, items, currency)


def _take_amount(element: Element, name: str, items: _Items, currency: str) -> None:
    if name == "Tax":
        items.taxes.append(tax_of(element, currency, 1))
    elif name in DISCOUNT_ELEMENTS:
        reward = discount_of(element, currency)
        if reward is not None:
            items.rewards.append(reward)
    elif name == "Rounding":
        items.rounding_minor += rounding_of(element, currency)
    else:
        _take_payment(element, name, items, currency)


def _take_payment(element: Element, name: str, items: _Items, currency: str) -> None:
    parts = children(element)
    if name == "TenderChange" or "TenderChange" in parts:
        items.change_minor += change_of(element, currency)
    if name == "TenderChange":
        return
    rounded = rounding_of(parts["Rounding"], currency) if "Rounding" in parts else 0
    items.rounding_minor += rounded
    if attribute(element, "TenderType").rpartition(":")[2] == "Rounding":
        if not rounded:
            items.rounding_minor += rounding_of(element, currency)
        return
    paid = paid_of(element, parts, currency)
    if paid.tender.amount_minor:
        items.paid.append(paid)


def _reason(link: Element) -> str:
    return (attribute(link, "ReasonCode") or text_of(link.find("ReasonCode"))).upper()


def link_of(link: Element, own: Original) -> Original:
    """The transaction that a link names. A store that it leaves out is the own one."""
    parts = children(link)
    store = text_of(innermost(parts.get("BusinessUnit", parts.get("RetailStoreID")), "UnitID")) or own.store
    day = printed_date(text_of(innermost(parts.get("BusinessDayDate"), "Date")))
    register = text_of(parts.get("WorkstationID")) or UNSET
    number = next(
        (text for name in ("SequenceNumber", "ReceiptNumber", "TransactionID") if (text := text_of(parts.get(name)))),
        UNSET,
    )
    key: str | UnsetType = UNSET
    if store and register and day and number:
        key = key_of(pos_id(store, register, day.isoformat(), number))
    return Original(key=key, number=number, store=store, register=register, business_day=day or UNSET)


def _kind(items: _Items) -> ReceiptKind:
    """By what went out and what came back. A line taken back that the same receipt sold is a correction of it."""
    goods = [one for one in items.goods if not one.line.voided]
    back = [(one.line.sku, one.line.gtin) for one in goods if one.is_return]
    if not back:
        return "sale"
    sold = {(one.line.sku, one.line.gtin) for one in goods if one.line.amount_minor > 0 and one.line.kind == "goods"}
    if sold.issuperset(back) and not any(_is_return_link(reason) for _, reason in items.links):
        return "sale"
    return "exchange" if sold else "return"


def _is_return_link(reason: str) -> bool:
    return reason in ("", "RETURN", "RETURNED", "REFUND")


def _is_turned(items: _Items, kind: ReceiptKind, total: int) -> bool:
    """Whether a sale is a return written as one: money went out alone, or all of it is negative."""
    if kind != "sale" or not items.goods:
        return False
    if items.paid and all(paid.is_refund for paid in items.paid) and not items.change_minor:
        return True
    if total >= 0:
        return False
    goods = [one for one in items.goods if not one.line.voided and one.line.kind == "goods"]
    return bool(goods) and all(one.line.amount_minor <= 0 for one in goods)


def _turned(goods: Goods) -> Goods:
    """Goods of a return: all negative, whatever was written."""
    line = goods.line
    quantity = line.quantity
    return replace(
        goods,
        line=replace(
            line,
            amount_minor=-abs(line.amount_minor),
            quantity=f"-{quantity.removeprefix('-')}" if quantity and quantity.strip("-0.") else quantity,
        ),
        own_discount_minor=-abs(goods.own_discount_minor),
        all_discount_minor=-abs(goods.all_discount_minor),
        hidden_discount_minor=-abs(goods.hidden_discount_minor),
    )


def _total(sale: Element, items: _Items, currency: str) -> int:
    """The amount to pay: the grand total, or of the others the one that was paid. Raises MalformedReceiptError."""
    said: dict[str, int] = {}
    for total in sale.findall("Total"):
        name = attribute(total, "TotalType").rpartition(":")[2]
        if name not in said and name in _KNOWN_TOTALS and (minor := amount_in(total, currency)) is not None:
            said[name] = minor
    if "TransactionGrandAmount" in said:
        return said["TransactionGrandAmount"]
    if "TransactionNetAmount" in said and "TransactionTaxAmount" in said:
        said["with tax"] = said["TransactionNetAmount"] + said["TransactionTaxAmount"]
    paid = sum(-one.tender.amount_minor if one.is_refund else one.tender.amount_minor for one in items.paid)
    named = [said[name] for name in (*_TOTAL_TYPES, "with tax") if name in said]
    if named:
        return next((total for total in named if items.paid and abs(total) == abs(paid - items.change_minor)), named[0])
    if not items.goods and not items.paid:
        raise MalformedReceiptError("no_total", "the transaction has neither lines nor a total; export it whole")
    if items.paid:
        return paid - items.change_minor
    counted = sum(one.line.amount_minor for one in items.goods if not one.line.voided)
    return counted - sum(reward.discount.amount_minor for reward in items.rewards) + items.rounding_minor


def _payments(items: _Items, kind: ReceiptKind, total: int, rounding: int) -> tuple[tuple[Tender, ...], int]:
    """Tenders and change. Cash that a sale gives back is change; what was paid too much is, where nothing says more."""
    if kind == "return":
        return tuple(replace(one.tender, amount_minor=-one.tender.amount_minor) for one in items.paid), 0
    tenders: list[Tender] = []
    change = items.change_minor
    for one in items.paid:
        if one.is_refund and total >= 0 and one.tender.kind == "cash" and not items.change_minor:
            change += one.tender.amount_minor
        else:
            sign = -1 if one.is_refund else 1
            tenders.append(replace(one.tender, amount_minor=sign * one.tender.amount_minor))
    over = sum(tender.amount_minor for tender in tenders) - change - total
    if over and over == sum(one.cashback_minor for one in items.paid):
        change, over = change + over, 0
    if over and items.rounding_minor != rounding and over == items.rounding_minor:
        tenders.append(Tender(kind="other", description="Rounding", amount_minor=-over))
    elif over > 0 and not change and total >= 0:
        change = over
    return tuple(tenders), change


def _summed(taxes: Iterable[Tax]) -> tuple[Tax, ...]:
    """The taxes of lines, one row for each kind."""
    totals: dict[Tax, int] = {}
    for tax in taxes:
        kind = replace(tax, amount_minor=0)
        totals[kind] = totals.get(kind, 0) + tax.amount_minor
    return tuple(replace(kind, amount_minor=minor) for kind, minor in totals.items())


def _negated(body: Body) -> Body:
    def turned(text: str | UnsetType) -> str | UnsetType:
        return text.removeprefix("-") if text else text

    return replace(
        body,
        kind="sale",
        total_minor=-body.total_minor,
        rounding_minor=-body.rounding_minor,
        lines=tuple(
            replace(
                line,
                quantity=turned(line.quantity),
                amount_minor=-line.amount_minor,
                discount_minor=-line.discount_minor,
            )
            for line in body.lines
        ),
        discounts=tuple(replace(one, amount_minor=-one.amount_minor) for one in body.discounts),
        taxes=tuple(replace(tax, amount_minor=-tax.amount_minor) for tax in body.taxes),
        tenders=tuple(replace(one, amount_minor=-one.amount_minor) for one in body.tenders),
        change_minor=-body.change_minor,
    )
