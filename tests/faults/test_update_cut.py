"""An update that is killed at random moments, alone or with the whole machine: one version or the other, and its queue.

Updater and agent are processes of their own, and killed as a power cut kills them; releases come from a running
centre. Only systemd is played. Each change of a file has a cut of its own in tests/agent/updating/test_updater.py.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from agent.demo.network import Cable
from agent.updating.releases import archive_name
from central.db import tables
from central.release_folder import ReleaseFolder, signer_of
from sync.enrolling import enrol
from sync.enrolment import parse_code
from sync.keys import keeper_for
from tests.faults.figures import Figures, Tell
from tests.faults.installed import Installed, packed
from tests.sync.centre import FACTS, Centre, running_centre
from tests.sync.store.samples import receipt

# As many as a run of all tests has the time for; TILLSIDE_CUTS=100 takes some minutes.
CUTS = int(os.environ.get("TILLSIDE_CUTS", "8"))
# Some end before they are cut.
VERSIONS = 2 * CUTS + 5
PASSPHRASE = b"of a test"
PATIENCE_S = 300.0

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="versions are links"),
    pytest.mark.long,
    pytest.mark.processes,
    pytest.mark.timeout(120 + 40 * CUTS),
]


class Machine:
    """What runs the agent: a service manager at a socket, and power that can be cut."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = command
        self._log = folder / "agent.log"
        self._agent: subprocess.Popen[bytes] | None = None
        self._one = threading.Lock()
        self.address = str(folder / "machine")
        verbs: dict[bytes, Callable[[], None]] = {b"stop": self.stop, b"start": self.start, b"relay": lambda: None}

        class Verb(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                verbs[self.request.recv(16)]()
                with suppress(BrokenPipeError):  # who asked was killed
                    self.request.sendall(b"done")

        self._server = socketserver.ThreadingUnixStreamServer(self.address, Verb)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def start(self) -> None:
        self._end(signal.SIGTERM, then_start=True)

    def lose_power(self) -> None:
        """It comes back at once, and starts what is enabled."""
        self._end(signal.SIGKILL, then_start=True)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals, *, then_start: bool = False) -> None:
        with self._one:
            if self._agent is not None:
                self._agent.send_signal(how)
                self._agent.wait()
                self._agent = None
            if then_start:
                with self._log.open("ab") as log:
                    self._agent = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=log)


class Till:
    """A register whose POS drops receipts into a folder, and whose way to the centre is cut."""

    def __init__(self, installed: Installed, folder: Path, centre: Centre, pos: Path) -> None:
        self.installed, self.centre = installed, centre
        self.machine = Machine(installed.command, folder)
        self.sold: set[str] = set()
        self._pos = pos

    def sell(self) -> None:
        sale = receipt(len(self.sold))
        beside = self._pos / f"{len(self.sold)}.tmp"
        beside.write_bytes(msgspec.json.encode(sale))
        beside.rename(beside.with_suffix(".json"))
        self.sold.add(sale.key)

    def begin_update(self, version: str) -> subprocess.Popen[bytes]:
        of = self.installed
        where = (str(of.config), str(of.root), self.centre.url, self.machine.address, version)
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.updater_to_cut", *where],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def assert_runs_one_of(self, *versions: str) -> str:
        """Which one; with all that was sold in its queue."""
        folder = self.installed.versions
        current = folder.current()
        assert current in versions
        assert (folder.record().trial, folder.updater() in folder.installed()) == (None, True)
        assert not list((self.installed.root / "versions").glob(".*"))
        until = time.monotonic() + PATIENCE_S
        while (status := self.installed.status()).queued < len(self.sold) and time.monotonic() < until:
            time.sleep(0.1)
        assert (status.versions.tillside, status.queued, status.quarantined) == (current, len(self.sold), 0)
        return current


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[tuple[Till, Cable]]:
    async with running_centre(tmp_path / "centre", members=1) as centre, Cable(("127.0.0.1", centre.port)) as cable:
        releases = ReleaseFolder(centre.folder.releases)
        releases.create(tmp_path / "keys", PASSPHRASE, datetime.now(UTC))
        folder, pos, archives = (tmp_path / name for name in ("register", "pos", "archives"))
        for made in (folder, pos, archives):
            made.mkdir()
        for version in map(version_of, range(1, VERSIONS)):
            (archives / archive_name(version)).write_bytes(packed(version))
        signer = signer_of(tmp_path / "keys" / "targets.pem", PASSPHRASE)
        releases.publish(sorted(archives.iterdir()), signer, datetime.now(UTC))
        source = f'[[receipts]]\nname = "pos"\nfolder = "{pos}"\npattern = "*.json"\ncomplete = "rename"\n'
        installed = Installed(folder, version_of(0), releases.first_root(), f'{source}afterwards = "delete"\n')
        code = parse_code(centre.code(url=f"https://127.0.0.1:{cable.port}"))
        await enrol(code, installed.state, keeper_for(installed.state), FACTS, now=datetime.now(UTC))
        cable.cut()
        made_till = Till(installed, folder, centre, pos)
        made_till.machine.start()
        try:
            yield made_till, cable
        finally:
            made_till.machine.close()


