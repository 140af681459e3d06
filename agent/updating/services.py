"""The agent as a service of this machine. On Linux, systemd; another system needs a module beside this one."""

from __future__ import annotations

import subprocess
from typing import Final, Protocol

AGENT: Final = "tillside.service"
SYSTEMCTL: Final = "/usr/bin/systemctl"
RELAY: Final = "tillside-relay.service"
# The unit's own limit for stopping is 20 s.
WITHIN_S: Final = 40.0
MAX_SAID_CHARACTERS: Final = 200


class ServiceError(Exception):
    """The service could not be stopped or started. The message says what was asked."""


class Services(Protocol):
    """What an update needs of whoever runs the agent."""

    def stop(self) -> None:
        """Returns once the agent is gone. Raises ServiceError."""

    def start(self) -> None:
        """Has the agent started by the link `current`; one that runs is started anew. Whether it comes up is for who
        watches it. Raises ServiceError.
        """

    def runs(self) -> bool:
        """Whether the agent is up, though it may not answer; true where nobody can say."""

    def relay_runs(self) -> bool:
        """Whether a relay prints now; true where nobody can say."""

    def renew_relay(self) -> None:
        """A relay that runs goes on with the version in use. The POS's port stays open meanwhile. Raises ServiceError
        where it does not come up again.
        """


class Systemd:
    """`Services` by systemctl."""

    def stop(self) -> None:
        _systemctl("stop", AGENT)

    def start(self) -> None:
        _systemctl("restart", AGENT, "--no-block")

    def runs(self) -> bool:
        return _is_active(AGENT)

    def relay_runs(self) -> bool:
        return _is_active(RELAY)

    def renew_relay(self) -> None:
        _systemctl("try-restart", RELAY)


def _is_active(unit: str) -> bool:
    """One that crashes again and again is "activating", and serves nobody."""
    asked = [SYSTEMCTL, "is-active", "--quiet", unit]
    try:
        return subprocess.run(asked, timeout=WITHIN_S, capture_output=True, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return True


def _systemctl(verb: str, unit: str, *options: str) -> None:
    asked = [SYSTEMCTL, *options, verb, unit]
    try:
        done = subprocess.run(asked, timeout=WITHIN_S, capture_output=True, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"{' '.join(asked)}: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ServiceError(f"{' '.join(asked)} ended with {done.returncode}: {said[:MAX_SAID_CHARACTERS]}")
