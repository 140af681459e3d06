"""Which registers are offered a release, what stops it, and the commands for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import Connection, insert, select, update
from typer.testing import CliRunner

from central import devices, releases
from central.alerting import message_of_releases
from central.cli import app
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from central.releases import ReleaseRefusedError
from central.rings import RINGS, SILENT_AFTER, Device, Judgement, Ring, judged, takes
from sync.wire import GivenUp, HeartbeatRequest, RegisterState, WorkerState

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SOAK = timedelta(hours=24)
NEW, OLD = "0.2.0", "0.1.0"

Within = Callable[[Callable[[Connection], None]], None]


def device(number: int, version: str = NEW, *, ago: timedelta = timedelta(0), gave_up: str = "") -> Device:
    return Device(id=f"d{number}", store="7", version=version, last_contact=NOW - ago, gave_up=gave_up)


def judgement(devices: list[Device], ring: Ring = "all", *, since: datetime = NOW - SOAK) -> Judgement:
    return judged(NEW, ring, ["7"], devices, since=since, soak=SOAK, now=NOW)


def test_rings_hold_one_another() -> None:
    chosen = {ring: {n for n in range(5000) if takes(f"d{n}", "7", ring, ())} for ring in RINGS}
    assert chosen["canary"] < chosen["tenth"] < chosen["all"]
    assert len(chosen["canary"]) == pytest.approx(50, abs=25)
    assert len(chosen["tenth"]) == pytest.approx(500, abs=75)


@given(st.text(max_size=12), st.sampled_from(["7", "8"]), st.sets(st.sampled_from(["7", "8", "9"])))
def test_whoever_is_in_a_ring_is_in_the_next(identity: str, store: str, canaries: set[str]) -> None:
    inside = [takes(identity, store, ring, canaries) for ring in RINGS]
    assert inside == sorted(inside)
    assert inside[-1]


def test_stores_that_are_named_go_first_and_alone() -> None:
    assert takes("any", "7", "canary", ["7"])
    assert not any(takes(f"d{n}", "8", "canary", ["7"]) for n in range(200))


def test_a_ring_is_through_when_it_runs_there_for_long_enough() -> None:
    nearly_all = [*map(device, range(18)), device(18, OLD), device(19, OLD)]
    assert judgement(nearly_all) == Judgement(on=True, runs=18, of=20)
    assert not judgement(nearly_all, since=NOW - SOAK / 2).on
    assert not judgement([*nearly_all, device(20, OLD)]).on
    assert not judgement([]).on


def test_who_is_off_for_days_is_not_waited_for() -> None:
    away = [device(n, OLD, ago=timedelta(days=8)) for n in range(10, 20)]
    assert judgement([*map(device, range(10)), *away]).on


def test_one_that_gives_it_up_stops_the_first_ring() -> None:
    failed = judgement([*map(device, range(50)), device(50, OLD, gave_up="no answer")], "canary")
    assert failed.stop == "1 of 51 registers gave it up, such as d50: no answer"
    assert not failed.on


def test_later_a_machine_may_break_by_itself() -> None:
    one_of_many = [*map(device, range(200)), device(200, OLD, gave_up="disk")]
    assert judgement(one_of_many).stop == ""
    assert judgement([*one_of_many, device(201, OLD, gave_up="x"), device(202, OLD, gave_up="x")]).stop


QUIET = SILENT_AFTER + timedelta(minutes=1)


def other(number: int, *, ago: timedelta = timedelta(0)) -> Device:
    """A register of a store to which it is not offered."""
    return replace(device(number, OLD, ago=ago), store="8")


def offered(devices: list[Device], days: float = 3, ring: Ring = "canary") -> Judgement:
    return judgement(devices, ring, since=days_ago(days))


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


OTHERS = [other(n) for n in range(100, 600)]


@pytest.mark.parametrize("days", [1.2, 2, 5, 6.9, 7.1, 30])
def test_a_release_that_ends_registers_before_they_tell_of_it_stops(days: float) -> None:
    # Given nine of ten that were heard until 20 min after it was offered, and told the version before
    dead = [device(n, OLD, ago=timedelta(days=days, minutes=-20)) for n in range(1, 10)]
    found = offered([device(0), *dead, *OTHERS], days)
    assert found.stop == "9 of 10 registers that it was offered to are silent, such as d1"
    assert (found.on, found.lost) == (False, tuple(f"d{n}" for n in range(1, 10)))


def test_a_few_of_many_stop_it_where_others_are_heard() -> None:
    dead = [device(n, OLD, ago=timedelta(days=5)) for n in range(8)]
    took = [device(n) for n in range(8, 100)]
    assert offered([*dead, *took, *OTHERS], 6).stop
    # where there is nobody to compare with it waits, and stops when they are away for longer than any weekend
    assert offered([*dead, *took], 6).stop == ""
    assert not offered([*dead, *took], 6).on
    assert "8 of 100" in offered([*dead, *took], 6).waits
    assert offered([*(replace(one, last_contact=NOW - timedelta(days=7)) for one in dead), *took], 8).stop


def test_what_is_usual_stops_nothing() -> None:
    # one till that was put away, or one of many machines
    assert offered([*map(device, range(3)), device(3, ago=QUIET), *OTHERS]).stop == ""
    assert offered([*map(device, range(100)), *(device(n, ago=QUIET) for n in range(100, 103)), *OTHERS]).on
    # a Sunday, or the line of a carrier: those to which it is not offered are silent as well
    shut = [other(n, ago=QUIET) for n in range(100, 600)]
    assert offered([*(device(n, ago=QUIET) for n in range(10)), *shut]).stop == ""
    half = [other(n, ago=QUIET * (n % 2)) for n in range(100, 130)]
    assert offered([*map(device, range(6)), *(device(n, ago=QUIET) for n in range(6, 10)), *half]).stop == ""
    # who was off before it was offered is off for something else
    assert (
        offered([*map(device, range(10)), *(device(n, OLD, ago=timedelta(days=4)) for n in range(10, 15))]).stop == ""
    )
    # others that were off before hide nothing
    gone = [other(n, ago=timedelta(days=30)) for n in range(100, 600)]
    dead = [device(n, OLD, ago=timedelta(days=2)) for n in range(9)]
    assert offered([*dead, device(9), *gone, *(other(n) for n in range(600, 610))]).stop


def test_in_the_last_ring_a_weekend_stops_nothing_nor_does_what_is_put_away_later() -> None:
    shut = [device(n, ago=timedelta(days=2)) for n in range(100)]
    assert judgement(shut, since=days_ago(3)) == Judgement(runs=100, of=100, on=True)
    away = [device(n, ago=timedelta(days=8)) for n in range(20)]
    assert judgement([*away, *(device(n) for n in range(20, 100))], since=days_ago(9)).stop
    assert judgement([*away, *(device(n) for n in range(20, 100))], since=days_ago(60)).stop == ""


def test_a_ring_that_gets_nowhere_says_so_after_a_while() -> None:
    idle = [device(0), *(device(n, OLD) for n in range(1, 4))]
    assert judgement(idle, "canary", since=NOW - 2 * SOAK) == Judgement(runs=1, of=4)
    late = judgement(idle, "canary", since=NOW - 3 * SOAK)
    assert (late.waits, late.is_long) == ("3 of 4 registers have not taken it for 3 d", True)
    # nobody is left: that is said at once
    excused = [replace(device(0, OLD, gave_up="disk"), excused=True)]
    alone = judgement(excused, "canary")
    assert (alone.waits, alone.is_long, alone.of) == ("no register is left in this ring to try it", False, 0)
    # and who took one after it has taken it
    assert judgement([device(n, "0.10.0") for n in range(4)], since=NOW - 3 * SOAK) == Judgement(on=True, runs=4, of=4)


def test_registers_that_become_worse_by_it_stop_it_and_a_few_cables_do_not() -> None:
    def took(worse: int, better: int, of: int) -> list[Device]:
        signs = [1] * worse + [-1] * better + [0] * (of - worse - better)
        return [replace(device(number), worse=sign) for number, sign in enumerate(signs)]

    assert judgement(took(3, 0, 20)).stop.startswith("in 3 of 20 registers that took it something fails")
    assert judgement(took(2, 0, 20)).stop == ""
    assert judgement(took(1, 0, 5)).stop == ""
    # as many were mended meanwhile
    assert judgement(took(4, 4, 20)).stop == ""
    # somebody has looked at them
    assert judgement([replace(one, excused=True) for one in took(3, 0, 20)]).stop == ""


def test_a_shop_that_closes_before_others_is_no_sign() -> None:
    evening = timedelta(hours=14)
    assert offered([*(device(n, ago=evening) for n in range(3)), *OTHERS]).stop == ""


def test_who_was_excused_neither_stops_it_nor_is_waited_for() -> None:
    excused = Device(id="d9", store="7", version=OLD, last_contact=NOW, gave_up="disk", excused=True)
    assert judgement([*map(device, range(3)), excused], "canary") == Judgement(on=True, runs=3, of=3)


@pytest.fixture
def within(data: Path) -> Iterator[Within]:
    """Runs a story in one transaction of a centre with four registers in store 7, on either database."""
    database = Database(DataFolder(data).database)

    def run(story: Callable[[Connection], None]) -> None:
        def work(connection: Connection) -> None:
            for number in range(4):
                connection.execute(
                    insert(tables.devices).values(
                        id=f"d{number}", store="7", register=str(number), public_key="k" * 43, enrolled_at=NOW,
                        version=OLD, platform="linux", last_contact=NOW,
                    )
                )  # fmt: skip
            story(connection)

        database.write_now(work)

    yield run
    database.close()


def set_version(connection: Connection, version: str) -> None:
    connection.execute(update(tables.devices).values(version=version))


def test_a_release_goes_from_ring_to_ring_by_itself(within: Within) -> None:
    def story(connection: Connection) -> None:
        releases.offer(connection, NEW, ["7"], SOAK, NOW)
        assert releases.offered_to(connection, "d1", "7") == NEW
        assert releases.offered_to(connection, "d1", "8") is None
        assert releases.move(connection, NOW + SOAK) == ()
        set_version(connection, NEW)
        later = NOW
        for ring in ("tenth", "all"):
            later += SOAK
            connection.execute(update(tables.devices).values(last_contact=later))
            [moved] = releases.move(connection, later)
            assert (moved.version, moved.ring, moved.stopped) == (NEW, ring, "")
        assert releases.offered_to(connection, "any", "8") == NEW
        assert releases.move(connection, later + SOAK) == ()

    within(story)


def test_what_a_register_says_stops_it_and_a_person_takes_it_up_again(within: Within) -> None:
    def story(connection: Connection) -> None:
        releases.offer(connection, NEW, ["7"], SOAK, NOW)
        told = releases.given_up([GivenUp(version=NEW, reason="the agent did not answer")])
        connection.execute(update(tables.devices).where(tables.devices.c.id == "d2").values(given_up=told))
        [moved] = releases.move(connection, NOW)
        assert moved.stopped == "1 of 1 registers gave it up, such as d2: the agent did not answer"
        assert releases.offered_to(connection, "d1", "7") is None
        [listed] = releases.listed(connection, NOW).releases
        assert (listed.stopped, listed.of) == (moved.stopped, 4)
        assert releases.go_on(connection, NEW, NOW) == "canary"
        # that register says it again and again, and stops it no more
        assert releases.move(connection, NOW) == ()
        assert releases.offered_to(connection, "d1", "7") == NEW
        assert releases.go_on(connection, NEW, NOW) == "tenth"
        assert releases.go_on(connection, NEW, NOW) == "all"
        with pytest.raises(ReleaseRefusedError, match="to all already"):
            releases.go_on(connection, NEW, NOW)

    within(story)


def test_heartbeats_tell_which_registers_are_worse_than_before_it_and_people_are_told_once(within: Within) -> None:
    def beat(connection: Connection, number: int, version: str, *failing: str) -> None:
        workers = tuple(WorkerState(kind=kind, name="x", condition="failing") for kind in failing)
        state = RegisterState(verdict="degraded" if failing else "healthy", workers=workers)
        known = devices.find_device(connection, f"d{number}")
        assert known is not None
        request = HeartbeatRequest(version=version, queued=0, quarantined=0, state=state)
        devices.heartbeat(connection, known, request, NOW)

    def story(connection: Connection) -> None:
        # Given registers of which one had a scanner that failed, and a release that breaks receipts
        releases.offer(connection, NEW, ["7"], SOAK, NOW)
        found = [row.id for row in connection.execute(select(tables.devices.c.id).where(tables.devices.c.store == "7"))]
        numbers = [int(one[1:]) for one in found]
        for number in numbers:
            beat(connection, number, OLD, *["scanner"] * (number == numbers[0]))
        # the network is nobody's fault, nor is what failed before
        for number in numbers:
            beat(connection, number, NEW, "sync", *["scanner"] * (number == numbers[0]))
        assert releases.move(connection, NOW) == ()
        for number in numbers:
            beat(connection, number, NEW, "receipts")
        [moved] = releases.move(connection, NOW)
        assert "something fails that did not before" in moved.stopped
        [untold] = releases.untold(connection)
        assert moved.stopped in message_of_releases([untold], "Till").text
        releases.keep_told(connection, [untold])
        assert releases.untold(connection) == ()
        # who takes it up again has seen these registers
        releases.go_on(connection, NEW, NOW)
        assert releases.move(connection, NOW) == ()
        # and who stops it knows of it
        releases.stop(connection, NEW, "by hand")
        assert releases.untold(connection) == ()

    within(story)


def test_the_newest_that_is_offered_counts(within: Within) -> None:
    def story(connection: Connection) -> None:
        for version in ("0.9.0", "0.10.0", "0.2.0"):
            releases.offer(connection, version, ["7"], SOAK, NOW)
        assert releases.offered_to(connection, "d1", "7") == "0.10.0"
        releases.stop(connection, "0.10.0", "because")
        assert releases.offered_to(connection, "d1", "7") == "0.9.0"
        with pytest.raises(ReleaseRefusedError, match="offered already"):
            releases.offer(connection, "0.9.0", (), SOAK, NOW)
        with pytest.raises(ReleaseRefusedError, match="never offered"):
            releases.stop(connection, "0.3.0", "because")

    within(story)


def test_a_small_chain_has_a_first_ring_and_a_store_of_nobody_is_refused(within: Within) -> None:
    def story(connection: Connection) -> None:
        with pytest.raises(ReleaseRefusedError, match="no register is enrolled in store 77"):
            releases.offer(connection, NEW, ["77"], SOAK, NOW)
        releases.offer(connection, NEW, (), SOAK, NOW)
        assert releases.offered_to(connection, "d1", "7") == NEW

    within(story)


def test_a_shop_that_was_shut_takes_the_release_up_again_when_it_opens(within: Within) -> None:
    def heard(connection: Connection, which: str, at: datetime, version: str = NEW) -> None:
        devices_ = tables.devices
        connection.execute(update(devices_).where(devices_.c.store == which).values(last_contact=at, version=version))

    def story(connection: Connection) -> None:
        # Given a canary store that takes it and shuts for a week, while others are open
        for number in range(10, 20):
            connection.execute(
                insert(tables.devices).values(
                    id=f"d{number}", store="8", register=str(number), public_key="k" * 43, enrolled_at=NOW,
                    version=OLD, platform="linux", last_contact=NOW,
                )
            )  # fmt: skip
        releases.offer(connection, NEW, ["7"], SOAK, NOW)
        heard(connection, "7", NOW + timedelta(hours=1))
        later = NOW + timedelta(days=4)
        heard(connection, "8", later, OLD)
        [moved] = releases.move(connection, later)
        assert moved.stopped == "4 of 4 registers that it was offered to are silent, such as d0"
        assert releases.offered_to(connection, "d0", "7") is None
        # When it opens again, in the version before: nobody knows what they went through
        opens = NOW + timedelta(days=8)
        heard(connection, "7", opens, OLD)
        assert releases.move(connection, opens) == ()
        # but in this one they are well with it
        heard(connection, "7", opens)
        heard(connection, "8", opens, OLD)
        [moved] = releases.move(connection, opens)
        assert (moved.stopped, moved.ring) == ("", "canary")
        [moved] = releases.move(connection, opens)
        assert moved.ring == "tenth"

    within(story)


def test_who_stopped_it_by_silence_does_not_stop_it_again_once_a_person_takes_it_up(within: Within) -> None:
    def story(connection: Connection) -> None:
        releases.offer(connection, NEW, ["7"], SOAK, NOW)
        connection.execute(update(tables.devices).values(last_contact=NOW + timedelta(hours=1)))
        later = NOW + timedelta(days=9)
        [moved] = releases.move(connection, later)
        assert moved.stopped
        assert releases.go_on(connection, NEW, later) == "canary"
        assert releases.move(connection, later) == ()
        [listed] = releases.listed(connection, later).releases
        assert (listed.stopped, listed.waits) == (None, "no register is left in this ring to try it")
        # once more begins with the next
        assert releases.go_on(connection, NEW, later) == "tenth"

    within(story)


def test_a_release_that_gets_nowhere_is_told_once_in_a_ring(within: Within) -> None:
    def story(connection: Connection) -> None:
        releases.offer(connection, NEW, ["7"], SOAK, NOW)
        for days in (1, 3, 4, 5):
            later = NOW + timedelta(days=days)
            connection.execute(update(tables.devices).values(last_contact=later))
            assert releases.move(connection, later) == ()
            untold = releases.untold(connection)
            assert len(untold) == (days == 3)
            if untold:
                text = message_of_releases(untold, "Till").text
                assert text.startswith(
                    "Till, releases: 0.2.0 gets nowhere\n- 0.2.0, ring canary: 4 of 4 registers have"
                )
                assert "release go-on 0.2.0" in text
                releases.keep_told(connection, untold)
        [listed] = releases.listed(connection, later).releases
        assert listed.waits == "4 of 4 registers have not taken it for 5 d"
        # in the next ring anew
        releases.go_on(connection, NEW, later)
        later += 3 * SOAK
        connection.execute(update(tables.devices).values(last_contact=later))
        releases.move(connection, later)
        assert len(releases.untold(connection)) == 1

    within(story)


def test_what_a_register_says_is_bounded() -> None:
    told = [GivenUp(version=f"{number}" * 200, reason="x" * 5000) for number in range(100)]
    assert len(releases.given_up(told)) < 32 * (300 + 64 + 40)


def test_the_commands_make_sign_offer_and_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSIDE_RELEASE_PASSPHRASE", "of a test")
    data, keys = str(tmp_path / "centre"), tmp_path / "keys"
    assert told("init", "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    release = ("release", "init", "--data", data, "--keys", str(keys))
    assert Path(told(*release)["root"]).is_file()
    assert sorted(path.name for path in keys.iterdir()) == ["root-1.pem", "root-2.pem", "root-3.pem", "targets.pem"]
    archive = tmp_path / f"tillside-{NEW}-linux-x86_64-py3.11.tar.xz"
    archive.write_bytes(b"a version")
    assert "no file of 0.2.0 is signed" in told("release", "offer", NEW, "--data", data, code=1)["error"]
    key = str(keys / "targets.pem")
    assert told("release", "sign", str(archive), "--key", key, "--data", data)["files"] == [archive.name]
    told("release", "offer", NEW, "--data", data)
    assert "offered already" in told("release", "offer", NEW, "--data", data, code=1)["error"]
    assert told("release", "list", "--data", data)["releases"][0]["ring"] == "canary"
    told("release", "stop", NEW, "--because", "a test", "--data", data)
    assert told("release", "list", "--data", data)["releases"][0]["stopped"] == "a test"
    assert told("release", "go-on", NEW, "--data", data)["ring"] == "canary"
    signed = told(
        "release", "root", "--key", str(keys / "root-1.pem"), "--key", str(keys / "root-3.pem"), "--data", data
    )
    assert len(signed["files"]) == 3
    assert "go together" in told(
        "release", "root", "--key", str(keys / "root-1.pem"), "--replaces", "x", "--data", data, code=2
    )["error"]  # fmt: skip


def told(*arguments: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == code, done.output
    answer: dict[str, Any] = json.loads(done.output.splitlines()[-1])
    return answer
