"""Having a version that is not in use test itself, as the agent's user.

Owns where that runs and what came of it. Never judges it (`agent.updating.machine` does), and never runs a line of that
version with the updater's own rights.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from agent.updating import services
from agent.updating.services import ServiceError

# Loading everything takes a second, copying and opening a large store some more. The unit has the same limit.
SELF_TEST_WITHIN_S: Final = 120.0
# What the unit may take to end besides.
ENDS_WITHIN_S: Final = 20.0
MAX_PRINTED_BYTES: Final = 64 * 1024
# The updater's RuntimeDirectory=.
RUN_FOLDER: Final = Path("/run/tillside-update")
# From here on an exit code is systemd's own: it did not come to starting the command.
_FIRST_OF_SYSTEMD: Final = 200
_EXITED, _SIGTERM = 1, 15


class SelfTestTimeoutError(Exception):
    """It did not end in time."""


class Said(Struct, frozen=True, kw_only=True):
    """How a self-test ended, negative where a signal ended it, and what it printed."""

    code: int
    out: bytes = b""
    err: bytes = b""


class SelfTests(Protocol):
    """Where versions test themselves."""

    def run(self, command: Path, *options: str) -> Said:
        """Raises SelfTestTimeoutError, OSError for a command that cannot be started, and ServiceError where nothing can
        be said of it now.
        """


class ByChild:
    """As a child of this process, where it is the agent's user already."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def run(self, command: Path, *options: str) -> Said:
        asked = [str(command), "self-test", "--config", str(self._config), "--json", *options]
        try:
            done = subprocess.run(asked, timeout=SELF_TEST_WITHIN_S, capture_output=True, check=False)
        except subprocess.TimeoutExpired as error:
            raise SelfTestTimeoutError from error
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)


class ByUnit:
    """By tillside-self-test@.service: as the agent's user, with its credentials and no more than it may."""

    def __init__(self, folder: Path = RUN_FOLDER) -> None:
        self._folder = folder

    def run(self, command: Path, *options: str) -> Said:
        unit = f"tillside-self-test@{command.parents[1].name}.service"
        out, err = self._folder / "self-test.out", self._folder / "self-test.err"
        for printed in (out, err):
            printed.unlink(missing_ok=True)
        (self._folder / "self-test.options").write_text(f"SELF_TEST={' '.join(options)}\n", encoding="ascii")
        started = _systemctl("start", unit)
        code = 0 if started.returncode == 0 else self._why(unit, started.stderr)
        return Said(code=code, out=_read(out), err=_read(err))

    def _why(self, unit: str, said: bytes) -> int:
        """The command's exit code, where it was the command that failed."""
        shown = _systemctl("show", "--property=LoadState,Result,ExecMainCode,ExecMainStatus", unit)
        told = dict(line.split("=", 1) for line in shown.stdout.decode().splitlines() if "=" in line)
        _systemctl("reset-failed", unit)
        if told.get("LoadState") != "loaded":
            raise ServiceError(f"{unit} is not there: install the package of the version in use over it")
        if told.get("Result") == "timeout":
            raise SelfTestTimeoutError
        status, how = int(told.get("ExecMainStatus") or 0), int(told.get("ExecMainCode") or 0)
        if not status or status >= _FIRST_OF_SYSTEMD or (how != _EXITED and status == _SIGTERM):
            last = said.decode(errors="replace").strip()[: services.MAX_SAID_CHARACTERS]
            raise ServiceError(f"{unit} could not be run to its end (see `journalctl -u {unit}`): {last}")
        return status if how == _EXITED else -status


def _systemctl(*asked: str) -> subprocess.CompletedProcess[bytes]:
    command = [services.SYSTEMCTL, *asked]
    within_s = SELF_TEST_WITHIN_S + ENDS_WITHIN_S
    try:
        return subprocess.run(command, timeout=within_s, capture_output=True, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"{' '.join(command)}: {error}") from error


def _read(printed: Path) -> bytes:
    try:
        with printed.open("rb") as file:
            return file.read(MAX_PRINTED_BYTES)
    except FileNotFoundError:
        return b""
