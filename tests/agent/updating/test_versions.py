"""The folder of versions: what is unpacked, what is refused, and what a cut leaves."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from agent.updating.trial import Record
from agent.updating.versions import NoRoomError, UnusableArchiveError, Versions
from tests.agent.updating.test_updater import NEW, OLD, Register, archive, assert_whole

KILLS = 100


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Register(tmp_path / "opt").versions


def packed(versions: Versions, content: bytes) -> Path:
    path = versions.root / "given.tar.xz"
    path.write_bytes(content)
    return path


def test_a_version_is_unpacked_beside_the_one_in_use(versions: Versions) -> None:
    before = os.umask(0o077)
    try:
        versions.unpack(packed(versions, archive(names=("bin/", "bin/tillside", "lib/", "lib/x/y.py"))), NEW)
    finally:
        os.umask(before)
    folder = versions.root / "versions" / NEW
    # the agent's user enters every folder and reads every file
    assert {path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*")) if path.is_dir()} == {0o755}
    assert (folder / "lib" / "x" / "y.py").stat().st_mode & 0o777 == 0o755
    assert versions.installed() == {OLD, NEW}
    assert versions.current() == OLD
    assert os.access(versions.command(NEW), os.X_OK)


@pytest.mark.parametrize(
    "content",
    [
        archive(names=("lib/agent.py",)),
        archive(names=("bin/tillside",)),
        archive(names=("bin/tillside", "lib/agent.py", "../../current")),
        archive(names=("bin/tillside", "lib/agent.py", "/etc/passwd")),
        archive(names=("bin/tillside", "lib/agent.py", "lib/link@")),
        archive()[:60],
        b"no archive",
        b"",
    ],
    ids=["no command", "no libraries", "climbs out", "absolute", "link", "cut short", "text", "empty"],
)
def test_an_archive_that_is_no_version_leaves_nothing(versions: Versions, content: bytes) -> None:
    with pytest.raises(UnusableArchiveError):
        versions.unpack(packed(versions, content), NEW)
    versions.clear()
    assert versions.installed() == {OLD}
    assert versions.current() == OLD
    assert [path.name for path in (versions.root / "versions").iterdir()] == [OLD]


def test_a_disk_without_room_is_left_as_it_is(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(versions.root)._replace(free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(NoRoomError, match="201 MB more are needed"):
        versions.unpack(packed(versions, archive()), NEW)
    assert versions.installed() == {OLD}


def test_what_is_remembered_can_be_read_by_the_agents_user(versions: Versions) -> None:
    record = Record().refusing(NEW, datetime(2026, 11, 29, tzinfo=UTC), "broken")
    versions.remember(record)
    assert versions.record() == record
    assert (versions.root / "update.json").stat().st_mode & 0o777 == 0o644
    (versions.root / "update.json").write_text("{")
    assert versions.record() == Record()


def test_only_a_program_in_such_a_folder_is_updated(tmp_path: Path) -> None:
    module = tmp_path / "opt" / "versions" / OLD / "lib" / "agent" / "register.py"
    found = Versions.around(module)
    assert found is not None
    assert found.root == tmp_path / "opt"
    assert Versions.around(tmp_path / "src" / "agent" / "register.py") is None


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_hundred_kills_end_in_one_version_or_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The updater is killed while it unpacks, renames, switches and removes; each time the next one takes it up."""
    # A kill loses nothing that was written, and the whole machine's disk is not ours to wait for here.
    monkeypatch.setattr(os, "sync", lambda: None)
    random = Random(20261129)
    big = archive(names=("bin/tillside", *(f"lib/part{number}.py" for number in range(100))))
    # How long it takes to the end depends on what the machine does beside: it is learned.
    within_s = 0.05
    ended = {OLD: 0, NEW: 0}
    for number in range(KILLS):
        root = tmp_path / str(number)
        Register(root)
        child = os.fork()
        if not child:
            with suppress(BaseException):
                _update(Register(root), big)
            os._exit(0)
        time.sleep(random.uniform(0, within_s))
        os.kill(child, signal.SIGKILL)
        was_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        within_s *= 1.25 if was_killed else 0.8
        register = Register(root)
        register.updater().take_up()
        assert_whole(register)
        current = register.versions.current()
        assert current is not None
        ended[current] += 1
        shutil.rmtree(root)
    assert min(ended.values()) > 0, f"every kill came too early or too late: {ended}"


def _update(register: Register, content: bytes) -> None:
    register.archive = content
    register.updater().update_to(NEW)
