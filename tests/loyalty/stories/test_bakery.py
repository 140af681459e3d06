"""Crumb (docs/programs/bakery.md)."""

from __future__ import annotations

from tests.loyalty.stories.shop import Member, item


def test_ana_buys_bread_on_a_sunday_morning_and_again_in_the_evening() -> None:
    ana = Member("bakery")

    # three loaves on a Sunday morning: four points, and as many again
    three = ana.buys(item("loaf", "4.20", "bread", pieces="3"), at="Sunday 2026-11-22 08:30")
    assert three.points == {"base": 4, "sunday-morning": 4}
    assert ana.points("Sunday 2026-11-22 08:30") == 8
    assert ana.stamps("loaf", "Sunday 2026-11-22 08:30") == 3

    # after 18 o'clock it costs 2.10 in place of 3.00, and gives what 3.00 give
    evening = ana.buys(item("loaf", "2.10", "bread", off="0.90"), at="Monday 2026-11-23 18:30")
    assert evening.points == {"base": 2, "evening": 3}

    # at 11 the morning is over, and a cake is no bread
    assert ana.buys(item("cake", "5.00"), at="Sunday 2026-11-29 11:00").points == {"base": 5}
    assert ana.stamps("loaf", "Sunday 2026-11-29 11:00") == 4


def test_twelve_loaves_give_thirty_points_and_one_brought_back_takes_them() -> None:
    ana = Member("bakery")
    ana.buys(item("loaf", "5.60", "bread", pieces="4"), at="Monday 2026-11-23 09:00")

    eight = ana.buys(item("loaf", "11.20", "bread", pieces="8"), at="Tuesday 2026-11-24 09:00")
    assert eight.points == {"base": 11, "loaf": 30}
    assert ana.stamps("loaf", "Tuesday 2026-11-24 09:00") == 0

    stale = ana.brings_back(eight, item("loaf", "1.40", "bread"), at="Wednesday 2026-11-25 09:00")
    assert stale.points == {"base": -1, "loaf": -30}
    assert ana.stamps("loaf", "Wednesday 2026-11-25 09:00") == 11


def test_points_are_good_to_the_end_of_the_sixth_month() -> None:
    ana = Member("bakery")
    ana.buys(item("loaf", "4.20", "bread"), at="Monday 2026-11-23 09:00")

    assert ana.points("Monday 2027-05-31 23:59") == 4
    assert ana.points("Tuesday 2027-06-01 00:00") == 0


def test_thirty_points_take_a_euro_off_each_five() -> None:
    ana = Member("bakery")
    ana.buys(item("cake", "95.00"), at="Tuesday 2026-11-24 09:00")
    at = "Wednesday 2026-11-25 09:00"

    assert ana.can_have(item("loaf", "4.90", "bread"), at=at) == {"off": (0, 0)}
    assert ana.can_have(item("cake", "11.00"), at=at) == {"off": (2, 100)}
    assert ana.can_have(item("cakes", "50.00"), at=at) == {"off": (3, 100)}
