"""What the two databases do differently, in one place: connections, how a transaction begins, locks, retries.

Owns every statement, setting and error code that only one of them knows, but for how many values travel in one
statement (`central.db.sets`) and how PostgreSQL's files forget (`central.db.postgres_files`). Everything else is
written once, in SQLAlchemy Core, and means the same on both. Never knows what a table is for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import closing, suppress
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy import Connection, Engine, String, create_engine, event, inspect
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlcipher3 import dbapi2

from central.db import postgres_files
from central.db.errors import DatabaseError, DatabaseUrlError
from sync.durable import sync_folder, write_private
from sync.store.sqlite import has_wal_reset_bug

# How long a transaction waits for others (the command line beside the server), on either database.
BUSY_TIMEOUT_MS = 10_000
# SQLite's log is cut back to this at a checkpoint after it grew beyond (a long reader, an import).
WAL_KEEP_BYTES = 64 * 1024 * 1024
# Readers besides the writers; more would only queue for the same few cores.
READERS = 4
# Writers at once on PostgreSQL: while one waits for a commit to reach the disk, others use the processor.
POSTGRES_WRITERS = 8
# A computer that is gone without a word lets go of its locks after 30 + 3 × 10 s.
_KEEPALIVE = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
_SESSION = f"-c TimeZone=UTC -c lock_timeout={BUSY_TIMEOUT_MS} {_KEEPALIVE}"
# Advisory locks of this program within its database: any two numbers that differ.
_WRITING_LOCK = 7_420_001
_SERVING_LOCK = 7_420_002
# SQLSTATE of a serialization failure, of a deadlock; of a key that another transaction took meanwhile.
_RUN_AGAIN = frozenset({"40001", "40P01"})
_KEY_TAKEN = "23505"
# The class of errors whose very message tells the value.
_BAD_VALUE = "22"
# The class of errors of what is more than PostgreSQL can do, such as a text too long for its index.
_BEYOND_LIMITS = "54"

# What `pg_dump` makes, who owned what left out.
_DUMP = "centre.dump"
_PLAIN = ("--no-owner", "--no-privileges")
# As much as is shown of what one of PostgreSQL's programs said.
_SAID_CHARS = 500

_WAY = "tillside_way"


class Way(Enum):
    """How a transaction runs in respect of others. SQLite has one writer, so that all but READ are the same there."""

    READ = "read"
    """Sees one state of the database from its first statement to its last."""
    ALONE = "alone"
    """While it runs, nothing but READ and PLACE does. What is not known to be safe beside others runs so."""
    BESIDE = "beside"
    """Runs beside others of its kind: locks what it changes, and gives way where it is in doubt."""
    PLACE = "place"
    """Beside everything; sees one state, and fails rather than change what was changed meanwhile."""


class GiveWayError(RuntimeError):
    """A transaction that ran beside others has to run again, alone."""


def give_way(connection: Connection) -> None:
    """In doubt about what others do at this moment: from here on only alone. Raises GiveWayError where it is not."""
    if connection.dialect.name != "sqlite" and connection.get_execution_options().get(_WAY) is Way.BESIDE:
        raise GiveWayError("to be run again, alone")


def database_failed(error: Exception) -> bool:
    """Whether the database itself failed, and not what it was asked to do: then the same may well succeed later.

    What is beyond a limit of PostgreSQL never will. Its driver calls that operational, too.
    """
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, OperationalError) else None
    return isinstance(error, OperationalError) and not (state or "").startswith(_BEYOND_LIMITS)


class Backend(Protocol):
    """One of the two databases."""

    writers: int
    overwrites_beside_others: bool
    """Whether `overwrite_deleted` may be called while others work, who hardly notice."""

    def engine(self) -> Engine: ...

    def exists(self) -> bool:
        """Whether there is a database to look into; without one, looking would make an empty one."""

    def create(self) -> None:
        """Make an empty one where that is this program's to do."""

    def may_run_again(self, error: DBAPIError, way: Way) -> bool:
        """Whether the same transaction, run once more, may well succeed."""

    def copy_to(self, folder: Path) -> None:
        """Put a copy as of one moment into a folder. Raises DatabaseError."""

    def restore_from(self, folder: Path, beside: str) -> None:
        """Take such a copy in; what a file held stays under its name and `beside`. Raises DatabaseError."""

    def overwrite_deleted(self) -> None:
        """Let its files hold nothing that was deleted. Raises DatabaseError where something is left."""

    def __str__(self) -> str:
        """Where it is, as people should read it."""


def backend_at(data: Path, url: str | None) -> Backend:
    """PostgreSQL at `url`; without one, the SQLite file in the data folder. Raises DatabaseUrlError."""
    return Sqlite(data / "centre.db") if url is None else Postgres(postgres_url(url))


