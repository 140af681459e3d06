"""An update from the wish to the kept version or back, cut at every moment."""

from __future__ import annotations

import errno
import io
import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import installer
from agent.cli.connection import TIMEOUT_S
from agent.updating.releases import ReleaseRefusedError, ReleaseUnreachableError
from agent.updating.services import ServiceError
from agent.updating.trial import KEPT_AFTER_S, MAX_STARTS, STARTS_WITHIN_S, UNWELL_FOR_S, WELL_WITHIN_S, Record
from agent.updating.updater import HUNG_AFTER_S, Glance, Updater
from agent.updating.versions import NoRoomError, Versions

OLD, NEW = "0.1.0", "0.2.0"
# What an agent takes to start at most.
READY_WITHIN_S = 1.5


class Cut(BaseException):
    """The power went."""


class Register:
    """A machine with its services and its folder of versions; it counts what touches it, and can be cut at each."""

    def __init__(self, root: Path, *broken: str) -> None:
        self.versions = Versions(root)
        self.root = root
        if not root.exists():
            folder = root / "versions" / OLD
            (folder / "lib").mkdir(parents=True)
            (folder / "bin").mkdir()
            (folder / "bin" / "tillside").touch()
            self.versions.use(OLD)
            self.versions.watch_with(OLD)
        self.running = self.versions.current()
        self.archive = archive()
        self.now = 0.0
        self.steps = 0
        self.cut_at: int | None = None
        self.selling_until = 0.0
        self.reason = ""
        self.store_reason = ""
        self.broken = set(broken)
        self.failing: dict[str, set[str]] = {}
        self.starting: dict[str, set[str]] = {}
        self.mute = False
        self.mute_versions: set[str] = set()
        self.answer_takes_s = 0.0
        self.stop_takes_s = 0.0
        self.started: dict[str, float] = {}
        self.to_come: list[tuple[float, Callable[[], None]]] = []
        self.refused: Exception | None = None
        self.seen: list[str] = []
        self.unstartable: set[str] = set()
        self.relay = self.versions.current()
        self.relay_broken: set[str] = set()
        self.relay_settings_broken = ""
        self.relay_refused: dict[str, str] = {}
        self.relay_is_checkable = True
        self.no_room = False

    def step(self) -> None:
        self.steps += 1
        if self.cut_at is not None and self.steps >= self.cut_at:
            raise Cut

    # Machine

    def fetch(self, version: str) -> Path:
        self.step()
        if self.refused is not None:
            raise self.refused
        path = self.root / "archive"
        path.write_bytes(self.archive)
        return path

    def glance(self) -> Glance | None:
        self.step()
        if self.running is None or self.mute:
            return None
        if self.running in self.mute_versions:
            self.now += self.answer_takes_s
            return None
        failing = tuple(sorted(self.failing.get(self.running, ())))
        verdict = "problem" if self.running in self.broken else "degraded" if failing else "healthy"
        is_selling = self.now < self.selling_until
        starting = tuple(sorted(self.starting.get(self.running, ())))
        return Glance(version=self.running, verdict=verdict, is_selling=is_selling, failing=failing, starting=starting)

    def check(self, command: Path) -> str:
        self.step()
        assert command.is_file()
        return self.reason

    def try_store(self, command: Path) -> str:
        self.step()
        assert self.running is None, "the agent has its store open"
        if self.no_room:
            raise NoRoomError("10 MB have to be free")
        return self.store_reason

    def relay_problem(self) -> str:
        self.step()
        return self.relay_settings_broken

    def check_relay(self, command: Path) -> str:
        self.step()
        if not self.relay_is_checkable:
            raise ServiceError("systemd does not answer")
        return self.relay_refused.get(command.parents[1].name, "")

    # Services

    def stop(self) -> None:
        self.step()
        assert self.now >= self.selling_until, "a sale is open"
        self.seen.append("stop")
        self.running, self.mute = None, False

    def start(self) -> None:
        self.step()
        current = self.versions.current()
        assert current is not None
        if current in self.unstartable:
            self.running = None
            raise ServiceError("it does not start")
        if self.running is not None:
            self.now += self.stop_takes_s
        self.running = current
        self.started[current] = self.now
        self.seen.append(current)

    def runs(self) -> bool:
        return self.running is not None

    def relay_runs(self) -> bool:
        return self.relay is not None

    def renew_relay(self) -> None:
        self.step()
        self.relay = None
        if self.versions.current() in self.relay_broken or self.relay_settings_broken:
            raise ServiceError("the relay does not start")
        self.relay = self.versions.current()
        self.seen.append("relay")

    def updater(self) -> Updater:
        return Updater(
            self.versions,
            self,
            self,
            now=lambda: datetime(2026, 11, 29, tzinfo=UTC),
            monotonic_s=lambda: self.now,
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        self.step()
        self.now += seconds
        due = [act for at, act in self.to_come if at <= self.now]
        self.to_come = [one for one in self.to_come if one[0] > self.now]
        for act in due:
            act()


def archive(*, names: tuple[str, ...] = ("bin/tillside", "lib/agent.py")) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        for name in names:
            member = tarfile.TarInfo(name.rstrip("/@"))
            member.size, member.mode = 3, 0o755
            if name[-1] in "/@":
                member.type, member.size = (tarfile.DIRTYPE, 0) if name[-1] == "/" else (tarfile.SYMTYPE, 0)
                member.linkname = "/etc" if name[-1] == "@" else ""
            tar.addfile(member, io.BytesIO(b"abc"))
    return packed.getvalue()


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return Register(tmp_path / "opt")


def test_a_good_version_is_kept_and_watches_from_then_on(register: Register) -> None:
    assert register.updater().update_to(NEW) == "in_use"
    versions = register.versions
    assert (register.running, versions.current(), versions.updater()) == (NEW, NEW, NEW)
    assert versions.record().trial is None
    assert register.now >= KEPT_AFTER_S
    # the agent was stopped and started once, and the relay goes over at the end
    assert register.seen == ["stop", NEW, "relay"]
    assert versions.installed() == {OLD, NEW}


def test_one_that_is_unwell_is_gone_back_from_by_itself_and_not_tried_again(register: Register) -> None:
    register.broken.add(NEW)
    updater = register.updater()
    assert updater.update_to(NEW) == "given_up"
    assert (register.running, register.versions.current(), register.versions.updater()) == (OLD, OLD, OLD)
    assert register.now < 60
    [refused] = register.versions.record().refused
    assert (refused.version, refused.reason) == (NEW, "the agent of 0.2.0 says of itself: problem")
    fetched = register.steps
    assert updater.update_to(NEW) == "given_up"
    assert register.steps == fetched


def test_one_that_does_not_start_is_gone_back_from_at_once(register: Register) -> None:
    register.unstartable.add(NEW)
    assert register.updater().update_to(NEW) == "given_up"
    assert register.running == OLD
    assert register.now < WELL_WITHIN_S


def test_one_that_fails_its_own_test_never_stops_the_agent(register: Register) -> None:
    register.reason = "its self-test failed: no zstd"
    assert register.updater().update_to(NEW) == "given_up"
    assert (register.running, register.seen) == (OLD, [])
    assert register.versions.record().refuses(NEW)


def test_one_that_cannot_read_the_store_is_not_put_in_use(register: Register) -> None:
    register.store_reason = "its self-test failed: no such column"
    assert register.updater().update_to(NEW) == "given_up"
    assert (register.running, register.versions.current()) == (OLD, OLD)
    record = register.versions.record()
    assert (record.trial, record.refuses(NEW)) == (None, True)


def test_it_waits_until_the_sale_is_over(register: Register) -> None:
    register.selling_until = 125.0
    assert register.updater().update_to(NEW) == "in_use"  # `stop` asserts that no sale was open
    assert register.running == NEW


def test_a_sale_that_never_ends_is_never_interrupted(register: Register) -> None:
    register.selling_until = float("inf")
    assert register.updater().update_to(NEW) == "not_now"
    assert (register.running, register.seen) == (OLD, [])


@pytest.mark.parametrize("problem", [ReleaseRefusedError("not signed"), ReleaseUnreachableError("no answer")])
def test_what_is_not_proven_or_not_there_is_asked_for_again_another_time(
    register: Register, problem: Exception
) -> None:
    register.refused = problem
    assert register.updater().update_to(NEW) == "not_now"
    assert not register.versions.record().refuses(NEW)
    assert (register.running, register.versions.installed()) == (OLD, {OLD})


def test_what_is_not_wanted_any_more_does_not_stop_the_till(register: Register) -> None:
    assert register.updater().update_to(NEW, is_wanted=lambda: False) == "not_now"
    assert (register.running, register.seen) == (OLD, [])


def test_a_disk_without_room_for_a_copy_is_tried_again_another_time(register: Register) -> None:
    register.no_room = True
    assert register.updater().update_to(NEW) == "not_now"
    record = register.versions.record()
    assert (register.running, record.trial, record.refuses(NEW)) == (OLD, None, False)


def test_one_whose_relay_does_not_come_up_is_gone_back_from(register: Register) -> None:
    register.relay_broken = {NEW}
    assert register.updater().update_to(NEW) == "given_up"
    assert (register.running, register.versions.updater()) == (OLD, OLD)
    # the relay prints by the version before again
    assert register.seen[-2:] == [OLD, "relay"]


def test_a_relay_that_comes_up_in_neither_version_does_not_hold_up_the_agent(register: Register) -> None:
    # Given settings of the relay that no version reads
    register.relay_broken = {OLD, NEW}
    assert register.updater().update_to(NEW) == "not_now"
    assert (register.running, register.versions.record().trial) == (OLD, None)

    # Then nobody restarts the agent again and again, nor is the version tried for ever
    seen = len(register.seen)
    register.updater().take_up()
    assert len(register.seen) == seen
    assert [register.updater().update_to(NEW) for _ in range(3)] == ["not_now", "given_up", "given_up"]
    assert register.versions.record().refuses(NEW)


def test_a_relay_whose_settings_were_broken_meanwhile_prints_on_by_those_it_has(register: Register) -> None:
    """Nobody's update takes the printer away for what somebody wrote into a file."""
    register.relay_settings_broken = "relay.toml: no such printer"
    with capture_logs() as logged:
        assert register.updater().update_to(NEW) == "in_use"

    assert (register.running, register.versions.updater(), register.relay) == (NEW, NEW, OLD)
    assert register.versions.record() == Record()
    [left] = [one for one in logged if one["event"] == "update_relay_left"]
    assert "no such printer" in left["reason"]


def test_one_that_does_not_take_the_relays_settings_is_gone_back_from_before_the_relay_stops(
    register: Register,
) -> None:
    register.relay_refused[NEW] = "relay.toml: idle_ms is no option"
    assert register.updater().update_to(NEW) == "given_up"

    assert (register.running, register.relay, "relay" in register.seen) == (OLD, OLD, False)
    assert "idle_ms" in register.versions.record().refused[0].reason


def test_settings_of_a_relay_that_does_not_run_are_nobodys_concern(register: Register) -> None:
    register.relay, register.relay_refused[NEW] = None, "relay.toml is not there"
    assert register.updater().update_to(NEW) == "in_use"
    assert register.versions.record() == Record()


def test_where_nobody_can_ask_the_new_version_the_relay_is_tried(register: Register) -> None:
    register.relay_is_checkable = False
    assert register.updater().update_to(NEW) == "in_use"
    assert register.relay == NEW


def test_one_in_which_a_scanner_fails_that_did_not_before_is_gone_back_from(register: Register) -> None:
    register.failing = {OLD: {"receipts spool"}, NEW: {"receipts spool", "scanner counter"}}
    assert register.updater().update_to(NEW) == "given_up"
    assert (register.running, register.versions.current()) == (OLD, OLD)
    [refused] = register.versions.record().refused
    assert refused.reason == "in 0.2.0 there fails, and did not before: scanner counter"


def test_a_machine_that_stood_still_is_no_fault_of_the_new_version(register: Register) -> None:
    """systemd killed an agent that had said nothing all that time; it comes up once the machine goes on."""

    def stands_still() -> None:
        register.now += 200
        register.mute = True
        after(register, register.now + WELL_WITHIN_S - 5, speaks)

    def speaks() -> None:
        register.mute = False

    after(register, 60, stands_still)
    assert register.updater().update_to(NEW) == "in_use"
    assert register.now > KEPT_AFTER_S + 200


def test_one_that_does_not_come_up_after_that_is_gone_back_from(register: Register) -> None:
    def stands_still() -> None:
        register.now += 200
        register.mute_versions = {NEW}

    after(register, 60, stands_still)
    assert register.updater().update_to(NEW) == "given_up"
    assert (register.running, register.now < 60 + 200 + 2 * UNWELL_FOR_S) == (OLD, True)


def test_one_in_which_a_scanner_never_comes_up_is_gone_back_from(register: Register) -> None:
    """It neither opens nor fails: the agent answers, and nothing is ever heard of it."""
    register.starting[NEW] = {"scanner counter"}
    assert register.updater().update_to(NEW) == "given_up"
    assert (register.running, "scanner counter" in register.versions.record().refused[0].reason) == (OLD, True)


def test_one_that_takes_its_time_to_come_up_is_kept(register: Register) -> None:
    register.starting[NEW] = {"receipts folder"}
    after(register, STARTS_WITHIN_S - 1, register.starting.clear)
    assert register.updater().update_to(NEW) == "in_use"


@pytest.mark.parametrize("was", ["failing", "starting"])
def test_what_did_not_come_up_before_either_is_no_fault_of_the_new_version(register: Register, was: str) -> None:
    getattr(register, was)[OLD] = {"scanner counter"}
    register.starting[NEW] = {"scanner counter"}
    assert register.updater().update_to(NEW) == "in_use"


def test_nor_is_what_does_not_come_up_in_the_version_before_any_more(register: Register) -> None:
    register.starting[NEW] = {"scanner counter"}
    after(register, STARTS_WITHIN_S, lambda: register.starting.update({OLD: {"scanner counter"}}))
    assert register.updater().update_to(NEW) == "not_now"
    assert register.running == OLD


def test_what_failed_before_is_no_fault_of_the_new_version(register: Register) -> None:
    register.failing = {OLD: {"scanner counter"}, NEW: {"scanner counter"}}
    assert register.updater().update_to(NEW) == "in_use"


def test_one_in_which_a_scanner_begins_to_fail_later_is_gone_back_from(register: Register) -> None:
    plug(register, NEW, "scanner counter", at=100.0)
    assert register.updater().update_to(NEW) == "given_up"
    assert register.running == OLD


def test_a_cable_that_was_pulled_during_the_trial_is_no_fault_of_the_version(register: Register) -> None:
    # Given a scanner that fails in both from then on
    plug(register, NEW, "scanner counter", at=100.0)
    plug(register, OLD, "scanner counter", at=100.0)

    # Then it goes back to be sure, and is tried another time, when it is known that this one failed before
    assert register.updater().update_to(NEW) == "not_now"
    assert (register.running, register.versions.record().refused) == (OLD, ())
    assert register.updater().update_to(NEW) == "in_use"


def test_a_till_is_not_stopped_for_ever_for_what_fails_now_and_then(register: Register) -> None:
    for attempt in ("not_now", "not_now", "given_up"):
        register.failing = {}
        plug(register, NEW, "scanner counter", at=register.now + 100.0)
        plug(register, OLD, "scanner counter", at=register.now + 100.0)
        assert register.updater().update_to(NEW) == attempt
    assert register.versions.record().refuses(NEW)


def test_an_agent_that_is_busy_and_does_not_answer_is_not_stopped(register: Register) -> None:
    register.mute = True
    register.selling_until = HUNG_AFTER_S - 60
    after(register, HUNG_AFTER_S - 30, lambda: setattr(register, "mute", False))
    assert register.updater().update_to(NEW) == "in_use"  # `stop` asserts that no sale was open
    assert register.seen[0] == "stop"


def test_one_that_hangs_can_be_updated(register: Register) -> None:
    register.mute = True
    assert register.updater().update_to(NEW) == "in_use"
    assert register.now >= HUNG_AFTER_S


def test_one_that_does_not_run_is_not_waited_for(register: Register) -> None:
    register.running = None
    assert register.updater().update_to(NEW) == "in_use"
    assert register.now < KEPT_AFTER_S + 60


@pytest.mark.parametrize("silent", [False, True])
def test_who_comes_to_the_till_at_the_last_moment_is_not_interrupted(register: Register, silent: bool) -> None:
    def asked_last() -> bool:
        register.selling_until, register.mute = float("inf"), silent
        return True

    assert register.updater().update_to(NEW, is_wanted=asked_last) == "not_now"
    assert (register.running, register.seen) == (OLD, [])


def test_a_disk_that_fills_up_is_not_left_full(register: Register) -> None:
    register.refused = OSError(errno.ENOSPC, "no space left")
    (register.root / "versions" / ".unpacking-0.2.0").mkdir()
    assert register.updater().update_to(NEW) == "not_now"
    assert_whole(register)
    assert not register.versions.record().refuses(NEW)


@pytest.mark.parametrize("how", ["says so", "fails", "hangs", "later"])
def test_the_version_before_runs_again_within_a_minute(register: Register, how: str) -> None:
    """By the times as they are, with an agent that does not stop before it is killed: from when the new version was
    started, or fell, until the one before is ready.
    """
    register.stop_takes_s = stop_timeout_s()
    fell = 100.0 if how == "later" else 0.0
    if how == "says so":
        register.broken.add(NEW)
    elif how == "hangs":
        register.mute_versions, register.answer_takes_s = {NEW}, TIMEOUT_S
    else:
        plug(register, NEW, "scanner counter", at=fell)

    assert register.updater().update_to(NEW) == "given_up"

    assert register.seen == ["stop", NEW, OLD]
    assert register.started[OLD] + READY_WITHIN_S - max(fell, register.started[NEW]) < 60


def test_another_that_somebody_installs_meanwhile_counts(register: Register) -> None:
    """A package: its folder is there, the one before is gone."""
    cut(register, lambda updater: updater.update_to(NEW), 16, reboots=False)
    assert register.versions.record().trial is not None
    register.versions.unpack(register.fetch("0.3.0"), "0.3.0")
    register.versions.use("0.3.0")
    register.versions.remove(OLD)
    register.running = "0.3.0"
    register.updater().take_up()
    assert (register.running, register.versions.current()) == ("0.3.0", "0.3.0")
    assert register.versions.record().trial is None


def test_a_stop_that_is_cut_again_and_again_is_given_up(register: Register) -> None:
    for at in (10, 9, 9):  # it is fetched once
        assert not register.versions.record().refuses(NEW)
        cut(register, lambda updater: updater.update_to(NEW), at, reboots=False)
        assert register.running is None
        register.updater().take_up()
        assert register.running == OLD
    assert register.versions.record().refuses(NEW)


def test_an_older_version_or_the_same_is_left_alone(register: Register) -> None:
    assert register.updater().update_to(OLD) == "in_use"
    assert register.updater().update_to("0.0.9") == "in_use"
    assert register.steps == 0


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("reboots", [False, True])
def test_a_cut_at_any_moment_ends_in_one_version_or_the_other_and_it_runs(
    tmp_path: Path, broken: bool, reboots: bool
) -> None:
    """Each run is cut one step later; then the updater starts again, alone or with the whole machine."""
    uncut = Register(tmp_path / "uncut", *[NEW] * broken)
    uncut.updater().update_to(NEW)
    ended = set()
    for cut_at in range(1, min(uncut.steps, 60) + 1):
        register = Register(tmp_path / f"cut-{cut_at}", *[NEW] * broken)
        cut(register, lambda updater: updater.update_to(NEW), cut_at, reboots=reboots)
        register.updater().take_up()
        assert_whole(register)
        ended.add(register.versions.current())
    assert ended == ({OLD} if broken else {OLD, NEW})


def test_the_same_while_it_is_taken_up(tmp_path: Path) -> None:
    for first in (6, 8, 30):
        for cut_at in range(1, 30):
            register = Register(tmp_path / f"{first}-{cut_at}", NEW)
            cut(register, lambda updater: updater.update_to(NEW), first, reboots=True)
            cut(register, lambda updater: updater.take_up(), cut_at, reboots=cut_at % 2 == 0)
            register.updater().take_up()
            assert_whole(register)
            assert register.versions.current() == OLD


def test_a_machine_that_starts_again_and_again_is_not_left_with_the_new_version(register: Register) -> None:
    """It takes the machine down with it before anybody could see it unwell."""
    cut(register, lambda updater: updater.update_to(NEW), 12, reboots=True)
    for _ in range(MAX_STARTS - 1):
        assert register.versions.current() == NEW
        cut(register, lambda updater: updater.take_up(), 5, reboots=True)
    register.updater().take_up()
    assert (register.running, register.versions.current()) == (OLD, OLD)
    assert f"started {MAX_STARTS} times" in register.versions.record().refused[0].reason


@pytest.mark.parametrize("broken", [False, True])
def test_nor_does_a_cut_before_any_change_of_a_file_leave_half_of_either(tmp_path: Path, broken: bool) -> None:
    """What an update makes, renames and removes is counted, and each run is cut before the next of it."""
    uncut = Register(tmp_path / "uncut", *[NEW] * broken)
    with changes_of(uncut.root) as changes:
        uncut.updater().update_to(NEW)
    ended = set()
    for cut_at in range(1, len(changes) + 1):
        register = Register(tmp_path / f"cut-{cut_at}", *[NEW] * broken)
        with changes_of(register.root, cut_at), suppress(Cut):
            register.updater().update_to(NEW)
        if cut_at % 2:
            register.running = register.versions.current()
        register.updater().take_up()
        assert_whole(register)
        if NEW in register.versions.installed():
            assert (register.root / "versions" / NEW / "lib" / "agent.py").read_bytes() == b"abc"
        ended.add(register.versions.current())
    assert len(changes) > 20
    assert ended == ({OLD} if broken else {OLD, NEW})


def after(register: Register, at: float, act: Callable[[], None]) -> None:
    """Once the register's clock is there."""
    register.to_come.append((at, act))


def stop_timeout_s() -> float:
    """After which the agent's unit is killed."""
    unit = Path(installer.__file__).parent / "systemd" / "tillside.service"
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)s$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    return float(seconds)


