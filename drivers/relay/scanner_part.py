"""The part of a relay process that carries a shared scanner: from its settings to its end.

Owns putting it together: ports, rules, spool and status. Its trouble is its own: the printer's part of the same
process goes on whatever happens here.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from drivers.relay.announce import Announcer
from drivers.relay.arguments import PTY, ScannerSettings, Settings
from drivers.relay.clock import boot_id, system_clock
from drivers.relay.keeper import SCANNED, JobKeeper
from drivers.relay.pos_pty import PosPty
from drivers.relay.rules_in_force import RulesInForce
from drivers.relay.scanner_passage import ScannerPassage
from drivers.relay.shared_scanner import PORT_RETRY_EVERY_S, Ends, SharedScanner
from drivers.relay.spool import Origin, SpoolLockedError, SpoolWriter
from drivers.relay.status import ScannerFacts, ScannerFigures, StatusFile
from drivers.transport.ports import transport_for
from drivers.transport.serial import SerialLine

# A scan is some 300 bytes here. Members' codes that the agent has taken are deleted with the next few hundred.
SCANS_SEGMENT_BYTES: Final = 64 * 1024
# Asking whether a POS has opened a terminal costs microseconds.
PTY_LOOK_EVERY_S: Final = 0.02
# After SIGTERM, for the disk.
KEEP_WITHIN_S: Final = 5.0


class ScannerPart:
    """A shared scanner of this process. `run` raises nothing for what a port, a disk or a code does."""

    def __init__(self, settings: Settings, scanner: ScannerSettings) -> None:
        self._scanner = scanner
        self._announcer = Announcer(as_json=settings.as_json)
        self._writer = SpoolWriter(scanner.scans, cap_bytes=settings.spool_cap_bytes, segment_bytes=SCANS_SEGMENT_BYTES)
        facts = ScannerFacts(
            pid=os.getpid(),
            scanner=scanner.port,
            pos=scanner.pos,
            register=settings.register,
            started_at=system_clock().wall,
        )
        self._origin = Origin(register=settings.register, connection=f"{facts.pid}-scanner", boot=boot_id())
        self._status = StatusFile(scanner.scans, facts, ScannerFigures())
        self._keeper = JobKeeper(writer=self._writer, status=self._status, announcer=self._announcer, wording=SCANNED)
        self._rules = RulesInForce(scanner.scans, to_pos=scanner.to_pos, status=self._status, announcer=self._announcer)
        self._pty = (
            PosPty(Path(scanner.pos.removeprefix(PTY)), group=scanner.pos_group)
            if scanner.pos.startswith(PTY)
            else None
        )

    @property
    def ready(self) -> dict[str, object]:
        """What the ready line says of it."""
        return {"scanner": self._scanner.port, "pos": self._scanner.pos, "scans": str(self._scanner.scans)}

    def start(self) -> bool:
        """Make the POS's port and take the folder. Returns whether that is not another relay's; other trouble is told,
        and tried again.
        """
        if self._pty is not None:
            with suppress(OSError):  # told when it is opened
                self._pty.make()
        try:
            self._writer.open()
        except SpoolLockedError as error:
            self._announcer.say("error", "scans_locked", str(error.strerror))
            return False
        except OSError as error:
            self._announcer.say(
                "error",
                "scans_missing",
                f"codes will reach the POS, but no member's code is kept until {self._scanner.scans} can be written "
                f"({error.strerror}): check that it exists, its rights, and its disk",
            )
        return True

    async def run(self, stop: asyncio.Event) -> int:
        """Carry the scanner until `stop` is set. Returns how many codes did not reach the spool."""
        self._keeper.start()
        await asyncio.to_thread(self._rules.start)
        passage = ScannerPassage(
            judge=self._rules.judge,
            may_withhold=self._rules.may_withhold,
            prefix=self._scanner.prefix,
            suffix=self._scanner.suffix,
        )
        shared = SharedScanner(
            self._ends(),
            passage,
            keeper=self._keeper,
            origin=self._origin,
            status=self._status,
            announcer=self._announcer,
            clock=system_clock,
        )
        await shared.run(stop)
        if self._pty is not None:
            await self._pty.remove()
        self._rules.close()
        unkept = await asyncio.to_thread(self._keeper.close, KEEP_WITHIN_S)
        if unkept:
            self._announcer.say("error", "scans_lost", f"{unkept} codes did not reach the spool before the relay ended")
        return unkept

    def _ends(self) -> Ends:
        scanner = self._scanner
        line = SerialLine(
            baud=scanner.baud, data_bits=scanner.data_bits, parity=scanner.parity, stop_bits=scanner.stop_bits
        )
        return Ends(
            scanner=transport_for(scanner.port, line),
            scanner_name=scanner.port,
            pos=self._pty or transport_for(scanner.pos, line),
            pos_name=scanner.pos,
            pos_retry_s=PTY_LOOK_EVERY_S if self._pty is not None else PORT_RETRY_EVERY_S,
        )
