"""What the line items of a POSLog say: goods, taxes, discounts, payments.

Owns the elements in a line item and what their amounts are before anything is weighed: which of several readings
adds up, `poslog_sums` finds. Never reads a payment card's number.

Source: ARTS IXRetail POSLog 2.1 and 6.0, and what registers write under these names.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final
from xml.etree.ElementTree import Element

from msgspec import UNSET, Struct, UnsetType

from drivers.receipts.poslog_tree import (
    Number,
    amount_in,
    amount_of,
    attribute,
    children,
    is_flagged,
    number_in,
    number_of,
    numbered,
    remembered,
    text_in,
    text_of,
)
from drivers.receipts.wording import line_kind
from loyalty.check_digit import GTIN_LENGTHS, has_valid_check_digit, shortest_gtin
from loyalty.money import line_product_minor
from loyalty.pan import pan_spans
from loyalty.receipt import Discount, Line, LineKind, Tax, Tender, TenderKind

RETURN_ELEMENTS: Final = frozenset(("Return", "ReturnForPickup", "ReturnForDelivery"))
GOODS_ELEMENTS: Final = frozenset(
    (
        "Sale", "SaleForPickup", "SaleForDelivery", "StoredValueFundSale", "GiftCardSale", "GiftCertificateSale", "Fee",
        "Deposit", "Tip", "Donation", *RETURN_ELEMENTS,
    )
)  # fmt: skip
DISCOUNT_ELEMENTS: Final = frozenset(("Discount", "LoyaltyReward", "TransactionDiscount"))

VOID_FLAGS: Final = frozenset(("VoidFlag", "CancelFlag", "DeleteFlag"))
_VOID_FLAG: Final = frozenset(("VoidFlag",))
_PRORATED_FLAGS: Final = frozenset(("ProratedFlag", "Prorated"))
# What a line's discounts stand in, and what they come to without any of these.
_OFF: Final = frozenset(("RetailPriceModifier", "ExtendedDiscountAmount", "DiscountAmount"))
_NONE_OFF: Final = (0, 0, False)

_KIND_WORDS: Final[tuple[tuple[str, LineKind], ...]] = (
    ("DEPOSIT", "deposit"), ("GIFT", "giftcard"), ("STOREDVALUE", "giftcard"), ("TIP", "tip"), ("GRATUITY", "tip"),
    ("DONATION", "donation"), ("CHARITY", "donation"), ("FEE", "fee"),
)  # fmt: skip
_TENDERS: Final[dict[str, TenderKind]] = {
    "CASH": "cash", "CURRENCY": "cash",
    "CREDITDEBIT": "card", "CREDIT": "card", "DEBIT": "card", "CREDITCARD": "card", "DEBITCARD": "card", "CARD": "card",
    "EFT": "card", "EBT": "card", "ELECTRONICTOLL": "card",
    "CHECK": "cheque", "CHEQUE": "cheque", "TRAVELERSCHECK": "cheque", "TRAVELLERSCHEQUE": "cheque",
    "GIFTCARD": "giftcard", "GIFTCERTIFICATE": "giftcard", "STOREDVALUE": "giftcard", "STOREDVALUEFUND": "giftcard",
    "STOREDVALUECARD": "giftcard", "PREPAIDCARD": "giftcard",
    "VOUCHER": "voucher", "STORECREDIT": "voucher", "CREDITNOTE": "voucher", "CREDITMEMO": "voucher",
    "COUPON": "coupon", "MANUFACTURERCOUPON": "coupon", "STORECOUPON": "coupon",
    "LOYALTY": "points", "LOYALTYPOINTS": "points", "POINTS": "points",
    "FOREIGNCURRENCY": "foreign",
    "BANKTRANSFER": "transfer", "WIRETRANSFER": "transfer", "TRANSFER": "transfer", "DIRECTDEBIT": "transfer",
    "INSTANT": "instant", "INSTANTPAYMENT": "instant", "MOBILEPAYMENT": "instant", "MOBILEMONEY": "instant",
}  # fmt: skip
_PRORATED_RULES: Final = frozenset(("TOTAL", "TRANSACTION", "RECEIPT", "BASKET", "TICKET"))
# Loyalty programs also print messages and points in the shape of a reward.
_NO_MONEY: Final = frozenset(("OTHER", "CUSTOMOFFER", "POINTS", "MESSAGE"))
# Types of numbers that a shop makes. `PLU` is none: registers say it of whatever was looked up, an EAN as well.
_OWN_NUMBERS: Final = frozenset(("SKU", "STOCK", "DEPARTMENT", "INTERNAL", "ITEMID", "ARTICLE"))


_named_kind = remembered(line_kind)


class Goods(Struct, frozen=True, kw_only=True):
    """An article sold or returned, signed as it counts: `line.amount_minor` is the extended amount as given.

    `own_discount_minor` is what line discounts take off, `all_discount_minor` that and the line's share of discounts
    on the receipt; `hidden_discount_minor` is what quantity × price is more than the amount. `is_gross` where the
    extended amount is quantity × price, so that a discount is not in it yet.
    """

    line: Line
    own_discount_minor: int = 0
    all_discount_minor: int = 0
    hidden_discount_minor: int = 0
    states_discount: bool = False
    is_gross: bool = False
    is_return: bool = False
    tax_in_price: bool | None = None
    taxes: tuple[Tax, ...] = ()


class Paid(Struct, frozen=True, kw_only=True):
    """A payment; a refund is one that goes out. `cashback_minor` may or may not be in the amount."""

    tender: Tender
    is_refund: bool
    cashback_minor: int = 0


class RewardGroup(Struct, frozen=True, kw_only=True):
    """Of a discount on the receipt: which promotion it is of, and whether it sums up others of it."""

    discount: Discount
    promotion: str
    is_summary: bool


def goods_of(
    element: Element, parts: dict[str, Element], position: int, currency: str, *, voided: bool
) -> Goods | None:
    """What `element` of a line item, with its `children`, sells or takes back; None where it has no amount."""
    extended = parts.get("ExtendedAmount")
    regular = _unit_price(parts.get("RegularSalesUnitPrice"))
    actual = text_in(parts, "ActualSalesUnitPrice", "UnitListPrice")
    if regular is None and not actual and not text_of(extended):
        return None
    own, everything, states_discount = _NONE_OFF if _OFF.isdisjoint(parts) else _discounts(element, parts, currency)
    price = regular if regular is not None and (everything or not actual) else number_of(actual) if actual else None
    stated = amount_in(extended, currency)
    quantity, unit = _quantity(parts.get("Quantity"), price, stated, currency)
    product = _product(quantity, price, currency)
    if stated is None:
        stated = product or 0
    is_return = element.tag in RETURN_ELEMENTS
    is_negative = quantity is not None and quantity.is_negative
    sign = -1 if is_return or is_negative or stated < 0 else 1
    taxes = tuple([tax_of(tax, currency, sign) for tax in element.findall("Tax")]) if "Tax" in parts else ()
    description = _description(parts)
    kind = _kind(element, description)
    gtin, sku = _article(element, parts)
    line = Line(
        position=position,
        kind=kind,
        description=description or UNSET,
        gtin=gtin,
        sku=sku,
        quantity=UNSET if quantity is None else quantity.unsigned if sign > 0 else f"-{quantity.unsigned}",
        unit=unit,
        unit_price=price.text if price is not None else UNSET,
        amount_minor=sign * abs(stated),
        tax_labels=tuple(dict.fromkeys([tax.label for tax in taxes if tax.label is not UNSET])) if taxes else (),
        voided=voided,
        department=_department(element) if "MerchandiseHierarchy" in parts else UNSET,
    )
    return Goods(
        line=line,
        own_discount_minor=sign * own,
        all_discount_minor=sign * everything,
        hidden_discount_minor=sign * _hidden_minor(product, stated, quantity),
        states_discount=states_discount,
        is_gross=product is not None and abs(product) == abs(stated),
        is_return=(is_return or is_negative) and kind == "goods",
        tax_in_price=_is_true(parts["TaxIncludedInPriceFlag"]) if "TaxIncludedInPriceFlag" in parts else None,
        taxes=taxes,
    )


def _department(element: Element) -> str | UnsetType:
    """The level of the shop's assortment that is its department; where no level has that name, the only one."""
    levels = element.findall("MerchandiseHierarchy")
    named = [level for level in levels if (attribute(level, "Level") or "").lower() == "department"]
    telling = named or (levels if len(levels) == 1 else [])
    return text_of(telling[0]) or UNSET if telling else UNSET


