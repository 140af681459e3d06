"""What a register may promise a member whom it shows: the points that are safe here now, and what they buy.

Owns that answer, from the store alone. Never reserves anything, and knows no basket: whether goods that a reward is for
are bought is seen when a sale is priced (`agent.pricing`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from agent.sale_shapes import MAX_REDEMPTIONS
from agent.view import NearestView, Promise, ReservedView, RewardView, Unsafe
from loyalty.account import facts_of
from loyalty.allowances import Standing, by_allowance
from loyalty.fold import Fold
from loyalty.history import scope_of
from loyalty.member import Counters, Member, MemberState, stamps_of
from loyalty.money import minor_digits
from loyalty.program import Program, ProgramError, Reward, program_from_json
from loyalty.receipt import Receipt
from loyalty.rewards import NOTHING, Offer, full_cards, offers, per_receipt
from sync.programs import program_at
from sync.store.rows import KeptRedemption
from sync.store.spending_rows import SpendingReads
from sync.store.store import Store

_NOTHING_BOUGHT: Final = "nothing-bought"
# What a member lacks, and not a basket.
_NOT_HAD: Final = frozenset({"points", "stamps"})


class Promises:
    """Asks one store. The program in force is read once."""

    def __init__(
        self, store: Store, now: Callable[[], datetime], reach: Callable[[Member], int] = lambda _member: 0
    ) -> None:
        """`reach` says how many points that lie elsewhere a member could have set aside here."""
        self._reach = reach
        self._store = store
        self._now = now
        self._read: tuple[str, Program | None] = ("", None)

    def of(self, member: Member) -> Promise:
        now = self._now()
        standing = self._store.standing(member, is_sure=self._store.is_sure())
        program = self._program(now)
        promise = Promise(safe_offline=standing.safe, why=unsafe_because(standing))
        if program is None:
            return promise
        promise = replace(promise, currency=program.currency, digits=minor_digits(program.currency))
        if not program.rewards:
            return promise
        own = own_vouchers(self._store, member, standing, now)
        reach = self._reach(member)
        offered = _offered(program, member, now, own, reach)
        known = {one.id: one for one in program.rewards}
        full = full_cards(program, stamps_of(member))
        waiting = [one for one in self._store.reserved_redemptions() if one.member == member.member]
        reserved = [one for one in waiting if _is_pages(self._store, one)]
        stamps = {rule.id: rule.every for rule in program.stamps}
        can = (known[one.reward] for one in offered if _can_have(one, known[one.reward], member))
        return replace(
            promise,
            rewards=tuple(
                _view(
                    one,
                    standing,
                    reach=reach,
                    own=own[one.id],
                    full=full.get(one.id, 0),
                    stamps=stamps.get(one.stamps or ""),
                    on_receipt=times,
                )
                for one in can
                if (times := left_on_receipt(one, reserved))
            ),
            nearest=_nearest(program, offered),
            reserved=tuple(_reserved(one, known.get(one.reward), by_pos=one not in reserved) for one in waiting),
        )

    def program(self) -> Program | None:
        """The one in force now."""
        return self._program(self._now())

    def has_by_allowance(self) -> bool:
        """Whether points that are set aside here buy anything of the program in force."""
        now = self._now()
        program = self._program(now)
        return program is not None and any(one.points for one in by_allowance(program, now))

    def _program(self, now: datetime) -> Program | None:
        name = program_at(self._store, now)
        if name is None:
            return None
        if self._read[0] != name:
            signed = self._store.program(name)
            try:
                self._read = (name, program_from_json(signed.program.encode()) if signed is not None else None)
            except ProgramError:
                self._read = (name, None)  # booking says so, and has another one fetched
        return self._read[1]


def own_vouchers(reads: SpendingReads, member: Member, standing: Standing, now: datetime) -> Counter[str]:
    """How many vouchers of the member's own lie here and can be taken, by the reward that they bring."""
    held: Counter[str] = Counter()
    if standing.is_sure:
        for one in reads.leases_of(member):
            if one.epoch == standing.epoch and not one.is_over(now):
                held[one.reward] += one.left
    return held


def affordable(
    program: Program, member: Member, now: datetime, brought: Mapping[str, int] = NOTHING, *, reach: int = 0
) -> tuple[Reward, ...]:
    """The rewards that are meant for this member, here and today, and that they have the points for, or vouchers that
    brought them, in their order.

    What goods a reward is for is not looked at. `reach` are points besides, for rewards that are given by allowance.
    """
    rewards = {reward.id: reward for reward in program.rewards}
    offered = _offered(program, member, now, brought, reach)
    return tuple(rewards[one.reward] for one in offered if _can_have(one, rewards[one.reward], member))


def _can_have(offer: Offer, reward: Reward, member: Member) -> bool:
    return _lacks_nothing(offer) and (reward.offline == "allowance" or reward.points <= member.balance.spendable)


