"""Which reader goes with which kind of `[[receipts]]`.

Owns that choice alone. A kind of source is loaded where a register has one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from agent.arrivals import ArrivalIntake
from agent.bookkeeping import Bookkeeper
from agent.receipts import ReceiptIntake
from config.settings import ReceiptSettings
from drivers.receipts.folder_source import FolderReader, FolderRules
from drivers.receipts.port import DecodeOptions
from drivers.receipts.spool_source import SpoolReader
from sync.store.store import Store


class Intake(Protocol):
    """Reads one source until it is cancelled."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Calls `ready` once it works. Raises what the source raises."""
        ...


def intake_of(
    settings: ReceiptSettings,
    *,
    books: Bookkeeper,
    store: Store,
    options: Callable[[], DecodeOptions],
    scans_taken: Callable[[], Awaitable[None]],
) -> Intake:
    """The intake of one source that is read, for one start."""
    if settings.spool is not None:
        return ReceiptIntake(
            source=SpoolReader(settings.spool), books=books, store=store, options=options, scans_taken=scans_taken
        )
    assert settings.folder is not None  # noqa: S101 — `config` has checked that one kind is named
    rules = FolderRules(
        pattern=settings.pattern,
        complete=settings.complete,
        settle_ms=settings.settle_ms,
        temporary=settings.temporary,
        afterwards=settings.afterwards,
    )
    source = FolderReader(settings.folder, rules)
    return ArrivalIntake(source=source, books=books, store=store, options=options, scans_taken=scans_taken)
