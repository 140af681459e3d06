"""The part of a relay process that carries one printer: from its settings to its end.

Owns putting it together: the POS's way in, the way to the printer, spool and status.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

from drivers.relay.announce import Announcer
from drivers.relay.arguments import PrinterSettings, Settings
from drivers.relay.clock import system_clock
from drivers.relay.connection import Surroundings
from drivers.relay.keeper import JobKeeper
from drivers.relay.language import language_named
from drivers.relay.relay import Relay
from drivers.relay.spool import SpoolLockedError, SpoolWriter
from drivers.relay.status import Facts, Status
from drivers.relay.unfinished import Unfinished
from drivers.relay.ways import inlet_for, outlet_for

# After SIGTERM, for the disk.
KEEP_WITHIN_S: Final = 5.0


class PrinterPart:
    """A printer of this process. `run` raises nothing for what a POS, a printer or a disk does."""

    def __init__(self, settings: Settings, printer: PrinterSettings) -> None:
        self._printer = printer
        self._register = settings.register
        self._announcer = Announcer(as_json=settings.as_json, register=settings.register)
        self._writer = SpoolWriter(printer.spool, cap_bytes=settings.spool_cap_bytes)
        self._inlet = inlet_for(printer.listen, printer.serial, group=printer.group)
        self._outlet = outlet_for(printer.printer, printer.serial)

    @property
    def ready(self) -> dict[str, object]:
        """What the ready line says of it."""
        return {"listening": self._inlet.name, "printer": self._outlet.name, "spool": str(self._printer.spool)}

    def start(self) -> bool:
        """Take the folder and the way in. Whether both could be had; what could not is told."""
        try:
            self._writer.open()
        except SpoolLockedError as error:
            self._announcer.say("error", "spool_locked", str(error.strerror))
            return False
        except OSError as error:
            self._announcer.say(
                "error",
                "spool_missing",
                f"receipts will print, but none is kept until {self._printer.spool} can be written "
                f"({error.strerror}): check that it exists, its rights, and its disk",
            )
        try:
            self._inlet.start()
        except OSError as error:
            self._announcer.say(
                "error",
                "cannot_listen",
                f"cannot listen on {self._printer.listen} ({error.strerror}): another program, maybe another relay, "
                "has it, or it is none of this machine. Stop that one, or choose another --listen",
            )
            return False
        return True

    async def run(self, stop: asyncio.Event) -> int:
        facts = Facts(
            pid=os.getpid(),
            listen=self._inlet.name,
            printer=self._outlet.name,
            register=self._register,
            started_at=system_clock().wall,
            language=self._printer.language,
        )
        status = Status(self._printer.spool, facts)
        keeper = JobKeeper(writer=self._writer, status=status, announcer=self._announcer)
        keeper.start()
        around = Surroundings(
            printer=self._outlet,
            unfinished=Unfinished(keeper.keep, system_clock),
            idle_ms=self._printer.idle_ms,
            hold_ms=self._printer.hold_ms,
            keeper=keeper,
            status=status,
            announcer=self._announcer,
            clock=system_clock,
            language=language_named(self._printer.language),
        )
        await Relay(around, self._register).serve(self._inlet, stop)
        await self._outlet.close()
        unkept = await asyncio.to_thread(keeper.close, KEEP_WITHIN_S)
        if unkept:
            self._announcer.say(
                "error", "jobs_lost", f"{unkept} printed jobs did not reach the spool before the relay ended"
            )
        return unkept
