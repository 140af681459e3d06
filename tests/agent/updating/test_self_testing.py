"""Where a version that is not in use tests itself: what the updater asks of systemd, what it makes of the answer."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from agent.updating import services
from agent.updating.self_testing import ByUnit, Said, SelfTestTimeoutError
from agent.updating.services import ServiceError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd")
UNIT = "tillside-self-test@0.2.0.service"
# As `systemctl show` tells it.
ENDED = "LoadState=loaded\nResult={result}\nExecMainCode={how}\nExecMainStatus={status}\n"


class System:
    """A systemd that starts one unit, which prints and ends as it is told."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = root / "run"
        self.folder.mkdir()
        self._root = root
        self._command = root / "systemctl"
        monkeypatch.setattr(services, "SYSTEMCTL", str(self._command))

    def ends(self, shown: str = "", *, out: str = "", err: str = "") -> Said:
        """What the updater is told by a unit that ends so; well where nothing is shown of it."""
        (self._root / "shown").write_text(shown, encoding="utf-8")
        printed = shlex.quote(str(self.folder / "self-test"))
        self._command.write_text(
            f"""#!/bin/sh
echo "$*" >> {shlex.quote(str(self._root / "asked"))}
case "$1" in
  start)
    printf %s {shlex.quote(out)} > {printed}.out
    printf %s {shlex.quote(err)} > {printed}.err
    [ -s {shlex.quote(str(self._root / "shown"))} ] || exit 0
    echo 'Job failed.' >&2; exit 1 ;;
  show) cat {shlex.quote(str(self._root / "shown"))} ;;
esac
""",
            encoding="utf-8",
        )
        self._command.chmod(0o755)
        return ByUnit(self.folder).run(Path("/opt/tillside/versions/0.2.0/bin/tillside"), "--store")

    def asked(self) -> list[str]:
        return (self._root / "asked").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    return System(tmp_path, monkeypatch)


def test_the_unit_of_that_version_is_started_with_the_options_and_its_answer_read(system: System) -> None:
    assert system.ends(out='{"queued":3}') == Said(code=0, out=b'{"queued":3}')
    assert system.asked() == [f"start {UNIT}"]
    assert (system.folder / "self-test.options").read_text() == "SELF_TEST=--store\n"


def test_what_an_earlier_one_printed_is_never_taken_for_the_answer(system: System) -> None:
    system.ends(out='{"queued":3}', err="of before")
    (system.folder / "self-test.out").write_text("of before")
    assert system.ends() == Said(code=0)


@pytest.mark.parametrize(("how", "status", "code"), [(1, 75, 75), (1, 1, 1), (2, 11, -11), (2, 9, -9)])
def test_how_the_command_ended_is_told_and_the_unit_forgotten(system: System, how: int, status: int, code: int) -> None:
    said = system.ends(ENDED.format(result="exit-code", how=how, status=status), err="ImportError: x")
    assert (said.code, said.err) == (code, b"ImportError: x")
    assert system.asked()[-1] == f"reset-failed {UNIT}"


def test_one_that_does_not_end_says_so(system: System) -> None:
    with pytest.raises(SelfTestTimeoutError):
        system.ends(ENDED.format(result="timeout", how=2, status=15))


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ("LoadState=not-found\nResult=success\nExecMainCode=0\nExecMainStatus=0\n", "install the package"),
        (ENDED.format(result="exit-code", how=1, status=243), "journalctl"),  # a credential that cannot be unsealed
        (ENDED.format(result="signal", how=2, status=15), "run to its end"),  # somebody stopped it
        (ENDED.format(result="success", how=0, status=0), "run to its end"),
    ],
)
def test_what_is_no_fault_of_the_version_is_not_held_against_it(system: System, shown: str, why: str) -> None:
    with pytest.raises(ServiceError, match=why):
        system.ends(shown)


def test_a_machine_without_systemd_says_so(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "SYSTEMCTL", "/nothing/systemctl")
    with pytest.raises(ServiceError, match="/nothing/systemctl"):
        ByUnit(system.folder).run(Path("/opt/tillside/versions/0.2.0/bin/tillside"))
