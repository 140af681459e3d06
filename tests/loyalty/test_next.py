"""What a basket would give, and what could be had next: whatever is promised comes true when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, json
from msgspec.structs import replace

from loyalty.account import Account
from loyalty.evaluate import evaluate
from loyalty.member import Activity, Counters, MemberState
from loyalty.next import Next, Preview, preview
from loyalty.program import Program, program_from_json
from loyalty.receipt import Discount, Line, Mapped, Receipt
from tests.loyalty.receipts import MORNING, sale

MEMBER = MemberState(code="1")
# Goods that fit each rule of EVERYTHING, beside those that are just goods.
FITTING = {
    "bio": Line(position=9, amount_minor=0, tags=("bio",)),
    "fruit": Line(position=9, amount_minor=0, quantity="1", mapped=Mapped(category="fruit")),
    "coffee": Line(position=9, amount_minor=0, quantity="1", sku="coffee"),
}
ANY = Line(position=9, amount_minor=0)
EVERYTHING = {
    "program": "everything",
    "currency": "EUR",
    "time_zone": "Europe/Ljubljana",
    "conflict": "best_per_group",
    "tiers": [
        {"id": "silver", "from": {"spend_in": "P1M", "at_least": 3000}, "multiplier": [5, 4]},
        {"id": "gold", "from": {"points_in": "P12M", "at_least": 400}, "multiplier": [3, 2]},
        {"id": "often", "from": {"visits_in": "P2M", "at_least": 6}},
    ],
    "earn": [
        {"id": "base", "give": {"points": 3, "per_minor": 100}, "cap": {"day": 90, "month": 200, "member": 250}},
        {"id": "big", "group": "a", "give": {"brackets": [[1000, 20], [2000, 70], [4000, 80]]}},
        {"id": "rival", "group": "a", "give": {"points": 1, "per_minor": 40}},
        {"id": "basket", "when": {"min_basket_minor": 1500}, "give": {"points": 40}},
        {"id": "bio", "when": {"line_tag_in": ["bio"]}, "min_basis_minor": 700, "give": {"points": 1, "per_minor": 20}},
        {
            "id": "fruit",
            "when": {"category_in": ["fruit"]},
            "basis": {"scope": "quantity"},
            "give": {"brackets": [[2, 5], [5, 15]]},
        },
        {
            "id": "either",
            "when": {"any": [{"min_basket_minor": 2500}, {"tier_in": ["gold"]}]},
            "give": {"points": 1, "per_minor": 50},
        },
        {"id": "line", "when": {"min_line_minor": 900}, "give": {"points": 1, "per_minor": 30}},
        {"id": "three", "when": {"sku_in": ["coffee"], "min_line_quantity": 3}, "give": {"points": 9}},
        {
            "id": "happy",
            "when": {"all": [{"time_in": [["16:00", "19:00"]]}, {"not": {"time_in": [["17:00", "17:30"]]}}]},
            "give": {"points": 25},
        },
    ],
    "visits": [
        {"id": "streak", "every": 3, "within": "P9D", "give": {"points": 30}},
        {"id": "days", "every": 3, "within": "P4D", "per": "day", "give": {"points": 50}},
    ],
    "stamps": [{"id": "coffee", "every": 5, "when": {"sku_in": ["coffee"]}, "give": {"points": 60}}],
}


def program(**changes: object) -> Program:
    return program_from_json(json.encode(EVERYTHING | changes))


def only(*rules: Mapping[str, object], **changes: object) -> Program:
    return program(**({"tiers": [], "visits": [], "stamps": [], "earn": rules} | changes))


def told(found: Preview) -> list[tuple[str, str, int, int]]:
    return [(each.rule, each.kind, each.missing, each.gives) for each in found.could]


def with_line(basket: Receipt, line: Line, place: int | None = None) -> Receipt:
    lines = (*basket.lines, line) if place is None else (*basket.lines[:place], line, *basket.lines[place + 1 :])
    discounts = sum(each.amount_minor for each in basket.discounts)
    return replace(basket, lines=lines, total_minor=sum(each.amount_minor for each in lines) - discounts)


def given_by(rule: str, terms: Program, state: MemberState, *receipts: Receipt) -> int:
    """What the rule gives for the last of these receipts."""
    account = Account(terms, state)
    entries = [account.add(receipt) for receipt in receipts][-1]
    return sum(entry.points for entry in entries if entry.rule == rule)


def done(promise: Next, basket: Receipt, terms: Program, state: MemberState) -> int | str | None:
    """What comes of it when what is missing is there."""
    match promise.kind:
        case "bracket" | "min_basis" | "min_basket" | "stamps":
            line = FITTING.get(promise.rule, ANY)
            quantity = str(promise.missing) if promise.unit == "pieces" else line.quantity
            more = replace(line, amount_minor=promise.missing, quantity=quantity)
            return given_by(promise.rule, terms, state, with_line(basket, more))
        case "min_line":
            larger = (
                with_line(basket, replace(line, amount_minor=line.amount_minor + promise.missing), place)
                for place, line in enumerate(basket.lines)
            )
            return max(given_by(promise.rule, terms, state, each) for each in larger)
        case "min_line_quantity":
            return max(
                given_by(promise.rule, terms, state, with_line(basket, with_pieces(line, promise.missing), place))
                for place, line in enumerate(basket.lines)
            )
        case "time":
            assert basket.issued_at is not UNSET
            starts = (basket.issued_at + timedelta(minutes=promise.missing)).replace(second=0)
            assert promise.until is not None
            last = promise.until - timedelta(minutes=1)
            at_last = given_by(promise.rule, terms, state, replace(basket, issued_at=last))
            at_start = given_by(promise.rule, terms, state, replace(basket, issued_at=starts))
            return at_start if at_start == at_last else None
        case "cap":
            return given_by(promise.rule, terms, state, basket, replace(basket, key="again", number="again"))
        case "visits":
            return after_visits(promise, basket, terms, state)
        case "tier":
            return tier_after(promise, basket, terms, state)


def with_pieces(line: Line, more: int) -> Line:
    has = int(line.quantity or 1)
    return replace(line, quantity=str(has + more), amount_minor=line.amount_minor * (has + more) // has)


def after_visits(promise: Next, basket: Receipt, terms: Program, state: MemberState) -> int:
    assert basket.issued_at is not UNSET
    within = promise.until - basket.issued_at if promise.until else timedelta(hours=promise.missing)
    if promise.rule == "days":
        further = [basket.issued_at + timedelta(days=number) for number in range(1, promise.missing + 1)]
        further = further if promise.until is None else [min(at, promise.until) for at in further]
    else:
        further = [basket.issued_at + within * number // promise.missing for number in range(1, promise.missing + 1)]
    visits = [
        replace(basket, key=f"visit {number}", number=f"v{number}", issued_at=at) for number, at in enumerate(further)
    ]
    return given_by(promise.rule, terms, state, basket, *visits)


def tier_after(promise: Next, basket: Receipt, terms: Program, state: MemberState) -> str | None:
    at = basket.issued_at or MORNING
    account = Account(terms, state)
    account.add(basket)
    then = account.state(at)
    measure = {"points": "points", "minor": "spent_minor", "visits": "visits"}[promise.unit]

    def reached(amount: int) -> str | None:
        more = Activity(at=at, **{measure: amount})
        activity = (*(then.counters.activity or ()), more)
        member = replace(then, tier=UNSET, counters=replace(then.counters, activity=activity))
        return Account(terms, member).tier(at) or None

    assert reached(promise.missing - 1) != promise.rule
    return reached(promise.missing)


@st.composite
def baskets(draw: st.DrawFn) -> Receipt:
    goods = draw(
        st.lists(
            st.tuples(st.sampled_from([*FITTING.values(), ANY]), st.integers(1, 1200), st.integers(1, 4)),
            min_size=1,
            max_size=5,
        )
    )
    lines = tuple(
        replace(line, position=place, amount_minor=amount, quantity=str(pieces) if line.quantity else UNSET)
        for place, (line, amount, pieces) in enumerate(goods, 1)
    )
    total = sum(line.amount_minor for line in lines)
    off = draw(st.integers(0, total // 3)) if draw(st.booleans()) else 0
    at = MORNING.replace(day=23) + timedelta(minutes=draw(st.integers(0, 14 * 60)))
    discounts = (Discount(amount_minor=off),) if off else ()
    return Receipt(
        key="basket",
        kind="sale",
        number="basket",
        issued_at=at,
        currency="EUR",
        total_minor=total - off,
        lines=lines,
        discounts=discounts,
    )


@st.composite
def members(draw: st.DrawFn) -> MemberState:
    def ago() -> datetime:
        return MORNING - timedelta(days=draw(st.integers(0, 12)))

    return MemberState(
        code="1",
        counters=Counters(
            used={"base": {"2026-11-23": draw(st.integers(0, 90)), "2026-11": draw(st.integers(0, 200))}},
            purchases=draw(st.integers(0, 3)),
            activity=tuple(
                Activity(at=ago(), points=draw(st.integers(0, 300)), spent_minor=draw(st.integers(0, 2000)), visits=1)
                for _ in range(draw(st.integers(0, 3)))
            ),
            visits={"streak": tuple(ago() for _ in range(draw(st.integers(0, 2)))), "days": (ago(),)},
            stamps={"coffee": draw(st.integers(0, 4))},
        ),
    )


@settings(max_examples=60)
@given(baskets(), members())
def test_whatever_is_promised_comes_true(basket: Receipt, state: MemberState) -> None:
    terms = program()

    found = preview(basket, terms, state)

    account = Account(terms, state)
    account.add(basket)
    assert list(found.gives) == account.entries
    assert found.points == sum(entry.points for entry in account.entries)
    now = {entry.rule: entry.points for entry in found.gives}
    for promise in found.could:
        assert promise.missing > 0
        assert promise.why
        came = done(promise, basket, terms, state)
        assert came == (promise.rule if promise.kind == "tier" else promise.gives)
        if promise.kind not in {"tier", "visits", "cap"}:
            assert promise.gives > now.get(promise.rule, 0)


@settings(max_examples=60)
@given(baskets())
def test_nothing_less_would_do_where_nothing_is_shared(basket: Receipt) -> None:
    basket = replace(basket, discounts=(), total_minor=sum(line.amount_minor for line in basket.lines))
    terms = program()

    for promise in preview(basket, terms, MEMBER).could:
        if promise.kind in {"bracket", "min_basis", "min_basket", "stamps"}:
            less = replace(promise, missing=promise.missing - 1)
            assert done(less, basket, terms, MEMBER) != promise.gives


def basket(*lines: Line, at: str = "2026-11-23T09:07:14+01:00", **facts: Any) -> Receipt:
    bought = sale("b", lines=lines, issued_at=datetime.fromisoformat(at))
    return replace(bought, **facts)


def goods(amount: int, **facts: Any) -> Line:
    return Line(position=1, amount_minor=amount, **facts)


def test_the_next_bracket_is_what_is_missing_to_it() -> None:
    terms = only({"id": "big", "give": {"brackets": [[5000, 50], [10000, 150]]}})

    (least,) = preview(basket(goods(4680)), terms).could
    (further,) = preview(basket(goods(9680)), terms).could

    assert (least.missing, least.unit, least.gives) == (320, "minor", 50)
    assert least.why == "3.20 EUR more reach the next bracket: 50 points"
    assert (further.missing, further.gives) == (320, 150)
    assert preview(basket(goods(10000)), terms).could == ()


def test_a_share_of_a_discount_is_counted_in() -> None:
    # given 4.00 off 20.00 of goods and 20.00 of a gift card: every 1.00 of goods more also carries more of the discount
    terms = only({"id": "big", "give": {"brackets": [[5000, 50]]}})
    lines = (goods(2000), goods(2000, kind="giftcard"))
    bought = basket(*lines, total_minor=3600, discounts=(Discount(amount_minor=400),))

    (found,) = preview(bought, terms).could

    assert found.missing > 5000 - 1800
    assert given_by("big", terms, MEMBER, with_line(bought, goods(found.missing))) == 50
    assert given_by("big", terms, MEMBER, with_line(bought, goods(found.missing - 2))) == 0


def test_a_bracket_that_gives_no_more_than_another_rule_of_its_group_is_passed_over() -> None:
    big = {"id": "big", "group": "a", "give": {"brackets": [[2000, 20], [4000, 90]]}}
    rival = {"id": "rival", "group": "a", "give": {"points": 2, "per_minor": 100}}

    assert told(preview(basket(goods(1500)), only(big, rival))) == [("big", "bracket", 2500, 90)]
    assert told(preview(basket(goods(1500)), only(big, rival, conflict="sum"))) == [("big", "bracket", 500, 20)]
    # of equals the first gives, so the second promises nothing
    assert told(preview(basket(goods(1500)), only(big, big | {"id": "same"}))) == [("big", "bracket", 500, 20)]


def test_a_look_is_the_same_after_many_other_programs() -> None:
    # given more programs that give something in between than are kept ready
    terms, bought = only({"id": "big", "give": {"brackets": [[2000, 20]]}}), basket(goods(1500))
    before = preview(bought, terms)
    assert told(before) == [("big", "bracket", 500, 20)]
    for number in range(40):
        evaluate(bought, program=replace(terms, program=f"other {number}"))

    assert preview(bought, terms) == before


def test_a_cap_hides_brackets_that_give_no_more() -> None:
    rule = {"id": "big", "cap": {"receipt": 60}, "give": {"brackets": [[1000, 60], [2000, 70]]}}

    assert preview(basket(goods(1500)), only(rule)).could == ()


@pytest.mark.parametrize(
    ("rule", "lines", "expected"),
    [
        ({"when": {"min_basket_minor": 2000}, "give": {"points": 9}}, [goods(1500)], ("min_basket", 500, 9)),
        ({"min_basis_minor": 2000, "give": {"points": 1, "per_minor": 100}}, [goods(1500)], ("min_basis", 500, 20)),
        (
            {"when": {"min_basket_minor": 3000}, "give": {"brackets": [[2000, 5], [4000, 7]]}},
            [goods(1500)],
            ("min_basket", 1500, 5),
        ),
        (
            {"when": {"min_basket_minor": 1600}, "give": {"brackets": [[2000, 5], [4000, 7]]}},
            [goods(1500)],
            ("bracket", 500, 5),
        ),
        ({"when": {"min_line_minor": 2000}, "give": {"points": 9}}, [goods(1500), goods(400)], ("min_line", 500, 9)),
        ({"when": {"min_line_minor": 2000}, "give": {"points": 9}}, [goods(1)], ("min_line", 1999, 9)),
        ({"when": {"min_line_minor": 2000}, "give": {"points": 9}}, [goods(0)], ()),
        (
            {"when": {"min_line_minor": 2000}, "give": {"points": 9}},
            [goods(1500, voided=True), goods(400)],
            ("min_line", 1600, 9),
        ),
        # a line that counts gives more with every cent, so nothing is missing to it
        (
            {
                "when": {"any": [{"min_line_minor": 500}, {"min_line_minor": 1000}]},
                "give": {"points": 1, "per_minor": 100},
            },
            [goods(900)],
            (),
        ),
        (
            {
                "when": {"any": [{"min_line_minor": 2000}, {"sku_in": ["B"]}]},
                "give": {"points": 1, "per_minor": 100},
            },
            [goods(1500), goods(400, sku="B")],
            ("min_line", 500, 24),
        ),
        # of two thresholds the one to which less is missing
        (
            {
                "when": {"any": [{"sku_in": ["A"], "min_line_minor": 300}, {"sku_in": ["B"], "min_line_minor": 500}]},
                "give": {"points": 9},
            },
            [goods(100, sku="A"), goods(450, sku="B")],
            ("min_line", 50, 9),
        ),
        (
            {
                "when": {"any": [{"sku_in": ["A"], "min_line_quantity": 3}, {"sku_in": ["B"], "min_line_quantity": 5}]},
                "give": {"points": 9},
            },
            [goods(100, sku="A"), goods(400, sku="B", quantity="4")],
            ("min_line_quantity", 1, 9),
        ),
        (
            {"when": {"min_line_quantity": 3}, "give": {"points": 1, "per_minor": 100}},
            [goods(50), goods(1000, quantity="2")],
            ("min_line_quantity", 1, 15),
        ),
        (
            {"when": {"min_line_quantity": 3}, "give": {"points": 1, "per_minor": 100}},
            [goods(1000, quantity="2"), goods(50)],
            ("min_line_quantity", 1, 15),
        ),
        (
            {"basis": {"scope": "quantity"}, "min_basis_minor": 3, "give": {"points": 2, "per_minor": 1}},
            [goods(1000, quantity="1.5")],
            ("min_basis", 2, 7),
        ),
        (
            {"when": {"not": {"line_tag_in": ["bio"]}}, "give": {"brackets": [[1000, 5]]}},
            [goods(900, tags=("bio",))],
            ("bracket", 1000, 5),
        ),
        (
            {"when": {"line_kind_in": ["tip"]}, "give": {"brackets": [[500, 5]]}},
            [goods(900), goods(100, kind="tip")],
            ("bracket", 400, 5),
        ),
        ({"when": {"sku_in": ["A"]}, "give": {"brackets": [[500, 5]]}}, [goods(90)], ("bracket", 500, 5)),
        ({"give": {"brackets": [[2000, 1]]}}, [goods(1500)], ("bracket", 500, 1)),
        ({"when": {"sku_in": ["A"]}, "give": {"brackets": [[1, 5]]}}, [goods(90)], ("bracket", 1, 5)),
        (
            {"basis": {"scope": "quantity"}, "give": {"brackets": [[2, 5], [5, 15]]}},
            [goods(1000, quantity="2")],
            ("bracket", 3, 15),
        ),
        (
            {"when": {"any": [{"tier_in": ["gold"]}, {"sku_in": ["A"]}]}, "give": {"brackets": [[500, 5]]}},
            [goods(90)],
            ("bracket", 500, 5),
        ),
        # money is said before pieces
        (
            {"when": {"min_line_quantity": 3}, "give": {"brackets": [[500, 5]]}},
            [goods(400, quantity="2")],
            ("bracket", 500, 5),
        ),
        ({"when": {"category_in": ["tea"]}, "give": {"brackets": [[500, 5]]}}, [goods(90)], ("bracket", 500, 5)),
        ({"when": {"line_tag_in": ["bio"]}, "give": {"brackets": [[500, 5]]}}, [goods(90)], ("bracket", 500, 5)),
        ({"when": {"min_line_quantity": 3}, "give": {"brackets": [[500, 5]]}}, [goods(90)], ("bracket", 500, 5)),
        ({"when": {"gtin_in": ["96385074"]}, "give": {"brackets": [[500, 5]]}}, [goods(90)], ("bracket", 500, 5)),
        (
            {"when": {"line_tag_in": ["bio"]}, "basis": {"exclude_tags": ["bio"]}, "give": {"brackets": [[500, 5]]}},
            [goods(90)],
            (),
        ),
        # tips make no basket of goods, and goods without the tag no line that counts
        ({"when": {"line_kind_in": ["tip"], "min_basket_minor": 900}, "give": {"points": 5}}, [goods(90)], ()),
        ({"when": {"line_tag_in": ["bio"], "min_line_minor": 900}, "give": {"points": 5}}, [goods(90)], ()),
        ({"when": {"line_tag_in": ["bio"], "min_line_quantity": 2}, "give": {"points": 5}}, [goods(90)], ()),
        ({"when": {"tier_in": ["gold"], "min_basket_minor": 900}, "give": {"points": 5}}, [goods(90)], ()),
        ({"when": {"line_tag_in": ["bio"]}, "give": {"points": 5}}, [goods(90)], ()),
    ],
)
def test_thresholds_of_earn_rules(
    rule: dict[str, object], lines: list[Line], expected: tuple[str, int, int] | tuple[()]
) -> None:
    found = preview(basket(*lines), only({"id": "r"} | rule))

    assert told(found) == ([("r", *expected)] if expected else [])
    assert all(type(each.gives) is int for each in found.could)


@pytest.mark.parametrize(
    ("rule", "line", "unit", "why"),
    [
        ({"min_basis_minor": 2000}, goods(1500), "minor", "5.00 EUR more reach the least that the rule asks for"),
        (
            {"min_basis_minor": 3, "basis": {"scope": "quantity"}},
            goods(1500),
            "pieces",
            "2 pieces more reach the least that the rule asks for",
        ),
        (
            {"when": {"min_basket_minor": 2000}},
            goods(1500),
            "minor",
            "5.00 EUR more reach the least basket that the rule asks for",
        ),
        (
            {"when": {"min_line_minor": 2000}},
            goods(1500),
            "minor",
            "5.00 EUR more of the same goods make a line that counts",
        ),
        (
            {"when": {"min_line_quantity": 3}},
            goods(1000, quantity="2"),
            "pieces",
            "1 piece more of the same goods make a line that counts",
        ),
    ],
)
def test_what_is_missing_is_said_in_words(rule: dict[str, Any], line: Line, unit: str, why: str) -> None:
    (found,) = preview(basket(line), only({"id": "r", "give": {"points": 9}} | rule)).could

    assert (found.unit, found.why) == (unit, f"{why}: 9 points")


def test_money_is_said_in_units_of_its_currency() -> None:
    tiers = [{"id": "gold", "from": {"spend_in": "P1M", "at_least": 9000}}]
    rule = {"id": "r", "give": {"brackets": [[1000, 5]]}}

    bracket, tier = preview(basket(goods(999), currency="JPY"), only(rule, tiers=tiers, currency="JPY")).could

    assert (bracket.missing, bracket.why) == (1, "1 JPY more reach the next bracket: 5 points")
    assert tier.why == "8001 JPY more within P1M reach the tier gold"


def test_a_receipt_that_tells_its_total_alone_grows_too() -> None:
    of_total = {"id": "total", "give": {"brackets": [[5000, 50]]}}
    of_lines = {"id": "lines", "basis": {"scope": "lines"}, "give": {"brackets": [[5000, 50]]}}

    assert told(preview(basket(total_minor=4000, lines=()), only(of_total, of_lines))) == [
        ("total", "bracket", 1000, 50)
    ]


def test_the_same_basket_in_a_later_hour_and_until_when() -> None:
    afternoon = [["16:15", "17:00"], ["17:00", "18:00"]]
    rule = {
        "id": "happy",
        "when": {"time_in": [["08:00", "09:00"], *afternoon, ["20:00", "21:00"]]},
        "give": {"points": 5},
    }
    late = {"id": "late", "when": {"time_in": [["22:00", "02:00"]]}, "give": {"points": 5}}

    happy, night = preview(basket(goods(100), at="2026-11-23T09:07:14.250000+01:00"), only(rule, late)).could

    assert (happy.kind, happy.missing, happy.unit) == ("time", 7 * 60 + 8, "minutes")
    assert happy.until == datetime.fromisoformat("2026-11-23T18:00:00+01:00")
    # an evening over midnight is another day's from there on
    assert night.until == datetime.fromisoformat("2026-11-24T00:00:00+01:00")
    assert happy.why == "the same from 16:15 to 18:00: 5 points"
    assert preview(basket(goods(100), at="2026-11-23T21:00:00+01:00"), only(rule)).could == ()


def test_of_a_day_alone_no_later_hour_is_known() -> None:
    rule = {"id": "happy", "when": {"time_in": [["16:00", "18:00"]]}, "give": {"points": 5}}
    by_day = basket(goods(100), issued_at=UNSET, business_day=MORNING.date())

    assert preview(by_day, only(rule)).could == ()


@pytest.mark.parametrize(
    ("cap", "used", "expected"),
    [
        ({"day": 50}, {}, (20, "2026-11-24T00:00:00+01:00")),
        ({"month": 100}, {"2026-11": 60}, (10, "2026-12-01T00:00:00+01:00")),
        ({"member": 100, "day": 90}, {"member": 55}, (15, None)),
        ({"day": 31}, {}, (1, "2026-11-24T00:00:00+01:00")),
        ({"day": 30}, {}, None),
        ({"day": 60}, {}, None),
        ({"receipt": 35}, {}, None),
    ],
)
def test_a_cap_that_the_same_again_would_reach(
    cap: dict[str, int], used: dict[str, int], expected: tuple[int, str | None] | None
) -> None:
    state = MemberState(code="1", counters=Counters(used={"base": used}))
    rule = {"id": "base", "cap": cap, "give": {"points": 3, "per_minor": 100}}

    found = preview(basket(goods(1000)), only(rule), state).could

    assert [(each.kind, each.missing, each.gives, each.until) for each in found] == (
        [("cap", expected[0], expected[0], expected[1] and datetime.fromisoformat(expected[1]))] if expected else []
    )


def test_a_cap_of_what_has_no_time_ends_never() -> None:
    rule = {"id": "base", "cap": {"day": 50}, "give": {"points": 3, "per_minor": 100}}

    (found,) = preview(basket(goods(1000), issued_at=UNSET), only(rule)).could

    assert (found.missing, found.unit, found.until) == (20, "points", None)
    assert found.why == "the same again gives 20 points, which is what the cap of a day leaves"


def test_visits_are_counted_from_the_first_with_which_there_is_time_enough() -> None:
    state = MemberState(
        code="1",
        counters=Counters(
            visits={
                "v": tuple(map(datetime.fromisoformat, ("2026-11-01T09:00:00+01:00", "2026-11-20T09:00:00+01:00"))),
                "d": (datetime.fromisoformat("2026-11-20T09:00:00+01:00"),),
            }
        ),
    )
    visits = [
        {"id": "v", "every": 4, "within": "P23D", "give": {"points": 7}},
        # until the 24th: one day more, and two are missing
        {"id": "d", "every": 4, "within": "P4D", "per": "day", "give": {"points": 7}},
        {"id": "tip", "every": 2, "within": "P4D", "when": {"line_kind_in": ["tip"]}, "give": {"points": 7}},
    ]

    of_receipts, of_days = preview(basket(goods(100)), only(visits=visits), state).could

    assert (of_receipts.missing, of_receipts.unit) == (1, "visits")
    assert (of_receipts.why, of_receipts.until) == (
        "1 more of 4 visits within P23D: 7 points",
        datetime.fromisoformat("2026-11-24T09:00:00+01:00"),
    )
    assert (of_days.missing, of_days.until) == (3, datetime.fromisoformat("2026-11-27T09:07:14+01:00"))


@pytest.mark.parametrize(
    ("every", "first", "missing", "until"),
    [
        # a quarter to one on the 23rd: to the 24th it is one day more, where two are missing
        (4, "2026-11-20T12:00:00+01:00", 3, "2026-11-27T00:45:00+01:00"),
        (3, "2026-11-20T00:30:00+01:00", 1, "2026-11-24T00:30:00+01:00"),
    ],
)
def test_days_that_are_left_for_visits_are_those_of_the_programs_clock(
    every: int, first: str, missing: int, until: str
) -> None:
    rule = {"id": "d", "every": every, "within": "P4D", "per": "day", "give": {"points": 7}}
    state = MemberState(code="1", counters=Counters(visits={"d": (datetime.fromisoformat(first),)}))

    (found,) = preview(basket(goods(100), at="2026-11-22T23:45:00+00:00"), only(visits=[rule]), state).could

    assert (found.missing, found.until) == (missing, datetime.fromisoformat(until))


def test_visits_that_are_all_used_up_begin_anew() -> None:
    visits = [{"id": "v", "every": 1, "within": "P4D", "give": {"points": 7}}]

    (found,) = preview(basket(goods(100)), only(visits=visits)).could

    assert (found.missing, found.until) == (1, None)


def test_stamps_to_the_next_full_card() -> None:
    coffee = {"id": "s", "every": 5, "when": {"sku_in": ["coffee"]}, "give": {"points": 60}}
    never = {"id": "n", "every": 5, "when": {"tier_in": ["gold"]}, "give": {"points": 60}}
    state = MemberState(code="1", counters=Counters(stamps={"s": 3}))

    (found,) = preview(basket(goods(500, sku="coffee", quantity="3")), only(stamps=[coffee, never]), state).could

    # 3 and 3 are six: one card full, and one stamp on the next
    assert (found.missing, found.unit, found.gives) == (4, "pieces", 120)
    # where no goods are told, nobody can say how many more are missing
    assert preview(basket(total_minor=500, lines=()), only(stamps=[coffee]), state).could == ()


def test_the_way_to_each_tier_above() -> None:
    tiers = [
        {"id": "silver", "from": {"points_in": "P12M", "at_least": 100}},
        {"id": "gold", "from": {"spend_in": "P1M", "at_least": 9000}},
        {"id": "friend"},
        {"id": "often", "from": {"visits_in": "P1M", "at_least": 2}},
    ]
    earlier = Activity(at=datetime.fromisoformat("2026-11-10T09:00:00+01:00"), points=90, spent_minor=4000, visits=0)
    state = MemberState(code="1", counters=Counters(activity=(earlier,)))
    base = {"id": "base", "give": {"points": 1, "per_minor": 100}}

    gold, often = preview(basket(goods(1000)), only(base, tiers=tiers), state).could

    assert (gold.rule, gold.missing, gold.unit, gold.gives) == ("gold", 4000, "minor", 0)
    assert gold.until == datetime.fromisoformat("2026-12-10T09:00:00+01:00")
    assert gold.why == "40.00 EUR more within P1M reach the tier gold"
    assert (often.rule, often.missing, often.unit) == ("often", 1, "visits")
    assert often.until == datetime.fromisoformat("2026-12-23T09:07:14+01:00")
    assert often.why == "1 visit more within P1M reach the tier often"


def test_without_any_activity_a_tier_ends_at_no_time() -> None:
    tiers = [{"id": "silver", "from": {"points_in": "P12M", "at_least": 100}}]

    (found,) = preview(basket(goods(1000)), only(tiers=tiers)).could

    assert (found.missing, found.until) == (100, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "return", "total_minor": -100},
        {"currency": "RSD"},
        {"lines": (goods(10**14),), "total_minor": 10**14},
    ],
)
def test_what_gives_nothing_now_promises_nothing(changes: dict[str, Any]) -> None:
    terms = only({"id": "many", "give": {"points": 100, "per_minor": 1}}, {"id": "big", "give": {"brackets": [[1, 5]]}})

    assert preview(replace(basket(goods(100)), **changes), terms) == Preview(
        receipt="key-b", points=0, gives=(), could=(), estimated_without=()
    )


def test_a_threshold_beyond_what_can_be_held_is_none() -> None:
    lavish = {"id": "many", "min_basis_minor": 10**13, "give": {"points": 100, "per_minor": 1}}

    assert preview(basket(goods(100)), only(lavish)).could == ()


def test_a_suspended_basket_and_the_sale_part_of_an_exchange_are_looked_at() -> None:
    terms = only({"id": "big", "give": {"brackets": [[500, 5]]}})
    exchange = basket(goods(400), goods(-300), kind="exchange", total_minor=100)

    assert told(preview(basket(goods(400), status="suspended"), terms)) == [("big", "bracket", 100, 5)]
    assert told(preview(exchange, terms)) == [("big", "bracket", 100, 5)]


def test_what_is_not_told_makes_it_an_estimate() -> None:
    rule = {"id": "base", "cap": {"day": 50}, "when": {"segment_in": ["vip"]}, "give": {"points": 3, "per_minor": 100}}

    assert preview(basket(goods(100)), only(rule)).estimated_without == ("used", "segments")


@pytest.mark.parametrize(
    ("asked", "counter"),
    [({"birthday_month": True}, "birth_month"), ({"first_purchase": True}, "purchases"), ({"weekday_in": [7]}, None)],
)
def test_what_a_rule_asks_and_nobody_told_makes_it_an_estimate(asked: dict[str, Any], counter: str | None) -> None:
    rule = {"id": "base", "when": asked, "give": {"points": 3, "per_minor": 100}}

    assert preview(basket(goods(100)), only(rule)).estimated_without == ((counter,) if counter else ())


def test_what_follows_after_receipts_knows_what_they_left() -> None:
    # given a member of whom the tier was told, and nothing that it was reached with
    tiers = [{"id": "silver", "from": {"visits_in": "P1M", "at_least": 1}}, TIER_GOLD]
    told_only = MemberState(code="1", tier="gold", confirmed=7, spendable=5, counters=Counters(birth_month=11))
    account = Account(only({"id": "base", "give": {"points": 3, "per_minor": 100}}, tiers=tiers), told_only)
    account.add(sale("1", 1000))

    after = account.state(MORNING + timedelta(days=1))

    assert (after.tier, after.confirmed, after.spendable) == ("gold", 52, 50)
    assert after.counters.activity is UNSET
    assert after.counters.birth_month == 11
    assert after.counters.purchases == 1


TIER_GOLD = {"id": "gold", "from": {"visits_in": "P1M", "at_least": 9}, "multiplier": [3, 2]}
