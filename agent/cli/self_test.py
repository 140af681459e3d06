"""`tillside self-test`: whether this version can run on this machine, told before it is in use."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path

from agent.cli.exit_codes import DONE, PROBLEM
from agent.cli.outcome import complain, guarded, say
from agent.state import STORE_FILE, keeper_of, store_path
from config.load import load_settings
from config.settings import Settings
from sync.store.store import Store

# What a register loads while it runs; a library that does not load on this machine shows here.
_PARTS = (
    "agent.register",
    "agent.updating.updater",
    "agent.updating.machine",
    "drivers.relay.process",
    "drivers.receipts.readers",
    "sync.loop",
)
BACKUP_FOLDER = "before-update"


def self_test_command(*, config: str | None, store: bool) -> int:
    """Load all parts and the settings, and with `store` open a copy of the store; the agent must not run then.

    Exit codes: 0 it can run here, 1 it cannot, 2 a setting is not one that this version takes.
    """

    def work() -> int:
        for part in _PARTS:
            try:
                import_module(part)
            except ImportError as error:
                return complain("self-test", f"{part} does not load: {error}", PROBLEM, as_json=False)
        settings = load_settings(config)
        if store and store_path(settings).exists():
            say(f"The store opens; {_tried(settings)} entries wait in it.")
        return DONE

    return guarded("self-test", work, as_json=False)


def _tried(settings: Settings) -> int:
    """Entries that wait, by a copy that this version has brought up to date. The copy before that stays as a backup."""
    folder = store_path(settings).parent
    backup, tried = folder / BACKUP_FOLDER, folder / f"{BACKUP_FOLDER}.tried"
    _copy(folder, backup)
    _copy(backup, tried)
    try:
        opened = Store.open(tried / STORE_FILE, keeper_of(settings), recover=False)
        try:
            return opened.queued()
        finally:
            opened.close()
    finally:
        shutil.rmtree(tried, ignore_errors=True)


def _copy(source: Path, into: Path) -> None:
    """The store's files; written beside, so that a cut leaves the earlier backup or the new one."""
    beside = into.with_name(f".{into.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    for part in sorted(source.glob(f"{STORE_FILE}*")):
        if part.is_file() and not part.name.endswith(".lock"):
            shutil.copy2(part, beside / part.name)
    shutil.rmtree(into, ignore_errors=True)
    beside.rename(into)
