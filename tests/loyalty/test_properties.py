"""What holds for any receipts: buying and returning never gains, splitting a return does not matter, caps hold."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace

from loyalty.account import Account
from loyalty.program import Program, program_from_json
from loyalty.receipt import Discount, Line, Original, Receipt
from tests.loyalty.receipts import MORNING

EVER = datetime(2100, 1, 1, tzinfo=UTC)
BIO = {"line_tag_in": ["bio"]}
PROGRAM = {
    "program": "everything",
    "currency": "EUR",
    "time_zone": "Europe/Ljubljana",
    "tiers": [{"id": "gold", "from": {"points_in": "P1M", "at_least": 200}, "multiplier": [3, 2]}],
    "earn": [
        {"id": "base", "give": {"points": 3, "per_minor": 70}},
        {"id": "best-a", "group": "a", "give": {"points": 7, "per_minor": 100}, "when": BIO},
        {"id": "best-b", "group": "a", "give": {"points": 40}, "when": {"min_basket_minor": 900}},
        {"id": "bracket", "give": {"brackets": [[500, 11], [1500, 60]]}, "basis": {"exclude_tags": ["bio"]}},
        {"id": "capped", "give": {"points": 1, "per_minor": 3}, "cap": {"receipt": 150, "day": 300, "month": 400}},
        {"id": "line", "give": {"points": 5, "per_minor": 90}, "when": {"min_line_minor": 400}},
        {"id": "net", "give": {"points": 1, "per_minor": 11}, "basis": {"tax": "excluded", "scope": "lines"}},
        {"id": "pieces", "give": {"points": 2, "per_minor": 1}, "basis": {"scope": "quantity"}, "min_basis_minor": 2},
        {"id": "short", "give": {"points": 1, "per_minor": 50}, "expires": "P2D"},
    ],
    "visits": [{"id": "streak", "every": 2, "within": "P5D", "give": {"points": 100}}],
    "stamps": [{"id": "stamps", "every": 3, "when": BIO, "give": {"points": 30}}],
    "conflict": "best_per_group",
}


def program(**changes: object) -> Program:
    return program_from_json(json.encode(PROGRAM | changes))


def line(place: int, amount: int, *, is_bio: bool) -> Line:
    return Line(position=place, sku=f"S{place}", amount_minor=amount, tags=("bio",) if is_bio else ())


@st.composite
def sales(draw: st.DrawFn, number: int = 1) -> Receipt:
    lines = draw(st.lists(st.tuples(st.integers(1, 2000), st.booleans()), min_size=1, max_size=4))
    goods = tuple(line(place, amount, is_bio=is_bio) for place, (amount, is_bio) in enumerate(lines, 1))
    total = sum(each.amount_minor for each in goods)
    discount = draw(st.integers(0, total // 2))
    return Receipt(
        key=f"sale-{number}",
        kind="sale",
        number=f"{number}",
        issued_at=MORNING + timedelta(hours=number),
        currency="EUR",
        total_minor=total - discount,
        lines=goods,
        discounts=(Discount(amount_minor=discount),) if discount else (),
    )


def returned(sale: Receipt, lines: tuple[Line, ...], number: str) -> Receipt:
    """A return of these lines of `sale`, each less its share of the discount, as tills print it."""
    whole = sum(each.amount_minor for each in sale.lines)
    net = tuple(replace(each, amount_minor=-(each.amount_minor * sale.total_minor // whole), tags=()) for each in lines)
    return Receipt(
        key=f"return-{number}",
        kind="return",
        number=f"r{number}",
        issued_at=MORNING + timedelta(days=1),
        currency="EUR",
        total_minor=sum(each.amount_minor for each in net),
        lines=net,
        original=Original(key=sale.key),
    )


def the_rest(sale: Receipt, back: list[Receipt]) -> Receipt:
    """A return of all that `back` left, to the last minor unit."""
    left = sale.total_minor + sum(each.total_minor for each in back)
    rest = Line(position=1, sku="S1", amount_minor=-left)
    return replace(
        returned(sale, (), "rest"), key=f"rest-{sale.key}", number=f"rest-{sale.key}", total_minor=-left, lines=(rest,)
    )


def total(account: Account) -> int:
    return sum(entry.points for entry in account.entries)


@given(st.data(), st.integers(1, 3))
def test_buying_and_bringing_everything_back_gains_and_loses_nothing(data: st.DataObject, count: int) -> None:
    account = Account(program())
    bought = [data.draw(sales(number)) for number in range(1, count + 1)]
    backs = []
    for sale in bought:
        parts = [returned(sale, (each,), f"{sale.number}-{each.position}") for each in sale.lines]
        some = data.draw(st.lists(st.sampled_from(parts), unique_by=lambda part: part.key, max_size=3))
        backs += [*some, the_rest(sale, some)]

    # sales and returns in any order; a return may come before its sale
    for receipt in data.draw(st.permutations([*bought, *backs])):
        account.add(receipt)
        assert total(account) >= 0

    assert account.waiting == ()
    assert total(account) == 0
    assert account.balance(EVER).confirmed == 0
    assert account.tier(EVER) != "gold"


@given(st.data())
def test_how_a_return_is_split_does_not_matter(data: st.DataObject) -> None:
    # given goods that all come back but for the first line, at once or line by line in any order
    sale = data.draw(sales())
    sale = replace(sale, discounts=(), total_minor=sum(each.amount_minor for each in sale.lines))
    one, other = Account(program()), Account(program())
    gone = sale.lines[1:]

    one.add(sale)
    one.add(returned(sale, gone, "once"))
    other.add(sale)
    for each in data.draw(st.permutations(gone)):
        other.add(returned(sale, (each,), f"{each.position}"))

    def left(account: Account) -> dict[str, int]:
        by_rule: dict[str, int] = defaultdict(int)
        for entry in account.entries:
            by_rule[entry.rule] += entry.points
        return {rule: points for rule, points in by_rule.items() if points}

    assert left(one) == left(other)


@given(st.data())
def test_what_is_kept_is_worth_no_more_than_buying_it_alone(data: st.DataObject) -> None:
    # given rules that do not round in steps: what is kept of a sale gives as much as a sale of it
    give = {"brackets": [[500, 11], [1500, 60]]}
    once = [
        {"id": "bracket", "give": give},
        {"id": "basket", "give": {"points": 40}, "when": {"min_basket_minor": 900}},
    ]
    terms = program(earn=once, visits=[], stamps=[], tiers=[])
    sale = data.draw(sales())
    sale = replace(sale, discounts=(), total_minor=sum(each.amount_minor for each in sale.lines))
    kept, gone = sale.lines[:1], sale.lines[1:]
    bought, alone = Account(terms), Account(terms)

    bought.add(sale)
    bought.add(returned(sale, gone, "1"))
    alone.add(replace(sale, lines=kept, total_minor=kept[0].amount_minor))

    assert total(bought) == total(alone)


@given(st.lists(sales(), min_size=1, max_size=5), st.data())
def test_caps_hold(receipts: list[Receipt], data: st.DataObject) -> None:
    account = Account(program())
    days = [data.draw(st.integers(0, 3)) for _ in receipts]
    for number, (receipt, day) in enumerate(zip(receipts, days, strict=True)):
        at = MORNING + timedelta(days=day)
        account.add(replace(receipt, key=f"{number} on {day}", number=f"{number}", issued_at=at))

    given_on: dict[str, int] = defaultdict(int)
    for entry in account.entries:
        if entry.rule == "capped":
            assert entry.points <= 150
            given_on[entry.receipt.partition(" on ")[2]] += entry.points
    assert all(points <= 300 for points in given_on.values())
    assert sum(given_on.values()) <= 400


@given(mine=st.tuples(sales(1), sales(2)), theirs=st.tuples(sales(1), sales(2)), turns=st.permutations("mmtt"))
def test_receipts_of_different_members_commute(
    mine: tuple[Receipt, ...], theirs: tuple[Receipt, ...], turns: list[str]
) -> None:
    terms, left = program(), {"m": list(mine), "t": list(theirs)}
    together = {"m": Account(terms), "t": Account(terms)}
    for turn in turns:
        together[turn].add(left[turn].pop(0))

    for name, receipts in (("m", mine), ("t", theirs)):
        alone = Account(program())
        for receipt in receipts:
            alone.add(receipt)
        assert together[name].entries == alone.entries