def _is_true(flag: Element) -> bool | None:
    text = text_of(flag)
    return None if not text else text.lower() in ("true", "1")


def _unit_price(element: Element | None) -> Number | None:
    """The price of one; some state the price of a pack and how many it holds."""
    price = number_in(element)
    if price is None or element is None or not element.keys():
        return price
    pack = attribute(element, "Quantity")
    return numbered(price.exact / pieces) if pack and (pieces := number_of(pack).exact) > 1 else price


def _product(quantity: Number | None, price: Number | None, currency: str) -> int | None:
    if quantity is None or price is None:
        return None
    return line_product_minor(quantity.exact, price.exact, currency)


def _hidden_minor(product: int | None, stated: int, quantity: Number | None) -> int:
    """How much less than quantity × price was asked, where that is more than rounding makes."""
    if product is None or quantity is None:
        return 0
    hidden = abs(product) - abs(stated)
    return hidden if hidden > 0 and hidden > (1 + abs(quantity.exact)) / 2 else 0


def _quantity(
    element: Element | None, price: Number | None, stated: int | None, currency: str
) -> tuple[Number | None, str | UnsetType]:
    """How much was sold, and in what unit.

    A weighed article may have it in `Units`, beside one piece: the one that makes the amount.
    """
    quantity = number_in(element)
    if element is None or not element.keys():
        return quantity, UNSET
    unit = attribute(element, "UnitOfMeasureCode") or UNSET
    if quantity is None:
        return None, unit
    units = attribute(element, "Units")
    if not units or price is None or stated is None:
        return quantity, unit
    pieces = number_of(units)
    for exact in (quantity.exact, pieces.exact, quantity.exact * pieces.exact):
        product = line_product_minor(exact, price.exact, currency)
        if abs(abs(product) - abs(stated)) <= 1:
            return numbered(exact), unit
    return quantity, unit


