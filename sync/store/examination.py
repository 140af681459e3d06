"""Before a file is trusted: is it whole, is this its key, is this program new enough for it?

Owns the difference between a wrong key (refuse, touch nothing) and a damaged file (rename it, go on). Both
look the same to SQLCipher, so a fingerprint of the key stands beside the file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from glob import escape
from pathlib import Path

import structlog

from sync.durable import sync_folder, write_private
from sync.keys import STORE_KEY, STORE_KEY_BYTES, KeyKeeper
from sync.store.errors import StoreCorruptError, StoreKeyError, StoreUnavailableError
from sync.store.rows import Recovered
from sync.store.schema import refuse_newer
from sync.store.sqlite import PAGE_BYTES, DatabaseError, connect, is_corruption

log = structlog.get_logger(__name__)

# Files up to this are read whole at every start (0.1 s); longer ones only after the disk was seen to fail.
READ_WHOLE_BYTES = 16 * 1024 * 1024

_SUFFIXES = ("", "-wal", "-shm")
_CORRUPT = ".corrupt-"
# Stands beside a damaged file of which all came back that could be read.
_SALVAGED = ".salvaged"


def files_of(path: Path) -> tuple[Path, ...]:
    """The store's file, its log and the log's index."""
    return tuple(_beside(path, suffix) for suffix in _SUFFIXES)


def backup_of(path: Path) -> Path:
    """The folder of the copy that is made before an update."""
    return path.with_name("before-update")


def key_is_kept(path: Path, keeper: KeyKeeper) -> None:
    """Raises StoreKeyError where there is a store but its key is gone: a new key could never open it."""
    if _size(path) and keeper.find(STORE_KEY, STORE_KEY_BYTES) is None:
        raise StoreKeyError(
            f"{path} is there, its key {STORE_KEY!r} is not ({keeper.where()}); put the key back (one that is "
            "sealed for the service is there only while that runs), or move the store away to start with an empty one"
        )


def examined(path: Path, key: bytes, clock: Callable[[], datetime], *, recover: bool) -> Recovered | None:
    """Makes sure that `path` can be opened with `key`; what was renamed for that, if anything.

    Raises StoreKeyError, StoreTooNewError, StoreUnavailableError, without `recover` also StoreCorruptError, and
    has then changed nothing.
    """
    if recover:
        _end_setting_aside(path)
    reason = _damage(path, key) if _size(path) else None
    recovered = None
    if reason is not None and not recover:
        raise StoreCorruptError(
            f"{path} is damaged ({reason}); start the agent with `tillside run`: it keeps the file aside and goes on "
            "with a new one"
        )
    if reason is not None:
        recovered = _set_aside(path, reason, clock)
        log.error("store_corrupt", moved_to=recovered.moved_to, reason=reason)
    _make_private(path)
    suspicion_of(path).unlink(missing_ok=True)
    _keep_fingerprint(path, key)
    return recovered


def remove_set_aside(path: Path) -> bool:
    """Deletes what was ever renamed for being damaged, for good; whether there was any. Raises OSError.

    A copy from before an update goes as well.
    """
    with suppress(FileNotFoundError):
        shutil.rmtree(backup_of(path))
    found = list(path.parent.glob(f"{escape(path.name)}{_CORRUPT}*"))
    for file in found:
        file.unlink(missing_ok=True)
    if found:
        sync_folder(path.parent)
    return bool(found)


def set_aside_before(path: Path) -> Recovered | None:
    """The newest damaged file that stands beside `path`, whatever became of it."""
    return next((_found(file) for file in _all_set_aside(path)), None)


def not_salvaged(path: Path) -> tuple[Recovered, ...]:
    """The damaged files beside `path` of which something may still come back, the newest first."""
    return tuple(_found(file) for file in _all_set_aside(path) if not _beside(file, _SALVAGED).exists())


def note_salvaged(moved_to: Path) -> None:
    """All came back of a damaged file that could be read; the file itself remembers it, since the store that has it
    may be damaged next. Raises OSError.
    """
    if moved_to.exists():
        write_private(_beside(moved_to, _SALVAGED), b"")


def _found(file: Path) -> Recovered:
    return Recovered(moved_to=str(file), reason="found corrupt at an earlier start")


def _all_set_aside(path: Path) -> list[Path]:
    """The damaged files beside `path`, the newest first."""
    found = [
        file
        for file in path.parent.glob(f"{escape(path.name)}{_CORRUPT}*")
        if not file.name.endswith(("-wal", "-shm", _SALVAGED)) and file.is_file()
    ]
    return sorted(found, key=lambda file: _age(file.name), reverse=True)


def _age(name: str) -> tuple[str, int]:
    """A damaged file's name in the order of time: the second, and its number within it."""
    stamp, _, number = name.rpartition("-")
    return stamp, int(number) if number.isdigit() else 0


