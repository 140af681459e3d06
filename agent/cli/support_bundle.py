"""`tillside support-bundle`: one file for who helps, free of secrets and of who shops."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from msgspec import Struct

from agent.cli.connection import AgentUnreachableError, inspection
from agent.cli.exit_codes import DONE, PROBLEM
from agent.cli.outcome import complain, say, say_json
from agent.doctor.checks import DoctorReport, examined
from agent.inspection import NoRegisterError, NotFoundError, QueueReport, StatusReport
from agent.state_owner import become, owner_of
from agent.support import MAX_LOG_LINES, bundle
from agent.windows.capped_log import last_lines, log_file
from config.load import load_settings, settings_file, state_folder
from config.settings import Settings, SettingsError
from sync.keys import SecretError
from sync.store.errors import StoreError

UNITS: Final = ("tillside.service", "tillside-relay.service")
LOG_WITHIN_S: Final = 30.0
_EXPECTED = (AgentUnreachableError, NoRegisterError, NotFoundError, SettingsError, StoreError, SecretError, OSError)

T = TypeVar("T")


class SavedBundle(Struct, frozen=True, kw_only=True):
    """The bundle's file, what is in it, and what could not be looked at, with why."""

    file: str
    holds: tuple[str, ...]
    failed: dict[str, str]


def support_bundle_command(
    *, out: str, config: str | None, as_json: bool, log: Callable[[], Iterable[str]] | None = None
) -> int:
    """Write the bundle. Exit codes: 0 it is there, whatever is not in it; 1 it could not be written.

    Root reads the journal and opens the file, and looks at the register as the user whose it is.
    """
    failed: dict[str, str] = {}

    def looked(name: str, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except _EXPECTED as error:
            failed[name] = str(error)
        except Exception as error:  # noqa: BLE001 - the edge: the rest helps all the more where this fails
            failed[name] = f"looking failed itself ({type(error).__name__}: {error})"
        return None

    settings = looked("settings.json", lambda: load_settings(config))
    lines = looked("log.jsonl", log or partial(_log, settings_file(config))) or ()
    try:
        file = _opened(Path(out))
    except OSError as error:
        problem = f"{out} cannot be written ({error.strerror or error}): name another file with --out"
        return complain("support-bundle", problem, PROBLEM, as_json=as_json)
    if settings is not None and (owner := owner_of(state_folder(settings))) is not None:
        become(owner)
    files = bundle(
        about=_about(),
        settings=settings,
        status=looked("status.json", lambda: _status(settings)) if settings is not None else None,
        queue=looked("queue.json", lambda: _queue(settings)) if settings is not None else None,
        doctor=looked("doctor.json", lambda: _doctor(settings, config)) if settings is not None else None,
        log=lines,
        failed=failed,
    )
    with file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    if as_json:
        say_json(SavedBundle(file=out, holds=tuple(files), failed=failed))
        return DONE
    say(f"{out}: {', '.join(files)}.")
    say("Names, codes, receipts and secrets are left out; look into it before you send it.")
    for name, why in failed.items():
        say(f"  ! without {name}: {why}")
    return DONE


def _opened(path: Path) -> BinaryIO:
    """A new file that nobody else may read, in the place of one that was there. Raises OSError."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _about() -> dict[str, str]:
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tillside": version("tillside"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
    }


def _status(settings: Settings) -> StatusReport:
    with inspection(settings) as register:
        return register.status()


def _queue(settings: Settings) -> QueueReport:
    with inspection(settings) as register:
        return register.queue()


def _doctor(settings: Settings, config: str | None) -> DoctorReport:
    return asyncio.run(examined(settings, settings_file(config)))


def _log(config: Path) -> list[str]:
    """The newest lines of the services' log. Raises OSError where there is none to ask."""
    if sys.platform == "win32":
        return last_lines(log_file(config), MAX_LOG_LINES)
    return _journal()


def _journal() -> list[str]:
    if shutil.which("journalctl") is None:
        raise OSError("there is no journal here; add the output of `tillside run`, after reading it")
    units = [f"--unit={unit}" for unit in UNITS]
    command = ["journalctl", *units, "--output=cat", f"--lines={MAX_LOG_LINES}", "--no-pager", "--quiet"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=LOG_WITHIN_S)
    except subprocess.SubprocessError as error:
        raise OSError(f"journalctl gave nothing ({type(error).__name__}): run the command as root") from error
    return done.stdout.decode(errors="replace").splitlines()
