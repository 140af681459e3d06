"""What an update needs of this register: its running agent, its way to the releases, a version that looks at itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from agent.cli.connection import AgentUnreachableError, running_agent
from agent.cli.outcome import Failure
from agent.inspection import NotFoundError
from agent.state_owner import owner_of
from agent.updating.relay_settings import relay_file, relay_settings_problem
from agent.updating.releases import Releases, ReleaseUnreachableError
from agent.updating.self_testing import SELF_TEST_WITHIN_S, ByChild, ByUnit, SelfTests, SelfTestTimeoutError
from agent.updating.trial import MAX_REASON_CHARACTERS
from agent.updating.updater import Glance
from agent.updating.versions import NoRoomError, Versions
from config.load import state_folder
from config.settings import Settings
from loyalty.undecodable import UNDECODABLE
from sync.enrolment import EnrolmentError, load_enrolment
from sync.network import NetworkSettingError, way_of
from sync.store.schema import MIGRATIONS

# The exit code of a self-test that could not find out: no room for a copy, or the key is not at hand.
NOT_NOW: Final = 75


class TriedStore(Struct, frozen=True, kw_only=True):
    """What a self-test says of the store: entries that wait, and how many migrations a program has to know then."""

    queued: int = 0
    readable_from: int = 0


class _Version(Struct, frozen=True, kw_only=True):
    tillside: str


class _Worker(Struct, frozen=True, kw_only=True):
    kind: str
    name: str
    condition: str


class _Status(Struct, frozen=True, kw_only=True):
    """What every version says of itself, whatever else it says: later ones keep these names."""

    verdict: str
    selling: bool
    versions: _Version
    workers: tuple[_Worker, ...] = ()


class RegisterMachine:
    """`agent.updating.updater.Machine` of the register whose settings are in `config`; `root` is the first trusted
    root's file.
    """

    def __init__(
        self, config: Path, settings: Settings, versions: Versions, root: Path, tests: SelfTests | None = None
    ) -> None:
        self._config = config
        is_agent = owner_of(state_folder(settings)) is None
        self._tests = tests or (ByChild(config) if is_agent else ByUnit())
        self._settings = settings
        self._versions = versions
        self._root = root

    def fetch(self, version: str) -> Path:
        try:
            enrolment, centre = load_enrolment(state_folder(self._settings)), self._settings.centre
            releases = Releases(
                url=enrolment.url,
                ca_pem=enrolment.ca_pem,
                root=self._root.read_bytes(),
                metadata=self._versions.metadata,
                way=way_of(centre.proxy, centre.ca_file),
            )
        except (EnrolmentError, NetworkSettingError, OSError) as error:
            raise ReleaseUnreachableError(str(error)) from error
        return releases.fetch(version, self._versions.root / "archives")

    def glance(self) -> Glance | None:
        agent = running_agent(self._settings)
        if agent is None:
            return None
        try:
            status = agent.status_as(_Status)
        except (AgentUnreachableError, NotFoundError, *UNDECODABLE):
            return None
        # The exchange with the centre fails where the network does, whichever version runs.
        workers = [(one.condition, f"{one.kind} {one.name}") for one in status.workers if one.kind != "sync"]
        return Glance(
            version=status.versions.tillside,
            verdict=status.verdict,
            is_selling=status.selling,
            failing=tuple(name for condition, name in workers if condition == "failing"),
            starting=tuple(name for condition, name in workers if condition == "starting"),
        )

    def check(self, command: Path) -> str:
        return self._self_tested(command)[0]

    def try_store(self, command: Path) -> str:
        reason, said = self._self_tested(command, "--store")
        if reason:
            return reason
        told = msgspec.json.decode(said, type=TriedStore)
        if told.readable_from > len(MIGRATIONS):
            return (
                f"the version in use could not go on with its store: it knows {len(MIGRATIONS)} migrations of it, and "
                f"{told.readable_from} are needed; update to a version between the two first"
            )
        return ""

    def relay_problem(self) -> str:
        return relay_settings_problem(relay_file(self._config))

    def check_relay(self, command: Path) -> str:
        return self._self_tested(command, "--relay")[0]

    def _self_tested(self, command: Path, *options: str) -> tuple[str, bytes]:
        """Why the version cannot be used, empty where it can; and what it printed. Raises NoRoomError, ServiceError."""
        try:
            done = self._tests.run(command, *options)
        except SelfTestTimeoutError:
            return f"its self-test did not end within {SELF_TEST_WITHIN_S:.0f} s", b""
        except OSError as error:
            return f"its self-test does not start: {error}", b""
        if done.code == 0:
            return "", done.out
        said = _last_line(done.out) or _last_line(done.err) or f"it ended with {done.code}"
        if done.code == NOT_NOW:
            raise NoRoomError(said)
        return f"its self-test failed: {said}"[:MAX_REASON_CHARACTERS], b""


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    try:
        return msgspec.json.decode(lines[-1], type=Failure).error if lines else ""
    except UNDECODABLE:
        return lines[-1]
