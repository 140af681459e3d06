"""The shift that the demo plays, and what it must come to.

Owns who buys what where and in which order, and the expected answer worked out from the programme's terms
with fractions, apart from the evaluator that is being shown. Pure: the same seed gives the same shift.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final, Literal

from agent.demo.pos import Article, Item, TenderName
from agent.demo.shop import NEW_CARD, REWARD_MINOR, REWARD_POINTS, SampleMember

SEED: Final = 20261122
REGISTERS: Final = (1, 2)

_COFFEE: Final = Article(name="Kafa mlevena Jutro 200g", price_minor=38_999)
_DETERGENT: Final = Article(name="Deterdžent Belina 3kg", price_minor=99_999)
_WINE: Final = Article(name="Vino crno Stari podrum 0,75l", price_minor=84_999)
_ARTICLES: Final = (
    Article(name="Hleb beli Savin 500g", price_minor=7_999, tax="Е"),
    Article(name="Mleko Dolina 2,8% 1l", price_minor=16_499, tax="Е"),
    Article(name="Jaja domaća M 10/1", price_minor=24_999, tax="Е"),
    _COFFEE,
    Article(name="Čokolada Višnjica 80g", price_minor=14_999),
    Article(name="Sok jabuka Voćar 1l", price_minor=18_499),
    _DETERGENT,
    Article(name="Maslac Dolina 250g", price_minor=32_999),
    Article(name="Jabuka crvena", price_minor=12_999, tax="Е", unit="KG"),
    Article(name="Paradajz", price_minor=21_999, tax="Е", unit="KG"),
    Article(name="Šunka dimljena", price_minor=129_900, unit="KG"),
    _WINE,
)

# What points that were spent stand under.
SPENT: Final = "spent"

StepKind = Literal["sale", "return", "reprint", "copy", "card_slip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens at a register. `of` names the sale that a return, reprint or copy is about; a return
    has the `items` that come back.

    `card` is the card that counts; `first_card` one that was scanned before it and is replaced. `with_reward`: the
    member pays a part of it with points.
    """

    name: str
    register: int
    kind: StepKind = "sale"
    items: tuple[Item, ...] = ()
    card: str | None = None
    first_card: str | None = None
    tender: TenderName = "cash"
    of: str | None = None
    with_reward: bool = False

    @property
    def voucher_minor(self) -> int:
        """What the reward takes off, as the till prints it."""
        return REWARD_MINOR if self.with_reward else 0

    @property
    def total_minor(self) -> int:
        return sum(item.amount_minor for item in self.items)

    @property
    def coffees(self) -> int:
        """Packs that count for the coffee card."""
        return sum(item.thousandths // 1000 for item in self.items if item.article == _COFFEE)

    @property
    def is_transaction(self) -> bool:
        """Whether it adds a transaction: a reprint, a copy and a card slip do not."""
        return self.kind in ("sale", "return")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Steps that both registers play side by side, after what happens to the shop at its start."""

    title: str
    event: Literal["open", "cut", "refund_elsewhere", "kill", "restore"]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One expected ledger entry."""

    step: str
    member: str
    rule: str
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """The whole day. `new_member` is whom NEW_CARD turns out to belong to, `redeemer` the card of who has a reward."""

    phases: tuple[Phase, ...]
    new_member: str
    redeemer: str

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for phase in self.phases for step in phase.steps)


