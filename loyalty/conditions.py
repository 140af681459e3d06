"""When a rule gives: the JSON model of conditions, and the same made ready to be asked.

Owns what may be asked of a receipt, its lines and its member. Never says what a rule gives. A condition is about the
receipt, or about one line of it; where a rule has any of the second sort, only the lines for which the whole holds
count for that rule.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import compress
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from loyalty.check_digit import GTIN_LENGTHS, shortest_gtin
from loyalty.purchase import QUANTITY_SCALE, Purchase, tagged, thousandths_of
from loyalty.receipt import Entry, Line, LineKind

# Texts of one condition, and conditions within conditions.
MAX_VALUES: Final = 1_000
MAX_DEPTH: Final = 8

_Size = Meta(min_length=1, max_length=MAX_VALUES)
Text = Annotated[str, Meta(pattern=r"\S", max_length=64)]
Texts = Annotated[tuple[Text, ...], _Size]
Weekday = Annotated[int, Meta(ge=1, le=7)]
ClockTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
Gtin = Annotated[str, Meta(pattern=r"^([0-9]{8}|[0-9]{12,14})$")]
Threshold = Annotated[int, Meta(ge=1, le=10**14)]


class Condition(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"all_": "all", "any_": "any", "not_": "not"}
):
    """What has to hold. Of several keys in one object all have to.

    `weekday_in` is ISO (Monday 1); `time_in` has spans `["07:00", "10:00"]` on the program's clock, the second not
    included, over midnight where it is the earlier; `channel_in` compares the receipt's `source`; `entry_in` how its
    card came in. `line_tag_in`, `sku_in`, `gtin_in`, `category_in`, `line_kind_in`, `min_line_minor` and
    `min_line_quantity` (whole pieces) are about a line. `min_basket_minor` compares the goods of the whole receipt.
    """

    all_: Annotated[tuple[Condition, ...], _Size] | UnsetType = UNSET
    any_: Annotated[tuple[Condition, ...], _Size] | UnsetType = UNSET
    not_: Condition | UnsetType = UNSET
    tier_in: Texts | UnsetType = UNSET
    weekday_in: Annotated[tuple[Weekday, ...], _Size] | UnsetType = UNSET
    time_in: Annotated[tuple[tuple[ClockTime, ClockTime], ...], _Size] | UnsetType = UNSET
    store_in: Texts | UnsetType = UNSET
    channel_in: Texts | UnsetType = UNSET
    entry_in: Annotated[tuple[Entry, ...], _Size] | UnsetType = UNSET
    segment_in: Texts | UnsetType = UNSET
    first_purchase: bool | UnsetType = UNSET
    birthday_month: bool | UnsetType = UNSET
    min_basket_minor: Threshold | UnsetType = UNSET
    line_tag_in: Texts | UnsetType = UNSET
    sku_in: Texts | UnsetType = UNSET
    gtin_in: Annotated[tuple[Gtin, ...], _Size] | UnsetType = UNSET
    category_in: Texts | UnsetType = UNSET
    line_kind_in: Annotated[tuple[LineKind, ...], _Size] | UnsetType = UNSET
    min_line_minor: Threshold | UnsetType = UNSET
    min_line_quantity: Annotated[int, Meta(ge=1, le=10**6)] | UnsetType = UNSET


ReceiptTest = Callable[[Purchase], bool]
LineTest = Callable[[Purchase, Sequence[Line]], Sequence[bool]]
"""For each of some lines whether it counts. All are asked at once: a call for each costs more than the question."""
_ABOUT_LINES: Final = frozenset(
    {"line_tag_in", "sku_in", "gtin_in", "category_in", "line_kind_in", "min_line_minor", "min_line_quantity"}
)
# What can be told of a basket by its goods alone.
_OF_GOODS: Final = frozenset({*_ABOUT_LINES, "min_basket_minor", "all_", "any_", "not_"})
_THRESHOLDS: Final = frozenset({"min_basket_minor", "min_line_minor", "min_line_quantity"})


class Criterion(Struct, frozen=True, kw_only=True):
    """A condition made ready. `of_receipt` are asked once; `of_lines`, where there are any, of each line.

    `kinds` are the line kinds that may earn by it; `has_threshold` says that it may fail when a part comes back.
    """

    of_receipt: tuple[ReceiptTest, ...] = ()
    of_lines: tuple[LineTest, ...] = ()
    kinds: frozenset[LineKind] = frozenset({"goods"})
    has_threshold: bool = False

    def holds(self, purchase: Purchase) -> bool:
        """Whether all that is asked of the receipt holds."""
        for test in self.of_receipt:  # noqa: SIM110 -- asked for every rule of every receipt: a generator costs more
            if not test(purchase):
                return False
        return True

    def lines_of(self, purchase: Purchase) -> Sequence[Line]:
        """The lines that count."""
        lines = (
            purchase.goods
            if len(self.kinds) == 1
            else [line for line in purchase.lines if line.counts_as in self.kinds]
        )
        return self.chosen(purchase, lines)

    def chosen(self, purchase: Purchase, lines: Sequence[Line]) -> Sequence[Line]:
        """Those of `lines` for which all holds that is asked of a line."""
        for test in self.of_lines:
            lines = list(compress(lines, test(purchase, lines)))
        return lines


def criterion_of(condition: Condition | UnsetType) -> Criterion:
    """`condition` made ready; without one, all goods count."""
    if condition is UNSET:
        return Criterion()
    parts = list(_conjuncts(condition))
    return Criterion(
        of_receipt=tuple(_of_receipt(part) for part in parts if not about_lines(part)),
        of_lines=tuple(_of_line(part) for part in parts if about_lines(part)),
        kinds=frozenset({"goods", *_named_kinds(condition)}),
        has_threshold=any(not _THRESHOLDS.isdisjoint(_keys(part)) for part in within(condition)),
    )


def criterion_of_goods(condition: Condition | UnsetType) -> Criterion:
    """The same of what is asked for the goods alone; the rest is left out: it holds wherever the whole does."""
    if condition is UNSET:
        return Criterion()
    of_goods = tuple(part for part in _conjuncts(condition) if keys_in(part) <= _OF_GOODS)
    criterion = criterion_of(Condition(all_=of_goods)) if of_goods else Criterion()
    return replace(criterion, kinds=criterion_of(condition).kinds)


def within(condition: Condition) -> Iterator[Condition]:
    """`condition` and all that stand in it."""
    yield condition
    for inner in _inner(condition):
        yield from within(inner)


def keys_in(condition: Condition) -> frozenset[str]:
    """All that is asked anywhere in it."""
    return frozenset(key for part in within(condition) for key in _keys(part))


def _keys(condition: Condition) -> list[str]:
    return [name for name in condition.__struct_fields__ if getattr(condition, name) is not UNSET]


def _inner(condition: Condition) -> Iterator[Condition]:
    yield from condition.all_ or ()
    yield from condition.any_ or ()
    if condition.not_:
        yield condition.not_


def _conjuncts(condition: Condition) -> Iterator[Condition]:
    """Conditions of one key each, all of which have to hold."""
    for name in _keys(condition):
        if name == "all_":
            for inner in condition.all_ or ():
                yield from _conjuncts(inner)
        else:
            yield Condition(**{name: getattr(condition, name)})


def about_lines(condition: Condition) -> bool:
    """Whether it asks anything about a line."""
    return not _ABOUT_LINES.isdisjoint(keys_in(condition))


def _named_kinds(condition: Condition) -> Iterator[LineKind]:
    """Line kinds that a rule names to earn by; one that it names to leave out is none."""
    yield from condition.line_kind_in or ()
    for inner in (*(condition.all_ or ()), *(condition.any_ or ())):
        yield from _named_kinds(inner)


def _of_line(condition: Condition) -> LineTest:
    """A test of lines; what is asked of the receipt is asked for each of its lines."""
    tests: list[LineTest] = []
    for name in _keys(condition):
        asked = getattr(condition, name)
        if name == "all_":
            tests += map(_of_line, asked)
        elif name == "any_":
            tests.append(_joined(operator.or_, list(map(_of_line, asked))))
        elif name == "not_":
            tests.append(_no_line(_of_line(asked)))
        elif name in _ABOUT_LINES:
            tests.append(_line_test(name, asked))
        else:
            tests.append(_lifted(_receipt_test(name, asked)))
    return _joined(operator.and_, tests)


def _joined(join: Callable[[bool, bool], bool], tests: list[LineTest]) -> LineTest:
    """Several tests as one, their answers joined line by line."""
    first, *others = tests

    def joined(purchase: Purchase, lines: Sequence[Line]) -> Sequence[bool]:
        answers = first(purchase, lines)
        for test in others:
            answers = list(map(join, answers, test(purchase, lines)))
        return answers

    return joined if others else first


def _no_line(test: LineTest) -> LineTest:
    return lambda purchase, lines: [not answer for answer in test(purchase, lines)]


def _lifted(test: ReceiptTest) -> LineTest:
    return lambda purchase, lines: [test(purchase)] * len(lines)


def _of_receipt(condition: Condition) -> ReceiptTest:
    tests: list[ReceiptTest] = []
    for name in _keys(condition):
        asked = getattr(condition, name)
        if name == "all_":
            tests += map(_of_receipt, asked)
        elif name == "any_":
            tests.append(_any_of(tuple(map(_of_receipt, asked))))
        elif name == "not_":
            tests.append(_none_of(_of_receipt(asked)))
        else:
            tests.append(_receipt_test(name, asked))
    return tests[0] if len(tests) == 1 else lambda purchase: all(test(purchase) for test in tests)


def _any_of(tests: tuple[ReceiptTest, ...]) -> ReceiptTest:
    return lambda purchase: any(test(purchase) for test in tests)


def _none_of(test: ReceiptTest) -> ReceiptTest:
    return lambda purchase: not test(purchase)


def _line_test(name: str, asked: Any) -> LineTest:
    if name == "min_line_minor":
        return lambda _, lines: [line.amount_minor >= asked for line in lines]
    if name == "min_line_quantity":
        least = asked * QUANTITY_SCALE
        return lambda _, lines: [thousandths_of(line) >= least for line in lines]
    values = frozenset(map(_gtin, asked) if name == "gtin_in" else asked)
    match name:
        case "line_tag_in":
            return lambda _, lines: tagged(lines, values)
        case "sku_in":
            return lambda _, lines: [line.sku in values for line in lines]
        case "gtin_in":
            return lambda _, lines: [_gtin(line.gtin or "") in values for line in lines]
        case "category_in":
            return lambda _, lines: [line.mapped is not UNSET and line.mapped.category in values for line in lines]
        case _:
            return lambda _, lines: [line.counts_as in values for line in lines]


def _gtin(text: str) -> str:
    """One form of a product's code; a text that is none stays as it is."""
    is_gtin = text.isascii() and text.isdigit() and len(text) <= max(GTIN_LENGTHS)
    return shortest_gtin(text) if is_gtin else text


