"""Daily Basket (docs/programs/grocery.md)."""

from __future__ import annotations

from tests.loyalty.stories.shop import Member, item

VEGETABLES = "fruit and vegetables"


def test_a_wednesday_with_apples_and_cigarettes() -> None:
    boris = Member("grocery")

    slip = boris.buys(
        item("apples", "6.40", category=VEGETABLES),
        item("bread", "3.20"),
        item("cigarettes", "5.00", "tobacco"),
        item("bottle deposit", "0.50", kind="deposit"),
        item("gift card", "25.00", kind="giftcard"),
        at="Wednesday 2026-11-25 17:00",
    )

    assert slip.points == {"base": 9, "fruit-wednesday": 12}
    assert boris.buys(item("apples", "6.40", category=VEGETABLES), at="Thursday 2026-11-26 17:00").points == {"base": 6}


def test_our_own_brand_by_the_piece_at_most_twenty_points() -> None:
    boris = Member("grocery")

    three = boris.buys(item("yoghurt", "2.40", "own-brand", pieces="3"), at="Monday 2026-11-23 17:00")
    twelve = boris.buys(item("yoghurt", "9.60", "own-brand", pieces="12"), at="Monday 2026-11-23 18:00")

    assert three.points == {"base": 2, "own-brand": 6}
    assert twelve.points == {"base": 9, "own-brand": 20}


def test_a_big_basket_and_what_is_left_of_it() -> None:
    boris = Member("grocery")

    slip = boris.buys(item("ham", "94.00"), item("pan", "10.00"), at="Saturday 2026-11-28 10:00")
    assert slip.points == {"base": 104, "big-basket": 80}

    # without the pan it is a basket of 94.00 €, which gives 30
    back = boris.brings_back(slip, item("pan", "10.00"), at="Sunday 2026-11-29 10:00")
    assert back.points == {"base": -10, "big-basket": -50}
    assert boris.points("Sunday 2026-11-29 10:00") == 94 + 30


def test_at_most_five_hundred_points_on_a_day_for_goods() -> None:
    boris = Member("grocery")
    boris.buys(item("coffee machine", "450.00"), at="Friday 2026-11-27 10:00")

    assert boris.buys(item("wine", "90.00"), at="Friday 2026-11-27 19:00").points == {"base": 50, "big-basket": 30}
    assert boris.buys(item("wine", "40.00"), at="Saturday 2026-11-28 19:00").points == {"base": 40}


def test_what_is_paid_with_points_gives_none() -> None:
    boris = Member("grocery")

    assert boris.buys(item("rice", "20.00"), at="Friday 2026-11-27 10:00", paid_with_points="5.00").points == {
        "base": 15
    }


def test_four_days_in_four_weeks() -> None:
    boris = Member("grocery")
    shopping = item("shopping", "25.00")
    boris.buys(shopping, at="Monday 2026-11-02 10:00")
    boris.buys(shopping, at="Monday 2026-11-02 16:00")  # the same day
    boris.buys(item("milk", "2.00"), at="Wednesday 2026-11-04 10:00")  # too little
    boris.buys(shopping, at="Monday 2026-11-09 10:00")
    third = boris.buys(shopping, at="Monday 2026-11-16 10:00")

    fourth = boris.buys(shopping, at="Monday 2026-11-23 10:00")

    assert third.points == {"base": 25}
    assert fourth.points == {"base": 25, "every-week": 50}


def test_staff_collect_nothing() -> None:
    dana = Member("grocery", segments=["staff"])

    for day in ("Monday 2026-11-02", "Monday 2026-11-09", "Monday 2026-11-16", "Monday 2026-11-23"):
        slip = dana.buys(item("yoghurt", "120.00", "own-brand", category=VEGETABLES), at=f"{day} 10:00")
        assert slip.points == {}


def test_points_are_good_for_two_years_to_the_end_of_the_month() -> None:
    boris = Member("grocery")
    boris.buys(item("rice", "20.00"), at="Friday 2026-11-27 10:00")

    assert boris.points("Thursday 2028-11-30 23:00") == 20
    assert boris.points("Friday 2028-12-01 00:00") == 0


def test_five_euros_off_and_none_of_it_off_tobacco() -> None:
    vid = Member("grocery")
    vid.buys(item("wine", "510.00"), at="Monday 2026-11-23 10:00")
    tuesday = "Tuesday 2026-11-24 10:00"
    tobacco = item("tobacco", "24.00", "tobacco")

    assert vid.can_have(item("bread", "21.00"), at=tuesday) == {"five": (1, 500)}
    assert vid.can_have(item("bread", "19.00"), at=tuesday) == {"five": (0, 0)}
    assert vid.can_have(tobacco, item("bread", "4.00"), at=tuesday) == {"five": (0, 0)}


def test_on_wednesdays_fruit_at_half_price_in_place_of_it() -> None:
    vid = Member("grocery")
    vid.buys(item("wine", "510.00"), at="Monday 2026-11-23 10:00")
    apples = item("apples", "6.40", category="fruit and vegetables")

    assert vid.can_have(apples, item("rice", "18.00"), at="Wednesday 2026-11-25 10:00") == {
        "five": (1, 500),
        "wednesday": (1, 320),
    }
