"""A centre that really listens, in this process, with a clock the test holds."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession
from msgspec.structs import replace
from sqlalchemy import Connection

from central import feed, ledger, limits, operations, quarantine, scopes
from central.certificates import ca_sha256
from central.db.database import Database, Work
from central.db.dialects import Way
from central.db.tables import metadata
from central.folder import DataFolder
from central.scopes import ALL_STORES, EVERYTHING
from central.server import Ready, Server
from central.setup import InitOptions, initialise
from loyalty.limits import Limits
from loyalty.program import Program, program_from_json
from tests.central.till import NOON, Till, client_session

PROGRAM = program_from_json(
    msgspec.json.encode(
        {
            "program": "test",
            "currency": "RSD",
            "time_zone": "Europe/Belgrade",
            "tiers": [{"id": "gold", "multiplier": [3, 2]}],
            "earn": [{"id": "base", "give": {"points": 1, "per_minor": 1000}}],
        }
    )
)
MEMBERS = {
    "members": [
        {"member": "m1", "short_name": "Ana P.", "identifiers": [{"kind": "card", "code": "TS-0001"}]},
        {"member": "m2", "short_name": "Vuk <b>", "tier": "gold", "identifiers": [{"code": "TS0002"}]},
        {"member": "m3", "short_name": "Mila J."},
    ]
}


class RunningCentre:
    """The server under test, and a way into its database beside it."""

    def __init__(self, folder: DataFolder, ready: Ready, session: ClientSession, clock: SetClock) -> None:
        self.folder = folder
        self.ready = ready
        self.session = session
        self.clock = clock
        self.database = Database(folder.database)

    def code(self, register: str = "3", valid_for: timedelta = timedelta(hours=1), store: str = "12") -> str:
        created = self.database.write_now(
            lambda connection: operations.create_enrolment(
                connection,
                store=store,
                register=register,
                valid_for=valid_for,
                url=self.ready.device_api,
                ca_sha256=ca_sha256(self.folder),
                now=self.clock(),
                randomness=secrets.token_bytes,
            )
        )
        return created.code

    async def till(self, register: str = "3", store: str = "12") -> Till:
        return await Till.enrolled(self.ready.device_api, self.code(register, store=store), self.session)

    def read(self, work: Work[Any]) -> Any:
        return self.database.read_now(work)

    def write(self, work: Work[Any]) -> Any:
        return self.database.write_now(work)

    def apply_what_may(self) -> int:
        """Looks once through what was set aside, as the server does; how many entries have an effect since."""
        applied, through = 0, 0
        while (found := self.read(partial(quarantine.ripe, after=through))).through is not None:
            if found.items:
                applied += self.write(partial(quarantine.retry, now=self.clock(), items=found.items)).applied
            through = found.through
        return applied

    def place(self, now: datetime) -> feed.Placed:
        """Places changes as the server does, which may be at it at the same moment."""
        return self.database.write_now(lambda connection: feed.place_changes(connection, now), Way.PLACE)

    def points(self, member: str) -> int:
        """Points by the fold of the ledger, after checking that the kept balance says the same."""
        assert self.read(lambda connection: ledger.check_balances(connection, self.clock())) == []
        entries = self.read(lambda connection: ledger.entries_of_member(connection, member))
        return sum(entry.points for entry in entries)

    def count(self, table: Any) -> int:
        return len(self.read(lambda connection: connection.execute(table.select()).all()))


def refuse_rows(connection: Connection, table: str, condition: str = "true") -> None:
    """Let the database refuse new rows of a table with an IntegrityError, which no code here expects."""
    if connection.dialect.name == "sqlite":
        refuse = "SELECT RAISE(ABORT, 'refused')"
        connection.exec_driver_sql(
            f"CREATE TRIGGER refused BEFORE INSERT ON {table} WHEN {condition} BEGIN {refuse}; END"
        )
    else:
        wanted = f"NOT ({condition.replace('new.', '')})"
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT refused CHECK ({wanted}) NOT VALID")


def refuse_changes(connection: Connection, table: str) -> None:
    """Let the database refuse to change or remove any row of a table."""
    if connection.dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            refuse = "BEGIN SELECT RAISE(ABORT, 'append only'); END"
            connection.exec_driver_sql(f"CREATE TRIGGER no_{change} BEFORE {change} ON {table} {refuse}")
    else:
        refuse = "BEGIN RAISE 'append only'; END"
        connection.exec_driver_sql(f"CREATE FUNCTION appended() RETURNS trigger LANGUAGE plpgsql AS $$ {refuse} $$")
        connection.exec_driver_sql(
            f"CREATE TRIGGER appended BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION appended()"
        )


def everything_in(connection: Connection) -> list[Any]:
    """All rows of all tables."""
    return [row for table in metadata.sorted_tables for row in connection.execute(table.select())]


def fill_disk(connection: Connection, table: str) -> None:
    """Let the database itself fail as soon as a row of this table is written."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO moved")
    else:
        full = "BEGIN RAISE 'the disk is full' USING ERRCODE = '53100'; END"
        connection.exec_driver_sql(f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ {full} $$")
        connection.exec_driver_sql(
            f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )


def empty_disk(connection: Connection, table: str) -> None:
    """There is room again."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"ALTER TABLE moved RENAME TO {table}")
    else:
        connection.exec_driver_sql(f"DROP TRIGGER full_disk ON {table}")


class SetClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def made_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after `init`, on either database, with the program published and the members imported."""
    path = tmp_path_factory.mktemp("made") / "centre"
    url = request.getfixturevalue("postgres").database() if request.param == "postgresql" else None
    initialise(path, InitOptions(listen="127.0.0.1:0", admin="127.0.0.1:0", brand="Test & Co", database=url), NOON)
    folder = DataFolder(path)
    database = Database(folder.database)
    database.write_now(lambda connection: operations.publish(connection, PROGRAM, folder.program_key(), NOON))
    database.write_now(lambda connection: operations.import_file(connection, msgspec.json.encode(MEMBERS), NOON))
    database.write_now(lambda connection: scopes.set_policy(connection, ALL_STORES, EVERYTHING, NOON))
    database.write_now(lambda connection: limits.set_limits(connection, Limits(), "few members buy all day", NOON))
    database.close()
    return path


@pytest.fixture
def copied(made_once: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Path]]:
    """Makes a copy of that folder, and of its database, which is gone after the test."""
    urls: list[str] = []

    def copy(path: Path) -> Path:
        folder = DataFolder(Path(shutil.copytree(made_once, path)))
        template = folder.settings().database
        if template is not None:
            urls.append(request.getfixturevalue("postgres").database(template))
            folder.save_settings(replace(folder.settings(), database=urls[-1]))
        return path

    yield copy
    for url in urls:
        request.getfixturevalue("postgres").drop(url)


@pytest.fixture
def data(copied: Callable[[Path], Path], tmp_path: Path) -> Path:
    """One such copy."""
    return copied(tmp_path / "centre")


only_postgresql = pytest.mark.parametrize("made_once", ["postgresql"], indirect=True)
only_sqlite = pytest.mark.parametrize("made_once", ["sqlite"], indirect=True)


@pytest.fixture
def program() -> Program:
    return PROGRAM


@pytest.fixture
async def centre(data: Path) -> AsyncIterator[RunningCentre]:
    async with serving(data) as centre:
        yield centre


@asynccontextmanager
async def serving(data: Path) -> AsyncIterator[RunningCentre]:
    clock = SetClock(NOON)
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    server = Server(DataFolder(data), clock=clock)
    running = asyncio.create_task(server.run(ready.set_result, stop))
    done, _ = await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    if running in done:
        running.result()
    async with client_session() as session:
        centre = RunningCentre(DataFolder(data), ready.result(), session, clock)
        yield centre
        centre.database.close()
    stop.set()
    await running
