"""Gives a receipt that was booked without a member to one, late.

Owns when that may be, its entry for the centre, and that somebody who joins with a card has what was kept for it at
once. Never changes what the receipt says of the sale. It runs in the store's writer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from agent.booking import Rules, beneficiary, evaluation_of, ownership_of, settlement_of
from agent.desk import Desk, Settlement
from agent.profiles import Claim
from agent.sale_shapes import SaleRefusedError
from loyalty.instant import Instant
from loyalty.receipt import MemberReference
from sync.records import AttachBody
from sync.store.writing import Writing

# Receipts that are looked through for what is held: what was sold earlier comes with the feed.
_LOOKED_THROUGH: Final = 32


def claiming(rules: Rules, desk: Desk) -> Claim:
    """Has the desk tell what is claimed of the sale that it shows."""

    def claim(writing: Writing, entry: str, codes: Sequence[str]) -> Callable[[], None]:
        settled = claim_held(writing, entry, codes, rules=rules)

        def tell() -> None:
            for one in settled:
                desk.claimed(one)

        return tell

    return claim


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


def claim_held(writing: Writing, entry: str, codes: Sequence[str], *, rules: Rules) -> tuple[Settlement, ...]:
    """Shows what the last receipts of these codes give, which have a member since the `entry` of that key.

    The centre counts them with it: nothing is told of them, and nothing is shown any more once the feed covers it.
    """
    settled = []
    for one in reversed(writing.last_receipts(_LOOKED_THROUGH)):
        receipt = one.receipt
        held = one.member is None and receipt.kind == "sale" and receipt.status == "final"
        if not held or not receipt.member or receipt.member.code not in codes:
            continue
        owner = ownership_of(writing, receipt.member)
        evaluation = evaluation_of(writing, receipt, owner, rules)
        member = beneficiary(owner, evaluation)
        if member is not None:
            writing.update_receipt(receipt, member, evaluation.claims)
            writing.add_claims(entry, member, evaluation.claims)
            settled.append(settlement_of(receipt, one.captured, owner, evaluation))
    return tuple(settled)
