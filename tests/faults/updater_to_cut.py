"""The updater as a process that can be killed.

    python -m tests.faults.updater_to_cut CONFIG ROOT CENTRE MACHINE VERSION

It is the updater that a register has, asks a service manager at the socket MACHINE, and fetches from CENTRE directly,
since the register's own way there is cut off. Of the times only those are shorter in which nothing happens.
"""

from __future__ import annotations

import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from agent.updating import trial, updater
from agent.updating.machine import RegisterMachine
from agent.updating.releases import Releases
from agent.updating.services import ServiceError
from agent.updating.updater import Updater
from agent.updating.versions import Versions
from config.load import load_settings, state_folder
from sync.enrolment import load_enrolment

ANSWERS_WITHIN_S = 60.0


class Asked:
    """Services of a manager in another process, which does what it began whatever becomes of who asked."""

    def __init__(self, address: str) -> None:
        self._address = address

    def stop(self) -> None:
        self._ask("stop")

    def start(self) -> None:
        self._ask("start")

    def runs(self) -> bool:
        """Its manager starts it again whenever it ends."""
        return True

    def relay_runs(self) -> bool:
        return False

    def renew_relay(self) -> None:
        self._ask("relay")

    def _ask(self, verb: str) -> None:
        with socket.socket(socket.AF_UNIX) as manager:
            manager.settimeout(ANSWERS_WITHIN_S)
            manager.connect(self._address)
            manager.sendall(verb.encode())
            if manager.recv(16) != b"done":
                raise ServiceError(f"{verb} was not done")


class Fetching(RegisterMachine):
    """By a way of its own."""

    def __init__(self, config: Path, versions: Versions, centre: str) -> None:
        settings = load_settings(config)
        root = settings.update.root
        assert root is not None
        super().__init__(config, settings, versions, root)
        self._archives = versions.root / "archives"
        self._releases = Releases(
            url=centre,
            ca_pem=load_enrolment(state_folder(settings)).ca_pem,
            root=root.read_bytes(),
            metadata=versions.metadata,
        )

    def fetch(self, version: str) -> Path:
        return self._releases.fetch(version, self._archives)


def main(config: str, root: str, centre: str, machine: str, version: str) -> None:
    vars(trial).update(KEPT_AFTER_S=1.5, UNWELL_FOR_S=2.0, WELL_WITHIN_S=20.0)
    vars(updater).update(LOOK_EVERY_S=0.1)
    versions = Versions(Path(root))
    begun = Updater(
        versions,
        Fetching(Path(config), versions, centre),
        Asked(machine),
        now=lambda: datetime.now(UTC),
        monotonic_s=time.monotonic,
        sleep=time.sleep,
    )
    begun.take_up()
    begun.update_to(version)


if __name__ == "__main__":
    main(*sys.argv[1:])
