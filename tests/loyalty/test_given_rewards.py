"""A reward that was given, against the goods on its receipt."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from loyalty.given_rewards import is_not_for, is_other_than_offered
from loyalty.program import Program, program_from_json
from loyalty.receipt import Discount, Line, Mapped, Problem, Receipt
from loyalty.rewards import Taken

COFFEE = {"id": "coffee", "cost": 50, "piece_minor": 0, "when": {"sku_in": ["C1"]}}
TEN_OFF = {"id": "ten", "cost": 50, "discount_minor": 1000}


def program(*rewards: dict[str, Any]) -> Program:
    document = {
        "program": "given",
        "currency": "EUR",
        "time_zone": "Europe/Ljubljana",
        "earn": [{"id": "base", "give": {"points": 1, "per_minor": 100}}],
        "rewards": [{"offline": "allowance", **reward} for reward in rewards],
    }
    return program_from_json(msgspec.json.encode(document))


def sold(*lines: Line, **more: Any) -> Receipt:
    total = sum(line.amount_minor for line in lines)
    facts: dict[str, Any] = {"key": "k", "kind": "sale", "currency": "EUR", "total_minor": total} | more
    return Receipt(lines=lines, **facts)


def line(amount_minor: int, sku: str = "", **more: Any) -> Line:
    return Line(position=1, amount_minor=amount_minor, sku=sku or msgspec.UNSET, **more)


def is_wrong(receipt: Receipt, reward: dict[str, Any], times: int = 1, *, is_mapped: bool = False) -> bool:
    return is_not_for(receipt, program(reward), Taken(reward=reward["id"], times=times), is_mapped=is_mapped)


@pytest.mark.parametrize(
    ("lines", "times", "wrong"),
    [
        ((line(250, "C1"),), 1, False),
        ((line(250, "B1"),), 1, True),
        ((line(250, "C1"), line(120, "B1")), 2, True),
        ((line(0, "C1", discount_minor=250), line(120, "B1")), 1, False),
        ((line(250, "C1", voided=True), line(120, "B1")), 1, True),
    ],
    ids=["it is for them", "other goods", "too often", "as it was before", "taken off again"],
)
def test_a_piece_is_of_the_goods_that_it_is_for(lines: tuple[Line, ...], times: int, *, wrong: bool) -> None:
    assert is_wrong(sold(*lines), COFFEE | {"max_per_receipt": 5}, times) is wrong


def test_an_amount_is_at_most_what_the_goods_cost_before_it() -> None:
    discounted = sold(line(1200), total_minor=200, discounts=(Discount(amount_minor=1000),))
    assert not is_wrong(discounted, TEN_OFF)
    assert is_wrong(sold(line(900)), TEN_OFF)
    assert is_wrong(discounted, TEN_OFF, 2)


def test_the_least_basket_is_of_the_goods_as_well() -> None:
    assert is_wrong(sold(line(1900)), TEN_OFF | {"min_basket_minor": 2000})
    assert not is_wrong(sold(line(1100, discount_minor=1000)), TEN_OFF | {"min_basket_minor": 2000})


@pytest.mark.parametrize(
    "when", [{"min_basket_minor": 2000}, {"all": [{"min_line_minor": 2000}, {"tier_in": ["gold"]}]}], ids=str
)
def test_what_is_asked_of_the_goods_is_told_from_the_rest(when: dict[str, Any]) -> None:
    assert is_wrong(sold(line(1500)), TEN_OFF | {"when": when})
    assert not is_wrong(sold(line(2500)), TEN_OFF | {"when": when})


@pytest.mark.parametrize(
    "when",
    [{"tier_in": ["gold"]}, {"any": [{"sku_in": ["C1"]}, {"segment_in": ["staff"]}]}, {"weekday_in": [1]}],
    ids=str,
)
def test_what_is_asked_besides_the_goods_is_not_asked_again(when: dict[str, Any]) -> None:
    assert not is_wrong(sold(line(1500, "B1")), TEN_OFF | {"when": when})


def test_a_condition_that_a_discount_fulfils_is_asked_of_what_was_printed() -> None:
    when = {"not": {"min_line_minor": 2000}}
    assert not is_wrong(sold(line(1500, discount_minor=1000)), TEN_OFF | {"when": when})


@pytest.mark.parametrize(
    "receipt",
    [
        sold(total_minor=250),
        sold(line(250, "B1"), problems=(Problem(code="total_mismatch"),)),
        sold(line(250, "B1"), line(0, "B2")),
        sold(line(250)),
    ],
    ids=["no lines", "wrong sums", "cost nothing", "no such numbers"],
)
def test_goods_that_nobody_can_tell_are_no_reason(receipt: Receipt) -> None:
    assert not is_wrong(receipt, COFFEE)


def test_tags_are_told_by_a_line_or_by_a_map_that_could() -> None:
    coffee = COFFEE | {"when": {"line_tag_in": ["coffee"]}}
    assert not is_wrong(sold(line(250)), coffee)
    assert is_wrong(sold(line(250)), coffee, is_mapped=True)
    assert is_wrong(sold(line(250, mapped=Mapped(tags=("bread",)))), coffee)
    assert not is_wrong(sold(line(250, tags=("coffee",))), coffee)


def test_a_reward_that_the_program_does_not_have_is_no_matter_of_goods() -> None:
    receipt = sold(line(250, "B1"))
    assert not is_not_for(receipt, program(COFFEE), Taken(reward="tea"), is_mapped=False)


@pytest.mark.parametrize(
    ("reward", "times", "points", "discount_minor", "is_other"),
    [
        ("ten", 2, 100, 2000, False),
        ("ten", 1, 50, 900, False),
        ("ten", 1, 50, 1001, True),
        ("ten", 2, 50, 2000, True),
        ("coffee", 1, 50, 999_999, False),
        ("coffee", 1, 0, 100, True),
        ("none", 1, 50, 0, True),
    ],
    ids=["as it is", "of a small basket", "more off", "paid once", "by the goods", "for nothing", "none such"],
)
def test_what_it_cost_and_took_off_is_as_its_program_says(
    reward: str, times: int, points: int, discount_minor: int, *, is_other: bool
) -> None:
    taken = Taken(reward=reward, times=times)

    told = is_other_than_offered(program(COFFEE, TEN_OFF), taken, points=points, discount_minor=discount_minor)

    assert told is is_other
