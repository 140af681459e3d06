"""What came back of a sale, in the naive engine: by which lines, and what a condition says of what remains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

from tests.loyalty.naive.goods import (
    THRESHOLDS,
    Asked,
    Json,
    about_lines,
    amount,
    goods_of,
    keys_in,
    kind_of,
    lines_of,
    money_of,
    named_kinds,
    pieces_of,
    tags_of,
)


@dataclass
class Sale:
    """A sale that counted, what was known of the member then, what it gave, and what came back of it."""

    receipt: Json
    member: Json
    zone: str
    backs: list[Json]
    voided: bool = False
    # What was worked out once for so many returns; it would be the same every time.
    known: dict[Any, Fraction] = field(default_factory=dict)

    @property
    def basket(self) -> Fraction:
        return self._once("basket", lambda: basket_of(self.receipt))

    def basis(self, rule: Json) -> Fraction:
        """What a visit or stamp rule looked at when it was sold."""
        return self._once(rule["id"], lambda: basis_of(rule, self.asked()))

    def _once(self, name: str, work: Callable[[], Fraction]) -> Fraction:
        key = (name, len(self.backs), self.voided)
        if key not in self.known:
            self.known[key] = work()
        return self.known[key]

    def asked(self) -> Asked:
        return Asked(self.receipt, self.member, self.zone, self.basket)

    def all_came_back(self) -> bool:
        back = -sum(back["total_minor"] for back in self.backs)
        return bool(0 < self.receipt["total_minor"] <= back)

    def basket_left(self) -> Fraction:
        if self.voided or self.all_came_back():
            return Fraction(0)
        backs = [as_sold(back, self.receipt) for back in self.backs]
        return self._once("left", lambda: self.basket + sum(map(basket_of, backs)))

    def came_back(self, rule: Json) -> Fraction:
        """Of the basis of a rule, by the returns' own figures."""
        return Fraction(sum(max(Fraction(0), self._came_back_with(back, rule)) for back in self.backs))

    def _came_back_with(self, back: Json, rule: Json) -> Fraction:
        basis, when = rule.get("basis", {}), rule.get("when", {})
        if not back.get("lines"):
            return basis_of(rule, self.asked()) if basis.get("scope") == "quantity" else -Fraction(back["total_minor"])
        counted = [line for line in lines_of(as_sold(back, self.receipt)) if self._counted(line, when)]
        return -money_of(as_sold(back, self.receipt), counted, basis) if counted else Fraction(0)

    def _counted(self, line: Json, when: Json) -> bool:
        """Whether a returned line is of those that a rule looked at, as the line that was sold was."""
        sold = [lines_of(self.receipt)[place] for place in alike(line, lines_of(self.receipt))] or [line]
        return kind_of(line) in {"goods", *named_kinds(when)} and (
            not about_lines(when) or self.asked().holds(when, sold[0])
        )

    def remains(self, rule: Json, basis: Fraction) -> Fraction:
        """What still counts of a basis after each return so far; a return never makes it more."""
        steps = [replace(self, backs=self.backs[:count], known={}) for count in range(len(self.backs) + 1)]
        return self._once(f"{rule['id']} left", lambda: min(step._remains(rule, basis) for step in steps))

    def _remains(self, rule: Json, basis: Fraction) -> Fraction:
        """Less what came back, and less what misses a threshold now."""
        if self.voided or self.all_came_back():
            return Fraction(0)
        left, when = max(Fraction(0), basis - self.came_back(rule)), rule.get("when", {})
        if not keys_in(when) & THRESHOLDS:
            return left
        sold = lines_of(self.receipt)
        kept = what_is_left(sold, [line for back in self.backs for line in lines_of(as_sold(back, self.receipt))])
        chosen = self.asked().lines(when)
        counted = [now for now, then in zip(kept, sold, strict=True) if any(then is one for one in chosen)]
        now = Asked({**self.receipt, "lines": kept}, self.member, self.zone, self.basket_left())
        if not now.holds_apart_from_lines(when):
            return Fraction(0)
        if amount(counted) <= 0:
            return left
        still = [line for line in counted if not about_lines(when) or now.holds(when, line)]
        return floor(left * amount(still) / amount(counted) * unit(rule)) / unit(rule)


