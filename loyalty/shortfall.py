"""What an earn rule would give if more were bought now, the same later today, or the same again.

Owns how much is missing to a rule's next threshold. Nothing is guessed: goods that fit are added to the basket and the
rule is asked again, in its group and under its caps. What gives more with every unit has no next threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal

from msgspec import UNSET, Struct
from msgspec.structs import replace

from loyalty.conditions import Condition, within
from loyalty.evaluate import TooManyPointsError, entry_of, periods_of
from loyalty.ledger import LedgerEntry
from loyalty.program import Program
from loyalty.purchase import QUANTITY_SCALE, Purchase, tagged, thousandths_of
from loyalty.receipt import Line, Mapped
from loyalty.terms import Rule, terms_of, written

Unit = Literal["minor", "pieces"]
# Steps towards a threshold, and thresholds of one rule that are tried: discounts that are shared take a few.
_STEPS: Final = 8
# As much as makes a line big enough for any threshold of a line, to see whether it fits otherwise.
_AMPLE: Final = 10**14


class Shortfall(Struct, frozen=True, kw_only=True):
    """So much is `missing`, of `unit`, for a rule to give `gives`, which is more than it gives now."""

    kind: Literal["bracket", "min_basis", "min_basket", "min_line", "min_line_quantity"]
    missing: int
    unit: Unit
    gives: int


class Window(Struct, frozen=True, kw_only=True):
    """The same basket gives `gives` from `begins` until `ends`, later on the same day."""

    begins: datetime
    ends: datetime
    gives: int


class Room(Struct, frozen=True, kw_only=True):
    """So many points a rule may still give after this basket, until the end of the period; None for ever."""

    points: int
    cap: str
    until: datetime | None


class Basket:
    """A basket under a program's rules, to be asked again with something changed."""

    def __init__(self, purchase: Purchase, program: Program) -> None:
        self.purchase = purchase
        self._terms = terms_of(program)
        self._multiplier = self._terms.multiplier(purchase.known.tier)
        self._asked = _asked(program)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self._terms.rules

    def best(self, rule: Rule, purchase: Purchase) -> tuple[int, str]:
        """What this rule, or another of its group, gives for `purchase`, and the id of the one that gives it."""
        points, winner = 0, ""
        for rival in self._asked[rule.earn.id].group:
            try:
                entry = entry_of(purchase, rival, self._multiplier)
            except TooManyPointsError:
                continue
            if entry is not None and entry.points > points:
                points, winner = entry.points, rival.earn.id
        return points, winner

    def more(self, rule: Rule, purchase: Purchase, now: int) -> int:
        """What the rule gives for `purchase` where that is more than `now`; else nothing."""
        points, winner = self.best(rule, purchase)
        return points if winner == rule.earn.id and points > now else 0

    def with_more(self, rule: Rule, more: int) -> Purchase | None:
        """The basket with so many minor units or pieces more of goods that fit; None where none can be named."""
        growth = self._growth(rule)
        return None if growth is None else growth(more)

    def shortfall(self, rule: Rule) -> Shortfall | None:
        """The least that is missing to the next threshold of a rule."""
        thresholds = self._asked[rule.earn.id].thresholds
        if not thresholds and rule.earn.give.brackets is UNSET and rule.earn.min_basis_minor is UNSET:
            return None
        now, _ = self.best(rule, self.purchase)
        found = [*self._of_basis(rule, thresholds, now)]
        if thresholds:
            found += self._of_lines(rule, thresholds, now)
        return min(found, key=lambda each: (each.unit != "minor", each.missing), default=None)

    def _of_basis(self, rule: Rule, thresholds: dict[str, list[int]], now: int) -> Iterator[Shortfall]:
        """Thresholds of the basket and of the basis, and brackets: the first one that gives more."""
        growth = self._growth(rule)
        if growth is None:
            return
        unit: Unit = "pieces" if rule.scale > 1 else "minor"
        tried = sorted(self._targets(rule, thresholds, growth), key=lambda target: target[0])
        for amount, kind in tried[:_STEPS]:
            gives = self.more(rule, growth(amount), now)
            if gives:
                yield Shortfall(kind=kind, missing=amount, unit=unit, gives=gives)
                return

    def _targets(
        self, rule: Rule, thresholds: dict[str, list[int]], growth: Growth
    ) -> Iterator[tuple[int, Literal["bracket", "min_basis", "min_basket"]]]:
        """How much to add to reach each threshold, alone and together with each of the others."""

        def basis(purchase: Purchase) -> int:
            lines = rule.lines_of(purchase)
            return purchase.basis_of(lines, rule.earn.basis) if lines or not purchase.receipt.lines else 0

        bases: list[tuple[Literal["bracket", "min_basis"], int]] = []
        if rule.earn.min_basis_minor is not UNSET:
            bases.append(("min_basis", rule.least))
        has = basis(self.purchase)
        above = [least * rule.scale for least, _ in rule.earn.give.brackets or () if least * rule.scale > has]
        bases += [("bracket", max(rule.least, least)) for least in above[:_STEPS]]
        baskets = [0]
        baskets += [
            amount
            for least in thresholds.get("min_basket_minor", ())
            if (amount := self._to_add(growth, lambda purchase: purchase.basket_minor, least, 1))
        ]
        for_bases = [(kind, self._to_add(growth, basis, least, rule.scale)) for kind, least in bases]
        for of_basket in baskets:
            if of_basket:
                yield of_basket, "min_basket"
            for kind, of_basis in for_bases:
                if of_basis and of_basis >= of_basket:
                    yield of_basis, kind

    def _to_add(self, growth: Growth, measure: Callable[[Purchase], int], least: int, scale: int) -> int:
        """How many units make `measure` reach `least`; nothing where it does already, or never does."""
        short, amount = least - measure(self.purchase), 0
        for _ in range(_STEPS):
            if short <= 0:
                return amount
            amount += -(-short // scale)
            short = least - measure(growth(amount))
        return 0

    def _growth(self, rule: Rule) -> Growth | None:
        """How the basket grows by goods that the rule counts; None where no such goods can be named."""
        receipt, place = self.purchase.receipt, len(self.purchase.receipt.lines) + 1
        pieces = rule.scale > 1
        if not receipt.lines:
            if pieces or rule.criterion.of_lines or rule.earn.basis.scope != "receipt":
                return None
            return lambda more: self._changed(total_minor=receipt.total_minor + more)
        fitting = next((line for line in self._asked[rule.earn.id].fitting if self._fits(rule, line)), None)
        if fitting is None:
            return None

        def grown(more: int) -> Purchase:
            facts = {"quantity": str(more)} if pieces else {}
            line = replace(fitting, position=place, amount_minor=more, **facts)
            return self._changed(lines=(*receipt.lines, line), total_minor=receipt.total_minor + more)

        return grown

    def _fits(self, rule: Rule, line: Line) -> bool:
        ample = replace(line, amount_minor=_AMPLE)
        return bool(rule.criterion.chosen(self.purchase, (ample,)))

    def _of_lines(self, rule: Rule, thresholds: dict[str, list[int]], now: int) -> Iterator[Shortfall]:
        """Lines that do not count because they are too small: more of the same goods."""
        counted = {id(line) for line in rule.lines_of(self.purchase)}
        small = [
            (place, line)
            for place, line in enumerate(self.purchase.receipt.lines)
            if id(line) not in counted and not line.voided and line.amount_minor > 0
        ]
        # What lacks least comes first; the first that gives more is the answer.
        small.sort(key=lambda found: -found[1].amount_minor)
        for least in thresholds["min_line_minor"]:
            for place, line in small:
                larger = replace(line, amount_minor=least)
                if line.amount_minor < least and (gives := self.more(rule, self._with_line(place, larger), now)):
                    missing = least - line.amount_minor
                    yield Shortfall(kind="min_line", missing=missing, unit="minor", gives=gives)
                    break
        small.sort(key=lambda found: -thousandths_of(found[1]))
        for least in thresholds["min_line_quantity"]:
            for place, line in small:
                pieces = -(-(least * QUANTITY_SCALE - thousandths_of(line)) // QUANTITY_SCALE)
                if pieces > 0 and (gives := self.more(rule, self._with_line(place, _with_pieces(line, pieces)), now)):
                    yield Shortfall(kind="min_line_quantity", missing=pieces, unit="pieces", gives=gives)
                    break

    def _with_line(self, place: int, line: Line) -> Purchase:
        lines = self.purchase.receipt.lines
        total = self.purchase.receipt.total_minor + line.amount_minor - lines[place].amount_minor
        return self._changed(lines=(*lines[:place], line, *lines[place + 1 :]), total_minor=total)

    def _changed(self, **facts: object) -> Purchase:
        return Purchase(replace(self.purchase.receipt, **facts), self.purchase.time_zone, self.purchase.known)

    def window(self, rule: Rule) -> Window | None:
        """The next time of the same day at which the same basket gives more under a rule."""
        edges = self._asked[rule.earn.id].edges
        clock = self.purchase.clock if edges else None
        later = [at for edge in edges if (at := _at(clock, edge)) > clock] if clock is not None else []
        if not later:
            return None
        now, _ = self.best(rule, self.purchase)
        given = [(at, self.more(rule, self._changed(issued_at=at), now)) for at in later]
        for number, (begins, gives) in enumerate(given):
            if gives:
                ends = next((at for at, points in given[number + 1 :] if points < gives), None)
                return Window(begins=begins, ends=ends or _at(begins, 24 * 60), gives=gives)
        return None

    def room(self, rule: Rule, entry: LedgerEntry) -> Room | None:
        """What the caps of a rule leave of the same again after `entry`, where that is less than it gives now."""
        if rule.earn.id not in self._terms.capped:
            return None
        used, local, rooms = self.purchase.known.used.get(rule.earn.id, {}), self.purchase.local, []
        for name, period in periods_of(local):
            most = getattr(rule.earn.cap, name)
            if most is not UNSET:
                left = most - used.get(period, 0) - entry.points
                rooms.append(Room(points=left, cap=name, until=_end_of(name, local)))
        least = min(rooms, key=lambda room: room.points)
        return least if 0 < least.points < entry.points else None


Growth = Callable[[int], Purchase]
"""The basket with so many minor units, or pieces, of goods more."""


class _Asked(Struct, frozen=True, kw_only=True):
    """What is asked of a rule again: in which `group` only the best gives, the `thresholds` in its condition, `edges`
    of the times in it (minutes of the day), and lines that may be `fitting` goods."""

    group: tuple[Rule, ...]
    thresholds: dict[str, list[int]]
    edges: tuple[int, ...]
    fitting: tuple[Line, ...]


@lru_cache(maxsize=32)
def _asked(program: Program) -> dict[str, _Asked]:
    """By the ids of earn and stamp rules; made once for as long as a program is in use."""
    terms = terms_of(program)
    grouped = program.conflict == "best_per_group"
    return {
        rule.earn.id: _Asked(
            group=tuple(rival for rival in terms.rules if rival.earn.group == rule.earn.group)
            if grouped and rule.earn.group is not UNSET
            else (rule,),
            thresholds=_thresholds(rule, parts),
            edges=_edges(parts),
            fitting=_fitting(rule, parts),
        )
        for rule in (*terms.rules, *terms.stamps)
        for parts in [list(within(rule.earn.when)) if rule.earn.when is not UNSET else []]
    }


def _thresholds(rule: Rule, parts: list[Condition]) -> dict[str, list[int]]:
    """The thresholds that stand anywhere in the condition of a rule, from the lowest up."""
    if not rule.criterion.has_threshold:
        return {}
    names = ("min_basket_minor", "min_line_minor", "min_line_quantity")
    return {name: sorted({least for part in parts if (least := getattr(part, name))}) for name in names}


def _fitting(rule: Rule, parts: list[Condition]) -> tuple[Line, ...]:
    """Goods that may fit a rule: as all that it names is called, and any goods at all. The condition is asked then."""
    categories = [part.category_in[0] for part in parts if part.category_in]
    kinds = [part.line_kind_in[0] for part in parts if part.line_kind_in]
    pieces = [part.min_line_quantity for part in parts if part.min_line_quantity]
    named = Line(
        position=0,
        kind=kinds[0] if kinds else "goods",
        sku=next((part.sku_in[0] for part in parts if part.sku_in), UNSET),
        gtin=next((part.gtin_in[0] for part in parts if part.gtin_in), UNSET),
        quantity=str(max(pieces)) if pieces else UNSET,
        amount_minor=0,
        tags=tuple(part.line_tag_in[0] for part in parts if part.line_tag_in),
        mapped=Mapped(category=categories[0]) if categories else UNSET,
    )
    excluded = frozenset(rule.earn.basis.exclude_tags)
    goods = (named, Line(position=0, amount_minor=0))
    return tuple(line for line, is_out in zip(goods, tagged(goods, excluded), strict=True) if not is_out)


def _edges(parts: list[Condition]) -> tuple[int, ...]:
    """Minutes of the day at which the answer of a condition may change."""
    spans = [span for part in parts for span in part.time_in or ()]
    return tuple(sorted({int(edge[:2]) * 60 + int(edge[3:]) for span in spans for edge in span}))


def _with_pieces(line: Line, more: int) -> Line:
    """So many pieces more of the same goods at their price."""
    has = thousandths_of(line)
    will_have = has + more * QUANTITY_SCALE
    return replace(line, quantity=written(will_have, QUANTITY_SCALE), amount_minor=line.amount_minor * will_have // has)


def _at(day: datetime, minutes: int) -> datetime:
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(minutes=minutes)


def _end_of(cap: str, local: datetime | None) -> datetime | None:
    """When the period of a cap ends; None for never, and for what has no time."""
    if local is None or cap == "member":
        return None
    if cap == "day":
        return _at(local, 24 * 60)
    return _at((local.replace(day=1) + timedelta(days=32)).replace(day=1), 0)
