"""The shift that the demo plays, and what it must come to.

Owns who buys what where and in which order, and the expected answer worked out from the programme's terms
with fractions, apart from the evaluator that is being shown. Pure: the same seed gives the same shift.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from agent.demo.pos import Article, Item, TenderName
from agent.demo.shop import NEW_CARD, SampleMember

SEED: Final = 20261122
REGISTERS: Final = (1, 2)

_ARTICLES: Final = (
    Article(name="Hleb beli Savin 500g", price_minor=7_999, tax="Е"),
    Article(name="Mleko Dolina 2,8% 1l", price_minor=16_499, tax="Е"),
    Article(name="Jaja domaća M 10/1", price_minor=24_999, tax="Е"),
    Article(name="Kafa mlevena Jutro 200g", price_minor=38_999),
    Article(name="Čokolada Višnjica 80g", price_minor=14_999),
    Article(name="Sok jabuka Voćar 1l", price_minor=18_499),
    Article(name="Deterdžent Belina 3kg", price_minor=99_999),
    Article(name="Maslac Dolina 250g", price_minor=32_999),
    Article(name="Jabuka crvena", price_minor=12_999, tax="Е", unit="KG"),
    Article(name="Paradajz", price_minor=21_999, tax="Е", unit="KG"),
    Article(name="Šunka dimljena", price_minor=129_900, unit="KG"),
    Article(name="Vino crno Stari podrum 0,75l", price_minor=84_999),
)

StepKind = Literal["sale", "return", "reprint", "copy", "card_slip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens at a register. `of` names the sale that a return, reprint or copy is about.

    `card` is the card that counts; `first_card` one that was scanned before it and is replaced.
    """

    name: str
    register: int
    kind: StepKind = "sale"
    items: tuple[Item, ...] = ()
    card: str | None = None
    first_card: str | None = None
    tender: TenderName = "cash"
    of: str | None = None

    @property
    def total_minor(self) -> int:
        return sum(item.amount_minor for item in self.items)

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
    """The whole day. `new_member` is whom NEW_CARD turns out to belong to."""

    phases: tuple[Phase, ...]
    new_member: str

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for phase in self.phases for step in phase.steps)


class Cashiers:
    """Makes steps, giving each its name. No card is scanned twice in a row at one register: people are not that
    fast, and a scanner's true repeats are dropped.
    """

    def __init__(self, members: tuple[SampleMember, ...], seed: int) -> None:
        self._chance = random.Random(seed)
        self._cards = [member.card for member in members]
        self._last: dict[int, str | None] = {}
        self._count = 0

    def sale(self, register: int, card: str | None = None, *, first_card: str | None = None) -> Step:
        self._last[register] = card or self._last.get(register)
        return Step(
            name=self._name(),
            register=register,
            items=tuple(self._item() for _ in range(self._chance.randint(1, 7))),
            card=card,
            first_card=first_card,
            tender=self._chance.choice(("cash", "cash", "card", "instant")),
        )

    def sales(self, register: int, count: int) -> list[Step]:
        """Sales of which four in five have a card."""
        return [self.sale(register, self.card(register) if self._chance.random() < 0.8 else None) for _ in range(count)]

    def card(self, register: int) -> str:
        return self._chance.choice([card for card in self._cards if card != self._last.get(register)])

    def again(self, kind: StepKind, sale: Step, register: int) -> Step:
        """Something about an earlier sale."""
        return Step(name=self._name(), register=register, kind=kind, items=sale.items, tender=sale.tender, of=sale.name)

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
    at = Cashiers(regulars, seed)
    gold = next(member.card for member in regulars if member.tier == "gold")
    silver = next(member.card for member in regulars if member.tier == "silver")

    morning = [*at.sales(1, 7), *at.sales(2, 7), at.sale(1, gold), at.sale(2, silver)]
    morning += [at.sale(1, NEW_CARD), at.again("card_slip", morning[0], 1), at.sale(2, silver, first_card=gold)]
    cut_off = [*at.sales(1, 5), *at.sales(2, 7), at.sale(2, gold), at.sale(2, NEW_CARD)]
    sold_offline = next(step for step in cut_off if step.register == 2 and step.card == gold)
    elsewhere = [at.again("return", sold_offline, 1), *at.sales(1, 3), *at.sales(2, 3)]
    killed = [at.sale(1, silver), at.sale(1), *at.sales(1, 6), *at.sales(2, 4)]
    back = [*at.sales(1, 6), *at.sales(2, 6)]
    own = next(step for step in morning if step.register == 2 and step.card == silver)
    back += [at.again("reprint", morning[1], 1), at.again("copy", morning[8], 2), at.again("return", own, 2)]
    back += [at.again("card_slip", back[-1], 2), *at.sales(1, 2)]
    return Shift(
        phases=(
            Phase(title="The shop opens", event="open", steps=tuple(morning)),
            Phase(title="Register 2 loses the network", event="cut", steps=tuple(cut_off)),
            Phase(
                title="What register 2 sold comes back at register 1, before its sale was synced",
                event="refund_elsewhere",
                steps=tuple(elsewhere),
            ),
            Phase(title="The agent of register 1 is killed; the till prints on", event="kill", steps=tuple(killed)),
            Phase(title="Register 2 is back on the network", event="restore", steps=tuple(back)),
        ),
        new_member=new_member.member,
    )


def expected_entries(steps: Iterable[Step], members: tuple[SampleMember, ...], new_member: str) -> tuple[Given, ...]:
    """What the terms promise: a point for 100 RSD, another for each 500 RSD held back for two weeks,
    both times 5/4 for silver and 3/2 for gold; a return takes back what its sale gave. `new_member` is
    whom NEW_CARD belongs to.
    """
    of_card = {member.card: member for member in members}
    of_card[NEW_CARD] = next(member for member in members if member.member == new_member)
    given: list[Given] = []
    for step in steps:
        if step.kind == "return":
            given += [
                Given(step=step.name, member=entry.member, rule=entry.rule, points=-entry.points)
                for entry in given
                if entry.step == step.of
            ]
        if step.kind != "sale" or step.card is None:
            continue
        member = of_card[step.card]
        factor = {"gold": Fraction(3, 2), "silver": Fraction(5, 4)}.get(member.tier or "", Fraction(1))
        for rule, dinars in (("base", 100), ("kept", 500)):
            points = int(Fraction(step.total_minor, 100 * dinars) * factor)
            if points:
                given.append(Given(step=step.name, member=member.member, rule=rule, points=points))
    return tuple(given)