def suspect(path: Path) -> None:
    """Has the whole file read at the next start, since the disk gave or took something wrong."""
    # A full disk may not even take an empty file.
    with suppress(OSError):
        suspicion_of(path).touch(mode=0o600)


def _damage(path: Path, key: bytes) -> str | None:
    """What is wrong with the file, None if nothing."""
    cut_off = _size(_beside(path, "-wal")) > 0
    try:
        with closing(connect(path, key, read_only=True)) as connection:
            refuse_newer(connection)
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if _size(path) <= READ_WHOLE_BYTES or suspicion_of(path).exists():
                found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
                return None if found == "ok" else found
    except DatabaseError as error:
        return damage_in(error, path, key)
    # Until a cut-off register's log is folded in, its file may rightly be shorter.
    if not cut_off and _size(path) < pages * PAGE_BYTES:
        return f"{pages * PAGE_BYTES - _size(path)} bytes are missing at its end"
    return None


def damage_in(error: Exception, path: Path, key: bytes) -> str:
    """What an error of reading a store says is damaged.

    Raises StoreUnavailableError where the disk does not give it, StoreKeyError where the key is another's.
    """
    if not is_corruption(error):
        raise StoreUnavailableError(f"{path} cannot be read ({error}); check the disk and its mount") from error
    if not is_its_key(path, key):
        raise StoreKeyError(
            f"the key at hand does not open {path}; put the key back that was made with it, or move the "
            "store away to start with an empty one"
        ) from error
    return str(error)


def is_its_key(path: Path, key: bytes) -> bool:
    """By the fingerprint; without one, by the salt that SQLCipher leaves in the first 16 bytes."""
    try:
        return _fingerprint(path).read_text() == _fingerprint_of(key)
    except FileNotFoundError:
        with path.open("rb") as file:
            return file.read(16) == key[32:]


def _set_aside(path: Path, reason: str, clock: Callable[[], datetime]) -> Recovered:
    """Renames the file and then its log, and never overwrites an earlier one."""
    stamp = clock().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 0
    while (moved_to := path.with_name(f"{path.name}{_CORRUPT}{stamp}-{number}")).exists():
        number += 1
    _rename(path, moved_to)
    return Recovered(moved_to=str(moved_to), reason=reason)


def _end_setting_aside(path: Path) -> None:
    """Renames a log that was left behind: the power may go when its file has a new name and it has not.

    SQLite deletes the log of a file that is not there, with all that stands in it alone.
    """
    written_ahead = files_of(path)[1]
    if path.exists() or _size(written_ahead) == 0:
        return
    lone = next((file for file in _all_set_aside(path) if not files_of(file)[1].exists()), None)
    if lone is not None:
        _rename(path, lone)


def _rename(path: Path, moved_to: Path) -> None:
    """The file first, and durably: as long as it is there, so is its log."""
    for file, renamed in zip(files_of(path), files_of(moved_to), strict=True):
        if file.exists():
            file.rename(renamed)
            sync_folder(path.parent)


def write_problem(path: Path) -> str | None:
    """Why this user may not write the store, and what to do; None where it may, or where there is none."""
    by_effective = os.access in os.supports_effective_ids
    if not path.exists() or os.access(path, os.W_OK, effective_ids=by_effective):
        return None
    status = path.stat()
    return (
        f"{path} may not be written by this user (mode {stat.S_IMODE(status.st_mode):04o}, of user {status.st_uid}): "
        f"run as that user, after `chmod 0600 {path}`"
    )


def _make_private(path: Path) -> None:
    """SQLite gives the log and the index the mode of the file. Raises StoreUnavailableError."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        why = write_problem(path) or f"{path} cannot be written ({error.strerror}): check its folder, disk and mount"
        raise StoreUnavailableError(why) from error


def _keep_fingerprint(path: Path, key: bytes) -> None:
    text = _fingerprint_of(key)
    if _fingerprint(path).exists() and _fingerprint(path).read_text() == text:
        return
    write_private(_fingerprint(path), text.encode())


def suspicion_of(path: Path) -> Path:
    """The file whose presence has the whole store read at the next start."""
    return _beside(path, ".suspect")


def _fingerprint(path: Path) -> Path:
    return _beside(path, ".key-id")


def _fingerprint_of(key: bytes) -> str:
    return hashlib.sha256(b"tillside-store-key-1" + key).hexdigest()[:32]


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
