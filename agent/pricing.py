"""What an open sale comes to for its member: points, rewards, and what of them is safe.

Owns putting together basket, member and program as booking will, and reserving what the cashier chooses. Never talks to
the centre, and never waits: it runs in the store's writer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from agent.booking import Rules, checkout_of
from agent.checkout import current
from agent.past import folded
from agent.promises import own_vouchers, unsafe_because
from agent.sale_shapes import (
    RedemptionGiven,
    RedemptionView,
    RewardOffer,
    SaleMember,
    SaleRefusedError,
    SaleReport,
)
from agent.shown_vouchers import Brought, NotGrantedError, brought_by, own
from loyalty.allowances import Asked, CannotSpendError, Draw, Standing
from loyalty.evaluate import earns
from loyalty.exchange import parts_of
from loyalty.identification import normal_code
from loyalty.instant import Instant
from loyalty.join_codes import is_join_code
from loyalty.member import Counters, Member, MemberState, ending_of, stamps_of
from loyalty.next import preview
from loyalty.program import Program, Reward
from loyalty.purchase import Purchase
from loyalty.receipt import MemberReference, Receipt
from loyalty.rewards import Offer, Redeemed, RewardUnavailableError, Taken, offers, redeemed
from loyalty.wallet_codes import only_earns
from sync.records import MAX_DRAWS
from sync.store.rows import KeptRedemption, KeptSale
from sync.store.writing import Writing
from sync.wire import Wanted

# What anybody may know of somebody else: enough to earn, and not to spend.
_NO_CARD: Final = frozenset({"phone", "email"})


# Of a full card of stamps of which this register holds nothing.
_ASKED_FOR: Final = "the centre is asked for what does not lie at this register"


class Owner(Struct, frozen=True, kw_only=True):
    """A member as this register knows them, and what it may spend of their points, and take of their own vouchers."""

    member: Member
    standing: Standing
    vouchers: dict[str, int] = {}


class Priced(Struct, frozen=True, kw_only=True):
    """A basket under the program of its time, and what can be had of it by `terms`, which have this hash.

    These are the same, unless another program began after the first reward was reserved: a promise stands as it was
    given, and what comes with it goes by the same. `purchase` is None where nothing of the basket could be had.
    """

    basket: Receipt
    program: Program
    name: str
    terms: Program
    purchase: Purchase | None = None
    points: int | None = None
    estimated: bool = False


class Look(Struct, frozen=True, kw_only=True):
    """A sale with all that it is judged by, as far as it is known `at` that moment."""

    sale: KeptSale
    at: Instant
    reference: MemberReference | None = None
    owner: Owner | None = None
    priced: Priced | None = None
    reserved: tuple[KeptRedemption, ...] = ()

    @property
    def taken(self) -> tuple[Taken, ...]:
        return tuple(Taken(reward=one.reward, times=one.times) for one in self.reserved)


def look_at(writing: Writing, sale: KeptSale, now: Instant, rules: Rules) -> Look:
    """The sale as it stands. Whom nobody told is who was scanned for the next receipt."""
    reference = sale.member or scanned_now(writing, now)
    owner = owner_of(writing, reference, now.wall)
    reserved = tuple(one for one in writing.redemptions_of(sale.id) if one.state == "reserved")
    priced = _priced(writing, sale.basket, owner, rules, reserved[0].program if reserved else None)
    return Look(sale=sale, at=now, reference=reference, owner=owner, priced=priced, reserved=reserved)


def scanned_now(writing: Writing, now: Instant) -> MemberReference | None:
    """Whom a receipt that is printed now would belong to."""
    scan = current(checkout_of(writing, now.boot), now)
    return MemberReference(code=scan.code, kind=scan.kind, entry=scan.entry) if scan is not None else None


def owner_of(writing: Writing, reference: MemberReference | None, now: datetime) -> Owner | None:
    """None of who is not known here, or whose card is not to be accepted."""
    member = writing.member_by_code(reference.code) if reference is not None else None
    if reference is None or member is None or member.refuses(reference.code):
        return None
    standing = writing.standing(member, is_sure=writing.is_sure())
    return Owner(member=member, standing=standing, vouchers=own_vouchers(writing, member, standing, now))


def _priced(
    writing: Writing, basket: Receipt | None, owner: Owner | None, rules: Rules, reserved_by: str | None
) -> Priced | None:
    """`reserved_by` is the hash of the program by which something is reserved; None where that is not kept any more."""
    if basket is None:
        return None
    basket = rules.mapped(basket)
    named = rules.at(writing, basket)
    if named is None:
        return None
    name, program = named
    terms = program if reserved_by in (None, name) else rules.named(writing, reserved_by)
    if terms is None:
        return None
    priced = Priced(basket=basket, program=program, name=reserved_by or name, terms=terms)
    sold, _ = parts_of(basket)
    if owner is None or sold is None or not earns(sold, program):
        return priced
    fold, entries, estimated = folded(writing, sold, owner.member, program)
    if sold.key in fold.refused:
        return priced  # it would give more than anything can: it is worth nothing at the centre either
    points = sum(entry.points for entry in entries)
    priced = replace(priced, points=points, estimated=estimated)
    if terms is not program:
        fold, _, _ = folded(writing, sold, owner.member, terms)
    if sold.key in fold.refused or not earns(sold, terms):
        return priced
    return replace(priced, purchase=fold.purchase(sold.key))


def fitted(writing: Writing, look: Look, now: Instant) -> Look:
    """What is reserved as the basket has it now: discounts anew; what it cannot have beside those before is let go.

    All by the program by which the first was reserved.
    """
    reserved: list[KeptRedemption] = []
    fresh: tuple[Redeemed, ...] = ()
    for one in look.reserved:
        try:
            fresh = _redeemed(look, tuple(Taken(reward=kept.reward, times=kept.times) for kept in (*reserved, one)))
        except RewardUnavailableError:
            writing.release(one)
        else:
            reserved.append(one)
    anew = tuple(
        replace(one, discount_minor=each.discount_minor, lines=each.lines)
        for one, each in zip(reserved, fresh, strict=True)
    )
    for one in anew:
        writing.reprice(one)
    if len(anew) == len(look.reserved):
        return replace(look, reserved=anew)
    return replace(look, reserved=anew, owner=owner_of(writing, look.reference, now.wall))


def _redeemed(look: Look, taken: tuple[Taken, ...]) -> tuple[Redeemed, ...]:
    if look.priced is None or look.priced.purchase is None:
        raise RewardUnavailableError("there are no goods in the basket that a reward could be for")
    return redeemed(look.priced.purchase, look.priced.terms, taken)


def check_spends(reference: MemberReference, key: str | None) -> None:
    """Whoever only knows a number, or saw a code on a screen, must not spend a member's points by it.

    `key` is the centre's key of codes, where it is known. Raises SaleRefusedError.
    """
    code = normal_code(reference.code)
    if reference.kind in _NO_CARD:
        why = "Whoever was found by a telephone number or an address needs a card to spend."
        raise SaleRefusedError("needs_card", why)
    if is_join_code(code) or only_earns(code, key):
        raise SaleRefusedError("needs_card", "A code by which somebody joined is no card: they need one to spend.")


def reserve(writing: Writing, look: Look, given: RedemptionGiven, now: Instant, *, asked: Asked) -> Look:
    """Reserves a reward for the sale, and looks again. Raises SaleRefusedError; then nothing changed.

    `asked` says whether the centre was asked for it just now, and granted it.
    """
    reference, owner, priced = look.reference, look.owner, look.priced
    if reference is None or owner is None:
        raise SaleRefusedError("no_member", "Nobody is known here whose points these are: scan the member's card.")
    check_spends(reference, writing.code_key())
    if look.sale.basket is None:
        raise SaleRefusedError("no_basket", "Tell the basket first: PUT /v1/sales/{id}.")
    if priced is None:
        raise SaleRefusedError("no_program", "No program holds here at the time of this basket.")
    reward, times, brought = _chosen(writing, look, owner, priced, given, now=now.wall, asked=asked)
    try:
        redemption = _redeemed(look, (*look.taken, Taken(reward=reward.id, times=times)))[-1]
    except RewardUnavailableError as error:
        raise SaleRefusedError("not_for_basket", f"{error}.") from error
    draws = brought.draws if brought is not None else drawn(owner, reward, redemption.points, asked=asked)
    one = KeptRedemption(
        id=writing.new_id("r-"),
        sale=look.sale.id,
        member=owner.member.member,
        reward=reward.id,
        times=times,
        points=redemption.points,
        discount_minor=redemption.discount_minor,
        lines=redemption.lines,
        draws=draws,
        program=priced.name,
        at=now.wall,
        entered=reference.entry,
        voucher=brought.voucher if brought is not None else None,
        reserved=now,
    )
    writing.reserve(one)
    if look.sale.member is None:
        # A later scan is another customer's.
        writing.set_sale_member(look.sale.id, reference)
    return replace(look, reserved=(*look.reserved, one), owner=owner_of(writing, reference, now.wall))


def drawn(owner: Owner, reward: Reward, points: int, *, asked: Asked) -> tuple[Draw, ...]:
    """What the points are taken from. Raises NotGrantedError, and SaleRefusedError where no `redeem` could name it."""
    try:
        draws = owner.standing.drawn(reward, points, asked=asked)
    except CannotSpendError as error:
        wanted = Wanted(member=owner.member.member, points=max(0, points - owner.standing.safe))
        raise NotGrantedError(error, wanted) from error
    if len(draws) > MAX_DRAWS:
        raise SaleRefusedError("not_enough", f"That draws on more than {MAX_DRAWS} allowances: take it in parts.")
    return draws


def _chosen(
    writing: Writing, look: Look, owner: Owner, priced: Priced, given: RedemptionGiven, *, now: datetime, asked: Asked
) -> tuple[Reward, int, Brought | None]:
    """Which reward, how often, and what brings it where that is a voucher."""
    member, standing, program = owner.member, owner.standing, priced.terms
    named = next((reward for reward in program.rewards if reward.id == given.reward), None)
    if given.voucher:
        brought = brought_by(writing, program, member, standing, given.voucher, now=now, asked=asked)
    elif named is not None and named.is_leased and not given.points:
        brought = own(writing, program, member, standing, named.id, now=now, asked=asked)
    else:
        return *_bought(look, priced, given), None
    if brought.lease is not None and given.times != 1:
        raise SaleRefusedError("not_for_basket", "A voucher counts once each time that it is shown.")
    return brought.reward, given.times, brought


def _bought(look: Look, priced: Priced, given: RedemptionGiven) -> tuple[Reward, int]:
    rewards = {reward.id: reward for reward in priced.terms.rewards}
    if given.reward:
        reward = rewards.get(given.reward)
        if reward is None:
            raise SaleRefusedError("not_for_basket", f"The program in force has no reward {given.reward!r}.")
        if not reward.points:
            raise SaleRefusedError("no_voucher", f"{given.reward!r} needs its voucher: scan that, or give its code.")
        if not given.points:
            return reward, given.times
        if given.points % reward.points:
            raise SaleRefusedError("not_for_basket", f"{given.reward!r} costs {reward.points} points each time.")
        return reward, given.points // reward.points
    points = given.points or 0
    for offer in _offers(look, priced):
        if not offer.missing and offer.cost and points % offer.cost == 0 and points // offer.cost <= offer.times:
            return rewards[offer.reward], points // offer.cost
    raise SaleRefusedError("not_for_basket", f"No reward of this basket comes to {points} points: name one.")


def _offers(look: Look, priced: Priced) -> tuple[Offer, ...]:
    if priced.purchase is None or look.owner is None or not priced.terms.rewards:
        return ()
    before = look.owner.member.balance.spendable + sum(one.points for one in look.reserved)
    owner = look.owner
    return offers(
        priced.purchase, priced.terms, before, look.taken, brought=owner.vouchers, stamps=stamps_of(owner.member)
    )


def report(writing: Writing, look: Look, *, online: bool, with_could: bool = True) -> SaleReport:
    """What the caller is told of a sale that was fitted; `with_could` also what could be had next of its goods."""
    owner, priced, sale = look.owner, look.priced, look.sale
    told = SaleReport(
        sale=sale.id,
        state=sale.state,
        online=online,
        member=_member(look.reference, owner, look.at) if look.reference is not None else None,
        redemptions=tuple(map(_redemption, writing.redemptions_of(sale.id))),
        receipt=sale.receipt or UNSET,
    )
    if owner is None:
        return told
    told = replace(told, safe_offline=owner.standing.safe, unsafe_because=unsafe_because(owner.standing))
    if priced is None or sale.state != "open":
        return told
    return replace(
        told,
        points=priced.points,
        estimated=priced.estimated,
        could=preview(priced.basket, priced.program, _state(owner.member)).could if with_could else (),
        rewards=tuple(_offered(offer, priced.terms, owner) for offer in _offers(look, priced)),
    )


def _state(member: Member) -> MemberState:
    balance = member.balance
    return MemberState(
        code=member.member,
        tier=member.tier,
        confirmed=balance.confirmed,
        pending=balance.pending,
        spendable=balance.spendable,
        counters=member.counters or Counters(),
    )


def _member(reference: MemberReference, owner: Owner | None, now: Instant) -> SaleMember:
    if owner is None:
        return SaleMember(ending=ending_of(reference.code), standing="unknown")
    member = owner.member
    return SaleMember(
        ending=ending_of(reference.code),
        standing="known",
        name=member.short_name or None,
        tier=member.tier or None,
        pending=member.balance.pending,
        spendable=member.balance.spendable,
        as_of=member.as_of or None,
        context=member.known_elsewhere(now.wall),
    )


def _offered(offer: Offer, program: Program, owner: Owner) -> RewardOffer:
    reward, standing = next(one for one in program.rewards if one.id == offer.reward), owner.standing
    safe, why = 0, ""
    if not offer.cost:
        held = owner.vouchers.get(offer.reward, 0)
        safe = 0 if reward.offline == "refuse" else min(offer.times, held)
        why = _ASKED_FOR if safe < offer.times else ""
    elif not offer.missing:
        safe = min(offer.times, standing.times(reward))
        if safe < offer.times:
            try:
                standing.drawn(reward, (safe + 1) * offer.cost)
            except CannotSpendError as error:
                why = f"{error}"
    return RewardOffer(
        reward=offer.reward,
        title=offer.title,
        cost=offer.cost,
        times=offer.times,
        safe_times=safe,
        discount_minor=offer.discount_minor,
        lines=offer.lines,
        missing=offer.missing,
        until=offer.until,
        why=why or UNSET,
    )


def _redemption(one: KeptRedemption) -> RedemptionView:
    return RedemptionView(
        redemption=one.id,
        reward=one.reward,
        times=one.times,
        points=one.points,
        discount_minor=one.discount_minor,
        lines=one.lines,
        state=one.state,
    )
