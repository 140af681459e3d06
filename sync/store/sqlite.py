"""The encrypted SQLite file: which library is safe, how a connection is opened, what its errors mean.

Owns pragmas and cipher settings. Never knows a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from sqlcipher3 import dbapi2

from sync.store.errors import SqliteUnsafeError

if TYPE_CHECKING:
    from sqlite3 import Connection

DatabaseError: type[Exception] = dbapi2.DatabaseError

# Pages of 8 KiB hold a whole receipt, so that a row costs one authenticated page and no overflow chain.
PAGE_BYTES = 8192
# The writer and the reader never wait for one another in WAL mode; this is for a foreign tool's lock.
BUSY_TIMEOUT_MS = 5000
# Each connection's page cache, in KiB.
CACHE_KIB = 4096
# Each statement costs as much as some rows: calls, locks, and Python's own lock given away and taken back.
ROWS_PER_STATEMENT = 50
# SQLite's own 1,000 pages.
CHECKPOINT_BYTES = 1000 * PAGE_BYTES
# A write-ahead log that grew beyond this (a long reader, a large snapshot) is cut back at the next checkpoint.
WAL_KEEP_BYTES = 16 * 1024 * 1024

_WAL_RESET_BUG_FROM = (3, 7, 0)
_WAL_RESET_BUG_TO = (3, 51, 2)

_STORAGE_FAILURES = (
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "database is locked",
    "database disk image is malformed",
    "file is not a database",
)


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite can lose commits when several connections write and reset one WAL (3.7.0–3.51.2)."""
    return _WAL_RESET_BUG_FROM <= version <= _WAL_RESET_BUG_TO


def refuse_unsafe(version: tuple[int, int, int] = dbapi2.sqlite_version_info) -> None:
    """Raises SqliteUnsafeError for a SQLite with the WAL-reset bug."""
    if has_wal_reset_bug(version):
        text = ".".join(map(str, version))
        raise SqliteUnsafeError(
            f"the linked SQLite is {text}, and 3.7.0 to 3.51.2 can lose commits (the WAL-reset bug); "
            "install sqlcipher3 0.6 or later, which brings a newer one"
        )


def connect(path: Path, key: bytes, *, read_only: bool = False) -> Connection:
    """A connection in autocommit mode; `key` is 32 bytes of key and 16 of salt.

    The file is not read yet: a wrong key shows at the first statement.
    """
    uri = f"file:{quote(str(path))}" + ("?mode=ro" if read_only else "")
    connection = cast(
        "Connection",
        dbapi2.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256),
    )
    connection.execute(f"""PRAGMA key = "x'{key.hex()}'" """)
    connection.execute("PRAGMA cipher_log_level = NONE")
    connection.execute(f"PRAGMA cipher_page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA cipher_hmac_algorithm = HMAC_SHA256")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def make_durable(connection: Connection, log_bytes: int = CHECKPOINT_BYTES) -> None:
    """Write-ahead log, every commit synced to the disk, deleted data overwritten.

    From `log_bytes` on the log is folded into the file, which then grows by as much at most.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEEP_BYTES}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {max(1, log_bytes // PAGE_BYTES)}")


def fold_log(connection: Connection) -> bool:
    """Folds in the log where it is half of what a commit would fold in; whether the next commit begins it anew.

    Outside of a transaction. What the disk does not take of it now is folded in later, as after a commit.
    """
    (most,) = connection.execute("PRAGMA wal_autocheckpoint").fetchone()
    _, written, folded = connection.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
    if 2 * (written - folded) < most:
        return False
    with suppress(DatabaseError):
        _, written, folded = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(written == folded)


def insert_rows(connection: Connection, into: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Many rows of one width, several in a statement. `into` is such a statement up to its VALUES."""
    if not rows:
        return
    row = f"({', '.join('?' * len(rows[0]))})"
    several = f"{into} VALUES {', '.join([row] * ROWS_PER_STATEMENT)}"
    rest = len(rows) - len(rows) % ROWS_PER_STATEMENT
    for start in range(0, rest, ROWS_PER_STATEMENT):
        connection.execute(several, list(chain.from_iterable(rows[start : start + ROWS_PER_STATEMENT])))
    connection.executemany(f"{into} VALUES {row}", rows[rest:])


def is_storage_failure(error: BaseException) -> bool:
    """Whether the disk failed, rather than one statement."""
    return isinstance(error, DatabaseError) and str(error).startswith(_STORAGE_FAILURES)


def is_full(error: BaseException) -> bool:
    """Whether the disk has no room."""
    return isinstance(error, DatabaseError) and str(error).startswith(_STORAGE_FAILURES[0])


def is_corruption(error: BaseException) -> bool:
    """Whether the file's content is damaged (or its key is not this one)."""
    return isinstance(error, DatabaseError) and str(error).startswith(_STORAGE_FAILURES[-2:])
