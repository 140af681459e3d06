"""Rewards that were reserved for a sale which a printed receipt ends.

Owns the rule for a till that cannot say itself which rewards it gave: the receipt shows their discount, or they were
not given. Never prices anything. It runs in the store's writer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from agent.past import folded
from agent.view import RewardOutcome
from loyalty.evaluate import earns
from loyalty.exchange import parts_of
from loyalty.instant import Instant
from loyalty.program import Program
from loyalty.receipt import Receipt
from loyalty.rewards import RewardUnavailableError, Taken, redeemed
from sync.store.rows import KeptRedemption, KeptSale, RedemptionState
from sync.store.writing import Writing

# So much earlier than what was reserved for its sale may a receipt be by a clock that is not this machine's: a till's
# is some minutes off, and an hour where nobody set it to summer time. What is earlier than that came late.
OTHER_CLOCK_OFF: Final = timedelta(hours=2)
# The sources of what was heard on its way to a printer.
PRINTED: Final = frozenset({"escpos", "star"})
# So long after what was reserved for it a suspended sale may be taken up again.
SUSPENDED_FOR: Final = timedelta(hours=12)

Terms = Callable[[str | None], Program | None]
"""The program with this hash, by which something was reserved; None where it is not kept any more."""


def settled_by_paper(
    writing: Writing,
    receipt: Receipt,
    member: str | None,
    captured: Instant,
    terms: Terms,
    *,
    by_page_alone: bool = False,
) -> RewardOutcome | None:
    """Confirms what is reserved for the member's open sale if the receipt takes at least as much off, and closes that.

    What a reward takes off that hangs on the goods is judged by those on the receipt, under the `terms` by which it was
    reserved.

    Else what the page reserved is released; a POS still closes or voids its own sale. None where nothing was reserved
    before the receipt was `captured`, and nothing that it shows was taken away by another's receipt, or when it was
    suspended; and where the receipt says nothing of it yet. With `by_page_alone` sales of a POS are left to it, open as
    they are.
    """
    if receipt.kind == "return" or receipt.status != "final" or says_nothing(receipt):
        return None
    if _paid_after_all(writing, receipt, terms):
        return "confirmed"
    if member is None:
        return None
    reserved = [one for one in _reserved_before(writing, receipt, captured) if one.member == member]
    if by_page_alone:
        reserved = [one for one in reserved if (sale := writing.sale(one.sale)) is not None and sale.by_page]
    if not reserved:
        return _given_after_all(writing, receipt, member, captured, terms)
    sale = _ended_by(writing, receipt, reserved)
    reserved = [one for one in reserved if sale is not None and one.sale == sale.id]
    if sale is None or not reserved:
        return None
    given = given_on(writing, receipt, receipt.key, reserved, terms)
    if given is not None:
        for one in given:
            writing.confirm(one, receipt.key)
        writing.end_sale(sale.id, "closed", receipt.key)
        return "confirmed"
    if not sale.by_page:
        return None
    _end(writing, sale, "released")
    return "released"


def _ended_by(writing: Writing, receipt: Receipt, reserved: Sequence[KeptRedemption]) -> KeptSale | None:
    """Of a member's open sales the one that a receipt ends: the one whose basket is most like it.

    Of one that was told no basket, as of the page, nothing is alike. Among equals it is the one reserved for last.
    """
    sales = {one.sale: writing.sale(one.sale) for one in reversed(reserved)}
    return min(filter(None, sales.values()), key=lambda sale: _unlike(receipt, sale.basket), default=None)


def _unlike(receipt: Receipt, basket: Receipt | None) -> tuple[bool, int]:
    """How far a basket is from a receipt: whether it has another number, and the goods that are on one of them alone.

    Goods are told by what they cost before discounts, in minor units: till and POS may write their names in two ways.
    """
    has_its_number = basket is not None and bool(receipt.number) and basket.number == receipt.number
    goods, sold = _prices(basket), _prices(receipt)
    if receipt.lines:
        return not has_its_number, sum(((goods - sold) + (sold - goods)).elements())
    taken_off = sum(discount.amount_minor for discount in receipt.discounts)
    return not has_its_number, abs(sum(goods.elements()) - receipt.total_minor - taken_off)


def _prices(receipt: Receipt | None) -> Counter[int]:
    lines = receipt.lines if receipt is not None else ()
    return Counter(line.amount_minor + line.discount_minor for line in lines if not line.voided)


def let_go_of_others(writing: Writing, receipt: Receipt, member: str | None, captured: Instant) -> None:
    """A receipt ended somebody's turn at this till: what the page had reserved for whom it is not lapses.

    It is counted all the same if their own receipt shows it: of a sale that was suspended, or of another till that
    prints into this register's spool.
    """
    for one in _reserved_before(writing, receipt, captured):
        sale = writing.sale(one.sale)
        if one.member != member and sale is not None and sale.by_page:
            _end(writing, sale, "lapsed")


def _given_after_all(
    writing: Writing, receipt: Receipt, member: str, captured: Instant, terms: Terms
) -> RewardOutcome | None:
    """Confirms what the member chose last on the page, where it has lapsed and the receipt shows it."""
    last = writing.last_redemption(member)
    sale = writing.sale(last.sale) if last is not None else None
    if last is None or sale is None or not sale.by_page or _came_before(receipt, captured, last):
        return None
    lapsed = [one for one in writing.redemptions_of(sale.id) if one.state == "lapsed"]
    given = given_on(writing, receipt, receipt.key, lapsed, terms)
    if not given or captured.wall - last.at > SUSPENDED_FOR:
        return None
    confirmed_after_all(writing, given, receipt.key)
    writing.end_sale(sale.id, "closed", receipt.key)
    return "confirmed"


def _paid_after_all(writing: Writing, receipt: Receipt, terms: Terms) -> bool:
    """Confirms what lapsed when this very sale was suspended, where its receipt shows it; whether there was any."""
    for lapsed in suspended_on(writing, receipt.key):
        if given := given_on(writing, receipt, receipt.key, lapsed, terms):
            confirmed_after_all(writing, given, receipt.key)
            return True
    return False


def suspended_on(writing: Writing, key: str) -> list[list[KeptRedemption]]:
    """What lapsed because its sale was suspended by the receipt with this key, by sale, the last one first."""
    lapsed: dict[str, list[KeptRedemption]] = {}
    for one in writing.redemptions_on(key):
        if one.state == "lapsed":
            lapsed.setdefault(one.sale, []).append(one)
    return list(reversed(lapsed.values()))


def confirmed_after_all(writing: Writing, given: Sequence[KeptRedemption], key: str) -> bool:
    """Counts what had lapsed and was given; says whether what it draws of was there still."""
    was_there = [writing.confirm_lapsed(one, key) for one in given]
    return all(was_there)


def given_on(
    writing: Writing, receipt: Receipt, key: str, chosen: Sequence[KeptRedemption], terms: Terms
) -> tuple[KeptRedemption, ...] | None:
    """What was chosen for a sale, with what the receipt shows of each; None where it shows too little for all of it.

    What its basket had off without them, and what else was given on the receipt with this `key`, is not for them. At
    most one of them hangs on the goods (`agent.counter` sees to that): it is given what the others leave.
    """
    if not chosen:
        return ()
    sale, ids = writing.sale(chosen[0].sale), {one.id for one in chosen}
    besides = shown_minor(sale.basket) if sale is not None and sale.basket is not None else 0
    besides += sum(
        one.discount_minor for one in writing.redemptions_on(key) if one.state == "confirmed" and one.id not in ids
    )
    rest = shown_minor(receipt) - besides - sum(one.discount_minor for one in chosen)
    of_goods = [one for one in chosen if not one.discount_minor]
    if rest < sum(_least_off(writing, receipt, terms(one.program), one) for one in of_goods):
        return None
    for one in of_goods:
        writing.reprice(replace(one, discount_minor=rest))
    return tuple(one if one.discount_minor else replace(one, discount_minor=rest) for one in chosen)


def _least_off(writing: Writing, receipt: Receipt, program: Program | None, one: KeptRedemption) -> int:
    """What a reward that hangs on the goods takes off those on a receipt at least, in minor units.

    They are looked at as printed, with everything off already, so it is never more than what was due. Of goods that
    cost nothing any more, or that nobody can tell, it is anything at all.
    """
    sold, member = parts_of(receipt)[0], writing.member(one.member)
    if sold is None or member is None or program is None or not earns(sold, program):
        return 1
    fold, _, _ = folded(writing, sold, member, program)
    if sold.key in fold.refused:
        return 1
    try:
        (off,) = redeemed(fold.purchase(sold.key), program, (Taken(reward=one.reward, times=one.times),))
    except RewardUnavailableError:
        return 1
    return off.discount_minor


def _reserved_before(writing: Writing, receipt: Receipt, captured: Instant) -> list[KeptRedemption]:
    """What was reserved when the receipt was printed, without sales for which something was reserved since.

    A receipt may come late: read again from quarantine, out of a backlog, posted once the network was back.
    """
    reserved = writing.reserved_redemptions()
    going_on = {one.sale for one in reserved if _came_before(receipt, captured, one)}
    return [one for one in reserved if one.sale not in going_on]


def _came_before(receipt: Receipt, captured: Instant, one: KeptRedemption) -> bool:
    # What was heard on its way to the printer was printed just then, whatever the till's clock says.
    was_heard = bool(captured.boot) and receipt.source in PRINTED
    if not was_heard and receipt.issued_at and one.at - receipt.issued_at > OTHER_CLOCK_OFF:
        return True
    # Without a boot it is what a database or a file says of its own time.
    if not captured.boot:
        return one.at - captured.wall > OTHER_CLOCK_OFF
    return captured.ns_since(one.reserved) < 0 if one.reserved is not None else one.at > captured.wall


def _end(writing: Writing, sale: KeptSale, state: RedemptionState) -> None:
    for one in writing.redemptions_of(sale.id):
        if one.state == "reserved":
            writing.release(one, state)
    writing.end_sale(sale.id, "ended")


def says_nothing(receipt: Receipt) -> bool:
    """Whether what it takes off may be in its lines, which are not here: it was made of the code on its paper."""
    return not receipt.lines and not shown_minor(receipt)


def shown_minor(receipt: Receipt) -> int:
    """What a receipt shows as taken off: discounts of it and of its lines, vouchers and points that paid for it."""
    lines = sum(line.discount_minor for line in receipt.lines if not line.voided)
    whole = sum(discount.amount_minor for discount in receipt.discounts)
    paid = sum(tender.amount_minor for tender in receipt.tenders if tender.kind in ("voucher", "points"))
    return lines + whole + paid