def plug(register: Register, version: str, worker: str, *, at: float) -> None:
    """From then on this worker fails in that version."""
    after(register, at, lambda: register.failing.setdefault(version, set()).add(worker))


def cut(register: Register, work: Callable[[Updater], object], at: int, *, reboots: bool) -> None:
    """The updater is gone at its `at`th step, if it takes so many; what the system starts by itself is there again."""
    register.steps, register.cut_at = 0, at
    with suppress(Cut):
        work(register.updater())
    register.cut_at = None
    if reboots:
        register.running = register.versions.current()


def assert_whole(register: Register) -> None:
    versions = register.versions
    assert register.running == versions.current()
    assert versions.current() in versions.installed()
    assert versions.updater() in versions.installed()
    assert versions.record().trial is None
    assert not list((register.root / "versions").glob(".*"))


_CHANGES = {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
_heard: list[Callable[[str, str], None]] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if _heard and event in _CHANGES:
        _heard[-1](event, str(arguments[1] if event == "os.symlink" else arguments[0]))


# A hook stays for as long as the process does.
sys.addaudithook(_hear)


@contextmanager
def changes_of(root: Path, cut_at: int | None = None) -> Iterator[list[str]]:
    """What Python opens or changes of the files below `root`; from the `cut_at`th on the power is gone."""
    changes: list[str] = []

    def heard(event: str, path: str) -> None:
        if path.startswith(str(root)) or event == "os.rmdir":  # which names its folder by a handle
            changes.append(event)
            if cut_at is not None and len(changes) >= cut_at:
                raise Cut

    _heard.append(heard)
    try:
        yield changes
    finally:
        _heard.remove(heard)
