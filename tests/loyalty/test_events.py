"""Points for something else than a purchase."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from loyalty.events import Happened, event_entries
from loyalty.program import program_from_json
from tests.loyalty.receipts import MORNING

PROGRAM = program_from_json(
    b"""{"program":"p","currency":"EUR","time_zone":"Europe/Ljubljana","earn":[],"events":[
    {"id":"referral","on":"member.referred","give":{"points":300},"cap":{"month":3},"pending":"P14D"},
    {"id":"app","on":"app.installed","give":{"points":100},"cap":{"member":1},"expires":"2027-12-31"}]}"""
)


def test_an_event_gives_what_its_rule_says() -> None:
    (entry,) = event_entries(Happened(key="e1", on="member.referred", at=MORNING), program=PROGRAM, used={})

    assert (entry.entry_id, entry.points) == ("e1/referral", 300)
    assert entry.pending_until == MORNING + timedelta(days=14)
    assert event_entries(Happened(key="e2", on="survey.answered", at=MORNING), program=PROGRAM, used={}) == ()


@pytest.mark.parametrize(("times", "gives"), [(2, True), (3, False)])
def test_a_cap_of_events_counts_times(times: int, gives: bool) -> None:
    happened = Happened(key="e1", on="member.referred", at=MORNING)

    assert bool(event_entries(happened, program=PROGRAM, used={"referral": {"2026-11": times}})) is gives


def test_once_for_a_member_is_once() -> None:
    happened = Happened(key="e1", on="app.installed", at=MORNING)

    (entry,) = event_entries(happened, program=PROGRAM, used={})

    assert entry.expires_at == datetime.fromisoformat("2028-01-01T00:00:00+01:00")
    assert event_entries(happened, program=PROGRAM, used={"app": {"member": 1}}) == ()


def test_an_event_says_why_and_counts_on_the_programs_clock() -> None:
    # given the first minute of December in Ljubljana, which is November in UTC
    happened = Happened(key="e1", on="member.referred", at=datetime.fromisoformat("2026-11-30T23:00:00+00:00"))

    (entry,) = event_entries(happened, program=PROGRAM, used={"referral": {"2026-11": 3}})

    assert (entry.why, entry.basis_minor, entry.expires_at) == ("member.referred = 300", 0, None)
    assert event_entries(happened, program=PROGRAM, used={"referral": {"2026-12": 3}}) == ()


def test_points_of_an_event_expire_from_its_own_time() -> None:
    rolling = program_from_json(
        b"""{"program":"p","currency":"EUR","earn":[],"events":[
        {"id":"app","on":"app.installed","give":{"points":100},"expires":"P1M"}]}"""
    )

    (entry,) = event_entries(Happened(key="e1", on="app.installed", at=MORNING), program=rolling, used={})

    assert entry.expires_at == datetime.fromisoformat("2026-12-22T08:00:00+00:00")
