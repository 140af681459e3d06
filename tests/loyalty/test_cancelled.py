"""Lines that take others back on the same receipt, and what rewards take off what is left."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from loyalty.cancelled import net
from loyalty.receipt import Line
from loyalty.rewards import RewardUnavailableError, Taken, redeemed
from tests.loyalty.receipts import sale
from tests.loyalty.test_rewards import FIVE, TENTH, basket, line, program

FREE = {"id": "free", "cost": 90, "piece_minor": 0}
HALF = TENTH | {"discount_percent": 50}


def goods(position: int, amount: int, sku: str = "", quantity: str = "", **more: Any) -> Line:
    return Line(position=position, amount_minor=amount, sku=sku or UNSET, quantity=quantity or UNSET, **more)


def left(*lines: Line) -> list[tuple[int, int, int]]:
    """Of each line above zero its position, what is left of it, and how many pieces."""
    return [(one.line.position, one.amount_minor, one.pieces) for one in net(lines)[0]]


def off(lines: tuple[Line, ...], reward: dict[str, Any], times: int = 1) -> dict[int, int]:
    [one] = redeemed(basket(sale("1", lines=lines)), program(reward), [Taken(reward=reward["id"], times=times)])
    assert one.discount_minor == sum(each.amount_minor for each in one.lines)
    return {each.position: each.amount_minor for each in one.lines}


def test_what_was_cancelled_is_taken_off_the_newest_line_of_its_goods() -> None:
    lines = (goods(1, 300, "a"), goods(2, 300, "a"), goods(3, 100, "b"), goods(4, -400, "a"))

    assert left(*lines) == [(1, 200, 1), (2, 0, 0), (3, 100, 1)]
    # a line that stands above what it takes back takes of those below it
    assert left(goods(1, -100, "a"), goods(2, 300, "a")) == [(2, 200, 1)]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"sku": "a", "gtin": "1"}, {"sku": "b", "gtin": "1"}, False),
        ({"sku": "a", "gtin": "1"}, {"gtin": "1"}, True),
        ({"description": "KAFA", "tax_labels": ("A",)}, {"description": "KAFA", "tax_labels": ("A",)}, True),
        ({"description": "KAFA", "tax_labels": ("A",)}, {"description": "KAFA", "tax_labels": ("B",)}, False),
        ({}, {}, False),
    ],
)
def test_goods_are_the_same_by_number_code_or_name(one: dict[str, Any], other: dict[str, Any], is_same: bool) -> None:
    kept, rest = net((goods(1, 500, **one), goods(2, -200, **other)))

    assert [each.amount_minor for each in kept] == [300 if is_same else 500]
    assert rest.total() == (0 if is_same else 200)


def test_pieces_go_with_their_money_and_a_price_put_right_takes_none() -> None:
    three = goods(1, 300, "a", "3")

    assert left(three, goods(2, -100, "a", "-1")) == [(1, 200, 2)]
    assert left(three, goods(2, -200, "a", "2")) == [(1, 100, 1)]
    assert left(three, goods(2, -30, "a")) == [(1, 270, 3)]
    assert left(three, goods(2, -300, "a", "3")) == [(1, 0, 0)]


def test_nothing_is_taken_off_a_line_that_was_cancelled() -> None:
    lines = (goods(1, 600, "a"), goods(2, -600, "a"), goods(3, 200, "b"))

    assert off(lines, FREE) == {3: 200}
    assert off(lines, HALF) == {3: 100}
    with pytest.raises(RewardUnavailableError, match=r"3\.00 EUR more"):
        off(lines, FIVE)


def test_what_is_left_of_a_line_is_the_most_that_comes_off() -> None:
    lines = (goods(1, 600, "a"), goods(2, -400, "a"))

    assert off(lines, FREE) == {1: 200}
    assert off(lines, HALF) == {1: 100}


def test_what_no_line_bears_lowers_the_whole() -> None:
    # a discount that the till prints as a line of its own
    lines = (goods(1, 600, "a"), goods(2, 300, "b"), goods(3, -300, description="POPUST"))

    assert off(lines, HALF) == {1: 200, 2: 100}
    assert off(lines, FREE, times=2) == {1: 400, 2: 200}


def test_a_bottle_that_is_returned_lowers_bottles_first_and_the_goods_by_the_rest() -> None:
    bottle = replace(line(2, 50), kind="deposit")
    returned = replace(line(3, -150), kind="deposit")

    assert off((line(1, 300), bottle, returned), HALF) == {1: 100}


def test_of_a_basket_that_is_worth_nothing_nothing_comes_off() -> None:
    for reward in (FREE, HALF, FIVE):
        with pytest.raises(RewardUnavailableError):
            off((goods(1, 600, "a"), goods(2, -700, "a")), reward)
