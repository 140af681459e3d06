"""What the updater asks of its own machine: the way to the releases, and a version that tests itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.updating import services
from agent.updating.machine import RegisterMachine
from agent.updating.releases import ReleaseUnreachableError
from agent.updating.versions import NoRoomError
from config.load import load_settings
from sync.store.schema import MIGRATIONS
from tests.agent.updating.test_updater import Register

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="versions are links")


@pytest.fixture
def machine(tmp_path: Path) -> RegisterMachine:
    config = tmp_path / "tillside.toml"
    config.write_text('[paths]\nstate = "state"\n', encoding="utf-8")
    (tmp_path / "state").mkdir()
    return RegisterMachine(config, load_settings(config), Register(tmp_path / "opt").versions, tmp_path / "root.json")


def saying(folder: Path, script: str) -> Path:
    command = folder / "tillside"
    command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    command.chmod(0o755)
    return command


def test_a_register_that_is_not_enrolled_or_has_no_root_is_tried_another_time(machine: RegisterMachine) -> None:
    with pytest.raises(ReleaseUnreachableError, match="not enrolled"):
        machine.fetch("0.2.0")


def test_no_agent_answers(machine: RegisterMachine) -> None:
    assert machine.glance() is None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('echo \'{"queued":3,"readable_from":1}\'', ""),
        ('echo \'{"error":"no such column"}\'; exit 1', "its self-test failed: no such column"),
        ("echo Traceback >&2; echo 'ImportError: x' >&2; exit 1", "its self-test failed: ImportError: x"),
        ("exit 9", "its self-test failed: it ended with 9"),
        (f"echo '{{\"readable_from\":{len(MIGRATIONS) + 1}}}'", "could not go on with its store"),
    ],
)
def test_what_a_version_says_of_itself(machine: RegisterMachine, tmp_path: Path, script: str, reason: str) -> None:
    told = machine.try_store(saying(tmp_path, script))
    assert reason in told
    assert bool(told) is bool(reason)


def test_what_cannot_be_said_now_is_no_fault_of_the_version(machine: RegisterMachine, tmp_path: Path) -> None:
    with pytest.raises(NoRoomError, match="10 MB have to be free"):
        machine.check(saying(tmp_path, 'echo \'{"error":"10 MB have to be free"}\'; exit 75'))


def test_one_that_cannot_be_run_at_all_says_so(machine: RegisterMachine, tmp_path: Path) -> None:
    assert machine.check(tmp_path / "nothing").startswith("its self-test does not start")


def test_systemd_says_whether_the_agent_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that crashes and is started anew again and again is not, nor does that count as a fault."""
    for code, up in ((0, True), (3, False)):
        asked = saying(tmp_path, f'[ "$*" = "is-active --quiet tillside.service" ] || exit 0\nexit {code}')
        monkeypatch.setattr(services, "SYSTEMCTL", str(asked))
        assert services.Systemd().runs() is up
    # where nobody can say, it may be at a sale
    monkeypatch.setattr(services, "SYSTEMCTL", str(tmp_path / "nothing"))
    assert services.Systemd().runs()