class Cashiers:
    """Makes steps, giving each its name. Nobody is served twice before everybody at that register was, or `turn` is
    called, and nobody at both registers between two calls: who bought what first is then the same in every run. No
    card is scanned twice in a row: people are not that fast, and a scanner's true repeats are dropped.
    """

    def __init__(self, members: tuple[SampleMember, ...], seed: int) -> None:
        self._chance = random.Random(seed)
        self._sides = [[member.card for member in members[side::2]] for side in (0, 1)]
        self._served: dict[int, list[str]] = defaultdict(list)
        self._count = 0

    def sale(self, register: int, card: str | None = None, *, first_card: str | None = None, coffees: int = 0) -> Step:
        return Step(
            name=self._name(),
            register=register,
            items=(*self._coffee(coffees), *(self._item() for _ in range(self._chance.randint(1, 7)))),
            card=card,
            first_card=first_card,
            tender=self._chance.choice(("cash", "cash", "card", "instant")),
        )

    def basket(self, register: int, card: str, *items: Item, with_reward: bool = False) -> Step:
        """A sale of just these."""
        return Step(name=self._name(), register=register, items=items, card=card, with_reward=with_reward)

    def sales(self, register: int, count: int) -> list[Step]:
        """Sales of which four in five have a card."""
        return [self.sale(register, self.card(register) if self._chance.random() < 0.8 else None) for _ in range(count)]

    def turn(self) -> None:
        """Whoever bought at one register buys at the other from now on."""
        self._sides.reverse()
        self._served.clear()

    def card(self, register: int) -> str:
        side, served = self._sides[register % 2], self._served[register]
        if len(served) == len(side):
            del served[:-1]
        served.append(self._chance.choice([card for card in side if card not in served]))
        return served[-1]

    def again(self, kind: StepKind, sale: Step, register: int, *, only: int | None = None) -> Step:
        """Something about an earlier sale, or about its first items alone."""
        items = sale.items[:only]
        return Step(name=self._name(), register=register, kind=kind, items=items, tender=sale.tender, of=sale.name)

    @staticmethod
    def _coffee(packs: int) -> tuple[Item, ...]:
        return (Item(article=_COFFEE, thousandths=1000 * packs),) if packs else ()

    def _name(self) -> str:
        self._count += 1
        return f"step-{self._count:03}"

    def _item(self) -> Item:
        article = self._chance.choice(_ARTICLES)
        if article.unit == "KG":
            return Item(article=article, thousandths=self._chance.randint(150, 2_500))
        return Item(article=article, thousandths=1000 * self._chance.choice((1, 1, 1, 2, 3)))


def plan_shift(members: tuple[SampleMember, ...], seed: int = SEED) -> Shift:
    """A shift of about seventy receipts at two registers."""
    regulars, new_member = members[:60], members[60]
    # Not known for anything but this: enough points for one reward, and not for two.
    redeemer = next(member.card for member in members[61:] if member.tier is None)
    gold = next(member.card for member in regulars if member.tier == "gold")
    silver = next(member.card for member in regulars if member.tier == "silver")
    at = Cashiers(tuple(member for member in regulars if member.card not in (gold, silver)), seed)

    morning = [at.sale(2, silver), *at.sales(1, 7), *at.sales(2, 7), at.sale(1, gold)]
    morning += [at.sale(1, NEW_CARD), at.again("card_slip", morning[1], 1), at.sale(2, silver, first_card=gold)]
    morning.append(at.basket(2, redeemer, Item(article=_DETERGENT, thousandths=6000)))
    at.turn()
    cut_off = [at.basket(2, redeemer, Item(article=_WINE), with_reward=True)]
    cut_off += [*at.sales(1, 5), *at.sales(2, 7), at.sale(2, gold, coffees=2), at.sale(2, NEW_CARD)]
    sold_offline = next(step for step in cut_off if step.register == 2 and step.card == gold)
    at.turn()
    elsewhere = [at.again("return", sold_offline, 1, only=1), *at.sales(1, 3), *at.sales(2, 3)]
    at.turn()
    killed = [at.sale(1, silver), at.sale(1), *at.sales(1, 6), *at.sales(2, 4)]
    at.turn()
    back = [*at.sales(1, 6), *at.sales(2, 6)]
    own = next(step for step in morning if step.register == 2 and step.card == silver)
    back += [at.again("reprint", morning[2], 1), at.again("copy", morning[9], 2), at.again("return", own, 2)]
    back += [at.again("card_slip", back[-1], 2), *at.sales(1, 2)]
    return Shift(
        phases=(
            Phase(title="The shop opens", event="open", steps=tuple(morning)),
            Phase(
                title="Register 2 loses the network, and a member there wants a reward",
                event="cut",
                steps=tuple(cut_off),
            ),
            Phase(
                title="What register 2 sold comes back at register 1, before its sale was synced",
                event="refund_elsewhere",
                steps=tuple(elsewhere),
            ),
            Phase(title="The agent of register 1 is killed; the till prints on", event="kill", steps=tuple(killed)),
            Phase(title="Register 2 is back on the network", event="restore", steps=tuple(back)),
        ),
        new_member=new_member.member,
        redeemer=redeemer,
    )


