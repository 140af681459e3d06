"""Bean There (docs/programs/coffee.md)."""

from __future__ import annotations

from tests.loyalty.stories.shop import Member, item

COFFEE = item("flat white", "3.20", "coffee")
OWN_CUP = item("flat white in her cup", "3.20", "coffee", "own-cup")


def test_a_week_of_coffee_and_the_tenth_one() -> None:
    nora = Member("coffee")

    assert nora.buys(COFFEE, OWN_CUP, at="Monday 2026-11-23 08:00").points == {"own-cup": 5}
    assert nora.stamps("tenth-coffee", "Monday 2026-11-23 08:00") == 2
    for day in ("Tuesday 2026-11-24", "Wednesday 2026-11-25", "Thursday 2026-11-26"):
        assert nora.buys(COFFEE, at=f"{day} 08:00").points == {}
    assert nora.buys(COFFEE, at="Friday 2026-11-27 08:00").points == {"working-week": 60}

    three = nora.buys(item("flat white", "9.60", "coffee", pieces="3"), at="Saturday 2026-11-28 10:00")
    assert three.points == {"tenth-coffee": 150}
    assert nora.stamps("tenth-coffee", "Saturday 2026-11-28 10:00") == 0
    assert nora.points("Saturday 2026-11-28 10:00") == 5 + 60 + 150
    assert nora.points("Sunday 2027-02-28 10:00") == 5  # three months on


def test_a_coffee_that_is_paid_back_is_no_stamp_and_no_day() -> None:
    nora = Member("coffee")
    for day in ("Monday 2026-11-23", "Tuesday 2026-11-24", "Wednesday 2026-11-25", "Thursday 2026-11-26"):
        nora.buys(item("flat whites", "6.40", "coffee", pieces="2"), at=f"{day} 08:00")

    cold = nora.buys(COFFEE, item("cake", "4.00"), at="Friday 2026-11-27 08:00")
    assert cold.points == {"tenth-coffee": 150, "working-week": 60}

    back = nora.brings_back(cold, COFFEE, at="Friday 2026-11-27 08:10")
    assert back.points == {"tenth-coffee": -150, "working-week": -60}


def test_quiet_hours_once_a_day() -> None:
    nora = Member("coffee")
    cake = item("cake", "5.20")

    assert nora.buys(cake, at="Tuesday 2026-11-24 14:30").points == {"quiet-hours": 10}
    assert nora.buys(cake, at="Tuesday 2026-11-24 15:00").points == {}
    assert nora.buys(cake, at="Wednesday 2026-11-25 16:00").points == {}
    assert nora.buys(cake, at="Saturday 2026-11-28 14:30").points == {}
    assert nora.buys(item("bun", "4.90"), at="Thursday 2026-11-26 14:30").points == {}


def test_own_cups_give_at_most_fifteen_points_a_day() -> None:
    nora = Member("coffee")

    round_ = nora.buys(item("office round", "12.80", "coffee", "own-cup", pieces="4"), at="Monday 2026-11-23 09:00")

    assert round_.points == {"own-cup": 15}
    assert nora.buys(OWN_CUP, at="Monday 2026-11-23 12:00").points == {}


def test_three_friends_a_month() -> None:
    nora = Member("coffee")

    friends = [nora.does("member.referred", at=f"Monday 2026-11-{day} 10:00") for day in ("02", "09", "16", "23")]

    assert friends == [{"friend": 100}, {"friend": 100}, {"friend": 100}, {}]
    assert nora.does("member.referred", at="Tuesday 2026-12-01 10:00") == {"friend": 100}


def test_the_tenth_coffee_is_the_dearest_and_cake_is_none() -> None:
    nora = Member("coffee")
    nora.buys(item("flat white", "28.80", "coffee", pieces="9"), at="Monday 2026-11-23 08:00")
    at = "Monday 2026-11-30 08:00"

    assert nora.can_have(item("espresso", "2.20", "coffee"), COFFEE, item("cake", "5.00"), at=at) == {
        "coffee": (1, 320)
    }
    assert nora.can_have(item("cake", "5.00"), at=at) == {"coffee": (0, 0)}
