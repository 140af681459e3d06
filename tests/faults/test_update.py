"""A register whose new version is signed and broken: it goes back by itself, with its queue and a page that answers.

The versions are folders as they are installed, the agent is a process of its own, and releases come from a running
centre. Only systemd is played: a process that is started and stopped.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from agent.updating import trial, updater
from agent.updating.machine import RegisterMachine
from agent.updating.releases import archive_name
from agent.updating.updater import Ended, Updater
from central.db import tables
from central.release_folder import ReleaseFolder, signer_of
from sync.enrolling import enrol
from sync.enrolment import parse_code
from sync.keys import keeper_for
from sync.store.store import Store
from tests.faults.figures import Figures, Tell
from tests.faults.installed import Installed, packed
from tests.sync.centre import FACTS, Centre, running_centre
from tests.sync.store.samples import capturing, receipt

OLD, GOOD, BROKEN, GREEDY = "0.1.0", "0.2.0", "0.3.0", "0.4.0"
PASSPHRASE = b"of a test"
QUEUED = 5
# It starts and listens, and ends after a moment: what a self-test does not see.
FAULT = "import os, sys, threading\nif 'run' in sys.argv:\n    threading.Timer(4, os._exit, (1,)).start()\n"
# It changes what the version before it reads, and is refused by its own self-test for an error in it.
BAD_MIGRATION = (
    "import sync.store.schema as s\n"
    "s.MIGRATIONS = (*s.MIGRATIONS, ('bad', ('ALTER TABLE of_nobody ADD COLUMN x TEXT',)))\n"
    "s.migrate.__defaults__ = (s.MIGRATIONS,)\n"
)

# Its self-test passes, it answers, and no code is ever heard of again.
DEAF = (
    "import drivers.transport.tcp as tcp\n"
    "async def opened(self):\n"
    "    raise OSError('no port is opened any more')\n"
    "tcp.TcpTransport.open = opened\n"
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="versions are links")


class Played:
    """A service manager: one process, started anew whenever it ended, as the unit has it."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def start(self) -> None:
        self.stop()
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def relay_runs(self) -> bool:
        return False

    def renew_relay(self) -> None:
        """None runs here."""


class Till:
    """A register of version 0.1.0 that belongs to a centre, with entries that wait."""

    def __init__(self, installed: Installed, releases: ReleaseFolder, keys: Path) -> None:
        self.installed, self.versions, self.state = installed, installed.versions, installed.state
        self._releases, self._keys = releases, keys
        self.services = Played(installed.command)

    def release(self, version: str, fault: str = "") -> None:
        archive = self.installed.root.parent / archive_name(version)
        archive.write_bytes(packed(version, fault))
        signer = signer_of(self._keys / "targets.pem", PASSPHRASE)
        self._releases.publish([archive], signer, datetime.now(UTC))

    def update_to(self, version: str) -> Ended:
        of = self.installed
        made = Updater(
            self.versions,
            RegisterMachine(of.config, of.settings, self.versions, of.update_root),
            self.services,
            now=lambda: datetime.now(UTC),
            monotonic_s=time.monotonic,
            sleep=time.sleep,
        )
        made.take_up()
        return made.update_to(version)

    def start(self) -> None:
        self.services.start()
        self.version()

    def version(self) -> str:
        """Of the agent that answers."""
        return self.installed.version()


@asynccontextmanager
async def scanner() -> AsyncIterator[int]:
    """One at a TCP port, which is silent."""

    async def plugged_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(plugged_in, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
async def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Till, Centre]]:
    # Of the times only those are shorter in which nothing happens.
    monkeypatch.setattr(trial, "KEPT_AFTER_S", 8.0)
    monkeypatch.setattr(trial, "UNWELL_FOR_S", 2.0)
    for module in (trial, updater):
        monkeypatch.setattr(module, "WELL_WITHIN_S", 20.0)
    async with running_centre(tmp_path / "centre", members=1) as centre, scanner() as port:
        releases = ReleaseFolder(centre.folder.releases)
        releases.create(tmp_path / "keys", PASSPHRASE, datetime.now(UTC))
        folder = tmp_path / "register"
        folder.mkdir()
        counter = f'[[scanners]]\nname = "counter"\nport = "tcp://127.0.0.1:{port}"\n'
        till = Till(Installed(folder, OLD, releases.first_root(), counter), releases, tmp_path / "keys")
        await enrol(parse_code(centre.code()), till.state, keeper_for(till.state), FACTS, now=datetime.now(UTC))
        yield till, centre
        till.services.stop()


async def test_a_good_one_is_kept_and_a_broken_one_gone_back_from_with_the_queue(
    register: tuple[Till, Centre], tell: Tell
) -> None:
    till, centre = register
    sold: set[str] = set()

    def sell() -> None:
        """While no agent has the store open; what waits goes to the centre by whichever version runs next."""
        till.services.stop()
        with closing(Store.open(till.state / "store.db", keeper_for(till.state))) as store:
            for number in range(len(sold), len(sold) + QUEUED):
                store.submit(capturing(number)).result()
                sold.add(receipt(number).key)
        till.start()

    await asyncio.to_thread(sell)
    till.release(GOOD)
    assert await asyncio.to_thread(till.update_to, GOOD) == "in_use"
    assert await asyncio.to_thread(till.version) == GOOD
    assert till.versions.updater() == GOOD
    # then one that is signed, passes its self-test, and ends soon after it started
    till.release(BROKEN, FAULT)
    assert await asyncio.to_thread(till.update_to, BROKEN) == "given_up"
    assert await asyncio.to_thread(till.version) == GOOD
    # and one that cannot read the store
    await asyncio.to_thread(sell)
    till.release(GREEDY, BAD_MIGRATION)
    assert await asyncio.to_thread(till.update_to, GREEDY) == "given_up"
    assert await asyncio.to_thread(till.version) == GOOD
    assert (till.state / "before-update" / "store.db").is_file()
    refused = till.versions.record().refused
    assert [one.version for one in refused] == [BROKEN, GREEDY]
    assert "no such table" in refused[1].reason
    # and nothing that was sold is missing, or there twice
    counted = await asyncio.to_thread(_counted, centre, len(sold))
    figures = Figures(
        row=15,
        fault="an update that is signed and broken",
        points=2,
        acknowledged=len(sold),
        lost=len(sold - set(counted)),
        double=len(counted) - len(set(counted)),
    )
    tell(figures)
    assert (figures.lost, figures.double) == (0, 0)


async def test_one_that_answers_and_hears_no_scanner_is_gone_back_from(register: tuple[Till, Centre]) -> None:
    till, _ = register
    await asyncio.to_thread(till.start)
    till.release(GOOD, DEAF)
    assert await asyncio.to_thread(till.update_to, GOOD) == "given_up"
    assert await asyncio.to_thread(till.version) == OLD
    [refused] = till.versions.record().refused
    assert refused.reason == "in 0.2.0 there fails, and did not before: scanner counter"


def _counted(centre: Centre, wanted: int) -> list[str]:
    """Keys of the entries that the centre has taken, once there are so many or it was long enough."""
    until = time.monotonic() + 30
    while True:
        found = centre.database.read_now(lambda c: c.scalars(select(tables.receipts.c.key)).all())
        if len(found) >= wanted or time.monotonic() > until:
            return list(found)
        time.sleep(0.2)