def _offered(
    program: Program, member: Member, now: datetime, brought: Mapping[str, int], reach: int
) -> tuple[Offer, ...]:
    """What a member is offered who has bought nothing yet."""
    state = MemberState(
        code=member.member,
        tier=member.tier,
        confirmed=member.balance.confirmed,
        pending=member.balance.pending,
        spendable=member.balance.spendable,
        counters=member.counters or Counters(),
    )
    fold = Fold(scope_of((program,)), state)
    nothing = Receipt(key=_NOTHING_BOUGHT, kind="sale", currency=program.currency, total_minor=0, issued_at=now)
    fold.sell(nothing, program=program, facts=facts_of(state, program))
    return offers(
        fold.purchase(_NOTHING_BOUGHT),
        program,
        member.balance.spendable + reach,
        brought=brought,
        stamps=state.counters.stamps or {},
    )


def _lacks_nothing(offer: Offer) -> bool:
    """Whether the member has what it costs."""
    return all(lack.kind not in _NOT_HAD for lack in offer.missing)


def _nearest(program: Program, offered: Sequence[Offer]) -> NearestView | None:
    """The reward of which the least part is missing, of equals the first; None where the member can have any."""
    if any(map(_lacks_nothing, offered)):
        return None
    every = {rule.id: rule.every for rule in program.stamps}
    whole = {reward.id: reward.points or every.get(reward.stamps or "", 0) for reward in program.rewards}
    lacking = [
        (offer, lack.count or 0, lack.kind) for offer in offered for lack in offer.missing if lack.kind in _NOT_HAD
    ]
    if not lacking:
        return None
    offer, count, kind = min(lacking, key=lambda one: Fraction(one[1], whole[one[0].reward]))
    return NearestView(
        reward=offer.reward,
        title=offer.title or None,
        measure="stamps" if kind == "stamps" else "points_in",
        missing=count,
    )


def reserved_on_page(reads: SpendingReads, member: str) -> tuple[KeptRedemption, ...]:
    """What the page reserved for a member and no receipt has settled yet."""
    return tuple(one for one in reads.reserved_redemptions() if one.member == member and _is_pages(reads, one))


def _is_pages(reads: SpendingReads, one: KeptRedemption) -> bool:
    sale = reads.sale(one.sale)
    return sale is not None and sale.by_page


def left_on_receipt(reward: Reward, reserved: Sequence[KeptRedemption]) -> int:
    """How often a receipt that only prints can have a reward beside what is reserved for it.

    Of those whose discount hangs on the goods it can have one: on paper nobody could tell two of them apart.
    """
    had = sum(one.times for one in reserved if one.reward == reward.id)
    left = min(per_receipt(reward) - had, MAX_REDEMPTIONS - len(reserved))
    if not reward.discount_minor:
        left = min(left, 0 if any(not one.discount_minor for one in reserved) else 1)
    return max(0, left)


def unsafe_because(standing: Standing) -> Unsafe | None:
    """Why less than the balance can be spent without asking; None where all of it can."""
    if standing.safe >= standing.balance:
        return None
    if not standing.is_sure:
        return "register_unsure"
    return "partly_granted" if standing.safe else "not_granted"


def _view(
    reward: Reward, standing: Standing, *, reach: int, own: int, full: int, stamps: int | None, on_receipt: int
) -> RewardView:
    """`own` vouchers and `full` cards bring it, one of so many `stamps`; a receipt can have it `on_receipt` times."""
    return RewardView(
        reward=reward.id,
        title=reward.title or None,
        cost=reward.points,
        times=min(
            _points_for(reward, standing, reach) // reward.points if reward.points else max(own, full), on_receipt
        ),
        safe=standing.times(reward) > 0 if reward.points else own > 0 and reward.offline != "refuse",
        stamps=stamps,
        discount_minor=reward.discount_minor or None,
        discount_percent=reward.discount_percent or None,
        piece_minor=_piece_minor(reward),
        min_basket_minor=reward.min_basket_minor or None,
    )


def _points_for(reward: Reward, standing: Standing, reach: int) -> int:
    return standing.balance + (reach if reward.offline == "allowance" else 0)


def _reserved(one: KeptRedemption, reward: Reward | None, *, by_pos: bool) -> ReservedView:
    """`reward` is what the program in force has by that name."""
    view = ReservedView(
        reward=one.reward,
        title=None,
        points=one.points,
        times=one.times,
        discount_minor=one.discount_minor or None,
        by_pos=by_pos,
    )
    if reward is None:
        return view
    view = replace(view, title=reward.title or None)
    if one.discount_minor:
        return view
    return replace(view, discount_percent=reward.discount_percent or None, piece_minor=_piece_minor(reward))


def _piece_minor(reward: Reward) -> int | None:
    return reward.piece_minor if reward.piece_minor is not UNSET else None