def using(engine: Engine, way: Way) -> Engine:
    """The engine whose transactions run that way."""
    options: dict[str, Any] = {_WAY: way}
    if engine.dialect.name == "postgresql":
        one_state = way in (Way.READ, Way.PLACE)
        options |= {
            "isolation_level": "REPEATABLE READ" if one_state else "READ COMMITTED",
            "postgresql_readonly": way is Way.READ,
        }
    return engine.execution_options(**options)


class Serving:
    """The right to serve a database, which one process has at a time. It goes with the connection that holds it.

    On PostgreSQL, where the database may be in reach of several machines; on SQLite who serves listens on a port.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT", **{_WAY: None})
        self._held: Connection | None = None

    def take(self) -> bool:
        """Whether this process has it now, after trying to take it."""
        if self._engine.dialect.name != "postgresql":
            return True
        if self._held is None:
            self._held = self._engine.connect()
        try:
            got: bool = self._held.exec_driver_sql(f"SELECT pg_try_advisory_lock({_SERVING_LOCK})").scalar_one()
        except OperationalError:
            self.let_go()
            raise
        return got

    def let_go(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        with suppress(SQLAlchemyError):  # its server may be gone; and would notice a little later that it was closed
            held.exec_driver_sql("SELECT pg_advisory_unlock_all()")
        held.invalidate()  # not back into the pool: the lock would live on
        held.close()


# ---- SQLite


class Sqlite:
    """The file in the data folder. One writer at a time, several readers, and neither waits for the other.

    Not by Python's own SQLite, which may have the WAL-reset bug, but by the one that registers have; nothing of it is
    encrypted.
    """

    writers = 1
    overwrites_beside_others = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def engine(self) -> Engine:
        if has_wal_reset_bug(dbapi2.sqlite_version_info):
            raise DatabaseError(
                f"the linked SQLite is {dbapi2.sqlite_version}, and 3.7.0 to 3.51.2 can lose commits (the WAL-reset "
                "bug); install sqlcipher3 0.6 or later, which brings a newer one"
            )
        url = URL.create("sqlite", database=str(self._path))
        engine = _engine(url, self.writers + READERS, module=dbapi2)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def exists(self) -> bool:
        return self._path.exists()

    def create(self) -> None:
        if not self._path.exists():
            write_private(self._path, b"")

    def may_run_again(self, error: DBAPIError, way: Way) -> bool:  # noqa: ARG002 - a writer waited for its turn already
        return False

    def copy_to(self, folder: Path) -> None:
        """By SQLite's own backup, in one go; the copy is one file, without a log."""
        target = folder / self._path.name
        write_private(target, b"")
        with closing(dbapi2.connect(str(self._path))) as source, closing(dbapi2.connect(str(target))) as copy:
            source.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            if copy.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise DatabaseError(f"{self._path} is damaged; restore an earlier backup")
        _sync(target)

    def restore_from(self, folder: Path, beside: str) -> None:
        """The log goes with its database: beside another one it would be played into that."""
        for ending in ("", "-wal", "-shm", "-journal"):
            path = self._path.with_name(f"{self._path.name}{ending}")
            if path.exists():
                path.rename(path.with_name(f"{path.name}.{beside}"))
        arriving = self._path.with_name(f".{self._path.name}.new")
        write_private(arriving, b"")
        shutil.copyfile(folder / self._path.name, arriving)
        _sync(arriving)
        arriving.replace(self._path)
        sync_folder(self._path.parent)

    def overwrite_deleted(self) -> None:
        """Write the file anew, and empty the log, which holds pages as they were before."""
        with closing(dbapi2.connect(str(self._path), isolation_level=None)) as connection:
            _prepare_sqlite(connection, None)
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("VACUUM")
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise DatabaseError(
                    f"{self._path} is being read all the time, so that its log still holds what was deleted; "
                    "stop every program that uses it, which empties the log"
                )

    def __str__(self) -> str:
        return str(self._path)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """A write-ahead log that is synced at COMMIT."""
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    mode = cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise DatabaseError(
            f"the database cannot be set to a write-ahead log (it is in journal mode {mode}); stop every other program "
            "that uses it, and put it on a disk of this machine"
        )
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute(f"PRAGMA journal_size_limit = {WAL_KEEP_BYTES}")
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its lock at once: two that read first and write later could never both go on."""
    reads = connection.get_execution_options().get(_WAY) is Way.READ
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


# ---- PostgreSQL


def postgres_url(text: str) -> URL:
    """`postgresql://user@host:5432/database`, with libpq's parameters after a `?`. Raises DatabaseUrlError."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise DatabaseUrlError(f"{text!r} is no address; write postgresql://USER@HOST:5432/DATABASE") from error
    if url.drivername != "postgresql" or not url.database:
        raise DatabaseUrlError(
            f"{url.render_as_string()} is no address of a PostgreSQL database; "
            "write postgresql://USER@HOST:5432/DATABASE"
        )
    if url.password is not None or "password" in url.query:
        raise DatabaseUrlError(
            "leave the password out of the address, where others can read it: put it into ~/.pgpass "
            "(mode 0600) or the file that PGPASSFILE names, or set PGPASSWORD"
        )
    return url


