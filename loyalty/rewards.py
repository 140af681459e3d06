"""What points can buy of a basket: which rewards, how often, off which lines, and what is missing for the others.

Owns that arithmetic, on integers. Never moves a point: whose points there are, and that they are spent once, is the
business of who reserves them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

from msgspec import UNSET, Struct, UnsetType

from loyalty.cancelled import net
from loyalty.conditions import Criterion, criterion_of, criterion_of_goods
from loyalty.money import to_major
from loyalty.program import PositiveInt, Program, Reward
from loyalty.purchase import Purchase
from loyalty.receipt import Line

# More of one reward than any basket has; where nothing else bounds it.
MAX_TIMES: Final = 10**6
NOTHING: Final[Mapping[str, int]] = {}
"""No reward is brought by a voucher."""

# Programs whose rewards are kept ready.
_READY: Final = 32


class RewardUnavailableError(ValueError):
    """A basket cannot have this reward, or not so often. The message says what is missing."""


class Taken(Struct, frozen=True, kw_only=True):
    """A reward that was chosen for the basket, so many times."""

    reward: str
    times: PositiveInt = 1


class LineDiscount(Struct, frozen=True, kw_only=True):
    """What comes off one line, in minor units, for whoever works out its tax. `position` is the line's."""

    position: int
    amount_minor: int


class Redeemed(Struct, frozen=True, kw_only=True):
    """What a chosen reward takes off the basket, all its times together. `points` is what it costs."""

    reward: str
    times: int
    points: int
    discount_minor: int
    lines: tuple[LineDiscount, ...]


class Missing(Struct, frozen=True, kw_only=True):
    """Why a reward cannot be had now. `count` is how much is missing; None where nothing that is bought helps."""

    kind: Literal["points", "stamps", "basket", "goods", "stacked", "most"]
    count: int | None
    unit: Literal["points", "stamps", "minor", "pieces"] | None
    why: str


class Offer(Struct, frozen=True, kw_only=True):
    """A reward for a basket: `times` is how often it can be had now.

    `discount_minor` and `lines` are what one of it takes off. Where it cannot be had they are nothing, and `missing`
    says all that stands in the way.
    """

    reward: str
    title: str | UnsetType = UNSET
    cost: int
    times: int
    discount_minor: int = 0
    lines: tuple[LineDiscount, ...] = ()
    missing: tuple[Missing, ...] = ()
    until: str | UnsetType = UNSET


def offers(
    purchase: Purchase,
    program: Program,
    spendable: int,
    taken: Sequence[Taken] = (),
    *,
    brought: Mapping[str, int] = NOTHING,
    stamps: Mapping[str, int] = NOTHING,
) -> tuple[Offer, ...]:
    """The rewards that are meant for this basket, here and now, in the order of `(priority, id)`, beside those `taken`.

    `spendable` is what the member may spend, before what is `taken`. A reward whose conditions do not hold is left out:
    nothing that could be bought would bring it; so is one that only a voucher brings, but for those that vouchers
    bring so many times (`brought`). `stamps` are those that the member has, by their rule: a full card brings its
    reward, too.

    Raises RewardUnavailableError where `taken` cannot be had.
    """
    basket = _Basket(purchase, program.currency)
    filled = full_cards(program, stamps)
    spendable -= sum(each.points for each in _redeem(basket, program, taken))
    return tuple(
        _offer(
            ready,
            basket,
            spendable,
            brought=max(brought.get(ready.reward.id, 0), filled.get(ready.reward.id, 0)),
            lacking=_to_a_full_card(program, ready.reward, stamps),
        )
        for ready in _ready(program)
        if (not ready.reward.is_brought or ready.reward.id in brought) and _is_meant(ready, purchase)
    )


def full_cards(program: Program, stamps: Mapping[str, int]) -> dict[str, int]:
    """How often a member with these stamps can have each reward that costs a full card."""
    every = {rule.id: rule.every for rule in program.stamps}
    return {
        reward.id: stamps.get(reward.stamps, 0) // every[reward.stamps]
        for reward in program.rewards
        if reward.stamps is not UNSET
    }


