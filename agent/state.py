"""The state folder of a register: where its store is.

Owns opening the store that settings name. Never keeps it open beyond its caller.
"""

from __future__ import annotations

from pathlib import Path

from config.load import state_folder
from config.settings import Settings
from sync.keys import KeyKeeper, keeper_for
from sync.store.store import Store

STORE_FILE = "store.db"


def keeper_of(settings: Settings) -> KeyKeeper:
    """Where this register's secrets are."""
    return keeper_for(state_folder(settings))


def store_path(settings: Settings) -> Path:
    return state_folder(settings) / STORE_FILE


def open_store(settings: Settings, keeper: KeyKeeper) -> Store:
    """The register's store, made the first time. Raises StoreError, SecretError and OSError."""
    return Store.open(store_path(settings), keeper)