def _discounts(element: Element, parts: dict[str, Element], currency: str) -> tuple[int, int, bool]:
    """What is taken off by the line's own discounts, and with its share of the receipt's; and whether that is said."""
    own = shared = 0
    is_said = False
    if "RetailPriceModifier" in parts:
        for modifier in element.findall("RetailPriceModifier"):
            inner = children(modifier)
            amount = _modifier_minor(modifier, inner, currency)
            if amount is None:
                continue
            is_said = True
            if _is_prorated(modifier, inner):
                shared += amount
            else:
                own += amount
    stated = text_in(parts, "ExtendedDiscountAmount", "DiscountAmount")
    total = abs(amount_of(stated, currency)) if stated else 0
    if not own and not shared:
        own = total
    return own, max(own + shared, total), bool(stated) or is_said


def _modifier_minor(modifier: Element, parts: dict[str, Element], currency: str) -> int | None:
    """What a modifier takes off; None where it names no amount, such as a percentage alone."""
    if is_flagged(modifier, parts, _VOID_FLAG):
        return 0
    element = parts.get("Amount")
    action = attribute(element, "Action").lower()
    amount = amount_in(element, currency) if action != "replace" else None
    if amount is not None:
        return -abs(amount) if action == "add" else abs(amount)
    before, after = text_of(parts.get("PreviousPrice")), text_of(parts.get("NewPrice")) or text_of(element)
    return amount_of(before, currency) - amount_of(after, currency) if before and after else None


def _is_prorated(modifier: Element, parts: dict[str, Element]) -> bool:
    if is_flagged(modifier, parts, _PRORATED_FLAGS):
        return True
    rule = parts.get("PriceDerivationRule")
    return rule is not None and attribute(rule, "ApplicationType").upper() in _PRORATED_RULES


