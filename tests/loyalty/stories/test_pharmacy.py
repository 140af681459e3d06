"""Green Cross (docs/programs/pharmacy.md)."""

from __future__ import annotations

from tests.loyalty.stories.shop import Member, item


def test_vitamins_give_points_after_three_days_and_a_prescription_none() -> None:
    vera = Member("pharmacy")

    slip = vera.buys(
        item("vitamins", "1250.00"), item("antibiotic", "800.00", "prescription"), at="Thursday 2026-11-26 10:00"
    )

    assert slip.points == {"base": 12}
    assert vera.balance("Sunday 2026-11-29 09:59").pending == 12
    assert vera.points("Sunday 2026-11-29 09:59") == 0
    assert vera.points("Sunday 2026-11-29 10:00") == 12
    assert vera.points("Friday 2027-11-26 10:00") == 0


def test_parents_get_more_for_baby_care() -> None:
    nappies = item("nappies", "990.00", category="baby")

    assert Member("pharmacy", segments=["parents"]).buys(nappies, at="Thursday 2026-11-26 10:00").points == {
        "base": 9,
        "baby": 19,
    }
    assert Member("pharmacy").buys(nappies, at="Thursday 2026-11-26 10:00").points == {"base": 9}


def test_the_birthday_month_gives_a_hundred_points_once_for_two_months() -> None:
    vera = Member("pharmacy", birth_month=11)

    assert vera.buys(item("tea", "990.00"), at="Monday 2026-11-23 10:00").points == {"base": 9}
    assert vera.buys(item("cream", "1500.00"), at="Tuesday 2026-11-24 10:00").points == {"base": 15, "birthday": 100}
    assert vera.buys(item("cream", "1500.00"), at="Wednesday 2026-11-25 10:00").points == {"base": 15}
    assert vera.buys(item("cream", "1500.00"), at="Tuesday 2026-12-01 10:00").points == {"base": 15}
    assert vera.points("Sunday 2027-01-24 09:00") == 9 + 15 + 100 + 15 + 15
    assert vera.points("Sunday 2027-01-24 10:00") == 9 + 15 + 15 + 15


def test_a_return_takes_no_more_than_there_is() -> None:
    vera = Member("pharmacy", birth_month=11, owes=6)
    cream = vera.buys(item("cream", "1500.00"), at="Tuesday 2026-11-24 10:00")
    assert cream.points == {"base": 15, "birthday": 100}
    assert vera.points("Sunday 2027-02-28 10:00") == 9

    # the hundred points of the birthday expired; of the fifteen she has nine
    vera.brings_back(cream, at="Monday 2027-03-01 10:00")

    assert vera.points("Monday 2027-03-01 10:00") == 0


def test_the_app_once_and_two_surveys_a_month() -> None:
    vera = Member("pharmacy")

    assert vera.does("app.installed", at="Monday 2026-11-02 10:00") == {"app": 50}
    assert vera.does("app.installed", at="Monday 2027-02-01 10:00") == {}
    assert [vera.does("survey.answered", at=f"Monday 2026-11-{day} 10:00") for day in ("09", "16", "23")] == [
        {"survey": 20},
        {"survey": 20},
        {},
    ]
    assert vera.does("survey.answered", at="Tuesday 2026-12-01 10:00") == {"survey": 20}


def test_what_the_till_printed_is_kept() -> None:
    vera = Member("pharmacy")

    assert vera.buys(item("tea", "1250.00"), at="Monday 2026-11-23 10:00", promised=14).points == {
        "base": 12,
        "goodwill": 2,
    }
    assert vera.buys(item("tea", "1250.00"), at="Monday 2026-11-23 11:00", promised=8).points == {"base": 12}
