"""An exchange is a return and a sale on one receipt: which lines are which.

Owns that cut. Each part has the receipt's key, and the sums that go with its lines.
"""

from __future__ import annotations

from msgspec.structs import replace

from loyalty.receipt import Receipt


def parts_of(receipt: Receipt) -> tuple[Receipt | None, Receipt | None]:
    """The sale and the return in a receipt: of an exchange by the signs of its lines, discounts, taxes and payments."""
    if receipt.kind == "sale":
        return receipt, None
    if receipt.kind == "return":
        return None, receipt
    if not receipt.lines:
        is_sale = receipt.total_minor >= 0
        whole = replace(receipt, kind="sale" if is_sale else "return")
        return (whole, None) if is_sale else (None, whole)
    sold, returned = _part(receipt, 1), _part(receipt, -1)
    return sold if sold.lines else None, returned if returned.lines else None


def _part(receipt: Receipt, sign: int) -> Receipt:
    lines = tuple(line for line in receipt.lines if not line.voided and line.amount_minor * sign > 0)
    discounts = tuple(discount for discount in receipt.discounts if discount.amount_minor * sign > 0)
    taxes = tuple(tax for tax in receipt.taxes if tax.amount_minor * sign > 0)
    total = sum(line.amount_minor for line in lines) - sum(discount.amount_minor for discount in discounts)
    return replace(
        receipt,
        kind="sale" if sign > 0 else "return",
        total_minor=total + sum(tax.amount_minor for tax in taxes if not tax.included),
        lines=lines,
        discounts=discounts,
        taxes=taxes,
        tenders=tuple(tender for tender in receipt.tenders if tender.amount_minor * sign > 0),
    )
