"""The one door to the centre's database: transactions on threads, pragmas, schema versions.

Owns how a transaction begins, who may write and which schema this program reads. Never holds a query.
Work is a plain function of a Connection; on embedded SQLite it runs in a thread, so that the event
loop never waits for the disk and no statement pays for a switch of threads of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

T = TypeVar("T")
Work = Callable[[Connection], T]

# How long a transaction waits for another process (the command line beside the server).
BUSY_TIMEOUT_MS = 10_000
# Readers besides the one writer; more would only queue for the same two or three cores.
READERS = 4
MIGRATIONS = Path(__file__).parent / "migrations"

_WRITES = "tillside_writes"


class DatabaseError(RuntimeError):
    """The database cannot be used as it is. The message says what to do."""

    exit_code = 1


class DatabaseMissingError(DatabaseError):
    """There is no database here yet."""

    exit_code = 3


class DatabaseNewerError(DatabaseError):
    """The database was written by a newer version of this program."""


class DatabaseOlderError(DatabaseError):
    """The database needs a migration."""


class Database:
    """Transactions on one embedded SQLite file.

    One writer at a time, several readers. `read` and `write` return what the work returns, a write only
    once it is durable; an exception rolls back everything the work did.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _engine(path)
        self._writing = self._engine.execution_options(**{_WRITES: True})
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="centre-writer")
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="centre-reader")

    async def read(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, work)

    async def write(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self.write_now, work)

    def read_now(self, work: Work[T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)

    def write_now(self, work: Work[T]) -> T:
        with self._writing.begin() as connection:
            return work(connection)

    def upgrade(self) -> None:
        """Bring the schema to this program's version; an empty file gets all of it."""
        self._refuse_newer()
        with self._writing.begin() as connection:
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def check_version(self) -> None:
        """Raise DatabaseError unless the schema is exactly this program's."""
        if not self.path.exists():
            raise DatabaseMissingError(
                f"{self.path} does not exist; run: tillside-central init --data {self.path.parent}"
            )
        self._refuse_newer()
        head = _scripts().get_current_head()
        if self._revision() != head:
            raise DatabaseOlderError(
                f"{self.path} is of an older version; stop the server, keep a copy of the folder, "
                f"and run: tillside-central init --data {self.path.parent}"
            )

    def close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()

    def _refuse_newer(self) -> None:
        revision = self._revision()
        if revision is not None and revision not in {script.revision for script in _scripts().walk_revisions()}:
            raise DatabaseNewerError(
                f"{self.path} was written by a newer Tillside (schema {revision}); "
                "install that version again, or restore the copy of the folder made before the update"
            )

    def _revision(self) -> str | None:
        with self._engine.begin() as connection:
            return MigrationContext.configure(connection).get_current_revision()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _engine(path: Path) -> Engine:
    url = URL.create("sqlite", database=str(path))
    # An error is logged and printed: the values of a statement are codes and receipts, and stay out of it.
    engine = create_engine(url, pool_size=READERS + 1, max_overflow=0, hide_parameters=True)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: Any) -> None:
    """A rollback journal that is durable at COMMIT.

    Python's own SQLite may have the WAL-reset bug (3.7.0 to 3.51.2), so there is no WAL. In the journal
    mode DELETE, FULL leaves the removal of the journal unsynced, and a power cut could bring it back and
    undo a commit; PERSIST ends a transaction with a synced write.
    """
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    mode = cursor.execute("PRAGMA journal_mode = PERSIST").fetchone()[0]
    if mode != "persist":
        raise DatabaseError(
            f"the database is in journal mode {mode}; stop every program that uses it, "
            "then set it back with: sqlite3 centre.db 'PRAGMA journal_mode=DELETE'"
        )
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer takes its lock at once: two that read first and write later could never both go on."""
    immediate = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
