"""Migrations: an old file is brought forward, a failed step changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from sync.keys import STORE_KEY, STORE_KEY_BYTES
from sync.programs import Programs
from sync.store.schema import MIGRATIONS, Migration, migrate, version_of
from sync.store.sqlite import connect, make_durable
from sync.wire import AnnouncedProgram
from tests.sync.store.samples import keeper, opened, receipt

if TYPE_CHECKING:
    from sqlite3 import Connection

# Made by version 1 of the store with three receipts, one scan and a member; its key beside it. Never made anew.
VERSION_1 = Path(__file__).parent / "version-1"

SECOND: Migration = ("second", ("ALTER TABLE scans ADD COLUMN note TEXT", "UPDATE scans SET note = 'kept before'"))
BROKEN: Migration = ("broken", ("ALTER TABLE scans ADD COLUMN note TEXT", "INSERT INTO nowhere VALUES (1)"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copytree(VERSION_1, tmp_path / "state")
    (tmp_path / "state" / "keys").chmod(0o700)
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            file.chmod(0o600)
    return tmp_path / "state"


@pytest.fixture
def connection(old: Path) -> Iterator[Connection]:
    key = keeper(old).find(STORE_KEY, STORE_KEY_BYTES)
    assert key is not None
    with closing(connect(old / "store.db", key)) as opened_file:
        make_durable(opened_file)
        yield opened_file


def test_a_file_of_version_1_is_read_by_this_one(old: Path) -> None:
    with closing(opened(old)) as store:
        assert [entry.key for entry in store.queue()] == [receipt(number).key for number in (1, 2, 3)]
        stored = store.known_receipt([receipt(2).key])
        assert stored is not None
        assert stored.receipt == receipt(2)
        shown = store.member_by_code("CARD-1")
        assert shown is not None
        assert shown.balance.confirmed == 40
        assert [scan.code for scan in store.unused_scans()] == ["CARD-1"]


def test_the_program_that_was_in_force_before_schedules_stays_in_force(connection: Connection) -> None:
    insert = "INSERT INTO programs (hash, program, signature, current) VALUES (?, '{}', 's', ?)"
    connection.executemany(insert, [("a" * 64, 0), ("b" * 64, 1)])
    migrate(connection)

    [(kept,)] = connection.execute("SELECT value FROM meta WHERE name = 'programs'").fetchall()
    assert msgspec.json.decode(kept, type=Programs) == Programs(schedule=(AnnouncedProgram(program="b" * 64),))
    assert len(connection.execute("SELECT hash FROM programs").fetchall()) == 2


def test_a_later_step_keeps_the_rows(connection: Connection) -> None:
    migrate(connection, (MIGRATIONS[0], SECOND))

    assert version_of(connection) == 2
    assert connection.execute("SELECT code, note FROM scans").fetchall() == [("CARD-1", "kept before")]


def test_steps_run_once(connection: Connection) -> None:
    migrate(connection, (MIGRATIONS[0], SECOND))
    connection.execute("UPDATE scans SET note = 'changed since'")
    migrate(connection, (MIGRATIONS[0], SECOND))

    assert connection.execute("SELECT note FROM scans").fetchall() == [("changed since",)]


def test_a_step_that_fails_leaves_the_file_as_it_was(connection: Connection) -> None:
    before = connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()

    with pytest.raises(Exception, match="nowhere"):
        migrate(connection, (MIGRATIONS[0], BROKEN))

    assert version_of(connection) == 1
    assert connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall() == before
