"""How far it is to the next tier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import UNSET, UnsetType

from loyalty.member import Activity, Progress
from loyalty.program import program_from_json
from loyalty.standing import progress

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
PROGRAM = program_from_json(
    b'{"program":"t","currency":"EUR","time_zone":"Europe/Ljubljana","tiers":[{"id":"friend"},'
    b'{"id":"silver","from":{"points_in":"P12M","at_least":100}},{"id":"staff"},'
    b'{"id":"gold","from":{"spend_in":"P1M","at_least":50000}},{"id":"king"}],"earn":[]}'
)
PAST = (
    Activity(at=NOW - timedelta(days=400), points=1000, spent_minor=99_000, visits=1),
    Activity(at=NOW - timedelta(days=90), points=40, spent_minor=4_000, visits=1),
    Activity(at=NOW - timedelta(days=2), points=30, spent_minor=3_000, visits=1),
)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (UNSET, Progress(tier="silver", measure="points_in", counted=70, at_least=100)),
        ("friend", Progress(tier="silver", measure="points_in", counted=70, at_least=100)),
        ("unheard of", Progress(tier="silver", measure="points_in", counted=70, at_least=100)),
        # what is given by hand is no aim
        ("silver", Progress(tier="gold", measure="spend_in", counted=3_000, at_least=50_000)),
        ("gold", UNSET),
        ("king", UNSET),
    ],
)
def test_it_is_counted_in_the_window_of_the_next_tier_that_activity_reaches(
    held: str | UnsetType, expected: Progress | UnsetType
) -> None:
    assert progress(PROGRAM, held, PAST, NOW) == expected


def test_more_taken_back_than_earned_is_nothing_yet() -> None:
    past = (Activity(at=NOW - timedelta(days=2), points=-30),)

    assert progress(PROGRAM, UNSET, past, NOW) == Progress(tier="silver", measure="points_in", counted=0, at_least=100)


def test_without_tiers_there_is_no_next() -> None:
    program = program_from_json(b'{"program":"t","currency":"EUR","earn":[]}')

    assert progress(program, UNSET, PAST, NOW) is UNSET
