"""`tillside relay`: the process that stands between the POS and its printer.

Owns the command line, the listening port and a start and an end that lose nothing. It starts with the
standard library alone and needs neither configuration nor agent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers.relay.announce import Announcer
from drivers.relay.clock import boot_id, system_clock
from drivers.relay.connection import Connection, Surroundings
from drivers.relay.keeper import JobKeeper
from drivers.relay.line import KERNEL_BUFFER_BYTES, Endpoint, Line
from drivers.relay.spool import Origin, SpoolLockedError, SpoolWriter
from drivers.relay.status import Facts, Status

IDLE_MS: Final = 2000
HOLD_MS: Final = 250
SPOOL_CAP_MB: Final = 256
# A POS has one or two connections. More than this and it forgets to close them.
MAX_CONNECTIONS: Final = 64
BACKLOG: Final = 16
# After SIGTERM: for jobs that have begun, and then for the disk.
FINISH_WITHIN_S: Final = 5.0
KEEP_WITHIN_S: Final = 5.0
ACCEPT_AGAIN_AFTER_S: Final = 0.1

EXIT_DONE, EXIT_PROBLEM = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line says. An empty `register` leaves the name to the agent."""

    listen: Endpoint
    printer: Endpoint
    spool: Path
    register: str
    idle_ms: int
    hold_ms: int
    spool_cap_bytes: int
    as_json: bool


def main(argv: Sequence[str]) -> int:
    """Run the relay until SIGTERM or SIGINT. Returns the exit code: 0 ended, 1 could not start or lost a job."""
    settings = read_arguments(argv)
    announcer = Announcer(as_json=settings.as_json)
    writer = SpoolWriter(settings.spool, cap_bytes=settings.spool_cap_bytes)
    try:
        writer.open()
    except SpoolLockedError as error:
        announcer.say("error", "spool_locked", str(error.strerror))
        return EXIT_PROBLEM
    except OSError as error:
        announcer.say(
            "error",
            "spool_missing",
            f"receipts will print, but none is kept until {settings.spool} can be written "
            f"({error.strerror}): check that it exists, its rights, and its disk",
        )
    try:
        listening = listen(settings.listen)
    except OSError as error:
        announcer.say(
            "error",
            "cannot_listen",
            f"cannot listen on {settings.listen} ({error.strerror}): another program, maybe another relay, has that "
            "port, or this machine has no such address. Stop it, or choose another --listen",
        )
        return EXIT_PROBLEM
    return asyncio.run(_serve(settings, writer, announcer, listening))


def read_arguments(argv: Sequence[str]) -> Settings:
    """Settings of a command line. Prints what is wrong and exits with 2 on one that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="tillside relay",
        description="Passes the POS's bytes to the printer and keeps each printed job in a spool for the agent.",
    )
    parser.add_argument("--listen", type=_endpoint, required=True, metavar="HOST:PORT", help="where the POS prints to")
    parser.add_argument(
        "--printer", type=_endpoint, required=True, metavar="HOST:PORT", help="the printer, often :9100"
    )
    parser.add_argument("--spool", type=Path, required=True, metavar="FOLDER", help="where jobs are kept for the agent")
    parser.add_argument("--register", default="", metavar="NAME", help="name of this register in the jobs it keeps")
    parser.add_argument(
        "--idle-ms", type=_at_least(1), default=IDLE_MS, metavar="MS", help="a pause that ends a job (%(default)s)"
    )
    parser.add_argument(
        "--hold-ms", type=_at_least(0), default=HOLD_MS, metavar="MS", help="a cut waits for a sick disk (%(default)s)"
    )
    parser.add_argument(
        "--spool-cap-mb", type=_at_least(1), default=SPOOL_CAP_MB, metavar="MB", help="room for the spool (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="the ready line and the log as JSON lines")
    arguments = parser.parse_args(argv)
    return Settings(
        listen=arguments.listen,
        printer=arguments.printer,
        spool=arguments.spool,
        register=arguments.register,
        idle_ms=arguments.idle_ms,
        hold_ms=arguments.hold_ms,
        spool_cap_bytes=arguments.spool_cap_mb * 1_000_000,
        as_json=arguments.json,
    )


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


async def _serve(settings: Settings, writer: SpoolWriter, announcer: Announcer, listening: socket.socket) -> int:
    host, port = listening.getsockname()[:2]
    facts = Facts(
        pid=os.getpid(),
        listen=str(Endpoint(host=host, port=port)),
        printer=str(settings.printer),
        register=settings.register,
        started_at=system_clock().wall,
    )
    status = Status(settings.spool, facts)
    keeper = JobKeeper(writer=writer, status=status, announcer=announcer)
    keeper.start()
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    around = Surroundings(
        printer=settings.printer,
        idle_ms=settings.idle_ms,
        hold_ms=settings.hold_ms,
        keeper=keeper,
        status=status,
        announcer=announcer,
        clock=system_clock,
    )
    _tell_ready(settings, facts)
    await Relay(around, settings.register).serve(listening, stop)
    unkept = keeper.close(KEEP_WITHIN_S)
    if unkept:
        announcer.say("error", "jobs_lost", f"{unkept} printed jobs did not reach the spool before the relay ended")
    return EXIT_PROBLEM if unkept else EXIT_DONE


def _tell_ready(settings: Settings, facts: Facts) -> None:
    if settings.as_json:
        line = json.dumps(
            {"listening": facts.listen, "printer": facts.printer, "spool": str(settings.spool), "pid": facts.pid}
        )
    else:
        line = f"relay: {facts.listen} → {facts.printer}, jobs kept in {settings.spool}"
    print(line, flush=True)


def _endpoint(text: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 192.168.1.50:9100")
    return Endpoint(host=host, port=int(port))


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
        return int(text)

    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
