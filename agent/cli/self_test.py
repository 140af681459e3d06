"""`tillside self-test`: whether this version can run on this machine, told before it is in use."""

from __future__ import annotations

import shutil
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path

from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from agent.state import keeper_of, store_path
from agent.updating.machine import NOT_NOW, TriedStore
from agent.updating.relay_settings import relay_file, relay_settings_problem
from config.load import load_settings, settings_file
from config.settings import Settings
from sync.keys import SecretError
from sync.store.errors import StoreKeyError
from sync.store.examination import backup_of, files_of
from sync.store.store import Store
from sync.store.witness import witness_of

# What a register loads while it runs; a library that does not load on this machine shows here.
_PARTS = (
    "agent.register",
    "agent.updating.updater",
    "agent.cli.update",
    "drivers.relay.process",
    "drivers.receipts.readers",
    "sync.loop",
)
# There is no relay on Windows.
_NOT_ON_WINDOWS = frozenset({"drivers.relay.process"})
# What has to be free besides two copies: the room of the sales that come while it is tried.
SPARE_BYTES = 50 * 1024 * 1024


def self_test_command(*, config: str | None, store: bool, relay: bool = False, as_json: bool) -> int:
    """Load all parts and the settings, and with `store` open a copy of the store; the agent must not run then. With
    `relay` read the relay's settings, too.

    Exit codes: 0 it can run here, 1 it cannot, 2 a setting is not one that this version takes, 75 not to be said now.
    """

    def work() -> int:
        for part in _PARTS:
            if sys.platform == "win32" and part in _NOT_ON_WINDOWS:
                continue
            try:
                import_module(part)
            except ImportError as error:
                return complain("self-test", f"{part} does not load: {error}", PROBLEM, as_json=as_json)
        settings = load_settings(config)
        if relay and (problem := relay_settings_problem(relay_file(settings_file(config)))):
            return complain("self-test", problem, USAGE, as_json=as_json)
        if not store or not store_path(settings).exists():
            return _say(TriedStore(), as_json=as_json)
        try:
            return _say(_tried(settings), as_json=as_json)
        except (StoreKeyError, SecretError, OSError) as error:
            return complain("self-test", error, NOT_NOW, as_json=as_json)

    return guarded("self-test", work, as_json=as_json)


def _say(tried: TriedStore, *, as_json: bool) -> int:
    if as_json:
        say_json(tried)
    else:
        say(f"It can run here; {tried.queued} entries wait for the centre.")
    return DONE


def _tried(settings: Settings) -> TriedStore:
    """By a copy that this version brings up to date. The copy of before stays, until the next update or an erasure."""
    store = store_path(settings)
    backup = backup_of(store)
    tried = backup.with_name(f"{backup.name}.tried")
    shutil.rmtree(tried, ignore_errors=True)
    needed = 2 * sum(file.stat().st_size for file in files_of(store) if file.exists()) + SPARE_BYTES
    if shutil.disk_usage(store.parent).free < needed:
        raise OSError(f"{needed // (1024 * 1024)} MB have to be free on the disk of {store.parent}")
    _copy(store, backup)
    try:
        _copy(backup / store.name, tried)
        with closing(Store.open(tried / store.name, keeper_of(settings), recover=False)) as opened:
            return TriedStore(queued=opened.queued(), readable_from=opened.readable_from())
    finally:
        shutil.rmtree(tried, ignore_errors=True)


def _copy(store: Path, into: Path) -> None:
    """The store's files; written beside, so that a cut leaves the earlier copy, or none, or this one."""
    beside = into.with_name(f".{into.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    try:
        for part in (*files_of(store), witness_of(store)):
            if part.exists():
                shutil.copy2(part, beside / part.name)
        shutil.rmtree(into, ignore_errors=True)
        beside.rename(into)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
