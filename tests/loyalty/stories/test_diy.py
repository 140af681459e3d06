"""Plumb Line (docs/programs/diy.md)."""

from __future__ import annotations

from loyalty.receipt import Line
from tests.loyalty.stories.shop import Member, item

DRILL, SAW = item("drill", "61.00"), item("saw", "61.00")


def paint(tins: int) -> Line:
    return item("wall paint", f"{24 * tins}.00", pieces=str(tins), gtin="3856021200014")


def test_a_drill_and_a_saw_and_the_saw_comes_back() -> None:
    ivan = Member("diy")

    # 122.00 € with 22.00 € of tax: 100.00 € before it
    slip = ivan.buys(DRILL, SAW, at="Monday 2026-11-23 10:00", tax="22.00")
    assert slip.points == {"base": 50, "project": 50}
    assert ivan.points("Monday 2026-12-07 09:59") == 0
    assert ivan.points("Monday 2026-12-07 10:00") == 100

    # half of it, and 61.00 € are no project
    back = ivan.brings_back(slip, SAW, at="Tuesday 2026-12-08 10:00", tax="11.00")
    assert back.points == {"base": -25, "project": -50}
    assert ivan.points("Tuesday 2026-12-08 10:00") == 25
    assert ivan.points("Saturday 2028-01-01 00:00") == 0


def test_from_ten_euros_on_and_at_most_two_thousand() -> None:
    ivan = Member("diy")

    assert ivan.buys(item("screws", "9.99"), at="Monday 2026-11-23 10:00").points == {}
    assert ivan.buys(item("screws", "10.00"), at="Monday 2026-11-23 10:10").points == {"base": 5}
    assert ivan.buys(item("kitchen", "4800.00"), at="Monday 2026-11-23 11:00").points == {"base": 2000, "project": 600}


def test_projects_by_their_size() -> None:
    ivan = Member("diy")

    assert ivan.buys(item("tiles", "249.99"), at="Monday 2026-11-23 10:00").points == {"base": 124, "project": 50}
    assert ivan.buys(item("tiles", "250.00"), at="Monday 2026-11-23 11:00").points == {"base": 125, "project": 200}


def test_trade_customers_get_twice_as_much_in_place_of_it() -> None:
    firm = Member("diy", segments=["trade"])

    assert firm.buys(DRILL, SAW, at="Monday 2026-11-23 10:00", tax="22.00").points == {"trade": 100, "project": 50}
    # 4,900 are left of the 5,000 of this month
    assert firm.buys(item("boiler", "6000.00"), at="Tuesday 2026-11-24 10:00").points == {"trade": 4900, "project": 600}


def test_two_tins_of_paint_and_not_one() -> None:
    ivan = Member("diy")

    assert ivan.buys(paint(1), at="Monday 2026-11-23 10:00").points == {"base": 12}
    two = ivan.buys(paint(2), at="Monday 2026-11-23 11:00")
    assert two.points == {"base": 24, "paint-week": 50}
    assert ivan.brings_back(two, paint(1), at="Tuesday 2026-11-24 10:00").points == {"base": -12, "paint-week": -50}
    assert ivan.buys(paint(4), at="Wednesday 2026-11-25 10:00").points == {"base": 48, "paint-week": 100}
    # 100 are left of the 200 that each customer may get
    assert ivan.buys(paint(8), at="Thursday 2026-11-26 10:00").points == {"base": 96, "project": 50, "paint-week": 100}
    assert ivan.points("Wednesday 2027-03-31 23:59") - ivan.points("Thursday 2027-04-01 00:00") == 200
