"""Goods that are brought back after their points were set aside: these are asked back, and none is spent twice.

Also what a redemption says of itself that cannot be so: its time, and what it drew.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import UNSET

from central.plausible import AHEAD
from loyalty.member import Balance
from tests.central.redeeming import Shop, rewards


@pytest.fixture
def shop(data: Path) -> Iterator[Shop]:
    made = Shop(data, rewards())
    yield made
    made.database.close()


def balance(confirmed: int, spendable: int) -> Balance:
    return Balance(confirmed=confirmed, pending=0, spendable=spendable)


def test_what_is_set_aside_beyond_the_balance_is_asked_back_and_dealt_out_anew(shop: Shop) -> None:
    # Given 500 points, of which 300 were set aside here
    till = shop.till()
    sold = shop.sell(till, 500)
    shop.plan()
    known = shop.ask(till)
    [granted] = known.allowances
    assert granted.points == 300
    # When goods of 350 points are brought back
    shop.take_back(till, sold, -350)
    assert shop.balance() == balance(150, -150)
    shop.plan()
    # Then the register is asked for what it holds, once
    asked = shop.ask(till, after=known.next)
    assert [(one.allowance, one.recalled) for one in asked.allowances] == [(granted.allowance, True)]
    shop.plan()
    assert shop.ask(till, after=asked.next).allowances == ()
    # And gets what there is for whole rewards
    shop.give_back(till, granted.allowance, 300)
    shop.plan()
    assert [one.points for one in shop.ask(till, after=asked.next).allowances] == [100]
    assert shop.balance() == balance(150, 50)


@pytest.mark.parametrize("want", [0, 100])
def test_a_register_that_asks_then_is_refused_and_asked_for_what_it_holds(shop: Shop, want: int) -> None:
    till = shop.till()
    sold = shop.sell(till, 500)
    granted = shop.grant(till, 200)
    known = shop.ask(till).next
    assert shop.ask(till, after=known, want=0).refused is UNSET
    shop.take_back(till, sold, -400)

    answer = shop.ask(till, after=known, want=want)

    assert "goods were brought back, and with them 100 points" in str(answer.refused)
    assert [(one.allowance, one.recalled) for one in answer.allowances] == [(granted.allowance, True)]
    # and what is left is had once that came back
    shop.give_back(till, granted.allowance, 200)
    assert [one.points for one in shop.ask(till, after=answer.next, want=100).allowances] == [100]


def test_a_register_that_has_left_its_epoch_is_not_asked(shop: Shop) -> None:
    till = shop.till()
    sold = shop.sell(till, 500)
    granted = shop.grant(till, 200)
    shop.open_epoch(till)
    shop.take_back(till, sold, -400)
    shop.plan()

    assert not shop.allowance(granted.allowance).recalled
    assert shop.ask(till, want=100).refused_because == "elsewhere"


def test_a_reward_that_takes_more_than_there_is_counts_and_is_flagged(shop: Shop) -> None:
    # Given two rewards that were set aside, and points for one after goods were brought back
    till = shop.till()
    sold = shop.sell(till, 500)
    granted = shop.grant(till, 200)
    shop.take_back(till, sold, -350)
    # When both are given all the same
    first, second = (shop.redeem(till, 100, (granted.allowance, 100)) for _ in range(2))
    # Then the second is for a person to look at
    assert (first.code, first.detail or "") == ("accepted", "")
    assert (second.code, second.detail) == ("accepted", "beyond_balance")
    assert shop.balance() == balance(-50, -50)


def test_of_an_allowance_no_more_is_drawn_than_a_reward_cost(shop: Shop) -> None:
    till = shop.till()
    shop.sell(till, 500)
    granted = shop.grant(till, 300)

    shop.redeem(till, 100, (granted.allowance, 300))

    assert shop.allowance(granted.allowance).used == 100
    assert shop.balance() == balance(400, 200)


def test_a_want_that_is_asked_again_is_not_met_by_what_was_asked_back_meanwhile(shop: Shop) -> None:
    # Given 400 of 500 points for a register whose answer was lost, and another one that wants 200
    first, second = shop.till("1"), shop.till("2")
    shop.sell(first, 500)
    shop.ask(first, want=400)
    assert shop.ask(second, want=200).refused_because == "elsewhere"
    # When the first one asks again
    again = shop.ask(first, want=400)
    # Then it hears that it has to give them back, and gets none
    assert [one.recalled for one in again.allowances] == [True]
    assert again.refused == "400 points are wanted, and 100 can be spent"


@pytest.mark.parametrize(("ahead", "is_so"), [(AHEAD, True), (AHEAD + timedelta(seconds=1), False)])
def test_a_reward_from_a_clock_that_is_ahead_is_of_when_it_came(shop: Shop, ahead: timedelta, is_so: bool) -> None:
    till = shop.till()
    shop.sell(till, 500)

    shop.redeem(till, 100, key="k1", at=shop.now + ahead)

    assert shop.redemption("k1").at == (shop.now + ahead if is_so else shop.now)
