"""An exchange is a return and a sale on one receipt: which lines are which.

Owns that cut. Each part has the receipt's key, and the sums that go with its lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from loyalty.purchase import thousandths_of
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


def came_back_whole(sale: Receipt, returns: Iterable[Receipt]) -> bool:
    """Whether nothing stays of what a receipt sold, by the sums of all that gave something of it back; and by the
    pieces, where each says which they are: sums do not tell of what cost nothing.

    What cash was rounded by is no goods.
    """
    sold, _ = parts_of(sale)
    if sold is None:
        return False
    backs = [back for one in returns if (back := parts_of(one)[1]) is not None]
    if not backs:
        return False
    goods = _goods_minor(sold)
    left = goods + sum(_goods_minor(back) for back in backs)
    left_of_totals = sold.total_minor + sum(back.total_minor for back in backs)
    are_told = all(back.lines for back in backs)
    all_pieces = 0 < _pieces(sold) <= -sum(map(_pieces, backs))
    if goods <= 0:
        return goods == 0 and are_told and all_pieces
    return min(left, left_of_totals) <= 0 and (all_pieces or not are_told)


def _pieces(part: Receipt) -> int:
    """In thousandths: what comes back for nothing counts as what comes back for money does."""
    sign = -1 if part.kind == "return" else 1
    return sum(
        sign * abs(thousandths_of(line)) if line.amount_minor == 0 else thousandths_of(line)
        for line in part.lines
        if not line.voided
    )


def _goods_minor(part: Receipt) -> int:
    """A total before it was rounded; that of a part of an exchange never was."""
    return part.total_minor - part.rounding_minor


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
        rounding_minor=0,
        tenders=tuple(tender for tender in receipt.tenders if tender.amount_minor * sign > 0),
    )
