"""When a version on trial is kept, and when it is gone back from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.updating.trial import (
    KEPT_AFTER_S,
    MAX_REFUSED,
    UNWELL_FOR_S,
    WELL_WITHIN_S,
    Probation,
    Record,
    Trial,
    is_well,
    judged,
    superfluous,
    watched,
    worse,
)
from sync.program_versions import newer, version_key

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_one_that_ends_again_and_again_is_not_well_because_it_answers_in_between() -> None:
    probation, now = Probation(since=0.0), 0.0
    while judged(probation, now) == "wait":
        now += 2
        probation = watched(probation, is_well=now % 6 == 0, now=now)
    assert (judged(probation, now), now < WELL_WITHIN_S + 6) == ("revert", True)


def played(*answers: tuple[float, bool]) -> list[str]:
    """The verdict after each look, at seconds since the switch."""
    probation, verdicts = Probation(since=0.0), list[str]()
    for at, well in answers:
        probation = watched(probation, is_well=well, now=at)
        verdicts.append(judged(probation, at))
    return verdicts


def test_one_that_never_gets_well_is_gone_back_from_within_a_minute() -> None:
    assert played((2, False), (WELL_WITHIN_S - 1, False), (WELL_WITHIN_S, False)) == ["wait", "wait", "revert"]
    assert WELL_WITHIN_S < 60


def test_one_that_stays_well_is_kept() -> None:
    assert played((5, True), (5 + KEPT_AFTER_S - 1, True), (5 + KEPT_AFTER_S, True)) == ["wait", "wait", "keep"]


def test_a_short_fall_only_costs_time() -> None:
    falls_once = played((5, True), (298, True), (300, False), (302, True), (5 + KEPT_AFTER_S, True))
    assert falls_once == ["wait"] * 5
    assert played((5, True), (298, True), (300, False), (302, True), (302 + KEPT_AFTER_S, True))[-1] == "keep"


def test_one_that_falls_and_stays_down_is_gone_back_from() -> None:
    assert played((5, True), (100, False), (5 + UNWELL_FOR_S, False))[-1] == "revert"


def test_one_that_keeps_falling_is_not_watched_for_ever() -> None:
    verdicts = played(*((10.0 * step, step % 3 != 0) for step in range(1, 200)))
    assert "revert" in verdicts
    assert "keep" not in verdicts


@given(st.lists(st.tuples(st.floats(0.1, 20), st.booleans()), min_size=1, max_size=300))
def test_every_trial_ends(steps: list[tuple[float, bool]]) -> None:
    """Whatever the agent answers, a verdict comes within twice the time that keeps one, and the longest fall."""
    probation, now = Probation(since=0.0), 0.0
    for took, well in steps:
        now += took
        probation = watched(probation, is_well=well, now=now)
        if judged(probation, now) != "wait":
            return
    assert now <= 2 * KEPT_AFTER_S + KEPT_AFTER_S


@pytest.mark.parametrize(
    ("verdict", "before", "well"),
    [
        ("healthy", "healthy", True),
        ("degraded", "healthy", True),
        ("problem", "healthy", False),
        ("problem", "problem", True),
        ("not_enrolled", "not_enrolled", True),
        ("not_enrolled", "healthy", False),
        (None, "", False),
    ],
)
def test_well_is_no_worse_than_before(verdict: str | None, before: str, well: bool) -> None:
    assert is_well(verdict, before) is well


def test_worse_is_what_fails_and_did_not_before() -> None:
    assert worse(("scanner b", "scanner a", "receipts pos"), ("receipts pos",)) == ("scanner a", "scanner b")
    assert worse((), ("scanner a",)) == ()
    # nobody answered before: then whatever answers is no worse
    assert worse(("scanner a",), None) == ()


def test_what_was_given_up_is_remembered_and_forgotten_when_asked_for() -> None:
    failed = Record(trial=Trial(version="0.2.0", previous="0.1.0", began=NOW, verdict="", failed="no answer"))
    back = failed.gone_back(NOW)
    assert (back.trial, back.refuses("0.2.0"), back.refused[0].reason) == (None, True, "no answer")
    # once each time that a person asks
    asked = back.asked_for("0.2.0", "a")
    assert not asked.refuses("0.2.0")
    again = asked.refusing("0.2.0", NOW, "no answer again")
    assert again.asked_for("0.2.0", "a").refuses("0.2.0")
    assert not again.asked_for("0.2.0", "b").refuses("0.2.0")
    assert Record().gone_back(NOW) == Record()


def test_what_is_remembered_stays_small() -> None:
    record = Record()
    for number in range(MAX_REFUSED + 5):
        record = record.refusing(f"0.{number}.0", NOW, "broken").refusing(f"0.{number}.0", NOW, "broken again")
    assert len(record.refused) == MAX_REFUSED
    assert record.refused[-1].version == f"0.{MAX_REFUSED + 4}.0"


def test_what_can_go_is_never_in_use() -> None:
    installed = {"0.1.0", "0.2.0", "0.9.0", "0.10.0", "0.11.0"}
    assert superfluous(installed, current="0.10.0", updater="0.10.0") == {"0.1.0", "0.2.0", "0.11.0"}
    kept = superfluous(installed, current="0.2.0", updater="0.1.0")
    assert kept == {"0.9.0", "0.10.0", "0.11.0"}


def test_versions_compare_by_their_numbers() -> None:
    assert newer("0.10.0", "0.9.9")
    assert not newer("0.9.0", "0.9.0")
    for text in ("1.2", "1.2.3.4", "1.2.x", "../0.1", "1.2.-3", "1.2.3 ", "", "1.2.1234567"):
        with pytest.raises(ValueError, match="is no version"):
            version_key(text)
