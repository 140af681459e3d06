"""`tillside generalize`: an installed machine becomes one that is no register yet, to make an image of.

Owns which files make a machine this register. Takes those away by their names, and nothing else of a folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.cli.connection import running_agent
from agent.cli.exit_codes import DONE, PROBLEM
from agent.cli.outcome import complain, guarded, say, say_json
from agent.cli.stopped import stopped_register
from agent.state import store_path
from agent.tokens import ORIGINS_FOLDER, PAGES_FOLDER
from config.load import load_settings, state_folder
from config.settings import SPOOL_OPTION, Settings
from drivers.relay.spool import SEGMENT_BYTES, SpoolWriter, read_acknowledged, segment_name, segment_numbers

# The store and its copies, keys (on Windows with an ending), the enrolment and a code that waits for one, where the
# agent listens, the version that is wished for, receipts on which the centre's templates are tried, and pages' tokens.
_OF_STATE: Final = (
    *("store.db*", "before-update*", "*-key", "*-key.dpapi", "device-key-*", "enrolment.json", "enrolment-code*.json"),
    *("control.json", "update.json", "captures", ORIGINS_FOLDER, PAGES_FOLDER, ".*.*"),
)
# Print jobs and scans, how far they are read, and what was told of the relay.
_OF_SPOOL: Final = ("*.spool", "acknowledged", "status.json", "identification.json", ".identification.json.*")


class Generalized(Struct, frozen=True, kw_only=True):
    """What was taken away, by its path."""

    removed: tuple[str, ...]


class NotEmptyError(Exception):
    """Something would be lost. The message says what, and how to save it or to say that it may go."""


def generalize_command(*, discard: bool, config: str | None, as_json: bool) -> int:
    """Exit codes: 0 done, also where there was nothing; 1 something runs, or would be lost; 2 a setting is wrong."""

    def work() -> int:
        settings = load_settings(config)
        if running_agent(settings) is not None:
            problem = "the agent runs: stop it first, with `systemctl stop tillside` where it is a service"
            return complain("generalize", problem, PROBLEM, as_json=as_json)
        with ExitStack() as held:
            spools = [spool for spool in _spools(settings) if spool.is_dir()]
            for spool in spools:
                writer = SpoolWriter(spool, cap_bytes=SEGMENT_BYTES)
                writer.open()  # a relay that runs has it, and says so
                held.callback(writer.close)
            if not discard:
                _refuse_to_lose(settings, spools)
            removed = [*_removed(state_folder(settings), _OF_STATE)]
            for spool in spools:
                removed += _removed(spool, _OF_SPOOL)
        if as_json:
            say_json(Generalized(removed=tuple(map(str, removed))))
            return DONE
        say(f"Removed {len(removed)} files: this machine is no register any more, and becomes one when it is enrolled.")
        say("Make the image before the agent starts again: with its first start it makes keys of its own.")
        return DONE

    try:
        return guarded("generalize", work, as_json=as_json)
    except NotEmptyError as error:
        return complain("generalize", error, PROBLEM, as_json=as_json)


def _spools(settings: Settings) -> Iterator[Path]:
    """Where relays keep what this register hears."""
    yield from (source.spool for source in settings.receipts if source.spool is not None)
    for scanner in settings.scanners:
        if isinstance(spool := scanner.options.get(SPOOL_OPTION), str):
            yield Path(spool)


def _refuse_to_lose(settings: Settings, spools: list[Path]) -> None:
    """Raises NotEmptyError, and StoreError where nobody can tell what is in the store."""
    if store_path(settings).exists():
        with stopped_register(settings) as register:
            status = register.status()
        if status.queued or status.quarantined:
            raise NotEmptyError(
                f"{status.queued} entries wait for the centre and {status.quarantined} for a person: let the agent "
                "send them (`tillside queue list`), or give --discard to lose them"
            )
    for spool in spools:
        segment, offset = read_acknowledged(spool)
        for number in segment_numbers(spool):  # who took the spool has deleted those before
            read = offset if number == segment else 0
            if (spool / segment_name(number)).stat().st_size > read:
                raise NotEmptyError(
                    f"print jobs or scans in {spool} are not read yet: let the agent read them, or give "
                    "--discard to lose them"
                )


def _removed(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    for path in sorted({path for name in names for path in folder.glob(name)}):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        yield path
