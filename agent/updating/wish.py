"""The version that is wanted at this register: from the centre, through the agent, to the updater.

Owns the file between the two. It only names a version: whoever may write it can ask for what the releases' keys have
signed, and for nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from agent.updating.versions import Versions
from loyalty.undecodable import UNDECODABLE
from sync.durable import write_private
from sync.program_versions import newer
from sync.wire import GivenUp

log = structlog.get_logger(__name__)

WISH_FILE: Final = "update.json"


class Wish(Struct, frozen=True, kw_only=True):
    """`again`: also one that was given up, since a person asks for it."""

    version: str
    again: bool = False


def wished(state: Path) -> Wish | None:
    """None where nothing is, or nothing that can be read."""
    try:
        return msgspec.json.decode((state / WISH_FILE).read_bytes(), type=Wish)
    except (OSError, *UNDECODABLE):
        return None


def wish(state: Path, wanted: Wish) -> None:
    """Puts it where the updater finds it; systemd looks at this file, and wakes it. Raises OSError."""
    if wished(state) != wanted:
        write_private(state / WISH_FILE, msgspec.json.encode(wanted))


class CentreUpdates:
    """`sync.updates.Updates` of a register that is installed by versions."""

    def __init__(self, state: Path, versions: Versions) -> None:
        self._state = state
        self._versions = versions

    def given_up(self) -> tuple[GivenUp, ...]:
        return tuple(GivenUp(version=one.version, reason=one.reason) for one in self._versions.record().refused)

    def wanted(self, version: str) -> None:
        """A wish of a person for something newer stands."""
        current, standing = self._versions.current(), wished(self._state)
        try:
            if current is None or not newer(version, current):
                return
            if standing is not None and not newer(version, standing.version):
                return
            wish(self._state, Wish(version=version))
        except (ValueError, OSError) as error:
            log.error("update_not_wished", version=version[:64], reason=str(error))