def _to_a_full_card(program: Program, reward: Reward, stamps: Mapping[str, int]) -> int:
    """How many stamps more fill the next card; 0 for a reward that costs none."""
    every = next((rule.every for rule in program.stamps if rule.id == reward.stamps), 0)
    return every - stamps.get(reward.stamps or "", 0) % every if every else 0


def by_code(program: Program, code: str) -> Reward | None:
    """The reward that a voucher with this code brings, in normal form (`loyalty.identification`)."""
    return next((reward for reward in program.rewards if reward.code == code), None)


def redeemed(purchase: Purchase, program: Program, taken: Sequence[Taken]) -> tuple[Redeemed, ...]:
    """What the chosen rewards take off, one by one: each looks at what those before it left.

    They count in the order in which they were chosen, so that none changes a discount that a POS has already. Several
    times of one money off are shared out together: its lines may differ by minor units from those of one after the
    other, the sum never does. Whether the member has the points is not asked. Raises RewardUnavailableError.
    """
    return tuple(_redeem(_Basket(purchase, program.currency), program, taken))


def goods_allow(purchase: Purchase, program: Program, reward: Reward, times: int) -> bool:
    """Whether the goods of a basket can have a reward of the program so often, whatever it asks besides."""
    ready = _Ready(reward=reward, criterion=criterion_of_goods(reward.when))
    return ready.criterion.holds(purchase) and times <= _Basket(purchase, program.currency).most(ready)


def pieces_for(purchase: Purchase, program: Program, reward: Reward, times: int) -> list[Line]:
    """The lines of which pieces go to a reward of the program, taken so often, whatever it asks besides."""
    ready = _Ready(reward=reward, criterion=criterion_of_goods(reward.when))
    basket = _Basket(purchase, program.currency)
    _, pieces = basket.off(ready, min(times, basket.of_goods(ready)))
    return [basket.lines[place] for place, count in pieces.items() if count]