def _description(parts: dict[str, Element]) -> str:
    """The first of its names; they may come in several languages and lengths."""
    return text_in(parts, "Description", "ItemDescription") or attribute(parts.get("ItemID"), "Name")


def _kind(element: Element, description: str) -> LineKind:
    return _said_kind(element.get("ItemType", "")) or _said_kind(element.tag) or _named_kind(description)


@remembered
def _said_kind(said: str) -> LineKind | None:
    word = said.strip().rpartition(":")[2].upper()
    return next((kind for part, kind in _KIND_WORDS if part in word and not word.startswith("STOCK")), None)


def _article(element: Element, parts: dict[str, Element]) -> tuple[str | UnsetType, str | UnsetType]:
    """The article's GTIN, and the number that the shop gave it: absent where that is the GTIN once more."""
    identity = parts.get("POSIdentity")
    item = parts.get("ItemID")
    number = text_of(item)
    if identity is None and "SerialNumber" not in parts:
        alone = _gtin(number, attribute(item, "Type")) if len(number) in GTIN_LENGTHS else None
        return (alone, UNSET) if alone is not None else (UNSET, number or UNSET)
    named = [(number, attribute(item, "Type"))]
    if identity is not None:
        said = attribute(identity, "POSIDType")
        named += [(text_of(number), said) for number in identity.findall("POSItemID")]
    own = [number for number, _ in named if number]
    if "SerialNumber" in parts:
        serials = [one for one in element.findall("SerialNumber") if attribute(one, "Type") == "GTIN"]
        named += [(text_of(serial), "GTIN") for serial in serials]
    # One that is said to be a GTIN is it sooner than one that only looks like it.
    named.sort(key=lambda each: not _is_said_gtin(each[1]))
    gtin = next((found for number, said in named if (found := _gtin(number, said)) is not None), UNSET)
    return gtin, next((number for number in own if _gtin(number, "GTIN") != gtin), UNSET)


def _gtin(number: str, said: str) -> str | None:
    """The GTIN in its printed form; None for a number that is said to be the shop's own.

    Eight digits are one only where the register says so.
    """
    if len(number) not in GTIN_LENGTHS or not (number.isascii() and number.isdecimal()) or not number.strip("0"):
        return None
    if said and _is_said_own(said):
        return None
    if len(number) == 8 and not _is_said_gtin(said):
        return None
    return shortest_gtin(number) if has_valid_check_digit(number) else None


@remembered
def _is_said_gtin(said: str) -> bool:
    return said.upper().rpartition(":")[2].startswith(("GTIN", "EAN", "UPC"))


@remembered
def _is_said_own(said: str) -> bool:
    return said.upper().rpartition(":")[2] in _OWN_NUMBERS


def tax_of(element: Element, currency: str, sign: int) -> Tax:
    """A tax row; `included` as its own flag says, which registers do not mean alike."""
    parts = children(element)
    taxable = parts.get("TaxableAmount")
    label = text_in(parts, "TaxGroupID", "TaxRuleID") or attribute(element, "TaxID")
    name = attribute(element, "TaxType") or attribute(element, "TaxDescription") or text_of(parts.get("TaxAuthority"))
    amount = amount_in(parts.get("Amount"), currency) or 0
    percent = number_in(parts.get("Percent"))
    return Tax(
        label=label or UNSET,
        name=name or UNSET,
        rate=percent.text if percent is not None else UNSET,
        amount_minor=sign * abs(amount) if sign < 0 else amount,
        included=attribute(taxable, "TaxIncludedInTaxableAmountFlag").lower() in ("true", "1"),
    )


def discount_of(element: Element, currency: str) -> RewardGroup | None:
    """A discount on the receipt that a line item is; None where it takes nothing off."""
    parts = children(element)
    if text_of(parts.get("RewardCategory")).upper() in _NO_MONEY:
        return None
    text = text_in(parts, "Amount", "ExtendedRewardAmount", "RewardAmount", "DiscountAmount")
    minor = abs(amount_of(text, currency)) if text else 0
    if not minor:
        return None
    if attribute(parts.get("Amount"), "Action").lower() == "add":
        minor = -minor
    description = text_in(parts, "Description", "Name", "PromotionID")
    return RewardGroup(
        discount=Discount(description=description or UNSET, amount_minor=minor),
        promotion="/".join(text_of(parts.get(name)) for name in ("PromotionID", "EventID")),
        is_summary=attribute(element, "summarizedActivity") == "true" and attribute(element, "detailedData") != "true",
    )


