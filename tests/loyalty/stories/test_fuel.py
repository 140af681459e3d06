"""Long Road (docs/programs/fuel.md)."""

from __future__ import annotations

from loyalty.receipt import Line
from tests.loyalty.stories.shop import Member, item


def diesel(litres: str, price: str) -> Line:
    return item("diesel", price, "fuel", pieces=litres)


def premium(litres: str, price: str) -> Line:
    return item("premium", price, "fuel", "premium", pieces=litres)


WASH = item("wash", "9.00", "wash")


def test_a_tank_and_a_coffee() -> None:
    otto = Member("fuel")

    slip = otto.buys(diesel("42.37", "71.00"), item("coffee", "2.90"), at="Tuesday 2026-11-24 09:00")

    assert slip.points == {"litres": 42, "shop": 5}
    assert otto.points("Friday 2027-12-31 23:59") == 47
    assert otto.points("Saturday 2028-01-01 00:00") == 0


def test_premium_from_twenty_litres_on() -> None:
    otto = Member("fuel")

    assert otto.buys(premium("30.00", "60.00"), at="Tuesday 2026-11-24 09:00").points == {"litres": 30, "premium": 15}
    assert otto.buys(premium("19.99", "40.00"), at="Wednesday 2026-11-25 09:00").points == {"litres": 19}


def test_a_lorry_fills_up_twice() -> None:
    otto = Member("fuel")

    assert otto.buys(diesel("130", "210.00"), at="Tuesday 2026-11-24 09:00").points == {"litres": 100}
    assert otto.buys(diesel("80", "130.00"), at="Tuesday 2026-11-24 19:00").points == {"litres": 50}
    assert otto.buys(diesel("80", "130.00"), at="Wednesday 2026-11-25 19:00").points == {"litres": 80}


def test_the_shop_at_night_and_no_points_for_tobacco() -> None:
    otto = Member("fuel")
    snacks = (item("crisps", "6.00"), item("cigarettes", "7.00", "tobacco"))

    assert otto.buys(*snacks, at="Friday 2026-11-27 21:59").points == {"shop": 12}
    assert otto.buys(*snacks, at="Friday 2026-11-27 22:00").points == {"night-shop": 24}
    assert otto.buys(*snacks, at="Saturday 2026-11-28 05:59").points == {"night-shop": 24}
    assert otto.buys(*snacks, at="Saturday 2026-11-28 06:00").points == {"shop": 12}


def test_a_typed_number_collects_wash_stamps_and_nothing_else() -> None:
    otto = Member("fuel")

    slips = [
        otto.buys(WASH, diesel("10", "17.00"), at=f"Monday 2026-11-{day} 09:00", entry="typed")
        for day in ("02", "09", "16", "23", "30")
    ]

    assert [slip.points for slip in slips] == [{}, {}, {}, {}, {"wash": 400}]
    assert otto.brings_back(slips[0], WASH, at="Tuesday 2026-12-01 09:00").points == {"wash": -400}
    assert otto.stamps("wash", "Tuesday 2026-12-01 09:00") == 4
