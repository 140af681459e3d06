"""The version that is wanted at this register: from the centre, through the agent, to the updater.

Owns the file between the two. It only names a version: whoever may write it can ask for what the releases' keys have
signed, and for nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
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
MAX_WISH_BYTES: Final = 4096
# How soon somebody who asks by hand is heard, while the centre's wish waits for its turn.
LOOK_EVERY_S: Final = 2.0


class Wish(Struct, frozen=True, kw_only=True):
    """`asked` tells apart the times that a person asked; the centre's wish has none."""

    version: str
    asked: str = ""


def wished(state: Path) -> Wish | None:
    """None where nothing is, or nothing that can be read."""
    try:
        return msgspec.json.decode(_content(state / WISH_FILE), type=Wish)
    except (OSError, *UNDECODABLE):
        return None


def wish(state: Path, wanted: Wish | None) -> None:
    """Puts it where the updater finds it, or takes it away; systemd looks at this file. Raises OSError."""
    if wished(state) == wanted:
        return
    if wanted is None:
        (state / WISH_FILE).unlink(missing_ok=True)
    else:
        write_private(state / WISH_FILE, msgspec.json.encode(wanted))


def still_wanted(state: Path, taken_up: Wish) -> bool:
    """Whether a wish that was taken up is to be carried out: a person's, unless one has asked for another since."""
    now = wished(state)
    return now == taken_up or bool(taken_up.asked and (now is None or not now.asked))


def spread(seconds: float, stands: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Lets so many seconds pass, so that not all registers fetch at once; none any more once the wish is another."""
    while seconds > 0 and stands():
        sleep(min(LOOK_EVERY_S, seconds))
        seconds -= LOOK_EVERY_S


class CentreUpdates:
    """`sync.updates.Updates` of a register that is installed by versions."""

    def __init__(self, state: Path, versions: Versions) -> None:
        self._state = state
        self._versions = versions

    def given_up(self) -> tuple[GivenUp, ...]:
        with suppress(OSError):
            return tuple(GivenUp(version=one.version, reason=one.reason) for one in self._versions.record().refused)
        return ()

    def wanted(self, version: str | None) -> None:
        """What the centre wants counts as it is now.

        A person's wish stands until it was taken up, and where the centre has none, until it came to an end: a sale may
        be open for long.
        """
        try:
            standing, record, current = wished(self._state), self._versions.record(), self._versions.current()
            is_new = version is not None and current is not None and newer(version, current)
            if standing is not None and standing.asked:
                is_over = record.settled == standing.asked
                if record.asked != standing.asked or not (is_over or is_new):
                    return
            wish(self._state, Wish(version=version) if version is not None and is_new else None)
        except (ValueError, OSError) as error:
            log.error("update_not_wished", reason=str(error))


def _content(path: Path) -> bytes:
    """Of a plain file: the updater reads as another user than who may write here, and follows nothing."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no plain file")
        return file.read(MAX_WISH_BYTES)
