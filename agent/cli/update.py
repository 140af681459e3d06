"""`tillside update`: which version is in use and wanted, and the run that updates."""

from __future__ import annotations

import random
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from agent.setting_checks import root_problems
from agent.updating.services import ServiceError, Systemd
from agent.updating.trial import Record
from agent.updating.versions import Versions
from agent.updating.wish import WISH_FILE, Wish, spread, still_wanted, wish, wished
from config.load import load_settings, settings_file, state_folder
from config.settings import Settings
from sync.program_versions import newer, version_key

if sys.platform != "win32":  # where the installer alone changes versions
    import fcntl

# A ring of thousands does not fetch at once; nobody waits for it.
SPREAD_S = 1800.0
_NOT_BY_VERSIONS = "this program was not installed by versions: update it the way it was installed"


class UpdateReport(Struct, frozen=True, kw_only=True):
    """Which versions there are. `wanted` is the centre's wish, or a person's.

    `unreadable` says why that is not known, and `unprovable` why no release could be installed.
    """

    current: str | None
    installed: tuple[str, ...]
    wanted: str | None
    record: Record
    unreadable: str = ""
    unprovable: str = ""


def update_command(*, config: str | None, to: str | None, run: bool, as_json: bool) -> int:
    """Say which version is in use; with `to` wish for one; with `run` do what is wished for, and watch over it.

    Exit codes: 0 done, 1 it could not be done now, 2 a setting is wrong.
    """

    def work() -> int:
        settings = load_settings(config)
        versions = Versions.around(Path(__file__))
        if versions is None:
            return complain("update", _NOT_BY_VERSIONS, PROBLEM, as_json=as_json)
        if run:
            return _run(settings_file(config), settings, versions)
        state = state_folder(settings)
        if to is not None:
            try:
                version_key(to)
            except ValueError as error:
                return complain("update", error, USAGE, as_json=as_json)
            if (why_not := _not_an_update(to, versions.current())) is not None:
                return complain("update", why_not, USAGE, as_json=as_json)
            wish(state, Wish(version=to, asked=secrets.token_hex(8)))
        wanted = wished(state)
        report = UpdateReport(
            current=versions.current(),
            installed=tuple(sorted(versions.installed(), key=version_key)),
            wanted=wanted.version if wanted is not None else None,
            record=versions.record(),
            unreadable=_unreadable(state / WISH_FILE),
            unprovable=_unprovable(settings, str(settings_file(config))),
        )
        if as_json:
            say_json(report)
        else:
            _print(report)
        return DONE

    try:
        return guarded("update", work, as_json=as_json)
    except ServiceError as error:
        return complain("update", error, PROBLEM, as_json=as_json)


def _run(config: Path, settings: Settings, versions: Versions) -> int:
    """One run at a time: another one has begun the same, and goes on with it."""
    from agent.cli.run import log_to_stderr
    from agent.updating.machine import RegisterMachine
    from agent.updating.updater import Updater

    log_to_stderr()
    root, state = settings.update.root, state_folder(settings)
    with _alone(versions.root) as first:
        if not first:
            return DONE
        machine = RegisterMachine(config, settings, versions, root or Path())
        updater = Updater(
            versions, machine, Systemd(), now=lambda: datetime.now(UTC), monotonic_s=time.monotonic, sleep=time.sleep
        )
        updater.take_up()
        done: Wish | None = None
        # What was wished for while the last wish was carried out is carried out too.
        while root is not None and (wanted := wished(state)) is not None and wanted != done:
            if wanted.asked:
                versions.remember(versions.record().asked_for(wanted.version, wanted.asked))
            else:
                spread(random.SystemRandom().uniform(0, SPREAD_S), partial(still_wanted, state, wanted), time.sleep)
            if wished(state) == wanted:
                ended = updater.update_to(wanted.version, is_wanted=partial(still_wanted, state, wanted))
                if wanted.asked and ended != "not_now":
                    versions.remember(replace(versions.record(), settled=wanted.asked))
            done = wanted
    return DONE


def _not_an_update(to: str, current: str | None) -> str | None:
    """Why `to` cannot be wished for where `current` is in use; None where it can."""
    if current is None or not newer(current, to):
        return None
    return (
        f"{to} is older than {current}, which is in use, and updates go forward alone: to go back, install its package "
        "over this one"
    )


def _unreadable(file: Path) -> str:
    """Why a wish that may be there cannot be known; empty where it can, or where there is none."""
    try:
        file.open("rb").close()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"not readable ({error.strerror}): use sudo"
    return ""


def _unprovable(settings: Settings, where: str) -> str:
    """Why no release could be proven by the root that the settings name; empty where one could, or none is named."""
    root = settings.update.root
    problem = next(root_problems(root, where), None) if root is not None else None
    return str(problem) if problem is not None else ""


@contextmanager
def _alone(root: Path) -> Iterator[bool]:
    with (root / "update.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _print(report: UpdateReport) -> None:
    trial = report.record.trial
    on_trial = f", on trial since {trial.began:%H:%M}; before it {trial.previous}" if trial is not None else ""
    say(f"In use      {report.current or 'none'}{on_trial}")
    say(f"Installed   {', '.join(report.installed)}")
    say(f"Wanted      {report.wanted or report.unreadable or 'none'}")
    if report.unprovable:
        say(f"Releases    {report.unprovable}")
    for one in report.record.refused:
        say(f"Given up    {one.version} on {one.at:%Y-%m-%d %H:%M}: {one.reason}")
