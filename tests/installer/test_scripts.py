"""What the package's scripts, its command and the updater's unit do: run below a folder, with a system that is played.

Its own places are moved below that folder; systemctl, runuser and their like only say that they were called.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.updating.trial import Record, Trial
from agent.updating.versions import Versions

INSTALLER = Path(__file__).resolve().parents[2] / "installer"
FILES = INSTALLER / "package" / "files"
PLACES = (
    "/run/systemd/system",
    "/run/tillside",
    "/opt",
    "/etc/tillside",
    "/etc/cups",
    "/var/lib/tillside",
    "/var/spool/tillside",
)
PLAYED = ("systemctl", "runuser", "getent", "userdel", "udevadm", "systemd-sysusers", "install", "python3")
UNITS = ("tillside.service", "tillside-relay.socket", "tillside-relay.service", "tillside-update.service")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a Debian package")


class System:
    """One with systemd, on which Tillside is installed, and root at its prompt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._log = root / "called"
        self._log.touch()
        played = root / "played"
        played.mkdir()
        for name in PLAYED:
            self._play(played / name, f'echo "{name} $*" >> {shlex.quote(str(self._log))}')
        self._play(played / "id", "echo 0")
        for place in PLACES:
            (root / place[1:]).mkdir(parents=True)
        (root / "opt/tillside/versions/9").mkdir(parents=True)
        self._environment = {"PATH": f"{played}{os.pathsep}/usr/bin{os.pathsep}/bin"}

    def takes_relay_settings(self, *, well: bool) -> None:
        """What the installed program says of /etc/tillside/relay.toml."""
        command = self.root / "opt/tillside/bin/tillside"
        command.parent.mkdir(exist_ok=True)
        self._play(command, f'[ "$*" = "self-test --relay" ] && exec {"true" if well else "false"}')

    def _play(self, command: Path, does: str) -> None:
        command.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        command.chmod(0o755)

    def below(self, text: str) -> str:
        """The same with all places below this system's root."""
        moved = re.sub("|".join(PLACES), lambda found: f"{self.root}{found[0]}", text)
        for removed in re.findall(r"rm -rf (.*)", moved):
            assert all(place.startswith(str(self.root)) for place in removed.split()), removed
        return moved.replace("exec /usr/bin/python3", "exec python3")

    def run(self, name: str, *arguments: str) -> list[str]:
        """What a script called."""
        script = self.root / name
        self._play(script, self.below((FILES / name).read_text(encoding="utf-8")))
        return self.called([str(script), *arguments])

    def called(self, command: list[str]) -> list[str]:
        self._log.write_text("", encoding="utf-8")
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=30)
        return self._log.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def stopped(called: list[str]) -> set[str]:
    return {unit for line in called if line.startswith("systemctl stop ") for unit in line.split()[2:]}


@pytest.mark.parametrize("command", ["self-test", "status", "enroll", "doctor", "run", "update"])
def test_root_works_on_the_register_as_the_services_user(system: System, command: str) -> None:
    """A key or a file of the store that were root's could not be read by the agent any more."""
    assert f"runuser -u tillside -- {system.root}/tillside {command} --json" in system.run(
        "tillside", command, "--json"
    )


def test_the_updater_and_what_reads_the_journal_stay_root(system: System) -> None:
    for arguments in (("update", "--run"), ("support-bundle",), ("doctor", "--test-sheet")):
        called = system.run("tillside", *arguments)
        assert [line.split()[0] for line in called if not line.startswith("getent")] == ["python3"]


def test_a_package_that_is_removed_stops_all_and_takes_every_version_along(system: System) -> None:
    called = system.run("prerm", "remove")
    assert set(UNITS) <= stopped(called)
    disabled = {unit for line in called if "disable" in line for unit in line.split()}
    assert set(UNITS) <= disabled

    system.run("postrm", "remove")
    assert not (system.root / "opt/tillside").exists()
    assert not (system.root / "run/tillside").exists()
    assert (system.root / "var/lib/tillside").exists()

    system.run("postrm", "purge")
    assert not any((system.root / place[1:]).exists() for place in PLACES if place.endswith("tillside"))


def test_one_that_is_upgraded_ends_a_trial_and_lets_the_till_run(system: System) -> None:
    assert stopped(system.run("prerm", "upgrade", "0.2.0")) == {"tillside-update.service"}
    system.takes_relay_settings(well=True)
    called = system.run("postinst", "configure")
    assert "systemctl restart --no-block tillside.service" in called
    assert "systemctl try-restart tillside-relay.service" in called
    assert called.index("systemctl daemon-reload") < called.index("systemctl restart --no-block tillside.service")


def test_one_that_is_installed_over_leaves_a_relay_that_could_not_be_started_again(system: System) -> None:
    system.takes_relay_settings(well=False)
    called = system.run("postinst", "configure")
    assert "systemctl restart --no-block tillside.service" in called
    assert not [line for line in called if "restart" in line and "relay" in line]


def test_whatever_ends_the_updater_a_till_that_was_stopped_for_a_trial_is_started(system: System) -> None:
    unit = (INSTALLER / "systemd" / "tillside-update.service").read_text(encoding="utf-8")
    [after] = re.findall(r"^ExecStopPost=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    command = ["/bin/sh", "-c", system.below(after.replace("\\'", "'"))]
    versions = Versions(system.root / "opt/tillside")
    assert system.called(command) == []
    versions.remember(Record())
    assert system.called(command) == []
    trial = Trial(version="0.2.0", previous="0.1.0", began=datetime.now(UTC), verdict="healthy", failing=())
    versions.remember(Record(trial=trial))
    assert system.called(command) == ["systemctl start --no-block tillside.service"]


@pytest.mark.parametrize(
    "unit", ["tillside.service", "tillside-relay.service", "tillside-update.service", "tillside-self-test@.service"]
)
def test_no_service_may_call_what_only_root_needs(unit: str) -> None:
    text = (INSTALLER / "systemd" / unit).read_text(encoding="utf-8")
    filters = re.findall(r"^SystemCallFilter=(.*)$", text, re.MULTILINE)
    assert filters[0] == "@system-service"
    assert any(one.startswith("~") and "@privileged" in one.lstrip("~").split() for one in filters)
