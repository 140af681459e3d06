"""The units are ones that systemd takes, start what there is, and fit each other."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.updating.self_testing import RUN_FOLDER, SELF_TEST_WITHIN_S
from agent.updating.wish import WISH_FILE
from drivers.relay.arguments import read_all
from sync.delayed_enrolment import CREDENTIAL
from sync.keys import DEVICE_KEY, STORE_KEY
from sync.keys_linux import OF_THE_AGENT, PREFIX

UNITS = Path(__file__).parents[2] / "installer" / "systemd"
COMMAND = "/opt/tillside/bin/tillside"
UPDATER = "/opt/tillside/updater/bin/tillside"
TESTED = "/opt/tillside/versions/%i/bin/tillside"
# Of ten, by systemd's own reckoning; a service without any hardening has 9.6.
MOST_EXPOSED = {
    "tillside-relay.service": 2.0,
    "tillside.service": 2.0,
    "tillside-update.service": 2.0,
    "tillside-self-test@.service": 2.0,
}


class Unit(configparser.ConfigParser):
    """A unit file. Of a key that stands several times the last value counts here."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, interpolation=None)
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read_string((UNITS / name).read_text())


@pytest.fixture
def systemd_analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return program


def installed(folder: Path) -> list[str]:
    """The units as on a machine where the command is installed."""
    for unit in UNITS.glob("tillside*"):
        text = unit.read_text().replace(COMMAND, sys.executable).replace(UPDATER, sys.executable)
        text = text.replace(TESTED, sys.executable)
        (folder / unit.name.replace("@.", "@0.2.0.")).write_text(text)
    return [str(path) for path in sorted(folder.iterdir())]


def test_systemd_takes_every_unit_without_a_word(systemd_analyze: str, tmp_path: Path) -> None:
    verified = subprocess.run(
        [systemd_analyze, "verify", "--man=no", *installed(tmp_path)], check=False, capture_output=True, text=True
    )

    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("name", MOST_EXPOSED)
def test_a_service_may_do_little(systemd_analyze: str, name: str) -> None:
    judged = subprocess.run(
        [systemd_analyze, "security", "--offline=yes", f"--threshold={MOST_EXPOSED[name] * 10:.0f}", str(UNITS / name)],
        check=False,
        capture_output=True,
        text=True,
    )
    if "invalid option" in judged.stderr or "unrecognized option" in judged.stderr:
        pytest.skip("this systemd judges no unit that is not installed")

    assert judged.returncode == 0, judged.stdout.splitlines()[-1:]


def test_the_updater_is_of_a_version_that_was_kept_and_wakes_for_the_wish_alone() -> None:
    service, path = Unit("tillside-update.service"), Unit("tillside-update.path")

    assert service["Service"]["ExecStart"].startswith(UPDATER)
    assert Path(path["Path"]["PathChanged"]) == Path("/var/lib/tillside") / WISH_FILE
    assert service["Service"]["ReadWritePaths"] == "/opt/tillside"
    assert "/opt/tillside" not in Unit("tillside.service")["Service"]["ReadWritePaths"].split()


def lines(name: str, key: str) -> list[str]:
    """All values of a key that may stand several times."""
    return [line.partition("=")[2] for line in (UNITS / name).read_text().splitlines() if line.startswith(f"{key}=")]


def test_secrets_are_taken_by_the_names_that_the_program_knows() -> None:
    """By name alone: systemd looks for them where an administrator may have placed them, and goes on without."""
    sealed = [f"{PREFIX}{name}" for name in (STORE_KEY, DEVICE_KEY)]
    assert lines("tillside.service", "LoadCredentialEncrypted") == sealed
    assert lines("tillside.service", "LoadCredential") == [CREDENTIAL]
    assert lines("tillside-self-test@.service", "LoadCredentialEncrypted") == sealed[:1]
    assert str(OF_THE_AGENT) == "/run/credentials/tillside.service"


def test_a_version_tests_itself_as_the_agent_where_the_updater_looks_for_the_answer() -> None:
    updater, agent = Unit("tillside-update.service")["Service"], Unit("tillside.service")["Service"]
    tested = Unit("tillside-self-test@.service")["Service"]

    assert f"/run/{updater['RuntimeDirectory']}" == str(RUN_FOLDER)
    assert tested["EnvironmentFile"] == f"{RUN_FOLDER}/self-test.options"
    assert tested["StandardOutput"] == f"truncate:{RUN_FOLDER}/self-test.out"
    assert tested["StandardError"] == f"truncate:{RUN_FOLDER}/self-test.err"
    assert tested["ExecStart"].startswith(TESTED)
    assert float(tested["TimeoutStartSec"].removesuffix("min")) * 60 == SELF_TEST_WITHIN_S
    assert (tested["User"], tested["Type"]) == (agent["User"], "oneshot")
    # The updater itself becomes nobody else, and runs nothing of a version that is not kept
    assert updater["CapabilityBoundingSet"] == "CAP_DAC_READ_SEARCH"
    assert not any("@setuid" in one for one in lines("tillside-update.service", "SystemCallFilter"))


def test_the_relay_is_watched_started_again_for_ever_and_has_its_port_from_its_socket() -> None:
    service, socket = Unit("tillside-relay.service"), Unit("tillside-relay.socket")

    assert service["Service"]["Type"] == "notify"
    assert service["Service"]["Restart"] == "always"
    assert service["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["Service"]["WatchdogSignal"] == "SIGKILL", "a stopped process hears no other"
    assert "tillside-relay.socket" in service["Unit"]["Requires"]
    (register,) = read_all(["--config", str(UNITS / "relay.toml")])
    assert register.printer is not None
    assert register.printer.listen == f"systemd:{socket['Socket']['FileDescriptorName']}"
    assert str(register.printer.spool).startswith(service["Service"]["ReadWritePaths"])


def test_the_agent_is_watched_and_started_again_for_ever() -> None:
    unit = Unit("tillside.service")

    assert (unit["Service"]["Type"], unit["Service"]["Restart"]) == ("notify", "always")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert "WatchdogSec" in unit["Service"]
    assert unit["Service"]["WatchdogSignal"] == "SIGKILL", "a stopped process hears no other"


def test_no_service_takes_the_journal_for_itself() -> None:
    for name in set(MOST_EXPOSED) - {"tillside-self-test@.service"}:  # which prints into a file
        service = Unit(name)["Service"]
        assert (service["LogRateLimitIntervalSec"], service["LogRateLimitBurst"]) == ("5min", "2000")


def test_both_services_are_one_user() -> None:
    relay, register = Unit("tillside-relay.service")["Service"], Unit("tillside.service")["Service"]

    assert relay["User"] == register["User"] == "tillside"
    assert relay["ReadWritePaths"] == register["ReadWritePaths"]
