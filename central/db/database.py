"""The one door to the centre's database: transactions on threads, running again, schema versions.

Owns who may write when, and which schema this program reads. Never holds a query, nor anything that only one
of the two databases knows (`central.db.dialects` does). Work is a plain function of a Connection; it runs in a
thread, so that the event loop never waits for the disk and no statement pays for a switch of threads of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError

from central.db.dialects import READERS, GiveWayError, Serving, Way, backend_at, using
from central.db.errors import DatabaseMissingError, DatabaseNewerError, DatabaseOlderError, DatabaseServedError

T = TypeVar("T")
Work = Callable[[Connection], T]

# A transaction that another one got in the way of is run this often; from the second time on it runs alone.
ATTEMPTS = 4
MIGRATIONS = Path(__file__).parent / "migrations"


class Place(Struct, frozen=True, kw_only=True):
    """Where a centre's database is: at a PostgreSQL URL, else SQLite in the data folder."""

    data: Path
    url: str | None = None


class Database:
    """Transactions on one database.

    `read` and `write` return what the work returns, a write only once it is durable; an exception rolls back
    everything the work did. Work may be run again from its beginning, so it must change nothing but the database.
    """

    def __init__(self, place: Place) -> None:
        self._init = f"tillside-central init --data {place.data}"
        self._backend = backend_at(place.data, place.url)
        engine = self._backend.engine()
        self._engines = {way: using(engine, way) for way in Way}
        self._serving = Serving(engine)
        self._writer = ThreadPoolExecutor(max_workers=self._backend.writers, thread_name_prefix="centre-writer")
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="centre-reader")

    async def read(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, work)

    async def write(self, work: Work[T], way: Way = Way.ALONE) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self.write_now, work, way)

    async def attempt(self, work: Work[T], way: Way) -> T:
        """`write` once. Raises GiveWayError where it would have to be run again, alone."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._attempt_now, work, way)

    def read_now(self, work: Work[T]) -> T:
        with self._engines[Way.READ].begin() as connection:
            return work(connection)

    def write_now(self, work: Work[T], way: Way = Way.ALONE) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._once(work, way)
            except GiveWayError:
                pass
            except (OperationalError, IntegrityError) as error:
                if not self._backend.may_run_again(error, way):
                    raise
            way = Way.ALONE if way is Way.BESIDE else way
        return self._once(work, way)

    def _attempt_now(self, work: Work[T], way: Way) -> T:
        try:
            return self._once(work, way)
        except (OperationalError, IntegrityError) as error:
            if not self._backend.may_run_again(error, way):
                raise
            raise GiveWayError("another transaction got in the way") from error

    def _once(self, work: Work[T], way: Way) -> T:
        with self._engines[way].begin() as connection:
            return work(connection)

    def serve_alone(self) -> None:
        """Take the right to serve, or make sure of it. Raises DatabaseServedError while another process has it."""
        if not self._serving.take():
            raise DatabaseServedError(
                f"another process serves {self._backend}; stop that one, or wait a minute if its computer is gone"
            )

    def upgrade(self, revision: str = "head") -> None:
        """Bring the schema to this program's version, or an earlier one up to it; an empty database gets all of it."""
        self._backend.create()
        self._refuse_newer()
        self.write_now(lambda connection: command.upgrade(_config(connection), revision))

    def downgrade(self, revision: str) -> None:
        """Take the schema back to an earlier version, `base` for an empty one. What it had no place for is gone."""
        self._refuse_newer()
        self.write_now(lambda connection: command.downgrade(_config(connection), revision))

    def check_version(self) -> None:
        """Raise DatabaseError unless the schema is exactly this program's."""
        if not self._backend.exists():
            raise DatabaseMissingError(f"{self._backend} does not exist; run: {self._init}")
        self._refuse_newer()
        if self._revision() != _revisions()[0]:
            raise DatabaseOlderError(
                f"{self._backend} is of an older version; stop the server, make a backup, and run: {self._init}"
            )

    @property
    def has_one_writer(self) -> bool:
        """Whether a transaction that writes keeps all others that do waiting."""
        return self._backend.writers == 1

    @property
    def kind(self) -> str:
        """sqlite or postgresql."""
        return self._engines[Way.READ].dialect.name

    def copy_to(self, folder: Path) -> None:
        """Put a copy as of one moment into a folder, while others go on. Raises DatabaseError."""
        self._backend.copy_to(folder)

    def restore_from(self, folder: Path, *, beside: str) -> None:
        """Take such a copy in. What SQLite held stays beside it under that name; PostgreSQL's must be empty."""
        self._backend.restore_from(folder, beside)

    @property
    def overwrites_beside_others(self) -> bool:
        """Whether `overwrite_deleted` may be called while others work, who hardly notice."""
        return self._backend.overwrites_beside_others

    def overwrite_deleted(self) -> None:
        """Let no file of the database hold what was deleted from it. Raises DatabaseError where something is left."""
        self._backend.overwrite_deleted()

    def __str__(self) -> str:
        """Where it is, as people should read it."""
        return str(self._backend)

    def close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._serving.let_go()
        self._engines[Way.READ].dispose()

    def _refuse_newer(self) -> None:
        revision = self._revision()
        if revision is not None and revision not in _revisions():
            raise DatabaseNewerError(
                f"{self._backend} was written by a newer Tillside (schema {revision}); "
                "install that version again, or restore the backup made before the update"
            )

    def _revision(self) -> str | None:
        return self.read_now(lambda connection: MigrationContext.configure(connection).get_current_revision())


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


@cache
def _revisions() -> tuple[str, ...]:
    """Versions of the schema that this program knows, its own first. Each is a module, and they are many: read once."""
    return tuple(script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions())
