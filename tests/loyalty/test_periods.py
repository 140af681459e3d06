"""Durations, expiry, and the ends of what a datetime can hold."""

from __future__ import annotations

from datetime import datetime

import pytest

from loyalty.periods import FIRST, earlier, expiry, in_utc, is_expiry, later
from tests.loyalty.receipts import MORNING


@pytest.mark.parametrize(
    ("at", "expires", "gone"),
    [
        ("2026-11-30T23:30:00+00:00", "P1M/end-of-month", "2027-02-01T00:00:00+01:00"),
        ("2026-12-31T23:30:00+00:00", "P1M/end-of-year", "2028-01-01T00:00:00+01:00"),
        # 36 hours after an evening are in the next month, and after a morning they are not
        ("2026-11-29T20:00:00+01:00", "PT36H/end-of-month", "2027-01-01T00:00:00+01:00"),
        ("2026-11-29T09:00:00+01:00", "PT36H/end-of-month", "2026-12-01T00:00:00+01:00"),
        ("2026-11-29T20:00:00+01:00", "P1M", "2026-12-29T20:00:00+01:00"),
        ("2026-11-23T09:00:00+01:00", "9999-12-31", "9999-12-31T00:00:00+01:00"),
        ("2026-11-23T09:00:00+01:00", "9999-12-30", "9999-12-31T00:00:00+01:00"),
        ("9990-11-23T09:00:00+01:00", "P9Y/end-of-year", "9999-12-31T00:00:00+00:00"),
        ("9990-10-23T09:00:00+01:00", "P9Y1M/end-of-month", "9999-12-01T00:00:00+01:00"),
        ("9990-11-23T09:00:00+01:00", "P9Y1M/end-of-month", "9999-12-31T00:00:00+00:00"),
    ],
)
def test_points_expire_on_the_programs_clock_and_never_after_the_year_9999(at: str, expires: str, gone: str) -> None:
    assert expiry(datetime.fromisoformat(at), expires, "Europe/Ljubljana") == datetime.fromisoformat(gone)


def test_nothing_is_earlier_than_the_first_of_all_days() -> None:
    assert earlier(datetime.fromisoformat("0003-01-01T00:00:00+00:00"), "P9Y", "UTC") == FIRST


def test_what_is_no_duration_is_an_error_that_quotes_it() -> None:
    with pytest.raises(ValueError, match="'14 days' is no ISO 8601 duration"):
        later(MORNING, "14 days", "UTC")


def test_a_time_that_utc_has_no_date_for_is_its_first_or_last_day() -> None:
    first, last = datetime.fromisoformat("0001-01-01T00:30+01:00"), datetime.fromisoformat("9999-12-31T23:30-01:00")

    assert in_utc(first) == FIRST
    assert in_utc(last).isoformat() == "9999-12-31T00:00:00+00:00"
    assert in_utc(datetime.fromisoformat("2026-11-22T09:00+01:00")).isoformat() == "2026-11-22T08:00:00+00:00"


def test_an_end_is_written_as_a_day_or_a_duration() -> None:
    assert [is_expiry(text) for text in ("2027-12-31", "P3M", "P1Y/end-of-year", "soon")] == [True, True, True, False]