def discounts_of(rewards: list[RewardGroup]) -> tuple[Discount, ...]:
    """One discount for each promotion; a sum of others of it is not counted again."""
    detailed = {reward.promotion for reward in rewards if not reward.is_summary and reward.promotion != "/"}
    totals: dict[tuple[str, object], int] = {}
    for number, reward in enumerate(rewards):
        if reward.is_summary and reward.promotion in detailed:
            continue
        one = reward.promotion if reward.promotion != "/" else f"#{number}"
        key = (one, reward.discount.description)
        totals[key] = totals.get(key, 0) + reward.discount.amount_minor
    return tuple(Discount(description=name, amount_minor=minor) for (_, name), minor in totals.items())  # type: ignore[arg-type]


def _tender_kind(element: Element, parts: Container[str]) -> TenderKind:
    """What was paid with. A vendor's own type has its prefix: `X:Points`."""
    kind = _named_tender(attribute(element, "TenderType"))
    if kind is not None:
        return kind
    return "card" if "CreditDebit" in parts else "foreign" if "ForeignCurrency" in parts else "other"


@remembered
def _named_tender(said: str) -> TenderKind | None:
    return _TENDERS.get("".join([letter for letter in said.rpartition(":")[2].upper() if letter.isalnum()]))


def paid_of(element: Element, parts: dict[str, Element], currency: str) -> Paid:
    """A payment: its kind, name and amount, and nothing of the card that it was made with."""
    kind = _tender_kind(element, parts)
    amount = amount_in(parts.get("Amount"), currency) or 0
    name = (
        attribute(element, "TenderDescription")
        or text_in(parts, "TenderDescription", "Description", "PaymentTypeDescription")
        or attribute(parts.get("ReasonCode"), "Description")
    )  # fmt: skip
    foreign = _foreign(parts) if kind == "foreign" else (UNSET, UNSET)
    return Paid(
        tender=Tender(
            kind=kind,
            description=(without_cards(name) or UNSET) if name else UNSET,
            amount_minor=abs(amount),
            currency=foreign[0],
            foreign_minor=foreign[1],
        ),
        is_refund=amount < 0 or attribute(element, "TypeCode").lower() == "refund",
        cashback_minor=abs(amount_in(parts.get("Cashback"), currency) or 0),
    )


def _foreign(parts: dict[str, Element]) -> tuple[str | UnsetType, int | UnsetType]:
    inner = parts.get("ForeignCurrency")
    if inner is None:
        return UNSET, UNSET
    known = children(inner)
    currency = text_of(known.get("CurrencyCode")) or attribute(inner, "CurrencyCode") or attribute(inner, "Currency")
    face = next((known[name] for name in ("OriginalFaceAmount", "ForeignAmount", "Amount") if name in known), None)
    currency = currency or attribute(face, "Currency")
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()) or not text_of(face):
        return UNSET, UNSET
    return currency, abs(amount_of(text_of(face), currency))


def without_cards(text: str) -> str:
    """`text` with a payment card's number starred: of a card nothing but its kind is wanted."""
    for start, end in pan_spans(text):
        text = text[:start] + "*" * (end - start) + text[end:]
    return text


def change_of(element: Element, currency: str) -> int:
    """The change in a payment or in a line of its own; some systems write one in another."""
    inner = element.find("TenderChange")
    if inner is not None:
        return change_of(inner, currency)
    if element.tag != "TenderChange":
        return 0
    return abs(amount_in(element.find("Amount"), currency) or 0)


def rounding_of(element: Element, currency: str) -> int:
    """What rounding adds to the amount to pay, below zero where it takes off."""
    minor = amount_in(element, currency)
    if minor is None:
        minor = amount_in(element.find("Amount"), currency) or 0
    return -abs(minor) if attribute(element, "RoundingDirection").lower() == "down" else minor