def version_of(number: int) -> str:
    return f"0.1.{number}"


async def test_one_version_or_the_other_runs_with_its_queue_whenever_an_update_was_cut(
    till: tuple[Till, Cable], tell: Tell
) -> None:
    register, cable = till
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    cuts, ended = await asyncio.to_thread(updates_that_are_cut, register, random.Random(seed))
    # the network comes back, and the centre has all that was sold, once
    cable.restore()
    counted = await asyncio.to_thread(keys_at, register.centre, len(register.sold))
    figures = Figures(
        row=15,
        fault="an update killed at random moments",
        points=cuts,
        acknowledged=len(register.sold),
        lost=len(register.sold - set(counted)),
        double=len(counted) - len(set(counted)),
    )
    tell(figures)
    print(f"{cuts} cuts: {ended['old']} updates ended in the version before, {ended['new']} in the new one")
    assert (figures.points, figures.lost, figures.double) == (CUTS, 0, 0)


class Moments:
    """When an update is cut: as often before the agent is stopped for it as until it is switched and after that."""

    def __init__(self, till: Till, chance: random.Random) -> None:
        self._versions = till.installed.versions
        self._chance = chance
        self.took_s: list[float] = []

    def comes(self, updater: subprocess.Popen[bytes], wanted: str) -> bool:
        """Waits for the next one; False where the update has ended before."""
        if not self.took_s:
            return self._goes_on(updater, PATIENCE_S)
        begun: Callable[[], bool] = self._chance.choice(
            [
                lambda: True,
                lambda: self._versions.record().trial is not None,
                lambda: self._versions.current() == wanted,
            ]
        )
        while not begun():
            if not self._goes_on(updater, 0.005):
                return False
        return self._goes_on(updater, self._chance.uniform(0, min(self.took_s) / 3))

    def _goes_on(self, updater: subprocess.Popen[bytes], seconds: float) -> bool:
        """False where it has ended by then, and well."""
        try:
            assert updater.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return True
        return False


def updates_that_are_cut(till: Till, chance: random.Random) -> tuple[int, dict[str, int]]:
    """How often they were, and in which version they ended: each is killed once or several times in a row."""
    current, cuts, ended = version_of(0), 0, {"old": 0, "new": 0}
    moments = Moments(till, chance)
    for wanted in map(version_of, range(1, VERSIONS)):
        till.sell()
        while cuts < CUTS:
            began = time.monotonic()
            updater = till.begin_update(wanted)
            # the first is not cut, and says how long one takes
            if not moments.comes(updater, wanted):
                moments.took_s.append(time.monotonic() - began)
                break
            os.killpg(updater.pid, signal.SIGKILL)
            updater.wait()
            cuts += 1
            if chance.random() < 1 / 2:
                till.machine.lose_power()
            if chance.random() < 1 / 2:
                break
        # what its unit does next, this time in peace: nothing new is wished for
        assert till.begin_update(current).wait(PATIENCE_S) == 0
        before, current = current, till.assert_runs_one_of(current, wanted)
        ended["old" if current == before else "new"] += 1
        if cuts >= CUTS:
            break
    return cuts, ended


def keys_at(centre: Centre, wanted: int) -> list[str]:
    """Keys of the receipts that the centre has taken, once there are so many or it was long enough."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = centre.database.read_now(lambda c: c.scalars(select(tables.receipts.c.key)).all())
        if len(found) >= wanted or time.monotonic() > until:
            return list(found)
        time.sleep(0.2)
