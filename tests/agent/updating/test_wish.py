"""The version that is wanted, from the centre to the file that wakes the updater; and back what was given up."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from agent.updating.wish import CentreUpdates, Wish, spread, still_wanted, wish, wished
from central import releases
from central.db import tables
from tests.agent.updating.test_updater import NEW, OLD, Register
from tests.sync.centre import QUICK_HEARTBEAT_S, register, running_centre, utc_now


@pytest.fixture
def updates(tmp_path: Path) -> CentreUpdates:
    (tmp_path / "state").mkdir()
    return CentreUpdates(tmp_path / "state", Register(tmp_path / "opt").versions)


@pytest.mark.parametrize(("another_after_s", "lasts_s"), [(9.0, 10.0), (1000.0, 301.0), (0.0, 0.0)])
def test_who_asks_by_hand_does_not_wait_for_the_centres_turn(another_after_s: float, lasts_s: float) -> None:
    slept: list[float] = []

    spread(301.0, lambda: sum(slept) < another_after_s, slept.append)

    assert sum(slept) == lasts_s


@pytest.mark.parametrize("version", [OLD, "0.0.9", "latest", "../../etc", ""])
def test_what_is_not_newer_or_no_version_is_not_wished_for(
    updates: CentreUpdates, tmp_path: Path, version: str
) -> None:
    updates.wanted(version)
    assert wished(tmp_path / "state") is None


def test_the_centres_wish_counts_as_it_is_now(updates: CentreUpdates, tmp_path: Path) -> None:
    state = tmp_path / "state"
    updates.wanted("999999.0.0")
    updates.wanted(NEW)
    assert wished(state) == Wish(version=NEW)
    # a release that was stopped is wished for no more
    updates.wanted(None)
    assert wished(state) is None


def test_a_persons_wish_stands_until_it_was_taken_up(updates: CentreUpdates, tmp_path: Path) -> None:
    state, versions = tmp_path / "state", Register(tmp_path / "opt").versions
    wish(state, Wish(version="0.9.0", asked="a"))
    updates.wanted(NEW)
    assert wished(state) == Wish(version="0.9.0", asked="a")
    versions.remember(versions.record().asked_for("0.9.0", "a"))
    updates.wanted(NEW)
    assert wished(state) == Wish(version=NEW)


def test_one_that_waits_for_the_end_of_a_sale_is_not_taken_back_by_a_centre_that_wants_nothing(
    updates: CentreUpdates, tmp_path: Path
) -> None:
    state, versions = tmp_path / "state", Register(tmp_path / "opt").versions
    asked = Wish(version=NEW, asked="a")
    wish(state, asked)
    versions.remember(versions.record().asked_for(NEW, "a"))
    for wants in (None, OLD):
        updates.wanted(wants)
        assert wished(state) == asked
    # once it came to an end it is over
    versions.remember(replace(versions.record(), settled="a"))
    updates.wanted(None)
    assert wished(state) is None


@pytest.mark.parametrize(
    ("now", "stands"),
    [
        (Wish(version=NEW, asked="a"), True),
        (None, True),
        (Wish(version="0.9.0"), True),
        (Wish(version="0.9.0", asked="b"), False),
    ],
)
def test_a_persons_wish_that_was_taken_up_gives_way_to_a_person_alone(
    tmp_path: Path, now: Wish | None, stands: bool
) -> None:
    wish(tmp_path, now)
    assert still_wanted(tmp_path, Wish(version=NEW, asked="a")) is stands
    assert still_wanted(tmp_path, Wish(version=NEW)) is False


def test_what_is_no_plain_file_is_no_wish(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"version":"0.2.0"}')
    path = tmp_path / "update.json"
    path.symlink_to(tmp_path / "elsewhere")
    assert wished(tmp_path) is None
    path.unlink()
    os.mkfifo(path)
    assert wished(tmp_path) is None
    path.unlink()
    path.write_text("{")
    assert wished(tmp_path) is None


async def test_it_comes_with_the_centres_answer_and_what_was_given_up_goes_back(
    updates: CentreUpdates, tmp_path: Path
) -> None:
    versions = Register(tmp_path / "opt").versions
    versions.remember(versions.record().refusing("0.1.9", datetime(2026, 11, 29, tzinfo=UTC), "did not answer"))
    async with running_centre(tmp_path / "centre", members=1) as centre:
        async with register(tmp_path / "3", centre, updates=updates, heartbeat_s=QUICK_HEARTBEAT_S) as till:
            centre.write(lambda c: releases.offer(c, NEW, ["12"], timedelta(hours=1), utc_now()))
            await till.until(lambda: wished(tmp_path / "state") is not None)
        assert wished(tmp_path / "state") == Wish(version=NEW)
        [told] = centre.database.read_now(lambda c: c.scalars(select(tables.devices.c.given_up)).all())
        assert "0.1.9" in told
        assert "did not answer" in told
