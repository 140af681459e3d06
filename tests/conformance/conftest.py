"""Which centre is tried, and registers that are enrolled at it."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest
import pytest_asyncio
from aiohttp import ClientSession, TCPConnector

from tests.conformance.own_centre import own_centre
from tests.conformance.register import Device, Register, enrol, read_code
from tests.conformance.shapes import Ingested

COMMAND_WITHIN_S = 120
# Turns of the loop in which connections that are shut end.
LAST_TURNS = 20
MEMBERS = ("CONF0001", "CONF0002", "CONF0003")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "which centre tests/conformance tries; our own without these")
    group.addoption("--centre", metavar="URL", help="its address, as registers reach it: https://HOST:PORT")
    group.addoption("--enrolment-command", metavar="COMMAND", help="prints a fresh enrolment code")
    group.addoption("--expired-code", metavar="CODE", help="an enrolment code that has expired")
    group.addoption("--revoke-command", metavar="COMMAND", help="revokes the device whose id stands for {device}")
    group.addoption("--erase-command", metavar="COMMAND", help="erases the member whose id stands for {member}")


@dataclass(frozen=True, kw_only=True)
class Centre:
    """The centre that is tried, from outside. All but `code` is None where nobody said how."""

    code: Callable[[], str]
    expired: str | None
    revoke: Callable[[str], object] | None
    erase: Callable[[str], object] | None


def run(command: str) -> str:
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=False)
    if done.returncode != 0:
        pytest.fail(f"{command!r} ended with {done.returncode}: {done.stderr[-500:]}", pytrace=False)
    return done.stdout


def moved(code: str, url: str) -> str:
    """The code, if it names the address that is to be tried."""
    found = read_code(code).url
    if found.rstrip("/") != url.rstrip("/"):
        pytest.fail(f"the enrolment code is of a centre at {found}, and --centre is {url}", pytrace=False)
    return code


@pytest.fixture(scope="session")
def centre(
    request: pytest.FixtureRequest, session: ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Centre]:
    """The centre at --centre; else our own, which is started."""

    def option(name: str) -> str | None:
        value: str | None = request.config.getoption(name, default=None)
        return value

    def command(name: str, blank: str) -> Callable[[str], object] | None:
        given = option(name)
        return None if given is None else lambda value: run(given.replace(blank, value))

    url, enrolment = option("--centre"), option("--enrolment-command")
    if url is None:
        with own_centre(tmp_path_factory.mktemp("conformance")) as own:
            yield Centre(code=own.code, expired=own.expired, revoke=own.revoke, erase=own.erase)
        return
    if enrolment is None:
        pytest.fail("--centre needs --enrolment-command, a command that prints a fresh enrolment code", pytrace=False)
    yield Centre(
        code=lambda: moved(run(enrolment), url),
        expired=option("--expired-code"),
        revoke=command("--revoke-command", "{device}"),
        erase=command("--erase-command", "{member}"),
    )


# All tests share one loop, and with it the connections to the centre.
async_fixture = partial(pytest_asyncio.fixture, loop_scope="session")


@async_fixture(scope="session")
async def session() -> AsyncIterator[ClientSession]:
    """Bodies stay as they travelled. Ends after the centre, so that what it shut has come to its end, too."""
    async with ClientSession(connector=TCPConnector(limit=8), auto_decompress=False) as session:
        yield session
    for _ in range(LAST_TURNS):
        await asyncio.sleep(0)


@async_fixture(scope="session")
async def device(session: ClientSession, centre: Centre) -> Device:
    """One register for most tests: each begins an epoch of its own."""
    return await enrol(session, centre.code())


@async_fixture(scope="session")
async def other_device(session: ClientSession, centre: Centre) -> Device:
    return await enrol(session, centre.code())


@async_fixture()
async def register(device: Device, session: ClientSession) -> Register:
    """At the beginning of an epoch."""
    made = Register(device, session)
    await made.open_epoch()
    return made


@async_fixture()
async def other(other_device: Device, session: ClientSession) -> Register:
    """Another register of the same centre."""
    made = Register(other_device, session)
    await made.open_epoch()
    return made


@async_fixture()
async def sold(register: Register) -> Ingested:
    """A sale to each of the members that README.md asks for, acknowledged; skips where the centre shows them not."""
    for code in MEMBERS:
        register.receipt(register.sale(code=code))
    taken = await register.ingest()
    if not all(outcome.pos for outcome in taken.outcomes):
        pytest.skip(f"the centre shows no members with the codes {', '.join(MEMBERS)}: see tests/conformance/README.md")
    return taken
