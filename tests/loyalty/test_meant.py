"""For whom a condition can hold, before anything is bought."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from loyalty.conditions import Condition
from loyalty.meant import Meant, asks_for_whom, is_meant_for
from tests.loyalty.test_rewards import program

ANA = Meant(tier="gold", segments=frozenset({"vip", "staff"}), store="12")


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({}, True),
        ({"tier_in": ["gold", "silver"]}, True),
        ({"tier_in": ["silver"]}, False),
        ({"segment_in": ["new", "vip"]}, True),
        ({"segment_in": ["new"]}, False),
        ({"store_in": ["12"]}, True),
        ({"store_in": ["13"]}, False),
        ({"not": {"segment_in": ["staff"]}}, False),
        ({"not": {"segment_in": ["new"]}}, True),
        # what is bought, and when, nobody knows before
        ({"category_in": ["fruit"]}, True),
        ({"not": {"category_in": ["fruit"]}}, True),
        ({"weekday_in": [1]}, True),
        ({"tier_in": ["silver"], "category_in": ["fruit"]}, False),
        ({"any": [{"tier_in": ["silver"]}, {"category_in": ["fruit"]}]}, True),
        ({"any": [{"tier_in": ["silver"]}, {"store_in": ["13"]}]}, False),
        ({"all": [{"tier_in": ["gold"]}, {"store_in": ["13"]}]}, False),
        ({"all": [{"tier_in": ["gold"]}, {"not": {"all": [{"store_in": ["12"]}, {"weekday_in": [1]}]}}]}, True),
        ({"not": {"any": [{"store_in": ["12"]}, {"weekday_in": [1]}]}}, False),
        ({"not": {"tier_in": ["silver"], "weekday_in": [1]}}, True),
    ],
)
def test_a_condition_can_hold_for_them(when: object, holds: bool) -> None:
    assert is_meant_for(msgspec.convert(when, Condition), ANA) is holds


def test_without_one_it_holds_for_everybody() -> None:
    assert is_meant_for(UNSET, Meant())


def test_a_program_asks_for_whom_a_reward_is() -> None:
    fruit = {"id": "a", "cost": 5, "piece_minor": 0, "when": {"category_in": ["fruit"]}}
    here = {"id": "b", "cost": 5, "piece_minor": 0, "when": {"any": [{"not": {"store_in": ["1"]}}]}}

    assert not asks_for_whom(program(fruit))
    assert asks_for_whom(program(fruit, here))