class Postgres:
    """A PostgreSQL database, reached through libpq: passwords come from its password file or PGPASSWORD."""

    writers = POSTGRES_WRITERS
    overwrites_beside_others = False

    def __init__(self, url: URL) -> None:
        self._url = url

    def engine(self) -> Engine:
        options = f"{self._url.query.get('options', '')} {_SESSION}".strip()
        url = self._url.set(drivername="postgresql+psycopg").update_query_dict(
            {"application_name": "tillside-central"} | dict(self._url.query) | {"options": options}
        )
        engine = _engine(url, self.writers + READERS + 1)  # and the one that holds the right to serve
        event.listen(engine, "connect", _prepare_postgres)
        event.listen(engine, "handle_error", _without_values)
        event.listen(engine, "begin", _begin_postgres)
        return engine

    def exists(self) -> bool:
        return True

    def create(self) -> None:
        """The operator's: `createdb`."""

    def may_run_again(self, error: DBAPIError, way: Way) -> bool:
        state = getattr(error.orig, "sqlstate", None)
        return state in _RUN_AGAIN or (state == _KEY_TAKEN and way is not Way.ALONE)

    def copy_to(self, folder: Path) -> None:
        target = folder / _DUMP
        write_private(target, b"")
        self._run("pg_dump", "--format=custom", *_PLAIN, f"--file={target}")
        _sync(target)

    def restore_from(self, folder: Path, beside: str) -> None:  # noqa: ARG002 - nothing of it is there before
        engine = self.engine()
        try:
            held = inspect(engine).get_table_names()
        finally:
            engine.dispose()
        if held:
            raise DatabaseError(f"{self} is not empty; make another with createdb, and name it with --database")
        self._run("pg_restore", *_PLAIN, "--exit-on-error", "--single-transaction", str(folder / _DUMP))

    def overwrite_deleted(self) -> None:
        """Write all tables anew, each of which is locked meanwhile, and the log."""
        engine = self.engine()
        try:
            with engine.connect() as connection:
                postgres_files.overwrite_deleted(connection.execution_options(isolation_level="AUTOCOMMIT"))
        finally:
            engine.dispose()

    def _run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's own programs, of the server's version or a newer one."""
        command = (program, f"--dbname={self._url.render_as_string()}", *arguments)
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise DatabaseError(f"{program} is not installed; it comes with PostgreSQL's client programs") from error
        if done.returncode != 0:
            raise DatabaseError(f"{program} failed: {done.stderr.strip()[-_SAID_CHARS:]}")

    def __str__(self) -> str:
        return self._url.render_as_string()


def _prepare_postgres(connection: Any, _record: Any) -> None:
    """A commit is durable before it is answered, whatever the server is set to; and long values are packed by LZ4."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        # A receipt is longer than what is kept as it is, and PostgreSQL's own packing takes several times as long.
        cursor.execute(
            "SELECT set_config(name, 'lz4', false) FROM pg_settings "
            "WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"
        )
    connection.commit()


def _without_values(context: ExceptionContext) -> None:
    """What SQLAlchemy raises was made of the whole message; it says no more than the error itself from here on."""
    error = context.original_exception
    if isinstance(context.sqlalchemy_exception, DBAPIError) and isinstance(error, psycopg.Error):
        leave_values_out(error)
        context.sqlalchemy_exception.args = (f"({type(error).__name__}) {error}",)


def leave_values_out(error: psycopg.Error) -> None:
    """What the server says of an error may quote a row; errors are logged and printed."""
    if error.sqlstate is not None:
        quotes = error.sqlstate.startswith(_BAD_VALUE)
        error.args = ("a value does not fit" if quotes else error.diag.message_primary,)


def _begin_postgres(connection: Connection) -> None:
    """ALONE waits for all BESIDE, and they for it: one lock, shared or not, released with the transaction."""
    way = connection.get_execution_options().get(_WAY)
    if way is Way.ALONE:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITING_LOCK})")
    elif way is Way.BESIDE:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_WRITING_LOCK})")


@compiles(String, "postgresql")
def _string(_type: String, _compiler: Any, **_context: Any) -> str:
    """Texts without a length: SQLite minds none, and an entry must not fail on one database only."""
    return "VARCHAR"


def _engine(url: URL, connections: int, **options: Any) -> Engine:
    # An error is logged and printed: the values of a statement are codes and receipts, and stay out of it.
    return create_engine(
        url, pool_size=connections, max_overflow=0, pool_pre_ping=True, hide_parameters=True, **options
    )
