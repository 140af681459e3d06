"""Does a receipt add up? Owns the sums of the contract; never repairs what was printed."""

from __future__ import annotations

from msgspec.structs import replace

from loyalty.money import to_major
from loyalty.receipt import Problem, Receipt

TOTAL_MISMATCH = "total_mismatch"
CURRENCY_UNKNOWN = "currency_unknown"
# A receipt with one of these earns nothing until someone resolves it.
EARNS_NOTHING = (TOTAL_MISMATCH, CURRENCY_UNKNOWN)


def unearning(receipt: Receipt) -> Problem | None:
    """Why a receipt that would count earns nothing until someone resolves it; None where nothing is wrong."""
    if receipt.status != "final" or not receipt.problems:
        return None
    return next((problem for problem in receipt.problems if problem.code in EARNS_NOTHING), None)


def goods_difference_minor(receipt: Receipt) -> int:
    """Σ non-voided lines − Σ discounts + Σ taxes not included + rounding − total."""
    lines = sum([line.amount_minor for line in receipt.lines if not line.voided])
    discounts = sum([discount.amount_minor for discount in receipt.discounts])
    taxes = sum([tax.amount_minor for tax in receipt.taxes if not tax.included])
    return lines - discounts + taxes + receipt.rounding_minor - receipt.total_minor


def tender_difference_minor(receipt: Receipt) -> int:
    """Σ tenders − change − total."""
    return sum([tender.amount_minor for tender in receipt.tenders]) - receipt.change_minor - receipt.total_minor


def reconciled(receipt: Receipt) -> Receipt:
    """`receipt` with a `total_mismatch` problem where its sums differ by more than one minor unit a line.

    A source that gives no lines (a QR code) or no tenders is not judged on them.
    """
    tolerance = len(receipt.lines)
    details = []
    if receipt.lines and abs(goods := goods_difference_minor(receipt)) > tolerance:
        details.append(f"lines and total differ by {to_major(goods, receipt.currency)} {receipt.currency}")
    if receipt.tenders and abs(tenders := tender_difference_minor(receipt)) > tolerance:
        details.append(f"tenders and total differ by {to_major(tenders, receipt.currency)} {receipt.currency}")
    if not details or receipt.has_problem(TOTAL_MISMATCH):
        return receipt
    return replace(receipt, problems=(*receipt.problems, Problem(code=TOTAL_MISMATCH, detail="; ".join(details))))
