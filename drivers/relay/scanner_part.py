"""The part of a relay process that carries a shared scanner: from its settings to its end.

Owns putting it together: ports, rules, spool and status. Its trouble is its own: the printer's part of the same
process goes on whatever happens here.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from drivers.relay.announce import Announcer
from drivers.relay.arguments import ScannerSettings, SerialSettings, Settings, WedgeSettings
from drivers.relay.clock import boot_id, system_clock
from drivers.relay.keeper import SCANNED, JobKeeper
from drivers.relay.pos_pty import PosPty
from drivers.relay.rules_in_force import RulesInForce
from drivers.relay.scan_records import ScanRecords
from drivers.relay.scanner_passage import ScannerPassage
from drivers.relay.shared_scanner import PORT_RETRY_EVERY_S, Ends, SharedScanner
from drivers.relay.spool import Origin, SpoolLockedError, SpoolWriter
from drivers.relay.status import ScannerFacts, ScannerFigures, StatusFile
from drivers.relay.ways import PTY

if TYPE_CHECKING:
    from drivers.relay.shared_wedge import SharedWedge

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
            scanner=scanner.name,
            pos=scanner.pos,
            register=settings.register,
            started_at=system_clock().wall,
        )
        self._status = StatusFile(scanner.scans, facts, ScannerFigures())
        self._keeper = JobKeeper(writer=self._writer, status=self._status, announcer=self._announcer, wording=SCANNED)
        self._rules = RulesInForce(scanner.scans, to_pos=scanner.to_pos, status=self._status, announcer=self._announcer)
        self._records = ScanRecords(
            keeper=self._keeper,
            origin=Origin(register=settings.register, connection=f"{facts.pid}-scanner", boot=boot_id()),
            status=self._status,
            announcer=self._announcer,
            scanner_name=scanner.name,
            pos_name=scanner.pos,
        )
        self._pty = _pty_of(scanner)

    @property
    def ready(self) -> dict[str, object]:
        """What the ready line says of it."""
        return {"scanner": self._scanner.name, "pos": self._scanner.pos, "scans": str(self._scanner.scans)}

    def start(self) -> bool:
        """Take the folder and make the POS's port. Returns whether the folder is not another relay's, which then has
        the scanner as well; other trouble is told, and tried again.
        """
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
        if self._pty is not None:
            with suppress(OSError):  # told when it is opened
                self._pty.make()
        return True

    async def run(self, stop: asyncio.Event) -> int:
        """Carry the scanner until `stop` is set. Returns how many codes did not reach the spool."""
        self._keeper.start()
        await asyncio.to_thread(self._rules.start)
        source = self._scanner.source
        shared = self._wedge(source) if isinstance(source, WedgeSettings) else self._serial(source)
        await shared.run(stop)
        if self._pty is not None:
            await self._pty.remove()
        self._rules.close()
        unkept = await asyncio.to_thread(self._keeper.close, KEEP_WITHIN_S)
        if unkept:
            self._announcer.say("error", "scans_lost", f"{unkept} codes did not reach the spool before the relay ended")
        return unkept

    def _serial(self, source: SerialSettings) -> SharedScanner:
        # pyserial, which a wedge need not load.
        from drivers.transport.ports import transport_for  # noqa: PLC0415
        from drivers.transport.serial import SerialLine  # noqa: PLC0415

        line = SerialLine(
            baud=source.baud, data_bits=source.data_bits, parity=source.parity, stop_bits=source.stop_bits
        )
        passage = ScannerPassage(
            judge=self._rules.judge,
            may_withhold=self._rules.may_withhold,
            prefix=source.prefix,
            suffix=source.suffix,
        )
        ends = Ends(
            scanner=transport_for(source.port, line),
            pos=self._pty or transport_for(source.pos, line),
            pos_retry_s=PTY_LOOK_EVERY_S if self._pty is not None else PORT_RETRY_EVERY_S,
        )
        return SharedScanner(ends, passage, self._records, clock=system_clock)

    def _wedge(self, source: WedgeSettings) -> SharedWedge:
        from drivers.relay.shared_wedge import Rules, SharedWedge, Wedge  # noqa: PLC0415
        from drivers.wedge.evdev_backend import EvdevBackend  # noqa: PLC0415

        return SharedWedge(
            Wedge(device=source.device, layout=source.layout, prefix=source.prefix, suffix=source.suffix),
            EvdevBackend(),
            Rules(judge=self._rules.judge, may_withhold=self._rules.may_withhold),
            self._records,
            clock=system_clock,
        )


def _pty_of(scanner: ScannerSettings) -> PosPty | None:
    source = scanner.source
    if isinstance(source, WedgeSettings) or not source.pos.startswith(PTY):
        return None
    return PosPty(Path(source.pos.removeprefix(PTY)), group=source.pos_group)
