"""Wardrobe (docs/programs/fashion.md)."""

from __future__ import annotations

from tests.loyalty.stories.shop import Member, Slip, item


def year_of(mia: Member) -> dict[str, Slip]:
    """A dress, shoes, a bag, a coat and a blouse."""
    return {
        "dress": mia.buys(item("dress", "180.00"), at="Saturday 2026-11-28 10:00"),
        "shoes": mia.buys(item("shoes", "130.00"), at="Sunday 2026-11-29 10:00"),
        "bag": mia.buys(item("bag", "100.00"), at="Monday 2026-11-30 10:00"),
        "coat": mia.buys(item("coat", "400.00"), at="Tuesday 2026-12-01 10:00"),
        "blouse": mia.buys(item("blouse", "60.00", "new-season"), at="Wednesday 2026-12-02 10:00"),
    }


def test_mia_buys_a_dress_first_and_has_its_points_in_thirty_days() -> None:
    mia = Member("fashion")

    dress = mia.buys(item("dress", "180.00"), at="Saturday 2026-11-28 10:00")

    assert dress.points == {"base": 180, "statement": 75, "welcome": 100}
    assert mia.points("Monday 2026-12-28 09:59") == 0
    assert mia.points("Monday 2026-12-28 10:00") == 355
    assert mia.points("Sunday 2027-02-28 10:00") == 255  # the welcome was good for three months
    assert mia.points("Wednesday 2027-12-01 00:00") == 0


def test_from_silver_to_gold() -> None:
    mia = Member("fashion")

    slips = year_of(mia)

    assert slips["shoes"].points == {"base": 130}
    assert slips["bag"].points == {"base": 125}  # 310.00 € made her Silver
    assert slips["coat"].points == {"base": 500, "statement": 75}
    assert slips["blouse"].points == {"base": 90, "gold-preview": 90}  # 810.00 €: Gold
    assert mia.tier("Wednesday 2026-12-02 10:00") == "gold"
    assert mia.buys(item("belt", "40.00", "outlet"), at="Thursday 2026-12-03 10:00").points == {}


def test_the_coat_is_brought_back_within_thirty_days() -> None:
    mia = Member("fashion")
    slips = year_of(mia)

    assert mia.brings_back(slips["coat"], at="Friday 2026-12-11 10:00").points == {"base": -500, "statement": -75}
    assert mia.tier("Friday 2026-12-11 10:00") == "silver"


def test_after_thirty_days_points_stay() -> None:
    mia = Member("fashion")
    slips = year_of(mia)

    assert mia.brings_back(slips["dress"], at="Tuesday 2027-01-05 10:00").points == {}


def test_silver_stays_for_three_months() -> None:
    mia = Member("fashion")
    mia.buys(item("dress", "180.00"), at="Saturday 2026-11-28 10:00")
    mia.buys(item("shoes", "130.00"), at="Sunday 2026-11-29 10:00")

    assert mia.tier("Sunday 2027-11-28 09:00") == "silver"
    assert mia.tier("Saturday 2028-01-15 10:00") == "silver"
    assert mia.tier("Tuesday 2028-02-29 10:00") is None