def _receipt_test(name: str, asked: Any) -> ReceiptTest:
    match name:
        case "weekday_in":
            days = frozenset(asked)
            return lambda purchase: purchase.local is not None and purchase.local.isoweekday() in days
        case "time_in":
            spans = tuple((_minutes(begin), _minutes(end)) for begin, end in asked)
            return lambda purchase: purchase.clock is not None and _is_within(purchase.clock, spans)
        case "first_purchase":
            return lambda purchase: (purchase.known.purchases == 0) is asked
        case "birthday_month":
            return lambda purchase: _is_birthday_month(purchase) is asked
        case "segment_in":
            segments = frozenset(asked)
            return lambda purchase: not segments.isdisjoint(purchase.known.segments)
        case "min_basket_minor":
            return lambda purchase: purchase.basket_minor >= asked
        case _:
            values, fact = frozenset(asked), _FACTS[name]
            return lambda purchase: fact(purchase) in values


_FACTS: Final[dict[str, Callable[[Purchase], str | UnsetType]]] = {
    "tier_in": lambda purchase: purchase.known.tier,
    "store_in": lambda purchase: purchase.receipt.store,
    "channel_in": lambda purchase: purchase.receipt.source,
    "entry_in": lambda purchase: purchase.receipt.member.entry if purchase.receipt.member else UNSET,
}


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _is_within(local: datetime, spans: tuple[tuple[int, int], ...]) -> bool:
    clock = local.hour * 60 + local.minute
    return any(begin <= clock < end if begin < end else (clock >= begin or clock < end) for begin, end in spans)


def _is_birthday_month(purchase: Purchase) -> bool:
    return purchase.local is not None and purchase.local.month == purchase.known.birth_month