class _Terms:
    """What the terms promise one member, sale by sale and return by return, in the order in which they are made.

    A point for 100 RSD, another for each 500 RSD held back for two weeks, both times 3/2 for gold, 5/4 for silver and
    11/10 for bronze, which is whoever bought for 8,000 RSD. 10 points for a basket of 2,000 RSD, 30 for one of 4,000.
    50 points for every third pack of coffee. A reward costs 80 points. What comes back takes its part, and the basket
    and the coffee card are asked again.
    """

    def __init__(self, member: SampleMember) -> None:
        self._member = member
        self._spent = self._coffees = 0
        self._given: dict[str, dict[str, int]] = {}

    def sale(self, step: Step) -> list[Given]:
        factors = {"gold": Fraction(3, 2), "silver": Fraction(5, 4), None: Fraction(1)}
        factor = Fraction(11, 10) if self._is_bronze else factors[self._member.tier]
        given = {
            "base": int(Fraction(step.total_minor, 10_000) * factor),
            "kept": int(Fraction(step.total_minor, 50_000) * factor),
            "basket": _basket(step.total_minor),
            "coffee": self._coffee_points(step.coffees),
        }
        self._given[step.name] = given
        self._spent += step.total_minor
        return self._all(step, given | ({SPENT: -REWARD_POINTS} if step.with_reward else {}))

    def comes_back(self, step: Step, sale: Step) -> list[Given]:
        """A return that is the only one of its sale."""
        given = self._given[sale.name]
        returned = Fraction(step.total_minor, sale.total_minor)
        self._spent -= step.total_minor
        taken = {rule: -int(given[rule] * returned) for rule in ("base", "kept")}
        taken["basket"] = _basket(sale.total_minor - step.total_minor) - given["basket"]
        taken["coffee"] = self._coffee_points(-step.coffees)
        return self._all(step, taken)

    @property
    def _is_bronze(self) -> bool:
        return self._member.tier is None and self._spent >= 800_000

    def _coffee_points(self, more: int) -> int:
        cards_before, self._coffees = self._coffees // 3, self._coffees + more
        return 50 * (self._coffees // 3 - cards_before)

    def _all(self, step: Step, points_of: dict[str, int]) -> list[Given]:
        return [
            Given(step=step.name, member=self._member.member, rule=rule, points=points)
            for rule, points in points_of.items()
            if points
        ]


def _basket(total_minor: int) -> int:
    return 30 if total_minor >= 400_000 else 10 if total_minor >= 200_000 else 0


def in_order(steps: Iterable[Step], printed_at: Mapping[str, datetime], keys: Mapping[str, str]) -> list[Step]:
    """The transactions in the order that counts: by the second on the paper, and within one by their keys."""
    transactions = [step for step in steps if step.is_transaction]
    return sorted(transactions, key=lambda step: (printed_at[step.name].replace(microsecond=0), keys[step.name]))


def expected_entries(steps: Iterable[Step], members: tuple[SampleMember, ...], new_member: str) -> tuple[Given, ...]:
    """What the terms promise for `steps`, which come in the order that counts (`in_order`).

    `new_member` is whom NEW_CARD belongs to.
    """
    of_card = {member.card: member for member in members}
    of_card[NEW_CARD] = next(member for member in members if member.member == new_member)
    terms = {member.member: _Terms(member) for member in members}
    sales: dict[str, Step] = {}
    waiting: dict[str, Step] = {}
    given: list[Given] = []
    for step in steps:
        if step.kind == "sale" and step.card is not None:
            sales[step.name] = step
            given += terms[of_card[step.card].member].sale(step)
        elif step.kind == "return" and step.of is not None:
            waiting[step.of] = step
        # A return of the same second as its sale may come before it in the order that counts: it waits.
        for name in waiting.keys() & sales.keys():
            given += terms[of_card[sales[name].card or ""].member].comes_back(waiting.pop(name), sales[name])
    return tuple(given)
