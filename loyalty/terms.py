"""A program made ready to be asked: its rules in their order, their conditions as functions, its tiers by name.

Owns what one rule gives for a basis, before anything that was given earlier counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from loyalty.conditions import Criterion, criterion_of
from loyalty.program import EarnRule, Give, Program, Tier
from loyalty.purchase import QUANTITY_SCALE, Basis, Purchase
from loyalty.receipt import Line

# What visits and stamps count: whether goods were bought, and how many pieces. What they give is not asked of these.
_PIECES: Final = Basis(scope="quantity")
_ONCE: Final = Give(points=1)
# Programs kept ready; a shop has one or two alive at a time.
_READY: Final = 32


class Multiplier(Struct, frozen=True, kw_only=True):
    """What a tier multiplies points by, and how that is `shown` where it changes anything."""

    numerator: int = 1
    denominator: int = 1
    shown: str = ""


_BY_ONE: Final = Multiplier()


class Rule:
    """An earn rule made ready: `scale` is how many units of its basis make one of `per_minor`, `least` what gives."""

    __slots__ = (
        "_basis",
        "_brackets",
        "_is_of_goods",
        "_of_receipt",
        "_once",
        "_per",
        "_points",
        "criterion",
        "earn",
        "gives_once",
        "least",
        "scale",
    )

    def __init__(self, earn: EarnRule) -> None:
        self.earn = earn
        self.criterion: Criterion = criterion_of(earn.when)
        self._basis, self._of_receipt = earn.basis, self.criterion.of_receipt
        self.scale = QUANTITY_SCALE if earn.basis.scope == "quantity" else 1
        self.least = earn.min_basis_minor * self.scale if earn.min_basis_minor else 1
        # Whether the points hang on a threshold or bracket, and not on each unit of the basis.
        self.gives_once = earn.give.per_minor is UNSET
        self._points = earn.give.points or 0
        self._per = (earn.give.per_minor or 1) * self.scale
        # The highest first. Points that are given once are a bracket that every basis reaches.
        brackets = earn.give.brackets or ((0, self._points),)
        self._brackets = tuple((threshold * self.scale, points) for threshold, points in reversed(brackets))
        self._once = "once for" if earn.give.brackets is UNSET else "bracket of"
        self._is_of_goods = not self.criterion.of_lines and len(self.criterion.kinds) == 1

    def lines_of(self, purchase: Purchase) -> Sequence[Line]:
        """The lines whose money or pieces count."""
        return self.criterion.lines_of(purchase)

    def basis_of(self, purchase: Purchase) -> int:
        """What it looks at, in minor units or thousandths of a piece; nothing where it does not apply."""
        for test in self._of_receipt:
            if not test(purchase):
                return 0
        if self._is_of_goods:
            basis = purchase.basis_of_goods(self._basis)
        elif lines := self.criterion.lines_of(purchase):
            basis = purchase.basis_of(lines, self._basis)
        else:
            return 0
        return basis if basis >= self.least else 0

    def points(self, basis: int, by: Multiplier) -> int:
        """What a basis gives, before caps: the whole product before the one rounding."""
        if self.gives_once:
            return self.points_once(basis)
        return basis * self._points * by.numerator // (self._per * by.denominator)

    def points_once(self, basis: int) -> int:
        """What a basis gives where points hang on a threshold: those of the highest bracket that it reaches."""
        for threshold, points in self._brackets:
            if basis >= threshold:
                return points if basis >= self.least else 0
        return 0

    def arithmetic(self, basis: int, points: int, by: Multiplier) -> str:
        """How `points` came about, for people."""
        shown = basis if self.scale == 1 else written(basis, self.scale)
        if self.gives_once:
            return f"{self._once} {shown} = {points}"
        return f"floor({shown} × {self._points}{by.shown} ÷ {self.earn.give.per_minor}) = {points}"


class Terms(Struct, frozen=True, kw_only=True):
    """A whole program made ready. `rules` stand in the order of `(priority, id)`.

    `capped` names those with a cap over several receipts. `visits` are the goods that make a visit and `stamps` the
    pieces that are stamps, by the rules of either sort in the program's order.
    """

    program: Program
    rules: tuple[Rule, ...]
    by_id: dict[str, Rule]
    capped: frozenset[str]
    visits: tuple[Rule, ...]
    stamps: tuple[Rule, ...]
    multipliers: dict[str, Multiplier]

    def multiplier(self, tier: str | UnsetType) -> Multiplier:
        """That of a tier; one that the program does not know multiplies by one."""
        return _BY_ONE if tier is UNSET else self.multipliers.get(tier, _BY_ONE)


@lru_cache(maxsize=_READY)
def terms_of(program: Program) -> Terms:
    """The program made ready; made once for as long as it is in use."""
    rules = tuple(Rule(rule) for rule in program.ordered_rules())
    return Terms(
        program=program,
        rules=rules,
        by_id={rule.earn.id: rule for rule in rules},
        capped=frozenset(
            rule.id for rule in program.earn if any(getattr(rule.cap, name) for name in ("day", "month", "member"))
        ),
        visits=tuple(Rule(EarnRule(id=rule.id, when=rule.when, give=_ONCE)) for rule in program.visits),
        stamps=tuple(
            Rule(EarnRule(id=stamp.id, when=stamp.when, basis=_PIECES, give=_ONCE)) for stamp in program.stamps
        ),
        multipliers={tier.id: _multiplier(tier) for tier in program.tiers},
    )


def _multiplier(tier: Tier) -> Multiplier:
    numerator, denominator = tier.multiplier
    shown = f" × {numerator}/{denominator} ({tier.id})" if numerator != denominator else ""
    return Multiplier(numerator=numerator, denominator=denominator, shown=shown)


def written(amount: int, scale: int) -> str:
    """A basis as people read it: minor units as they are, pieces as a decimal."""
    if scale == 1:
        return str(amount)
    whole, part = divmod(amount, scale)
    return f"{whole}.{part:03}".rstrip("0").rstrip(".")
