"""`tillside relay`: the process that stands between the POS and its printer, between a scanner and the POS, or both.

Owns the listening port and a start and an end that lose nothing. It starts with the standard library alone and
needs neither configuration nor agent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final, Protocol

from drivers.relay.announce import Announcer
from drivers.relay.arguments import PrinterSettings, Settings, read_arguments
from drivers.relay.clock import boot_id, system_clock
from drivers.relay.connection import Connection, Surroundings
from drivers.relay.keeper import JobKeeper
from drivers.relay.language import language_named
from drivers.relay.line import KERNEL_BUFFER_BYTES, Endpoint, Line
from drivers.relay.spool import Origin, SpoolLockedError, SpoolWriter
from drivers.relay.status import Facts, Status

# A POS has one or two connections. More than this and it forgets to close them.
MAX_CONNECTIONS: Final = 64
BACKLOG: Final = 16
# After SIGTERM: for jobs that have begun, and then for the disk.
FINISH_WITHIN_S: Final = 5.0
KEEP_WITHIN_S: Final = 5.0
ACCEPT_AGAIN_AFTER_S: Final = 0.1

EXIT_DONE, EXIT_PROBLEM = 0, 1


class Part(Protocol):
    """What a relay carries: a printer, or a shared scanner. `ready` is what the ready line says of it."""

    @property
    def ready(self) -> dict[str, object]: ...

    def start(self) -> bool:
        """Take what no other program may have. Whether that was possible; what was not is told."""

    async def run(self, stop: asyncio.Event) -> int:
        """Carry until `stop` is set. Returns how much of what was to be kept is not."""


def main(argv: Sequence[str]) -> int:
    """Run the relay until SIGTERM or SIGINT. Returns the exit code: 0 ended, 1 could not start or lost a job."""
    settings = read_arguments(argv)
    parts: list[Part] = []
    if settings.printer is not None:
        printer = PrinterPart(settings, settings.printer)
        if not printer.start():
            return EXIT_PROBLEM
        parts.append(printer)
    if settings.scanner is not None:
        # A relay without a scanner stays as small as it is.
        from drivers.relay.scanner_part import ScannerPart  # noqa: PLC0415

        scanner = ScannerPart(settings, settings.scanner)
        if scanner.start():  # else another relay has it, and a printer goes on without
            parts.append(scanner)
    if not parts:
        return EXIT_PROBLEM
    return asyncio.run(_serve(parts, settings))


def listen(endpoint: Endpoint) -> socket.socket:
    """A listening socket. Raises OSError where the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Set here, it holds for every accepted connection: the POS feels the printer's pace, not our memory.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER_BYTES)
        listening.bind((endpoint.host, endpoint.port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


class Relay:
    """Takes POS connections from a listening socket and carries each until it ends."""

    def __init__(self, around: Surroundings, register: str) -> None:
        self._around = around
        self._register = register
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._taken = 0

    async def serve(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Take connections until `stop` is set, then let the jobs that have begun finish. Closes `listening`."""
        taking = asyncio.create_task(self._take_connections(listening))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            taking.cancel()
            listening.close()
            await self._finish()
        if not taking.cancelled() and taking.done():
            taking.result()

    async def _take_connections(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, _ = await loop.sock_accept(listening)
            except OSError as error:
                self._around.announcer.say(
                    "error", "cannot_accept", f"a POS connection could not be taken ({error.strerror}); trying again"
                )
                await asyncio.sleep(ACCEPT_AGAIN_AFTER_S)
                continue
            pos = Line(connected)
            if len(self._connections) < MAX_CONNECTIONS:
                self._begin(pos)
                continue
            self._around.announcer.say(
                "error",
                "too_many_connections",
                f"{MAX_CONNECTIONS} POS connections are open and one more was refused: the POS does not close them",
            )
            pos.reset()

    def _begin(self, pos: Line) -> None:
        self._taken += 1
        origin = Origin(register=self._register, connection=f"{os.getpid()}-{self._taken}", boot=boot_id())
        connection = Connection(pos, origin, self._around)
        task = asyncio.create_task(self._carry(connection))
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)

    async def _carry(self, connection: Connection) -> None:
        try:
            await connection.run()
        except Exception as error:  # noqa: BLE001  the next connection must find a relay
            self._around.announcer.say(
                "error", "connection_failed", f"one POS connection ended by a fault of the relay: {error!r}"
            )

    async def _finish(self) -> None:
        for connection in self._connections.values():
            connection.stop()
        if not self._connections:
            return
        _, unfinished = await asyncio.wait(self._connections, timeout=FINISH_WITHIN_S)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)


class PrinterPart:
    """The printer's way through this process."""

    def __init__(self, settings: Settings, printer: PrinterSettings) -> None:
        self._printer = printer
        self._register = settings.register
        self._announcer = Announcer(as_json=settings.as_json)
        self._writer = SpoolWriter(printer.spool, cap_bytes=settings.spool_cap_bytes)
        self._listening: socket.socket | None = None

    @property
    def ready(self) -> dict[str, object]:
        return {"listening": self._address, "printer": str(self._printer.printer), "spool": str(self._printer.spool)}

    def start(self) -> bool:
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
            self._listening = listen(self._printer.listen)
        except OSError as error:
            self._announcer.say(
                "error",
                "cannot_listen",
                f"cannot listen on {self._printer.listen} ({error.strerror}): another program, maybe another relay, "
                "has that port, or this machine has no such address. Stop it, or choose another --listen",
            )
            return False
        return True

    async def run(self, stop: asyncio.Event) -> int:
        assert self._listening is not None  # noqa: S101  it has started
        facts = Facts(
            pid=os.getpid(),
            listen=self._address,
            printer=str(self._printer.printer),
            register=self._register,
            started_at=system_clock().wall,
        )
        status = Status(self._printer.spool, facts)
        keeper = JobKeeper(writer=self._writer, status=status, announcer=self._announcer)
        keeper.start()
        around = Surroundings(
            printer=self._printer.printer,
            idle_ms=self._printer.idle_ms,
            hold_ms=self._printer.hold_ms,
            keeper=keeper,
            status=status,
            announcer=self._announcer,
            clock=system_clock,
            language=language_named(self._printer.language),
        )
        await Relay(around, self._register).serve(self._listening, stop)
        unkept = await asyncio.to_thread(keeper.close, KEEP_WITHIN_S)
        if unkept:
            self._announcer.say(
                "error", "jobs_lost", f"{unkept} printed jobs did not reach the spool before the relay ended"
            )
        return unkept

    @property
    def _address(self) -> str:
        assert self._listening is not None  # noqa: S101  it has started
        host, port = self._listening.getsockname()[:2]
        return str(Endpoint(host=host, port=port))


async def _serve(parts: Sequence[Part], settings: Settings) -> int:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    _tell_ready(parts, settings)
    unkept = await asyncio.gather(*(part.run(stop) for part in parts))
    return EXIT_PROBLEM if any(unkept) else EXIT_DONE


def _tell_ready(parts: Sequence[Part], settings: Settings) -> None:
    ready = {key: value for part in parts for key, value in part.ready.items()}
    if settings.as_json:
        line = json.dumps(ready | {"pid": os.getpid()})
    else:
        line = "relay: " + "; ".join(_told(part) for part in parts)
    print(line, flush=True)


def _told(part: Part) -> str:
    first, second, folder = part.ready.values()
    return f"{first} → {second}, kept in {folder}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
