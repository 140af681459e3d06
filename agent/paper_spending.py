"""Rewards that were reserved for a sale which a printed receipt ends.

Owns the rule for a till that cannot say itself which rewards it gave: the receipt shows their discount, or they were
not given. Never prices anything. It runs in the store's writer.
"""

from __future__ import annotations

from agent.view import RewardOutcome
from loyalty.receipt import Receipt
from sync.store.rows import KeptSale
from sync.store.writing import Writing


def settled_by_paper(writing: Writing, receipt: Receipt, member: str | None) -> RewardOutcome | None:
    """Confirms what is reserved for the member's open sale if the receipt takes at least as much off, and closes that.

    Else what the page reserved is released; a POS still closes or voids its own sale. None where nothing was reserved.
    """
    if member is None or receipt.kind == "return" or receipt.status != "final":
        return None
    reserved = [one for one in writing.reserved_redemptions() if one.member == member]
    if not reserved:
        return None
    # Of several open sales of one member a receipt ends one: the one that was reserved for last.
    sale = writing.sale(reserved[-1].sale)
    reserved = [one for one in reserved if sale is not None and one.sale == sale.id]
    if sale is None or not reserved:
        return None
    if shown_minor(receipt) >= sum(one.discount_minor for one in reserved):
        for one in reserved:
            writing.confirm(one, receipt.key)
        writing.end_sale(sale.id, "closed", receipt.key)
        return "confirmed"
    return _not_shown(writing, sale)


def let_go_of_others(writing: Writing, member: str | None) -> None:
    """A receipt ended somebody's turn at this till: what the page reserved for whom it is not is released.

    Of several tills that print into one register's spool, the others' customers choose again.
    """
    for one in writing.reserved_redemptions():
        sale = writing.sale(one.sale)
        if one.member != member and sale is not None:
            _not_shown(writing, sale)


def _not_shown(writing: Writing, sale: KeptSale) -> RewardOutcome | None:
    if not sale.by_page:
        return None
    for one in writing.redemptions_of(sale.id):
        if one.state == "reserved":
            writing.release(one)
    writing.end_sale(sale.id, "ended")
    return "released"


def shown_minor(receipt: Receipt) -> int:
    """What a receipt shows as taken off: discounts of it and of its lines, vouchers and points that paid for it."""
    lines = sum(line.discount_minor for line in receipt.lines if not line.voided)
    whole = sum(discount.amount_minor for discount in receipt.discounts)
    paid = sum(tender.amount_minor for tender in receipt.tenders if tender.kind in ("voucher", "points"))
    return lines + whole + paid
