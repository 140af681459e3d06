"""Gives a receipt that was booked without a member to one, late.

Owns when that may be, and its entry for the centre. Never changes what the receipt says of the sale. It runs in the
store's writer.
"""

from __future__ import annotations

from msgspec.structs import replace

from agent.booking import Rules, beneficiary, evaluation_of, ownership_of, settlement_of
from agent.desk import Settlement
from agent.sale_shapes import SaleRefusedError
from loyalty.instant import Instant
from loyalty.receipt import MemberReference
from sync.records import AttachBody
from sync.store.writing import Writing


def attach(writing: Writing, key: str, reference: MemberReference, captured: Instant, *, rules: Rules) -> Settlement:
    """Gives a booked receipt that is nobody's to a member, by an entry of its own; the receipt stays as it was told.

    Raises SaleRefusedError.
    """
    known = writing.known_receipt((key,))
    owner = ownership_of(writing, reference)
    if known is None:
        raise SaleRefusedError("too_old", "This receipt is not kept here.")
    if known.receipt.member or known.member is not None:
        raise SaleRefusedError("has_member", "This receipt belongs to a member already.")
    if known.receipt.kind != "sale" or known.receipt.status != "final":
        raise SaleRefusedError("no_sale", "Only a sale that took place can be given to a member.")
    if owner.blocked:
        raise SaleRefusedError("no_member", "This card is blocked.")
    receipt = replace(known.receipt, member=reference)
    evaluation = evaluation_of(writing, receipt, owner, rules)
    member = beneficiary(owner, evaluation)
    writing.update_receipt(receipt, member, evaluation.claims)
    name = writing.new_id("a-")
    writing.append("attach", name, AttachBody(target=receipt.key, member=reference))
    if member is not None:
        writing.add_claims(name, member, evaluation.claims)
    return settlement_of(receipt, captured, owner, evaluation)
