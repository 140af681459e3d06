"""POSLogs for tests to read, in the forms of the public schema: 2.1 and 6.x. Everything in them is made up."""

from __future__ import annotations

NAMESPACE = "http://www.nrf-arts.org/IXRetail/namespace/"
DAY = "2026-11-22"


def poslog(*transactions: str, prefix: str = "", declared: str = "") -> str:
    colon = f":{prefix}" if prefix else ""
    name = f"{prefix}:POSLog" if prefix else "POSLog"
    inner = "".join(transactions)
    if prefix:
        inner = _prefixed(inner, prefix)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns{colon}="{NAMESPACE}" {declared}>{inner}</{name}>'


def _prefixed(xml: str, prefix: str) -> str:
    parts = xml.split("<")
    named = [f"/{prefix}:{part[1:]}" if part.startswith("/") else f"{prefix}:{part}" for part in parts[1:]]
    return parts[0] + "".join(f"<{part}" for part in named)


def header(*, number: int = 4711, version: int = 6, end: str = f"{DAY}T09:07:14+01:00") -> str:
    shop = (
        "<BusinessUnit><UnitID Name='Corner'>12</UnitID></BusinessUnit>"
        if version == 6
        else "<RetailStoreID>12</RetailStoreID>"
    )
    return (
        f"{shop}<WorkstationID>3</WorkstationID><SequenceNumber>{number}</SequenceNumber>"
        f"<BusinessDayDate>{DAY}</BusinessDayDate><EndDateTime>{end}</EndDateTime>"
        "<OperatorID OperatorName='Ana'>7</OperatorID><CurrencyCode>EUR</CurrencyCode>"
    )


def transaction(
    *items: str, total: str | None = None, flags: str = "", status: str = "", more: str = "", **facts: object
) -> str:
    """A sale: `items` are line items, `flags` attributes of the transaction, `more` what stands beside it."""
    grand = f'<Total TotalType="TransactionGrandAmount">{total}</Total>' if total is not None else ""
    said = f' TransactionStatus="{status}"' if status else ""
    return (
        f"<Transaction {flags}>{header(**facts)}{more}"  # type: ignore[arg-type]
        f"<RetailTransaction{said}>{''.join(items)}{grand}</RetailTransaction></Transaction>"
    )


def line(content: str, attributes: str = "") -> str:
    return f"<LineItem {attributes}>{content}</LineItem>"


def sale(
    amount: str, *, quantity: str = "1", price: str = "", name: str = "Bread", item: str = "1001", more: str = "",
    kind: str = "Sale", attributes: str = "", quantity_attributes: str = "", item_type: str = "Stock",
) -> str:  # fmt: skip
    unit = f"<RegularSalesUnitPrice>{price}</RegularSalesUnitPrice>" if price else ""
    return line(
        f'<{kind} ItemType="{item_type}"><ItemID>{item}</ItemID><Description>{name}</Description>{unit}'
        f"<ExtendedAmount>{amount}</ExtendedAmount>"
        f"<Quantity {quantity_attributes}>{quantity}</Quantity>{more}</{kind}>",
        attributes,
    )


def modifier(amount: str, *, rule: str = "Item", action: str = "Subtract") -> str:
    return (
        f'<RetailPriceModifier><Amount Action="{action}">{amount}</Amount>'
        f'<PriceDerivationRule ApplicationType="{rule}"/></RetailPriceModifier>'
    )


def tender(amount: str, *, kind: str = "Cash", code: str = "Sale", more: str = "") -> str:
    return line(f'<Tender TenderType="{kind}" TypeCode="{code}"><Amount>{amount}</Amount>{more}</Tender>')


def tax(amount: str, *, percent: str = "20", included: bool | None = None, label: str = "A") -> str:
    flag = "" if included is None else f' TaxIncludedInTaxableAmountFlag="{str(included).lower()}"'
    return (
        f'<Tax TaxType="VAT"><TaxableAmount{flag}>1.00</TaxableAmount><Amount>{amount}</Amount>'
        f"<Percent>{percent}</Percent><TaxGroupID>{label}</TaxGroupID></Tax>"
    )


def link(reason: str, number: int, *, register: str = "3", store: str = "12", day: str = "2026-11-21") -> str:
    return (
        f'<TransactionLink ReasonCode="{reason}"><RetailStoreID>{store}</RetailStoreID><WorkstationID>{register}'
        f"</WorkstationID><SequenceNumber>{number}</SequenceNumber>"
        f"<BusinessDayDate>{day}</BusinessDayDate></TransactionLink>"
    )


def control(content: str, *, kind: str = "ControlTransaction", number: int = 1) -> str:
    return f"<Transaction>{header(number=number)}<{kind}>{content}</{kind}></Transaction>"
