"""What time alone does to a member: pending points mature, lots expire, a tier ends.

Owns that, as a pure function. Points that are spent are taken of the lot that expires soonest.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET
from msgspec.structs import replace

from loyalty.member import Lot, MemberState
from loyalty.program import Program
from loyalty.standing import Standing, tier_by_hand


def roll(member: MemberState, program: Program, until: datetime) -> MemberState:
    """The member at `until`. What of their points is in no lot neither matures nor expires.

    A lot with `pending_until` is part of `pending`, any other of `confirmed`. Where the lots hold more than is
    confirmed, the rest was spent. `spendable` stays less than `confirmed` by what is reserved, and what is reserved
    does not expire before it is spent or free again.
    """
    lots = _unspent(member)
    confirmed, pending = member.confirmed, member.pending
    reserved = member.confirmed - member.balance.spendable
    kept: list[Lot] = []
    for lot in lots:
        expired = lot.expires_at is not UNSET and lot.expires_at <= until
        matured = lot.pending_until is not UNSET and lot.pending_until <= until
        if lot.pending_until is not UNSET and (matured or expired):
            pending -= lot.points
            confirmed += lot.points
        gone = min(lot.points, max(0, confirmed - max(0, reserved))) if expired else 0
        confirmed -= gone
        if gone < lot.points:
            pending_until = UNSET if matured or expired else lot.pending_until
            kept.append(replace(lot, points=lot.points - gone, pending_until=pending_until))
    by_hand = tier_by_hand(program, member.tier or UNSET, member.counters.activity)
    tier = Standing(member.counters.activity or ()).tier(program, by_hand, until)
    counters = member.counters if member.counters.lots is UNSET else replace(member.counters, lots=tuple(kept))
    return replace(
        member, tier=tier, confirmed=confirmed, pending=pending, spendable=confirmed - reserved, counters=counters
    )


def _unspent(member: MemberState) -> list[Lot]:
    """Lots in the order in which they expire, less what was spent of them."""
    lots = sorted(member.counters.lots or (), key=_expires)
    spent = sum(lot.points for lot in lots if lot.pending_until is UNSET) - member.confirmed
    left = []
    for lot in lots:
        if lot.pending_until is UNSET and spent > 0:
            taken = min(spent, lot.points)
            spent -= taken
            left.append(replace(lot, points=lot.points - taken))
        else:
            left.append(lot)
    return [lot for lot in left if lot.points]


def _expires(lot: Lot) -> tuple[bool, float | datetime]:
    return (lot.expires_at is UNSET, lot.expires_at or 0)
