"""A centre that really listens, in this process, with a clock the test holds."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession

from central import ledger, operations
from central.certificates import ca_sha256
from central.db.database import Database, Work
from central.folder import DataFolder
from central.server import Ready, Server
from central.setup import InitOptions, initialise
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

    def code(self, register: str = "3", valid_for: timedelta = timedelta(hours=1)) -> str:
        created = self.database.write_now(
            lambda connection: operations.create_enrolment(
                connection,
                store="12",
                register=register,
                valid_for=valid_for,
                url=self.ready.device_api,
                ca_sha256=ca_sha256(self.folder),
                now=self.clock(),
                randomness=secrets.token_bytes,
            )
        )
        return created.code

    async def till(self, register: str = "3") -> Till:
        return await Till.enrolled(self.ready.device_api, self.code(register), self.session)

    def read(self, work: Work[Any]) -> Any:
        return self.database.read_now(work)

    def write(self, work: Work[Any]) -> Any:
        return self.database.write_now(work)

    def points(self, member: str) -> int:
        """Points by the fold of the ledger, after checking that the kept balance says the same."""
        assert self.read(lambda connection: ledger.check_balances(connection, self.clock())) == []
        entries = self.read(lambda connection: ledger.entries_of_member(connection, member))
        return sum(entry.points for entry in entries)

    def count(self, table: Any) -> int:
        return len(self.read(lambda connection: connection.execute(table.select()).all()))


def refuse_identifiers(database: Database) -> None:
    """Let the database refuse every new code with an IntegrityError, which no code here expects."""
    database.write_now(
        lambda connection: connection.exec_driver_sql(
            "CREATE TRIGGER refused BEFORE INSERT ON identifiers BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    )


class SetClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after `init`, with the program published and the members imported."""
    path = tmp_path_factory.mktemp("made") / "centre"
    initialise(path, InitOptions(listen="127.0.0.1:0", admin="127.0.0.1:0", brand="Test & Co"), NOON)
    folder = DataFolder(path)
    database = Database(folder.database)
    database.write_now(lambda connection: operations.publish(connection, PROGRAM, folder.program_key(), NOON))
    database.write_now(lambda connection: operations.import_file(connection, msgspec.json.encode(MEMBERS), NOON))
    database.close()
    return path


@pytest.fixture
def data(made_once: Path, tmp_path: Path) -> Path:
    """A copy of that folder for one test."""
    return Path(shutil.copytree(made_once, tmp_path / "centre"))


@pytest.fixture
def program() -> Program:
    return PROGRAM


@pytest.fixture
async def centre(data: Path) -> AsyncIterator[RunningCentre]:
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
