"""One PostgreSQL server for all tests that need one, in a folder of its own, on a socket of its own.

It is Debian's program, started and stopped here; no service of the system is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from central.db.database import Database, Place
from tests.in_memory import memory_folder

# A server that takes longer does not come; it takes a second or two.
START_WITHIN_S = 60
_numbers = count(1)


class Server:
    """A running server; `database()` makes a database, empty or a copy of another, and gives its URL.

    `under` is a command that its programs are run by, such as `nice`.
    """

    def __init__(self, programs: Path, folder: Path, *, durable: bool = False, under: Sequence[str] = ()) -> None:
        self._programs = programs
        self._folder = folder
        self._durable = durable
        self._under = under

    def start(self) -> None:
        self._run("initdb", "--pgdata", str(self.data), "--username", "postgres", "--auth", "trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder}"
        if not self._durable:
            options += " -c fsync=off"
        self._run(
            *("pg_ctl", "start", "--pgdata", str(self.data), "--wait", "--timeout", str(START_WITHIN_S)),
            *("--log", self._log, "--options", options),
        )

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--pgdata", str(self.data), "--mode", "immediate", "--wait")

    def database(self, template: str = "template1") -> str:
        """The URL of a new database. `template`, a name or a URL, is copied; nobody may be connected to it."""
        name = f"db{next(_numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {_name(template)} STRATEGY FILE_COPY")
        return self._url(name)

    def drop(self, url: str) -> None:
        self._execute(f"DROP DATABASE {_name(url)} WITH (FORCE)")

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self._folder}"

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    @property
    def data(self) -> Path:
        """Where the server keeps its files."""
        return self._folder / "data"

    @property
    def _log(self) -> str:
        return str(self._folder / "log")

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[str] = (*self._under, str(self._programs / program), *arguments)
        if os.geteuid() == 0:  # the server refuses to run as root
            command = ("runuser", "-u", "postgres", "--", *command)
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, timeout=START_WITHIN_S, check=False
        )
        assert done.returncode == 0, f"{program}: {done.stderr[-2000:]}"


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def programs() -> Path | None:
    """Where the programs of the newest PostgreSQL that is installed are."""
    found = shutil.which("initdb")
    places = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    return next((place for place in places if (place / "initdb").exists()), None)


@contextmanager
def started(found: Path, *, durable: bool = False, under: Sequence[str] = ()) -> Iterator[Server]:
    """A server in a folder of its own, see Server; its commits reach the disk only if that is asked for."""
    # The path of a socket may have 107 bytes, which pytest's own folders exceed.
    place = "/var/tmp" if durable else memory_folder()
    with tempfile.TemporaryDirectory(prefix="tillside-pg-", dir=place) as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        server = Server(found, Path(folder), durable=durable, under=under)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server; a test that asks for it is skipped where PostgreSQL is not installed."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed: sudo apt-get install postgresql-15")
    with started(found) as server:
        yield server


@pytest.fixture(scope="session")
def _with_tables(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database as the centre's migrations leave it. They take most of the time that one takes to make."""
    url = postgres.database()
    database = Database(Place(data=tmp_path_factory.mktemp("nothing"), url=url))
    database.upgrade()
    database.close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def centre_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where a centre that a test makes has its database: in its folder, and in the next run of the test here."""
    if request.param == "sqlite":
        yield None
        return
    server: Server = request.getfixturevalue("postgres")
    url = server.database(request.getfixturevalue("_with_tables"))
    yield url
    server.drop(url)


@pytest.fixture
def empty_url(centre_url: str | None, request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where a backup of that centre is restored: nowhere else for SQLite."""
    if centre_url is None:
        yield None
        return
    server: Server = request.getfixturevalue("postgres")
    url = server.database()
    yield url
    server.drop(url)
