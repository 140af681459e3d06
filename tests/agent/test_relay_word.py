"""A register tells of its relay, and of the printer behind it, what the relay says of itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.relay_word import LOOK_AGAIN_AFTER_S, LOOK_EVERY_S, RelayTroubleError, RelayWatch
from drivers.relay.spool import STATUS_NAME
from tests.agent.test_rules_in_force import Scanner, configured, running, scanner

__all__ = ["scanner"]
NO_SUCH_PROCESS = 2**22 + 7
WELL = {"pid": os.getpid(), "unspooled": 0, "printer": "192.168.1.50:9100", "printer_trouble": ""}
AWAY = WELL | {"printer_trouble": "no answer"}


class EndedError(Exception):
    """The test has seen enough."""


class Played:
    """A folder whose relay says one thing after the other, each time the watch sleeps; None is nothing at all."""

    def __init__(self, folder: Path, *said: dict[str, object] | None) -> None:
        self._file = folder / STATUS_NAME
        self._said = list(said)
        self.heard: list[str] = []
        self._next()

    async def sleep(self, seconds: float) -> None:
        self.heard.append({LOOK_EVERY_S: "well", LOOK_AGAIN_AFTER_S: "looked again"}[seconds])
        self._next()

    def ready(self) -> None:
        """The supervisor's."""

    def _next(self) -> None:
        if not self._said:
            raise EndedError
        said = self._said.pop(0)
        self._file.unlink(missing_ok=True)
        if said is not None:
            self._file.write_text(json.dumps(said))


async def test_a_printer_that_is_away_and_a_relay_that_does_not_run_are_told(tmp_path: Path) -> None:
    away = Played(tmp_path, WELL, AWAY, AWAY)
    with pytest.raises(RelayTroubleError, match=r"printer 192\.168\.1\.50:9100 \(no answer\): see that it is on"):
        await RelayWatch(tmp_path, away.sleep).run(away.ready)
    assert away.heard == ["well", "looked again"]

    dead = Played(tmp_path, WELL | {"pid": NO_SUCH_PROCESS}, WELL | {"pid": NO_SUCH_PROCESS})
    with pytest.raises(RelayTroubleError, match="does not run: start its service"):
        await RelayWatch(tmp_path, dead.sleep).run(dead.ready)


async def test_a_relay_that_is_started_anew_and_one_that_never_was_are_not(tmp_path: Path) -> None:
    renewed = Played(tmp_path, WELL | {"pid": NO_SUCH_PROCESS}, WELL, None, None)
    with pytest.raises(EndedError):
        await RelayWatch(tmp_path, renewed.sleep).run(renewed.ready)
    assert renewed.heard == ["looked again", "well", "well", "well"]


async def test_the_centre_hears_of_it_with_the_heartbeat(tmp_path: Path, scanner: Scanner) -> None:
    spool = tmp_path / "relayed"
    spool.mkdir()
    (spool / STATUS_NAME).write_text(json.dumps(AWAY))
    more = f'[[receipts]]\nname = "printer"\nspool = "{spool}"\n'

    async with running(configured(tmp_path, scanner, more), scanner) as till:
        await till.until(lambda: any("no way to the printer" in reason for reason in till.status.reasons))

        assert ("relay", "printer") in {(one.kind, one.name) for one in till.status.workers}
        told = till.told_to_centre()
        assert any(reason.startswith("relay printer: no way to the printer 192.168.1.50") for reason in told.reasons)
