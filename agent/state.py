"""The state folder of a register: its store, its keys, and which register it is.

Owns opening what settings name. Never keeps it open beyond its caller.
"""

from __future__ import annotations

from pathlib import Path

from agent.inspection import SourceView
from agent.view import PlaceView
from config.load import state_folder
from config.receipt_sources import KEYS_OF_KIND
from config.settings import Settings, is_authoritative
from sync.enrolment import Enrolment
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
    return Store.open(store_path(settings), keeper, ballast_bytes=settings.store.ballast_mb * 1024 * 1024)


def open_to_look(settings: Settings, keeper: KeyKeeper) -> Store:
    """The same while no agent runs: a damaged store is left for the agent. Raises StoreCorruptError too."""
    return Store.open(store_path(settings), keeper, recover=False)


def place_of(settings: Settings, enrolment: Enrolment | None) -> PlaceView:
    """Which register this is: as the centre says, else as the operator does."""
    if enrolment is not None:
        return PlaceView(store=enrolment.store, register=enrolment.register)
    return PlaceView(store=settings.register.store, register=settings.register.register)


def sources_of(settings: Settings) -> tuple[SourceView, ...]:
    """The sources of receipts, as the operator set them."""
    return tuple(
        SourceView(
            name=source.name,
            kind=next(kind for kind in KEYS_OF_KIND if getattr(source, kind)),
            authoritative=is_authoritative(source, settings.receipts),
        )
        for source in settings.receipts
    )
