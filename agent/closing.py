"""What the receipt with which a POS closes a sale means for the rewards that were reserved for that.

Owns which of them count from here on, and what the POS is warned of. A discount that was given is recorded, however the
sale went; a receipt gives what it shows once, whichever sales are closed with it. It runs in the store's writer.
"""

from __future__ import annotations

from agent.booking import Fate
from agent.paper_spending import Terms, confirmed_after_all, given_on, suspended_on
from agent.sale_shapes import Warned
from loyalty.identity import identity_keys
from loyalty.receipt import Receipt
from sync.store.rows import KeptRedemption, KeptSale
from sync.store.writing import Writing


def close(writing: Writing, sale: KeptSale, receipt: Receipt, fate: Fate | None, terms: Terms) -> tuple[Warned, ...]:
    """What is reserved counts if the receipt is that of a sale that took place, and is let go of else.

    Of a sale that was ended before, and of one that was suspended under another name, what the receipt shows was given
    all the same. `fate` says what became of the receipt, None where it could not be booked. Where it cannot be this
    sale's, the sale ends without one.
    """
    known = writing.known_receipt(identity_keys(receipt))
    key = known.receipt.key if known is not None else receipt.key
    reserved = _in_state(writing, sale, "reserved")
    wrong: Warned | None = None
    if fate == "conflict":
        wrong = "receipt_conflict"
    elif reserved and _is_anothers(writing, receipt, key, reserved, terms):
        wrong = "receipt_of_another"
    if wrong is not None:
        for one in reserved:
            writing.release(one, "lapsed")
        if sale.state == "open":
            writing.end_sale(sale.id, "ended")
        return (wrong,)
    took_place = receipt.status in ("final", "advance")
    for one in reserved:
        if took_place:
            writing.confirm(one, key)
        else:
            writing.release(one, "lapsed", key if receipt.status == "suspended" else None)
    warned: tuple[Warned, ...] = ()
    if took_place:
        warned = _given_after_all(writing, sale, receipt, key, terms)
    if sale.state != "closed":
        writing.end_sale(sale.id, "closed", key)
    return warned


def _is_anothers(writing: Writing, receipt: Receipt, key: str, reserved: list[KeptRedemption], terms: Terms) -> bool:
    """Whether another sale has given something on the receipt already, and that shows no more."""
    others = [one for one in writing.redemptions_on(key) if one.state == "confirmed"]
    return bool(others) and given_on(writing, receipt, key, reserved, terms) is None


def _given_after_all(writing: Writing, sale: KeptSale, receipt: Receipt, key: str, terms: Terms) -> tuple[Warned, ...]:
    own = given_on(writing, receipt, key, _in_state(writing, sale, "lapsed"), terms) or ()
    was_there = confirmed_after_all(writing, own, key)
    for lapsed in suspended_on(writing, key):
        was_there &= confirmed_after_all(writing, given_on(writing, receipt, key, lapsed, terms) or (), key)
    return () if was_there else ("not_set_aside",)


def _in_state(writing: Writing, sale: KeptSale, state: str) -> list[KeptRedemption]:
    return [one for one in writing.redemptions_of(sale.id) if one.state == state]
