"""The Long Table (docs/programs/restaurant.md)."""

from __future__ import annotations

from tests.loyalty.stories.shop import Member, item

TIP = item("tip", "2.00", kind="tip")


def test_lunch_with_a_tip_for_the_team() -> None:
    eva = Member("restaurant")

    assert eva.buys(item("menu", "14.50"), TIP, at="Tuesday 2026-11-24 13:00").points == {"bill": 14, "lunch": 10}
    assert eva.buys(item("menu", "14.50"), TIP, at="Tuesday 2026-11-24 15:00").points == {"bill": 14}  # once a day
    assert eva.buys(item("soup", "11.50"), TIP, at="Wednesday 2026-11-25 13:00").points == {"bill": 11}


def test_what_is_paid_with_points_gives_none() -> None:
    eva = Member("restaurant")

    assert eva.buys(item("menu", "30.00"), at="Saturday 2026-11-28 13:00", paid_with_points="10.00").points == {
        "bill": 20
    }


def test_from_eleven_in_the_evening_to_two_in_the_morning() -> None:
    eva = Member("restaurant")
    drinks = item("drinks", "18.00")

    assert eva.buys(drinks, at="Friday 2026-11-27 22:59").points == {"bill": 18}
    assert eva.buys(drinks, at="Friday 2026-11-27 23:30").points == {"bill": 18, "late": 9}
    assert eva.buys(drinks, at="Saturday 2026-11-28 01:59").points == {"bill": 18, "late": 9}
    assert eva.buys(drinks, at="Saturday 2026-11-28 02:00").points == {"bill": 18}


def test_a_long_table() -> None:
    eva = Member("restaurant")

    table = eva.buys(item("dinner for ten", "290.00"), item("wine", "20.00"), at="Saturday 2026-11-28 20:00")
    assert table.points == {"bill": 310, "long-table": 250}

    corked = eva.brings_back(table, item("wine", "20.00"), at="Saturday 2026-11-28 23:00")
    assert corked.points == {"bill": -20, "long-table": -150}


def test_what_is_given_for_the_food_bank() -> None:
    eva = Member("restaurant")
    given = item("food bank", "0.60", kind="donation")

    assert eva.buys(item("menu", "9.40"), given, at="Saturday 2026-11-28 13:00").points == {"bill": 9, "food-bank": 6}
    much = item("food bank", "10.00", kind="donation")
    assert eva.buys(much, at="Sunday 2026-11-29 13:00").points == {"food-bank": 44}  # 50 in a month


def test_dinner_on_three_evenings() -> None:
    eva = Member("restaurant")
    dinner = item("dinner", "35.00")

    eva.buys(dinner, at="Monday 2026-11-02 20:00")
    eva.buys(dinner, at="Monday 2026-11-02 21:00")  # the same evening
    eva.buys(dinner, at="Tuesday 2026-11-10 12:00")  # no evening
    eva.buys(dinner, at="Monday 2026-11-16 20:00")

    assert eva.buys(dinner, at="Monday 2026-11-30 20:00").points == {"bill": 52, "three-dinners": 80}


def test_a_regular_comes_four_times_in_six_months() -> None:
    eva = Member("restaurant")
    for day in ("Sunday 2026-11-01", "Sunday 2026-11-08", "Sunday 2026-11-15", "Sunday 2026-11-22"):
        assert eva.buys(item("menu", "20.00"), at=f"{day} 17:00").points == {"bill": 20}

    assert eva.buys(item("menu", "20.00"), at="Sunday 2026-11-29 17:00").points == {"bill": 30}
    assert eva.tier("Saturday 2027-06-05 17:00") == "regular"  # the second visit is half a year old since 8 May
    assert eva.tier("Tuesday 2027-06-08 17:00") is None


def test_a_review_a_month() -> None:
    eva = Member("restaurant")

    assert eva.does("review.written", at="Monday 2026-11-02 10:00") == {"review": 25}
    assert eva.does("review.written", at="Monday 2026-11-23 10:00") == {}
    assert eva.does("review.written", at="Tuesday 2026-12-01 10:00") == {"review": 25}
    assert eva.points("Tuesday 2027-11-02 10:00") == 25
