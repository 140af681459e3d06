"""A register of an older version at the centre of now, as it is while an update goes from ring to ring.

The older agent is its own code, of the commit that `pin.sh` kept, in a process of its own; only the libraries are
those of now. It is updated to the version of now and goes back, with one store.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from central import ledger
from loyalty.program import program_from_json
from sync.store.schema import MIGRATIONS
from tests.browser.till import READY_WITHIN_S, free_port
from tests.sync.centre import Centre, running_centre, utc_now

ROOT = Path(__file__).parents[2]
POS = ROOT / "examples" / "pos-client" / "pos_client.py"
PROGRAM = program_from_json(
    msgspec.json.encode(
        {
            "program": "two versions",
            "currency": "RSD",
            "earn": [{"id": "base", "give": {"points": 1, "per_minor": 100}}],
            "rewards": [{"id": "r5", "title": "5 off", "cost": 500, "discount_minor": 500, "offline": "allowance"}],
        }
    )
)
CARD = "TS00001"
MEMBER = "m1"
COST = 500
# What a sale of the sample POS gives, and one with a reward, which takes 500 minor units off.
GIVES, REWARDED = 859, (-COST, 854)
ASKED_TIMES, ASKED_EVERY_S = 200, 0.1

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the older agent's code."""
    (archive,) = Path(__file__).parent.glob("agent-*.tar.xz")
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(archive) as kept:
        kept.extractall(folder)
    return folder


class Till:
    """A register's folder, and the commands of one version or another on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._config = folder / "tillside.toml"
        folder.mkdir()
        self._config.write_text(
            f'[paths]\nstate = "state"\n[page]\nport = {self._port}\n[register]\ncurrency = "RSD"\n'
            '[[receipts]]\nname = "pos"\nwebhook = true\n',
            encoding="utf-8",
        )

    def _environment(self, code: Path) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1", "TILLSIDE_CONFIG": str(self._config)}

    async def said(self, code: Path, *command: str, status: int | None = 0) -> Any:
        """What a command of the version in `code` prints as JSON."""
        return await _said(
            (sys.executable, "-m", "agent.cli.entry", *command, "--json"), self._environment(code), self._folder, status
        )

    @asynccontextmanager
    async def running(self, code: Path) -> AsyncIterator[None]:
        """The agent of the version in `code`."""
        agent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent.cli.entry", "run", "--json"),
            env=self._environment(code),
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            assert agent.stdout is not None
            assert await asyncio.wait_for(agent.stdout.readline(), READY_WITHIN_S), "it did not start"
            yield
        finally:
            agent.terminate()
            assert await agent.wait() == 0

    async def sell(self, code: Path) -> Any:
        """A sale of the sample POS to our member, with a reward where the register has one."""
        token = (await self.said(code, "pos-token"))["token"]
        environment = {**os.environ, "TILL": f"http://127.0.0.1:{self._port}", "TOKEN": token}
        return await _said((sys.executable, str(POS), CARD), environment, self._folder, 0)

    async def may_spend(self, code: Path) -> None:
        """Once a reward is safe here without asking."""

        async def is_safe() -> bool:
            status = await self.said(code, "status", status=None)
            return int(status["spending"]["points"]) >= COST

        await until(is_safe)


async def _said(command: tuple[str, ...], environment: dict[str, str], folder: Path, status: int | None) -> Any:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert status in (None, process.returncode), err.decode()
    return json.loads(out)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(ASKED_TIMES):
        if await true():
            return
        await asyncio.sleep(ASKED_EVERY_S)
    pytest.fail("it did not come to that")


async def in_ledger(centre: Centre, *points: int) -> None:
    """Once the ledger has just these entries of our member, in any order, and the balance is their sum."""

    async def has() -> bool:
        entries = centre.database.read_now(lambda connection: ledger.entries_of_member(connection, MEMBER))
        return sorted(entry.points for entry in entries) == sorted(points)

    await until(has)
    assert centre.database.read_now(lambda connection: ledger.check_balances(connection, utc_now())) == []


def test_it_is_older_than_the_one_of_now(older: Path) -> None:
    # It reads stores that this version only added to
    text = (older / "sync" / "store" / "schema.py").read_text(encoding="utf-8")
    known = text.split("MIGRATIONS: tuple")[1].split(")\n")[0].count("\n    _")

    assert 0 < known <= len(MIGRATIONS)
    assert (older / "agent" / "register.py").read_bytes() != (ROOT / "agent" / "register.py").read_bytes()


async def test_it_enrols_earns_and_redeems_and_its_store_goes_to_the_next_version_and_back(
    older: Path, tmp_path: Path
) -> None:
    till = Till(tmp_path / "till")
    async with running_centre(tmp_path / "centre") as centre:
        centre.publish(PROGRAM)

        # When the older one is let in, and sells
        await till.said(older, "enroll", centre.code())
        async with till.running(older):
            first = await till.sell(older)
            await in_ledger(centre, GIVES)
            await till.may_spend(older)
            second = await till.sell(older)
            await in_ledger(centre, GIVES, *REWARDED)

        # And the version of now goes on with its store, and it with theirs
        async with till.running(ROOT):
            await till.may_spend(ROOT)
            third = await till.sell(ROOT)
            await in_ledger(centre, GIVES, *REWARDED * 2)
        async with till.running(older):
            await till.may_spend(older)
            fourth = await till.sell(older)
            await in_ledger(centre, GIVES, *REWARDED * 3)
            left = await till.said(older, "status")

    # Then nothing is lost, nothing waits, and each reward was given by the version that ran
    given = [[one["state"] for one in sale["redemptions"]] for sale in (first, second, third, fourth)]
    assert given == [[], ["confirmed"], ["confirmed"], ["confirmed"]]
    assert (left["queued"], left["quarantined"]) == (0, 0)
