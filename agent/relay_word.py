"""What the relay of a spool says of itself, in the small file beside it, and what that means.

Owns reading that file and the words for a person. Never asks the printer: `agent.doctor.printing` does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.inspection import Verdict
from drivers.relay.spool import STATUS_NAME

MAX_STATUS_BYTES: Final = 64 * 1024
# A relay writes when something changes, and says of a printer what the POS's last try showed.
LOOK_EVERY_S: Final = 10.0
# One that is started anew is back by then.
LOOK_AGAIN_AFTER_S: Final = 3.0

Sleep = Callable[[float], Awaitable[None]]


class RelayTroubleError(Exception):
    """Something is wrong with a relay, or it says so of its printer. The message says what, and what to do."""


class RelayWatch:
    """A worker that fails for as long as the relay of `folder` has trouble.

    Where no relay was ever used there is none to watch: `tillside doctor` names that.
    """

    def __init__(self, folder: Path, sleep: Sleep = asyncio.sleep) -> None:
        self._folder = folder
        self._sleep = sleep

    async def run(self, ready: Callable[[], None]) -> None:
        while True:
            if await self._trouble() and (trouble := await self._trouble_still()):
                raise RelayTroubleError(trouble)
            ready()
            await self._sleep(LOOK_EVERY_S)

    async def _trouble_still(self) -> str:
        await self._sleep(LOOK_AGAIN_AFTER_S)
        return await self._trouble()

    async def _trouble(self) -> str:
        return await asyncio.to_thread(self._look)

    def _look(self) -> str:
        relay = status_of(self._folder)
        if relay is None:
            return ""
        verdict, said = judged(self._folder, relay)
        return "" if verdict == "healthy" else said


def status_of(folder: Path) -> dict[str, Any] | None:
    """What the relay says of itself; None where it has said nothing that can be read."""
    try:
        with (folder / STATUS_NAME).open("rb") as file:
            return msgspec.json.decode(file.read(MAX_STATUS_BYTES), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def judged(folder: Path, relay: dict[str, Any]) -> tuple[Verdict, str]:
    of_cups = str(relay.get("listen", "")).startswith("cups:")  # it runs while a job prints, and no longer
    if not (of_cups or lives(relay.get("pid"))):
        return "problem", f"the relay of {folder} does not run: start its service, or `tillside relay`"
    troubles = [_told(key, said, relay) for key, said in relay.items() if key.endswith("_trouble") and said]
    if relay.get("unspooled"):
        troubles.append(f"{relay['unspooled']} could not be kept since the relay started: look at its log")
    well = f"{folder}, of a queue of CUPS" if of_cups else f"{folder}, its relay runs"
    return ("degraded", "; ".join(troubles)) if troubles else ("healthy", well)


def lives(pid: object) -> bool:
    if sys.platform == "win32":  # has no relay, and signal 0 would end the process there
        return True
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _told(key: str, said: object, relay: dict[str, Any]) -> str:
    if key != "printer_trouble":
        return str(said)
    return f"no way to the printer {relay.get('printer')} ({said}): see that it is on and connected"
