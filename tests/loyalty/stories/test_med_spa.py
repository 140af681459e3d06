"""Still Water (docs/programs/med-spa.md)."""

from __future__ import annotations

from tests.loyalty.stories.shop import Member, item

FACIAL = item("facial", "120.00", "treatment", "facial")
LASER = item("laser", "200.00", "treatment", "laser")
CREAM = item("cream", "45.00")


def test_facials_within_their_interval_and_on_to_pearl() -> None:
    lea = Member("med-spa")

    first = lea.buys(FACIAL, CREAM, at="Monday 2026-11-02 10:00")
    assert first.points == {"treatments": 240, "products": 45}
    assert lea.points("Monday 2026-11-16 09:59") == 0
    assert lea.points("Monday 2026-11-16 10:00") == 285

    # five weeks on; the third begins a new interval, which the fourth fills
    assert lea.buys(FACIAL, at="Monday 2026-12-07 10:00").points == {"treatments": 240, "facial-interval": 150}
    assert lea.buys(FACIAL, at="Monday 2027-01-04 10:00").points == {"treatments": 240}
    assert lea.tier("Monday 2027-01-04 10:00") is None  # 915 points
    assert lea.buys(FACIAL, at="Monday 2027-02-08 10:00").points == {"treatments": 240, "facial-interval": 150}

    assert lea.buys(CREAM, at="Tuesday 2027-02-09 10:00").points == {"products": 54}
    assert lea.tier("Tuesday 2027-02-09 10:00") == "pearl"


def test_pearl_stays_for_two_months() -> None:
    lea = Member("med-spa")
    lea.buys(item("day at the spa", "600.00", "treatment"), at="Monday 2026-11-02 10:00")

    assert lea.tier("Monday 2027-11-01 10:00") == "pearl"
    assert lea.tier("Saturday 2028-01-01 10:00") == "pearl"
    assert lea.tier("Monday 2028-01-03 10:00") is None


def test_a_facial_after_seven_weeks_and_a_cream_in_between() -> None:
    lea = Member("med-spa")

    lea.buys(FACIAL, at="Monday 2026-11-02 10:00")
    assert lea.buys(CREAM, at="Monday 2026-11-30 10:00").points == {"products": 45}
    assert lea.buys(FACIAL, at="Monday 2026-12-21 10:00").points == {"treatments": 240}


def test_a_facial_that_is_paid_back_kept_no_interval() -> None:
    lea = Member("med-spa")
    lea.buys(FACIAL, at="Monday 2026-11-02 10:00")
    second = lea.buys(FACIAL, CREAM, at="Monday 2026-12-07 10:00")

    # the cream is brought back first: the facial still counts
    assert lea.brings_back(second, CREAM, at="Tuesday 2026-12-08 10:00").points == {"products": -45}
    back = lea.brings_back(second, FACIAL, at="Wednesday 2026-12-09 10:00")
    assert back.points == {"treatments": -240, "facial-interval": -150}

    # the first one still waits for its second
    assert lea.buys(FACIAL, at="Friday 2026-12-11 10:00").points == {"treatments": 240, "facial-interval": 150}


def test_a_course_of_four_laser_sessions() -> None:
    lea = Member("med-spa")

    days = ("Monday 2026-11-02", "Monday 2026-12-07", "Monday 2027-01-11", "Monday 2027-02-15")
    slips = [lea.buys(LASER, at=f"{day} 10:00") for day in days]

    assert [slip.points.get("laser-course", 0) for slip in slips] == [0, 0, 0, 400]


def test_gift_cards_give_points_when_they_are_used() -> None:
    lea = Member("med-spa")

    assert lea.buys(item("gift card", "300.00", kind="giftcard"), at="Monday 2026-11-02 10:00").points == {}


def test_reviews_and_friends() -> None:
    lea = Member("med-spa")

    assert lea.does("review.written", at="Monday 2026-11-02 10:00") == {"review": 50}
    assert lea.does("review.written", at="Monday 2026-11-09 10:00") == {}
    friends = [lea.does("member.referred", at=f"Monday 2026-11-02 {hour:02}:00") for hour in range(11)]
    assert friends == [{"friend": 500}] * 10 + [{}]
    assert lea.points("Wednesday 2026-12-02 00:00") == 50 + 500
    assert lea.points("Wednesday 2026-12-02 09:00") == 50 + 5_000
