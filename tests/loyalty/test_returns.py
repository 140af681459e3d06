"""What a return takes back, and a voiding: how much, of which lines, with which words and times."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace

from loyalty.account import Account
from loyalty.fold import Fold
from loyalty.history import Facts, scope_of
from loyalty.ledger import LedgerEntry
from loyalty.member import MemberState
from loyalty.program import Program, program_from_json
from loyalty.receipt import Discount, Line, Mapped, Original, Problem, Receipt, Tax
from loyalty.returns import Settled, allowed, is_pending, voiding, within
from tests.loyalty.receipts import MORNING, refund, sale

SOON = MORNING + timedelta(days=1)
BASE = {"id": "base", "give": {"points": 3, "per_minor": 100}}


def program(*rules: dict[str, Any], **keys: Any) -> Program:
    whole = {"program": "p", "currency": "EUR", "time_zone": "Europe/Ljubljana", "earn": rules or (BASE,)}
    return program_from_json(json.encode(whole | keys))


def taken(terms: Program, *receipts: Receipt, state: MemberState | None = None) -> list[tuple[str, int, str]]:
    account = Account(terms, state) if state is not None else Account(terms)
    for receipt in receipts:
        account.add(receipt)
    return [(entry.entry_id, entry.points, entry.why) for entry in account.entries if entry.reverses]


def back(number: str, *lines: Line, at: datetime = SOON, total: int | None = None) -> Receipt:
    return Receipt(
        key=f"key-{number}",
        kind="return",
        number=number,
        issued_at=at,
        currency="EUR",
        total_minor=sum(line.amount_minor for line in lines) if total is None else total,
        lines=lines,
        original=Original(number="1"),
    )


def test_each_step_says_its_arithmetic() -> None:
    bracket = {"id": "big", "give": {"brackets": [[500, 5], [1000, 20]]}}
    pieces = {"id": "pieces", "basis": {"scope": "quantity"}, "give": {"points": 4, "per_minor": 1}}
    bought = sale("1", lines=(Line(position=1, amount_minor=1000, quantity="5", sku="A"),))
    first = back("2", Line(position=1, amount_minor=-300, quantity="1.5", sku="A"))
    second = back("3", Line(position=1, amount_minor=-400, quantity="2", sku="A"))

    assert taken(program(BASE, bracket, pieces), bought, first, second) == [
        ("key-2/base", -9, "floor(30 × 300 ÷ 1000) − 0 = 9 taken back"),
        ("key-2/big", -15, "20 − 5 for the 700 that remain − 0 = 15 taken back"),
        ("key-2/pieces", -6, "floor(20 × 1.5 ÷ 5) − 0 = 6 taken back"),
        ("key-3/base", -12, "floor(30 × 700 ÷ 1000) − 9 = 12 taken back"),
        ("key-3/big", -5, "20 − 0 for the 300 that remain − 15 = 5 taken back"),
        ("key-3/pieces", -8, "floor(20 × 3.5 ÷ 5) − 6 = 8 taken back"),
    ]


def test_once_the_whole_total_came_back_everything_went() -> None:
    # given a share of the discount that is rounded in each step: 1 of 3.00, thrice
    bought = replace(sale("1", 100, 100, 100), total_minor=299, discounts=(Discount(amount_minor=1),))
    steps = [refund(f"{number}", "1", 100) for number in (2, 3)]

    assert sum(points for _, points, _ in taken(program(), bought, *steps, refund("4", "1", 99))) == -8
    assert sum(points for _, points, _ in taken(program(), bought, *steps, refund("4", "1", 98))) == -7


def test_a_share_that_a_till_rounds_otherwise_is_made_good_once_everything_is_back() -> None:
    # given bio goods of 3.33 that carry 0.33 of a discount of 1.00, and that the till pays out as 2.99
    bio = {"id": "bio", "when": {"line_tag_in": ["bio"]}, "give": {"points": 1, "per_minor": 1}}
    organic, plain = Line(position=1, amount_minor=333, tags=("bio",)), Line(position=2, amount_minor=667)
    bought = replace(sale("1", lines=(organic, plain)), total_minor=900, discounts=(Discount(amount_minor=100),))
    some, rest = back("2", replace(organic, amount_minor=-299)), back("3", replace(plain, amount_minor=-601))

    assert [points for _, points, _ in taken(program(bio), bought, some)] == [-299]
    assert [points for _, points, _ in taken(program(bio), bought, some, rest)] == [-299, -1]


def test_a_return_that_does_not_add_up_takes_nothing_and_is_not_counted_later() -> None:
    fold = Fold(scope_of([program()]))
    fold.sell(sale("1", 300), program=program(), facts=Facts())
    wrong = replace(refund("2", "1", 100), problems=(Problem(code="total_mismatch"),))

    assert fold.take_back(wrong, "key-1") == []
    assert [entry.points for entry in fold.take_back(refund("3", "1", 100), "key-1")] == [-3]


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        # what is given once is asked of the basket that remains: 9.00 of 10.00 is enough, 8.99 is not
        ((Line(position=1, amount_minor=-100),), 40),
        ((Line(position=1, amount_minor=-101),), 0),
    ],
)
def test_a_threshold_of_the_basket_is_asked_of_what_remains(lines: tuple[Line, ...], left: int) -> None:
    rule = {"id": "basket", "when": {"min_basket_minor": 900}, "give": {"points": 40}}
    account = Account(program(rule))

    account.add(sale("1", 1000))
    account.add(back("2", *lines))

    assert sum(entry.points for entry in account.entries) == left


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        # two of five pieces leave three, three leave two: the line counts no more, nor does the rest of it
        ("2", 60),
        ("3", 0),
    ],
)
def test_a_threshold_of_pieces_is_asked_of_what_remains_of_the_line(gone: str, left: int) -> None:
    rule = {"id": "line", "when": {"min_line_quantity": 3}, "give": {"points": 10, "per_minor": 100}}
    account = Account(program(rule))

    account.add(
        sale("1", lines=(Line(position=1, amount_minor=1000, quantity="5", sku="A"), Line(position=2, amount_minor=1)))
    )
    account.add(back("2", Line(position=1, amount_minor=-200 * int(gone), quantity=gone, sku="A")))

    assert sum(entry.points for entry in account.entries) == left


@pytest.mark.parametrize("when", [{"min_line_minor": 300}, {"min_line_quantity": 2}])
def test_what_is_more_than_one_line_held_comes_off_the_next_alike(when: dict[str, int]) -> None:
    # given two lines of one good, 4.00 and 6.00, and 5.00 of them brought back on one line
    rule = {"id": "line", "when": when, "give": {"points": 1, "per_minor": 1}}
    account = Account(program(rule))

    account.add(
        sale(
            "1",
            lines=tuple(
                Line(position=n, amount_minor=a, quantity=q, sku="A") for n, a, q in ((1, 400, "2"), (2, 600, "3"))
            ),
        )
    )
    account.add(back("2", Line(position=1, amount_minor=-500, quantity="2.5", sku="A")))

    # all of the first and 1.00 of the second: 5.00 remain, on a line that still counts
    assert sum(entry.points for entry in account.entries) == 500


@pytest.mark.parametrize(("gone", "left"), [(299, 301), (300, 0)])
def test_a_line_that_is_gone_bears_no_more(gone: int, left: int) -> None:
    # given two lines of one good, 4.00 and 6.00, of which the first was brought back already
    rule = {"id": "line", "when": {"min_line_minor": 301}, "give": {"points": 1, "per_minor": 1}}
    account = Account(program(rule))
    account.add(sale("1", lines=tuple(Line(position=n, amount_minor=a, sku="A") for n, a in ((1, 400), (2, 600)))))
    account.add(back("2", Line(position=1, amount_minor=-400, sku="A")))

    account.add(back("3", Line(position=1, amount_minor=-gone, sku="A")))

    assert sum(entry.points for entry in account.entries) == left


def test_what_counts_no_more_is_a_whole_share_of_what_remains() -> None:
    # given goods of 5.00 and 6.00 less a discount of 1.01, and the first below its threshold once 1.00 is back
    rule = {"id": "line", "when": {"min_line_minor": 500}, "give": {"points": 1, "per_minor": 1}}
    bought = replace(sale("1", 500, 600), total_minor=999, discounts=(Discount(amount_minor=101),))
    gone = back("2", Line(position=1, amount_minor=-100))

    # of 8.99 that remain, 4.00 of 10.00 count no more: 8.99 − floor(8.99 × 6 ÷ 10) = 3.60
    assert taken(program(rule), bought, gone) == [("key-2/line", -460, "floor(999 × 460 ÷ 999) − 0 = 460 taken back")]


def test_goods_that_cost_nothing_in_the_end_go_by_what_they_were_worth() -> None:
    # given points for goods before a discount that takes all of their price
    rule = BASE | {"basis": {"after_discount": False}}
    bought = replace(sale("1", 700, 300), total_minor=0, discounts=(Discount(amount_minor=1000),))
    some = replace(back("2", Line(position=2, amount_minor=-300), total=0), discounts=(Discount(amount_minor=-300),))

    assert [points for _, points, _ in taken(program(rule), bought, some)] == [-9]


@pytest.mark.parametrize(("gone", "left"), [(1, 0), (0, 300), (299, 0)])
def test_a_line_that_lacks_a_cent_of_its_threshold_counts_no_more(gone: int, left: int) -> None:
    rule = {"id": "line", "when": {"min_line_minor": 300}, "give": {"points": 1, "per_minor": 1}}
    account = Account(program(rule))

    account.add(sale("1", 300))
    account.add(back("2", Line(position=1, amount_minor=-gone)))

    assert sum(entry.points for entry in account.entries) == left


def test_a_tax_that_is_not_given_back_keeps_its_points() -> None:
    # given a tax of 0.30 on top of the goods, all of which come back without it
    rule = {"id": "line", "when": {"min_line_minor": 100}, "give": {"points": 1, "per_minor": 1}}
    bought = replace(sale("1", 300), total_minor=330, taxes=(Tax(amount_minor=30, included=False),))

    assert [points for _, points, _ in taken(program(rule), bought, refund("2", "1", 300))] == [-300]


@pytest.mark.parametrize(("gone", "left"), [(300, 50), (301, 0)])
def test_points_that_are_given_once_stay_while_the_least_that_they_ask_for_remains(gone: int, left: int) -> None:
    account = Account(program({"id": "once", "min_basis_minor": 500, "give": {"points": 50}}))

    account.add(sale("1", 800))
    account.add(back("2", Line(position=1, amount_minor=-gone)))

    assert sum(entry.points for entry in account.entries) == left


def test_goods_of_no_name_are_those_with_the_same_kind_and_tags() -> None:
    bio = {"id": "bio", "when": {"line_tag_in": ["bio"]}, "give": {"points": 1, "per_minor": 1}}
    account = Account(program(bio))

    account.add(
        sale("1", lines=(Line(position=1, amount_minor=400), Line(position=2, amount_minor=600, tags=("bio",))))
    )
    account.add(back("2", Line(position=1, amount_minor=-300)))
    account.add(back("3", Line(position=1, amount_minor=-200, tags=("bio",))))
    account.add(back("4", Line(position=1, amount_minor=-100, tags=("new",))))

    assert [entry.points for entry in account.entries] == [600, -200]


def test_goods_of_no_name_come_off_the_line_of_their_sort() -> None:
    big = {"id": "bio", "when": {"line_tag_in": ["bio"], "min_line_minor": 500}, "give": {"points": 1, "per_minor": 1}}
    bio = (
        Line(position=1, amount_minor=600, tags=("bio",)),
        Line(position=1, amount_minor=600, mapped=Mapped(tags=("bio",))),
    )

    for first in bio:
        account = Account(program(big))
        account.add(sale("1", lines=(first, Line(position=2, amount_minor=600, department="2"))))
        account.add(back("2", Line(position=1, amount_minor=-200, department="2")))

        assert [entry.points for entry in account.entries] == [600]


def test_what_was_asked_of_the_member_is_asked_of_the_member_of_then() -> None:
    # given a rule for the first purchase, asked again when a part comes back, after a second purchase
    rule = {
        "id": "first",
        "when": {"any": [{"first_purchase": True, "line_tag_in": ["bio"]}], "min_basket_minor": 100},
        "give": {"points": 1, "per_minor": 1},
    }
    account = Account(program(rule))
    bio = Line(position=1, amount_minor=1000, tags=("bio",))

    account.add(sale("1", lines=(bio,)))
    account.add(sale("2", lines=(bio,)))
    account.add(back("3", replace(bio, amount_minor=-300)))

    assert [entry.points for entry in account.entries] == [1000, -300]


def test_a_tier_that_is_asked_again_is_that_of_the_sale() -> None:
    rule = {"id": "gold", "when": {"tier_in": ["gold"], "min_basket_minor": 100}, "give": {"points": 1, "per_minor": 1}}
    terms, gold = program(rule, tiers=[{"id": "gold"}]), MemberState(code="1", tier="gold")

    assert [points for _, points, _ in taken(terms, sale("1", 1000), refund("2", "1", 300), state=gold)] == [-300]


def entry(points: int, rule: str = "base", **facts: Any) -> LedgerEntry:
    whole = LedgerEntry(receipt="k", rule=rule, points=points, basis_minor=10, why="so")
    return replace(whole, **facts)


def test_no_more_is_taken_than_is_there_and_what_was_cut_says_so() -> None:
    cut = within([entry(-30), entry(-30, "more"), entry(-30, "most")], 40, SOON)

    assert [(each.points, each.why) for each in cut] == [
        (-30, "so"),
        (-10, "so, cut to the 10 that were there"),
        (0, "so, cut to the 0 that were there"),
    ]
    assert [each.points for each in within([entry(-1)], -5, None)] == [0]
    assert [each.points for each in within([entry(-30)], 30, None)] == [-30]


def test_what_was_spent_comes_back_before_anything_is_taken() -> None:
    back = within([entry(-30), entry(1, "spent/r-1")], 29, SOON)

    assert [(each.rule, each.points) for each in back] == [("spent/r-1", 1), ("base", -30)]


def test_what_expired_uses_up_nothing_of_what_is_there() -> None:
    gone = entry(-30, "gone", expires_at=SOON)

    cut = within([gone, entry(-40)], 40, SOON)
    still_good = within([gone, entry(-40)], 40, SOON - timedelta(microseconds=1))

    assert [each.points for each in cut] == [-30, -40]
    assert [each.points for each in still_good] == [-30, -10]


def test_what_is_pending_is_pending_until_its_moment() -> None:
    waits = entry(5, pending_until=SOON)

    assert is_pending(waits, SOON - timedelta(microseconds=1))
    assert not is_pending(waits, SOON)
    assert not is_pending(entry(5), MORNING)
    assert is_pending(waits, None)


def test_only_what_is_pending_when_the_return_is_made_goes_where_the_program_says_so() -> None:
    stamps = [{"id": "s", "every": 1, "give": {"points": 7}, "pending": "P2D"}]
    terms = program(BASE | {"pending": "P1D"}, returns={"policy": "pending_only"}, stamps=stamps)
    half, whole = (Line(position=1, amount_minor=-amount) for amount in (500, 1000))
    early = back("2", half, at=SOON - timedelta(seconds=1))

    def took(*receipts: Receipt) -> list[tuple[str, int]]:
        return [(name, points) for name, points, _ in taken(terms, sale("1", 1000), *receipts)]

    assert took(early, back("3", half)) == [("key-2/base", -15), ("key-2/s", -7)]
    assert took(back("3", whole)) == [("key-3/s", -7)]
    assert took(back("3", whole, at=SOON + timedelta(days=1))) == []
    # so little that it is worth no point leaves no trace either
    assert took(back("3", Line(position=1, amount_minor=-10), at=SOON + timedelta(days=1))) == []


def test_a_point_that_was_spent_comes_back_where_only_what_is_pending_goes() -> None:
    spent = entry(1, "spent/r-1")

    assert allowed([entry(-1), spent], program(returns={"policy": "pending_only"}), SOON) == (spent,)


def test_a_voiding_takes_what_is_left_with_its_times() -> None:
    first, second, third = (
        entry(9, pending_until=SOON),
        entry(5, "gone", expires_at=SOON),
        entry(1, "one"),
    )
    gone = entry(-5, "gone", receipt="r", basis_minor=-10, reverses="k/gone")
    part = entry(-2, receipt="r", basis_minor=-3, reverses="k/base", pending_until=SOON)
    settled = Settled(receipt=sale("1", 100), entries=(second, first, third), reversed=(gone, part))

    assert voiding(settled) == (
        entry(-7, "base/voided", basis_minor=-7, pending_until=SOON, reverses="k/base", why="voided: 7 taken back"),
        entry(-1, "one/voided", basis_minor=-10, reverses="k/one", why="voided: 1 taken back"),
    )
    (expiring,) = voiding(replace(settled, entries=(second,), reversed=()))
    assert (expiring.points, expiring.expires_at, expiring.pending_until) == (-5, SOON, None)
