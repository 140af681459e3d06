"""What an update needs of this register: its running agent, its way to the releases, a version that looks at itself."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.cli.connection import AgentUnreachableError, running_agent
from agent.updating.releases import Releases
from agent.updating.updater import Glance
from agent.updating.versions import Versions
from config.load import state_folder
from config.settings import Settings
from loyalty.undecodable import UNDECODABLE
from sync.enrolment import load_enrolment
from sync.network import way_of

# Loading everything takes a second, copying and opening a large store some more.
SELF_TEST_WITHIN_S: Final = 120.0
# What a failed self-test says last is the reason; the rest is a traceback.
MAX_REASON_CHARACTERS: Final = 300


class _Version(Struct, frozen=True, kw_only=True):
    tillside: str


class _Status(Struct, frozen=True, kw_only=True):
    """What every version says of itself, whatever else it says: later ones keep these names."""

    verdict: str
    selling: bool
    versions: _Version


class RegisterMachine:
    """`agent.updating.updater.Machine` of the register whose settings are in `config`; `root` is the first trusted
    root's file.
    """

    def __init__(self, config: Path, settings: Settings, versions: Versions, root: Path) -> None:
        self._config = config
        self._settings = settings
        self._versions = versions
        self._root = root

    def fetch(self, version: str) -> Path:
        enrolment, centre = load_enrolment(state_folder(self._settings)), self._settings.centre
        releases = Releases(
            url=enrolment.url,
            ca_pem=enrolment.ca_pem,
            root=self._root.read_bytes(),
            metadata=self._versions.metadata,
            way=way_of(centre.proxy, centre.ca_file),
        )
        return releases.fetch(version, self._versions.root / "archives")

    def glance(self) -> Glance | None:
        agent = running_agent(self._settings)
        if agent is None:
            return None
        try:
            status = agent.status_as(_Status)
        except (AgentUnreachableError, *UNDECODABLE):
            return None
        return Glance(version=status.versions.tillside, verdict=status.verdict, is_selling=status.selling)

    def check(self, command: Path) -> str:
        return self._self_tested(command)

    def try_store(self, command: Path) -> str:
        return self._self_tested(command, "--store")

    def _self_tested(self, command: Path, *options: str) -> str:
        """Why the version cannot be used; empty where it can."""
        try:
            done = subprocess.run(
                [command, "self-test", "--config", self._config, *options],
                timeout=SELF_TEST_WITHIN_S,
                capture_output=True,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"its self-test did not end: {error}"[:MAX_REASON_CHARACTERS]
        if done.returncode == 0:
            return ""
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"ended with {done.returncode}"]
        return f"its self-test failed: {said[-1]}"[:MAX_REASON_CHARACTERS]
