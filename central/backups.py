"""Backups of a centre, and what a centre does that was restored from one.

Owns what is in a backup, and the new life after it: another `centre_epoch`, every register's epoch fenced, so that
registers take a snapshot and send again what they keep; and the journal put in, which no backup takes back. How a
database is copied is `central.db.dialects`'.
"""

from __future__ import annotations

import secrets
import shutil
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, update

from central import feed
from central.db import tables
from central.db.database import Database, Place
from central.folder import DataFolder, FolderError
from central.journal import Fact, Journal, replay
from loyalty.receipt import AwareDatetime
from loyalty.undecodable import UNDECODABLE
from sync.durable import write_private

EPOCH_BYTES = 16
_LABEL = "backup.json"


class BackedUp(Struct, frozen=True, kw_only=True):
    """`backup.json`, written last: a folder without it is no whole backup. `kind` is sqlite or postgresql."""

    made_at: AwareDatetime
    kind: str
    centre_epoch: str
    feed: int


class Restored(Struct, frozen=True, kw_only=True):
    """`of` is when the backup was made, absent where the database was restored by other means."""

    data: str
    centre_epoch: str
    of: AwareDatetime | None
    facts: int


def back_up(folder: DataFolder, target: Path, now: datetime) -> BackedUp:
    """Copy the database as it is at one moment, and all of the folder that cannot be made anew; `serve` may run.

    Raises FolderError where there is something at `target`, DatabaseError where the copy fails.
    """
    if target.exists():
        raise FolderError(f"{target} is there already; name a folder that is not")
    target.mkdir(parents=True, mode=0o700)
    database = Database(folder.database)
    try:
        database.check_version()
        epoch, position = database.read_now(lambda c: (feed.centre_epoch(c), feed.feed_position(c)))
        database.copy_to(target)
        done = BackedUp(made_at=now, kind=database.kind, centre_epoch=epoch, feed=position)
    finally:
        database.close()
    for path in folder.kept():
        write_private(target / path.name, path.read_bytes())
    write_private(target / _LABEL, msgspec.json.encode(done))
    return done


def restore(folder: DataFolder, source: Path | None, database_url: str | None, now: datetime) -> Restored:
    """Bring a backup into the folder and begin a new life; files that are there stay.

    Without `source`, the database was restored already, by PostgreSQL's own means. Raises FolderError, DatabaseError.
    """
    label = None if source is None else _label(source)
    if source is not None:
        folder.create()
        for name in folder.KEPT:
            if (source / name).exists() and not (folder.path / name).exists():
                shutil.copyfile(source / name, folder.path / name)
                (folder.path / name).chmod(0o600)
    settings = folder.settings()
    if database_url is not None:
        settings = replace(settings, database=database_url)
    database = Database(Place(data=folder.path, url=settings.database))
    try:
        database.serve_alone()
        if source is not None and label is not None:
            if label.kind != database.kind:
                raise FolderError(f"{source} is of {label.kind}; name such a database with --database, or none")
            database.restore_from(source, beside=f"before-{now:%Y%m%dT%H%M%S}")
        database.upgrade()
        facts = Journal(folder.journal).facts()
        epoch = database.write_now(lambda connection: _begin_anew(connection, facts, now))
    finally:
        database.close()
    folder.save_settings(settings)
    return Restored(
        data=str(folder.path), centre_epoch=epoch, of=None if label is None else label.made_at, facts=len(facts)
    )


def _begin_anew(connection: Connection, facts: tuple[Fact, ...], now: datetime) -> str:
    """Another life: what registers were told of the one before is not this centre's any more."""
    epoch = secrets.token_hex(EPOCH_BYTES)
    connection.execute(update(tables.centre).values(centre_epoch=epoch))
    connection.execute(update(tables.epochs).where(tables.epochs.c.closed_at.is_(None)).values(closed_at=now))
    connection.execute(update(tables.devices).values(epoch=None))
    replay(connection, facts)
    # What was set aside since the backup is forgotten: each register says first what it holds.
    connection.execute(update(tables.devices).values(owes_report=1))
    return epoch


def _label(source: Path) -> BackedUp:
    try:
        return msgspec.json.decode((source / _LABEL).read_bytes(), type=BackedUp)
    except (OSError, *UNDECODABLE) as error:
        raise FolderError(f"{source} is no whole backup ({_LABEL}: {error}); take another one") from error