def shared_out(amount: int, weights: Sequence[int]) -> list[int]:
    """`amount` in whole parts by `weights`, none of which is negative; they sum to it exactly.

    What rounding leaves goes to the parts that lost most by it, of equals to the first. Where `amount` is at most the
    sum of the weights, no part is more than its weight.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = [amount * weight // whole for weight in weights]
    by_loss = sorted(range(len(weights)), key=lambda place: -(amount * weights[place] % whole))
    for place in by_loss[: amount - sum(parts)]:
        parts[place] += 1
    return parts


class _Ready(Struct, frozen=True, kw_only=True):
    """A reward whose conditions are made ready to be asked."""

    reward: Reward
    criterion: Criterion


@lru_cache(maxsize=_READY)
def _ready(program: Program) -> tuple[_Ready, ...]:
    in_order = sorted(program.rewards, key=lambda reward: (reward.priority, reward.id))
    return tuple(_Ready(reward=reward, criterion=criterion_of(reward.when)) for reward in in_order)


def _is_meant(ready: _Ready, purchase: Purchase) -> bool:
    """Whether a reward holds on this day, and for this member, shop and hour."""
    first, last = ready.reward.valid_from, ready.reward.valid_until
    if first is not UNSET or last is not UNSET:
        if purchase.local is None:
            return False
        day = purchase.local.date().isoformat()
        if not (first or day) <= day <= (last or day):
            return False
    return ready.criterion.holds(purchase)


class _Basket:
    """What is left of each line after the receipt's own discounts, and after the rewards that were taken.

    Lines stand by their place: nothing promises that a source numbers them only once. Lines below zero give nothing,
    nor does what they take back of the others.
    """

    def __init__(self, purchase: Purchase, currency: str) -> None:
        self.purchase = purchase
        self.currency = currency
        kept, taken_back = net(purchase.lines)
        self.lines: list[Line] = [one.line for one in kept]
        self.left = [one.amount_minor for one in kept]
        beyond = 0
        for kind, minor in taken_back.items():
            beyond += self._lower(minor, [place for place, line in enumerate(self.lines) if line.counts_as == kind])
        discounts = sum(discount.amount_minor for discount in purchase.receipt.discounts)
        self._lower(max(0, discounts) + beyond, range(len(kept)))
        # Pieces that nobody took yet, and what one costs.
        self.pieces = [one.pieces for one in kept]
        self.each = [left // max(1, pieces) for left, pieces in zip(self.left, self.pieces, strict=True)]
        self.times: Counter[str] = Counter()
        self.groups: dict[str, str] = {}

    def _lower(self, minor: int, places: Sequence[int]) -> int:
        """Take so much off these places by what is left of each; what they do not have is told."""
        weights = [self.left[place] for place in places]
        taken = min(minor, sum(weights))
        for place, share in zip(places, shared_out(taken, weights), strict=True):
            self.left[place] -= share
        return minor - taken

    def places(self, ready: _Ready) -> list[int]:
        """Where the lines are that a reward is about."""
        about = {id(line) for line in ready.criterion.lines_of(self.purchase)}
        return [place for place, line in enumerate(self.lines) if id(line) in about]

    def most(self, ready: _Ready) -> int:
        """How many times more the goods allow a reward, whatever the points."""
        reward = ready.reward
        most = per_receipt(reward) - self.times[reward.id]
        if reward.min_basket_minor is not UNSET:
            most = min(most, self.purchase.basket_minor // reward.min_basket_minor - self.times[reward.id])
        if reward.discount_percent is not UNSET:
            most = min(most, 1 - self.times[reward.id])
        return min(most, self.of_goods(ready))

    def of_goods(self, ready: _Ready) -> int:
        """How many times more the goods that a reward is for would do, whatever else it needs."""
        reward, places = ready.reward, self.places(ready)
        if reward.discount_minor is not UNSET:
            return sum(self.left[place] for place in places) // reward.discount_minor
        if reward.piece_minor is not UNSET:
            return sum(count for _, _, count in self._pieces(reward, places))
        return int(self._percentage(reward, places) > 0)

    def off(self, ready: _Ready, times: int) -> tuple[dict[int, int], dict[int, int]]:
        """What comes off each place, and how many pieces are taken there. `times` is at most what `most` says."""
        reward, places = ready.reward, self.places(ready)
        if reward.piece_minor is UNSET:
            amount = (
                self._percentage(reward, places) if reward.discount_minor is UNSET else reward.discount_minor * times
            )
            shares = shared_out(amount, [self.left[place] for place in places])
            return dict(zip(places, shares, strict=True)), {}
        minor, pieces = Counter[int](), Counter[int]()
        for place, saved, count in self._pieces(reward, places):
            taken = min(times, count)
            times -= taken
            minor[place] += saved * taken
            pieces[place] += taken
        return minor, pieces

    def take(self, ready: _Ready, times: int) -> Redeemed:
        """Take a reward off; `times` is at most what `most` says."""
        minor, pieces = self.off(ready, times)
        for place, amount in minor.items():
            self.left[place] -= amount
        for place, count in pieces.items():
            self.pieces[place] -= count
        reward = ready.reward
        self.times[reward.id] += times
        if reward.stack_group is not UNSET:
            self.groups[reward.stack_group] = reward.id
        return Redeemed(
            reward=reward.id,
            times=times,
            points=reward.points * times,
            discount_minor=sum(minor.values()),
            lines=self.discounts(minor),
        )

    def discounts(self, minor: Mapping[int, int]) -> tuple[LineDiscount, ...]:
        return tuple(
            LineDiscount(position=self.lines[place].position, amount_minor=amount)
            for place, amount in sorted(minor.items())
            if amount
        )

    def _percentage(self, reward: Reward, places: Sequence[int]) -> int:
        """So many percent of what is left, rounded once."""
        return sum(self.left[place] for place in places) * (reward.discount_percent or 0) // 100

    def _pieces(self, reward: Reward, places: Sequence[int]) -> list[tuple[int, int, int]]:
        """Places with what one piece saves there, and how many do, in the order in which the reward takes them.

        Where rewards before it left less of a line than its pieces cost, the last one saves the rest.
        """
        price = reward.piece_minor or 0
        dearer: list[tuple[int, int, int]] = []
        for place in places:
            saved, pieces = self.each[place] - price, self.pieces[place]
            if saved <= 0:
                continue
            whole, rest = divmod(max(0, self.left[place] - price), saved)
            dearer.append((place, saved, min(whole, pieces)))
            dearer.append((place, rest, int(rest > 0 and whole < pieces)))
        some = [one for one in dearer if one[2]]
        return sorted(some, key=lambda one: one[1], reverse=reward.piece == "dearest")


def per_receipt(reward: Reward) -> int:
    """How many times a receipt can have a reward, whatever is on it."""
    if reward.max_per_receipt is not UNSET:
        return reward.max_per_receipt
    return 1 if reward.is_brought else MAX_TIMES


def _redeem(basket: _Basket, program: Program, taken: Sequence[Taken]) -> list[Redeemed]:
    known = {ready.reward.id: ready for ready in _ready(program)}
    done = []
    for each in taken:
        if each.reward not in known:
            raise RewardUnavailableError(f"the program has no reward {each.reward!r}")
        _check(known[each.reward], each.times, basket)
        done.append(basket.take(known[each.reward], each.times))
    return done


def _check(ready: _Ready, times: int, basket: _Basket) -> None:
    """Raises RewardUnavailableError where the basket cannot have a reward so often."""
    name = ready.reward.title or ready.reward.id
    if not _is_meant(ready, basket.purchase):
        raise RewardUnavailableError(f"{name!r} does not hold for this member, shop or day")
    if missing := [*_stacked(ready, basket), *_lacking(ready, basket)]:
        raise RewardUnavailableError(f"{name!r}: {'; '.join(one.why for one in missing)}")
    if times > (most := basket.most(ready)):
        raise RewardUnavailableError(f"{name!r}: this basket can have it {most} times at most")


def _offer(ready: _Ready, basket: _Basket, spendable: int, *, brought: int, lacking: int) -> Offer:
    reward = ready.reward
    affordable = spendable // reward.points if reward.points else brought
    missing = (
        *_too_few_points(reward, spendable),
        *_too_few_stamps(0 if brought else lacking),
        *_stacked(ready, basket),
        *_lacking(ready, basket),
    )
    minor = {} if missing else basket.off(ready, 1)[0]
    return Offer(
        reward=reward.id,
        title=reward.title,
        cost=reward.points,
        times=0 if missing else min(affordable, basket.most(ready)),
        discount_minor=sum(minor.values()),
        lines=basket.discounts(minor),
        missing=missing,
        until=reward.valid_until,
    )


def _too_few_points(reward: Reward, spendable: int) -> Iterator[Missing]:
    if 0 < reward.points > spendable:
        count = reward.points - max(0, spendable)
        yield Missing(kind="points", count=count, unit="points", why=f"{count} points more")


def _too_few_stamps(count: int) -> Iterator[Missing]:
    if count:
        yield Missing(kind="stamps", count=count, unit="stamps", why=f"{count} stamps more")


def _stacked(ready: _Ready, basket: _Basket) -> Iterator[Missing]:
    """Another reward of its group was taken."""
    group = ready.reward.stack_group
    if group is not UNSET and (other := basket.groups.get(group, ready.reward.id)) != ready.reward.id:
        yield Missing(kind="stacked", count=None, unit=None, why=f"it does not come together with {other!r}")


def _lacking(ready: _Ready, basket: _Basket) -> Iterator[Missing]:
    """What the basket lacks for the reward once (more)."""
    if basket.most(ready) > 0:
        return
    reward = ready.reward
    had = basket.times[reward.id]
    if had and had >= (1 if reward.discount_percent is not UNSET else per_receipt(reward)):
        yield Missing(kind="most", count=None, unit=None, why=f"a receipt can have it {had} times at most")
        return
    short = (reward.min_basket_minor or 0) * (had + 1) - basket.purchase.basket_minor
    if short > 0:
        yield Missing(kind="basket", count=short, unit="minor", why=f"goods for {_money(short, basket)} more")
    if basket.of_goods(ready) > 0:
        return
    left = sum(basket.left[place] for place in basket.places(ready))
    if reward.discount_minor is not UNSET:
        short = reward.discount_minor - left
        yield Missing(kind="goods", count=short, unit="minor", why=f"goods it is for, {_money(short, basket)} more")
    else:
        yield Missing(kind="goods", count=1, unit="pieces", why="goods it is for")


def _money(minor: int, basket: _Basket) -> str:
    return f"{to_major(minor, basket.currency)} {basket.currency}"
