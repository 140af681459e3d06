"""Fresh (docs/programs/drugstore.md)."""

from __future__ import annotations

from tests.loyalty.stories.shop import Member, item

SHAMPOO = item("shampoo", "12.50")


def test_the_best_of_the_rates_counts() -> None:
    luca, reader = Member("drugstore"), Member("drugstore", segments=["newsletter"])

    assert luca.buys(SHAMPOO, at="Monday 2026-11-23 10:00").points == {"base": 12}
    assert reader.buys(SHAMPOO, at="Monday 2026-11-23 10:00").points == {"double": 25}
    parcel = item("parcel", "45.00")
    assert reader.buys(parcel, at="Tuesday 2026-11-24 10:00", source="webshop").points == {"triple-online": 135}
    small = item("small parcel", "39.00")
    assert reader.buys(small, at="Tuesday 2026-11-24 11:00", source="webshop").points == {"double": 78}


def test_a_thousand_points_of_a_rate_in_a_month() -> None:
    reader = Member("drugstore", segments=["newsletter"])

    assert reader.buys(item("perfume", "480.00"), at="Monday 2026-11-23 10:00").points == {"double": 960}
    # 40 of the double rate are left; the plain one gives more
    assert reader.buys(item("perfume", "90.00"), at="Tuesday 2026-11-24 10:00").points == {"base": 90}
    assert reader.buys(item("perfume", "90.00"), at="Tuesday 2026-12-01 10:00").points == {"double": 180}


def test_sun_care_once_a_day() -> None:
    luca = Member("drugstore")
    lotion = item("lotion", "9.00", category="sun care")

    assert luca.buys(lotion, item("LIP50", "3.00"), at="Monday 2026-11-23 10:00").points == {"base": 12, "sun-care": 20}
    assert luca.buys(item("LIP50", "3.00"), at="Monday 2026-11-23 12:00").points == {"base": 3}
    assert luca.buys(item("LIP50", "3.00"), at="Tuesday 2026-11-24 12:00").points == {"base": 3, "sun-care": 20}
    cheap = item("old lotion", "4.00", "clearance", category="sun care")
    assert luca.buys(cheap, at="Wednesday 2026-11-25 12:00").points == {"base": 4}


def test_the_new_shop_once() -> None:
    luca = Member("drugstore")

    assert luca.buys(SHAMPOO, at="Monday 2026-11-23 10:00", store="41").points == {"base": 12, "new-shop": 15}
    assert luca.buys(SHAMPOO, at="Tuesday 2026-11-24 10:00", store="41").points == {"base": 12}


def test_a_printed_promise_is_kept_and_goes_with_the_goods() -> None:
    luca = Member("drugstore")

    slip = luca.buys(SHAMPOO, at="Monday 2026-11-23 10:00", promised=25)
    assert slip.points == {"base": 12, "goodwill": 13}
    assert luca.points("Monday 2026-11-23 10:00") == 25

    assert luca.brings_back(slip, at="Tuesday 2026-11-24 10:00").points == {"base": -12, "goodwill": -13}


def test_points_are_good_for_a_year_and_a_half_to_the_end_of_the_month() -> None:
    luca = Member("drugstore")
    luca.buys(SHAMPOO, at="Monday 2026-11-23 10:00")

    assert luca.points("Wednesday 2028-05-31 23:59") == 12
    assert luca.points("Thursday 2028-06-01 00:00") == 0
