"""Which of several programs a moment falls to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from msgspec.structs import replace

from loyalty.receipt import Receipt
from loyalty.schedule import in_force_at, judged_at

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class One(NamedTuple):
    valid_from: datetime | None
    name: str


ALWAYS, THEN, LATER = One(None, "always"), One(NOON, "then"), One(NOON + 2 * MINUTE, "later")


def test_a_moment_falls_to_the_last_that_began() -> None:
    schedule = (ALWAYS, THEN, LATER)
    assert in_force_at(schedule, NOON - timedelta(microseconds=1)) is ALWAYS
    assert in_force_at(schedule, NOON) is THEN
    assert in_force_at(schedule, NOON + MINUTE) is THEN
    assert in_force_at(schedule, NOON + 365 * 24 * 60 * MINUTE) is LATER


def test_before_the_first_there_is_none() -> None:
    assert in_force_at((), NOON) is None
    assert in_force_at((THEN, LATER), NOON - MINUTE) is None


def test_a_receipt_is_judged_by_its_own_time_before_the_register_s() -> None:
    bare = Receipt(key="k", kind="sale", currency="EUR", total_minor=1)
    captured = replace(bare, captured_at=NOON + MINUTE)
    assert judged_at(replace(captured, issued_at=NOON)) == NOON
    assert judged_at(captured) == NOON + MINUTE
    assert judged_at(bare) is None


def test_a_time_that_not_every_clock_can_show_is_none() -> None:
    bare = Receipt(key="k", kind="sale", currency="EUR", total_minor=1)
    long_ago = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    assert judged_at(replace(bare, issued_at=long_ago)) is None
    assert judged_at(replace(bare, issued_at=long_ago, captured_at=NOON)) == NOON
