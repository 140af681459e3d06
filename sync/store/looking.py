"""A look at a register's store from beside it, also while its agent works: does its key open it, is it whole.

Owns what is read for that, and for how long. Writes nothing, and holds no transaction longer than one table takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from sync.store.examination import damage_in, files_of, set_aside_before
from sync.store.reading import Reading
from sync.store.recovery import recovery_of
from sync.store.rows import Recovered
from sync.store.schema import MIGRATIONS, refuse_newer, version_of
from sync.store.sqlite import DatabaseError, connect, is_corruption

if TYPE_CHECKING:
    from sqlite3 import Connection

LOOKED_WITHIN_S: Final = 5.0
# Whether time is over is asked once in so many steps of SQLite: far less than a millisecond.
_STEPS: Final = 1000
_INTERRUPTED: Final = "interrupted"


class StoreLook(Struct, frozen=True, kw_only=True):
    """What was seen. `fault` is empty where nothing is wrong with the `read` of its `tables`; `version` of the `known`
    migrations were applied. Sizes are of the file and of its log.
    """

    version: int
    known: int
    file_bytes: int
    log_bytes: int
    tables: int = 0
    read: int = 0
    fault: str = ""
    recovered: Recovered | None = None


def looked_at(
    path: Path, key: bytes, *, within_s: float = LOOKED_WITHIN_S, monotonic_s: Callable[[], float] = time.monotonic
) -> StoreLook:
    """What is to be seen of the store at `path`, which is there, within so many seconds.

    Raises StoreKeyError, StoreTooNewError, and StoreUnavailableError where the disk does not give it.
    """
    file, written_ahead, _ = files_of(path)
    look = StoreLook(
        version=0,
        known=len(MIGRATIONS),
        file_bytes=file.stat().st_size,
        log_bytes=written_ahead.stat().st_size if written_ahead.exists() else 0,
        recovered=set_aside_before(path),
    )
    try:
        with closing(connect(path, key, read_only=True)) as connection:
            return _seen(connection, look, monotonic_s() + within_s, monotonic_s)
    except DatabaseError as error:
        return replace(look, fault=damage_in(error, path, key))


def _seen(connection: Connection, look: StoreLook, until_s: float, monotonic_s: Callable[[], float]) -> StoreLook:
    refuse_newer(connection)
    recovery = recovery_of(Reading(connection, lambda: datetime.now(UTC)))
    tables = [
        str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    ]
    look = replace(look, version=version_of(connection), tables=len(tables))
    if recovery is not None:
        look = replace(look, recovered=recovery.recovered)
    connection.set_progress_handler(lambda: monotonic_s() >= until_s, _STEPS)
    for read, table in enumerate(tables):
        look = replace(look, read=read)
        if monotonic_s() >= until_s:
            return look
        try:
            # One statement a table, so that the agent can fold its log in between.
            found = str(connection.execute(f'PRAGMA quick_check("{table}")').fetchone()[0])
        except DatabaseError as error:
            if str(error) == _INTERRUPTED:
                return look
            if is_corruption(error):
                return replace(look, fault=f"{table}: {error}")
            raise
        if found != "ok":
            return replace(look, fault=f"{table}: {' '.join(found.split())}")
    return replace(look, read=len(tables))