def unit(rule: Json) -> Fraction:
    """Pieces are counted in thousandths, money in minor units."""
    return Fraction(1000 if rule.get("basis", {}).get("scope") == "quantity" else 1)


def basket_of(receipt: Json) -> Fraction:
    """All goods after discounts with tax."""
    return money_of(receipt, [line for line in lines_of(receipt) if kind_of(line) == "goods"], {})


def basis_of(rule: Json, asked: Asked) -> Fraction:
    """What a rule looks at; nothing where it does not apply."""
    when = rule.get("when", {})
    if asked.receipt.get("lines"):
        lines = asked.lines(when)
        basis = money_of(asked.receipt, lines, rule.get("basis", {})) if lines else Fraction(0)
    elif about_lines(when) or not asked.holds(when, None):
        return Fraction(0)
    else:
        basis = money_of(asked.receipt, [], rule.get("basis", {}))
    return basis if basis >= least(rule) else Fraction(0)


def least(rule: Json) -> Fraction:
    return Fraction(rule.get("min_basis_minor", 1 / unit(rule)))


def alike(line: Json, sold: list[Json]) -> list[int]:
    """Places of the sold lines that it may be of: first the same goods, then the same sort."""
    goods = [place for place, one in enumerate(sold) if any(goods_of(line)) and goods_of(one) == goods_of(line)]
    sort = [place for place, one in enumerate(sold) if sort_of(one) == sort_of(line)]
    return list(dict.fromkeys(goods + sort))


def sort_of(line: Json) -> tuple[str, frozenset[str]]:
    return kind_of(line), frozenset(tags_of(line))


def as_sold(back: Json, sale: Json) -> Json:
    """A return with each line's kind, tags and tax labels as those of the same goods were when they were sold."""
    lines = []
    for line in back.get("lines", []):
        same = [one for one in lines_of(sale) if any(goods_of(line)) and goods_of(one) == goods_of(line)]
        facts = {name: value for name, value in line.items() if name not in {"kind", "tags", "tax_labels", "mapped"}}
        told: Json = {
            name: same[0][name] for name in ("kind", "tags", "tax_labels", "mapped") if same and name in same[0]
        }
        lines.append({**facts, **told} if same else _mapped_as_sold(line, sale))
    return {**back, "lines": lines}


def _mapped_as_sold(line: Json, sale: Json) -> Json:
    """One that says no goods is mapped as the first such of its department and tax labels was."""
    by = ("department", "tax_labels")
    same = [
        one for one in lines_of(sale) if not any(goods_of(one)) and all(one.get(key) == line.get(key) for key in by)
    ]
    if any(goods_of(line)) or not same:
        return line
    told = {"mapped": same[0]["mapped"]} if "mapped" in same[0] else {}
    return {name: value for name, value in line.items() if name != "mapped"} | told


def what_is_left(sold: list[Json], returned: list[Json]) -> list[Json]:
    """The sold lines less what came back: of the line that it is of, then of the next alike, then of any."""
    amounts = [line["amount_minor"] for line in sold]
    pieces = [pieces_of(line) for line in sold]
    for line in returned:
        money, count = -line["amount_minor"], -pieces_of(line)
        for place in dict.fromkeys([*alike(line, sold), *range(len(sold))]):
            off = min(money, max(0, amounts[place]))
            if off <= 0:
                continue
            fewer = Fraction(floor(count * off / money * 1000), 1000)
            amounts[place] -= off
            pieces[place] = max(Fraction(0), pieces[place] - fewer)
            money, count = money - off, count - fewer
    return [
        {**line, "amount_minor": left, "quantity": str(Decimal(floor(size * 1000)).scaleb(-3))}
        for line, left, size in zip(sold, amounts, pieces, strict=True)
    ]
