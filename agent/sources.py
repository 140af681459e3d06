"""Which reader goes with which kind of `[[receipts]]`.

Owns that choice, and trying a source before the agent runs. A kind of source is loaded where a register has one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from agent.arrivals import ArrivalIntake
from agent.bookkeeping import Bookkeeper
from config.settings import ReceiptSettings
from drivers.receipts.arrivals import ArrivalSource
from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from drivers.receipts.row_mapping import MAX_MAPPING_BYTES, MappingError, RowMapping, mapping_from
from sync.store.store import Store

if TYPE_CHECKING:
    from drivers.receipts.database_source import DatabaseReader
    from drivers.receipts.folder_source import FolderReader


class MissingExtraError(Exception):
    """Something is not installed. The message says what."""


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
        # What the relay writes is read by what Windows does not have.
        from agent.receipts import ReceiptIntake  # noqa: PLC0415
        from drivers.receipts.spool_source import SpoolReader  # noqa: PLC0415

        return ReceiptIntake(
            source=SpoolReader(settings.spool), books=books, store=store, options=options, scans_taken=scans_taken
        )
    if settings.database is not None:
        source: ArrivalSource = _database(settings, options)
        return ArrivalIntake(source=source, books=books, store=store, options=options, scans_taken=scans_taken)
    source = _folder(settings)
    mapping = _mapping(settings.mapping) if settings.mapping is not None else None
    return ArrivalIntake(
        source=source,
        books=books,
        store=store,
        options=lambda: replace(options(), mapping=mapping),
        scans_taken=scans_taken,
    )


def _folder(settings: ReceiptSettings) -> FolderReader:
    from drivers.receipts.folder_source import FolderReader, FolderRules  # noqa: PLC0415 - not on Windows

    assert settings.folder is not None  # noqa: S101 — `config` has checked that one kind is named
    rules = FolderRules(
        pattern=settings.pattern,
        complete=settings.complete,
        settle_ms=settings.settle_ms,
        temporary=settings.temporary,
        afterwards=settings.afterwards,
    )
    return FolderReader(settings.folder, rules)


def _database(settings: ReceiptSettings, options: Callable[[], DecodeOptions]) -> DatabaseReader:
    """Raises DatabaseSourceError and MappingError."""
    try:
        from drivers.receipts.database_source import DatabaseReader, DatabaseRules  # noqa: PLC0415 - an extra's
    except ModuleNotFoundError as error:
        raise MissingExtraError("a database is read with SQLAlchemy: install tillside[sql]") from error
    assert settings.database and settings.query and settings.high_water and settings.mapping  # noqa: S101, PT018 - checked
    rules = DatabaseRules(
        query=settings.query,
        high_water=settings.high_water,
        mapping=_mapping(settings.mapping),
        start=settings.start,
        overlap=settings.overlap,
        poll_s=settings.poll_s,
    )
    return DatabaseReader(settings.database, rules, options)


def tried(settings: ReceiptSettings, options: DecodeOptions) -> str:
    """What a source that is no spool says once it is asked, for a person. Nothing is kept, moved or changed.

    Raises MissingExtraError, DecodeOptionsError, MappingError and OSError, as its reading would.
    """
    if settings.database is not None:
        with closing(_database(settings, lambda: options)) as reader:
            return reader.tried()
    mapping = _mapping(settings.mapping) if settings.mapping is not None else None
    decode(b"", replace(options, mapping=mapping))
    if settings.folder is None:
        return "takes calls once the agent runs"
    _folder(settings).tried()
    return f"{settings.folder} can be read{', with its mapping' if mapping is not None else ''}"


def _mapping(file: Path) -> RowMapping:
    """The mapping in `file`. Raises MappingError."""
    try:
        with file.open("rb") as stream:
            return mapping_from(stream.read(MAX_MAPPING_BYTES + 1), str(file))
    except OSError as error:
        raise MappingError(f"{file}: cannot be read ({error.strerror}). Name the mapping's file") from error
