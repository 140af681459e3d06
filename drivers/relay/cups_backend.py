"""A backend of CUPS that prints through another one: what a POS prints to a queue is passed on and kept on the way.

Owns the manners of a backend: arguments, exit codes, standard error, and whose rights it uses for what. The device URI
`tillside:socket://192.168.1.50:9100` prints through CUPS's own `socket`; with `tillside-star:…` the printer is a Star.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers.relay.announce import Announcer, Level
from drivers.relay.arguments import HOLD_MS, IDLE_MS, SPOOL_CAP_MB
from drivers.relay.clock import boot_id, system_clock
from drivers.relay.connection import Connection, Surroundings
from drivers.relay.cups import Backend, backend_of, write_all
from drivers.relay.keeper import JobKeeper
from drivers.relay.language import LanguageName, language_named
from drivers.relay.line import READ_BYTES, Arrival, Line
from drivers.relay.printer_part import KEEP_WITHIN_S
from drivers.relay.ready import readable
from drivers.relay.spool import Origin, SpoolWriter
from drivers.relay.status import Facts, Status
from drivers.relay.unfinished import Unfinished

# Each queue has a folder of its own in it: jobs of one queue come one after the other, those of two at once.
SPOOLS: Final = Path("/var/spool/tillside/cups")
MAX_COPIES: Final = 100

# CUPS's cups_backend_t. STOP stops the queue until somebody has looked.
EXIT_OK, EXIT_FAILED, EXIT_STOP, EXIT_LAST = 0, 1, 4, 7

_FOUND: Final = 'direct {scheme} "Unknown" "Tillside, through another backend of CUPS"'
_SCHEMES: Final[dict[str, LanguageName]] = {"tillside": "escpos", "tillside-star": "star"}
_QUEUE: Final = re.compile(r"[^\W_][\w.-]{0,126}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One job of CUPS: the URI to print to, and where its bytes come from."""

    uri: str
    language: LanguageName
    arguments: tuple[str, ...]
    file: Path | None
    copies: int
    queue: str
    backends: Path
    spools: Path


class TaskError(ValueError):
    """CUPS was told to print in a way that cannot be. The message says what to change."""


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """As CUPS calls it: without arguments to list devices, else with job, user, title, copies, options and a file."""
    if not argv:
        for scheme in _SCHEMES:
            print(_FOUND.format(scheme=scheme))
        return EXIT_OK
    try:
        task = read_task(argv, environ)
        program = backend_of(task.uri, task.backends)
        job = _JobLine(task.file, task.copies)
        backend = Backend.start(program, task.uri, arguments=task.arguments, back_channel=None, says=None)
    except (TaskError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        print(f"ERROR: {reason}", file=sys.stderr)
        return EXIT_STOP
    # The next backend may need root to reach the printer, and the job's file; keeping a copy does not.
    become_owner_of(task.spools)
    return asyncio.run(_print(task, job, backend))


def read_task(argv: Sequence[str], environ: Mapping[str, str]) -> Task:
    """Raises TaskError."""
    if len(argv) not in {5, 6}:
        raise TaskError("a backend is called with job, user, title, copies, options and perhaps a file")
    scheme, colon, uri = environ.get("DEVICE_URI", "").partition(":")
    if scheme not in _SCHEMES or not colon:
        raise TaskError("write the device URI as tillside:URI, such as tillside:socket://192.168.1.50:9100")
    queue = environ.get("PRINTER", "")
    if not _QUEUE.fullmatch(queue):
        raise TaskError(f"the queue's name {queue!r} is none of a folder: rename the queue")
    copies = int(argv[3]) if argv[3].isascii() and argv[3].isdigit() else 1
    return Task(
        uri=uri,
        language=_SCHEMES[scheme],
        arguments=(*argv[:3], "1", argv[4]),
        file=Path(argv[5]) if len(argv) == 6 else None,
        copies=min(max(copies, 1), MAX_COPIES),
        queue=queue,
        backends=Path(environ.get("CUPS_SERVERBIN", "/usr/lib/cups")) / "backend",
        spools=Path(environ.get("TILLSIDE_CUPS_SPOOL", str(SPOOLS))),
    )


def become_owner_of(folder: Path) -> None:
    """From root, the user whom `folder` belongs to and who reads it: the agent's."""
    with suppress(OSError):
        owner = folder.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.setgroups([])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)


class CupsAnnouncer(Announcer):
    """Says it as CUPS reads it: the level first."""

    def line(self, at: str, level: Level, event: str, message: str, facts: Mapping[str, str | int]) -> str:  # noqa: ARG002
        told = "".join(f" {key}={value}" for key, value in facts.items())
        return f"{level.upper()}: {event}: {message}{told}"


async def _print(task: Task, job: _JobLine, backend: Backend) -> int:
    folder = task.spools / task.queue
    announcer = CupsAnnouncer(as_json=False)
    facts = Facts(
        pid=os.getpid(), listen=f"cups:{task.queue}", printer=task.uri, register="", started_at=system_clock().wall
    )
    status = Status(folder, facts)
    keeper = JobKeeper(
        writer=SpoolWriter(folder, cap_bytes=SPOOL_CAP_MB * 1_000_000), status=status, announcer=announcer
    )
    keeper.start()
    outlet = _RunOutlet(task, backend)
    around = Surroundings(
        printer=outlet,
        unfinished=Unfinished(keeper.keep, system_clock),
        idle_ms=IDLE_MS,
        hold_ms=HOLD_MS,
        keeper=keeper,
        status=status,
        announcer=announcer,
        clock=system_clock,
        language=language_named(task.language),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, backend.cancel)
    origin = Origin(register="", connection=f"{os.getpid()}-1", boot=boot_id())
    await Connection(Arrival(line=job, pos=task.queue), origin, around).run()
    around.unfinished.end()
    if unkept := await asyncio.to_thread(keeper.close, KEEP_WITHIN_S):
        announcer.say("error", "jobs_lost", f"{unkept} printed jobs did not reach the spool before the job ended")
    code = await outlet.ended
    return code if 0 <= code <= EXIT_LAST else EXIT_FAILED


class _RunOutlet:
    """The `Outlet` to a backend that has been started already: there is one job."""

    stays = False

    def __init__(self, task: Task, backend: Backend) -> None:
        self._task = task
        self._backend = backend
        self.ended = asyncio.create_task(backend.ended())

    @property
    def name(self) -> str:
        return self._task.uri

    async def reach(self) -> Line:
        return _RunLine(self._backend.input, self.ended)

    async def close(self) -> None:
        """The backend ends with its job."""


class _RunLine:
    """The `Line` to it. Answers of the printer go to CUPS past us: the backend has its descriptors 3 and 4."""

    def __init__(self, to_backend: int, ended: asyncio.Task[int]) -> None:
        self._input: int | None = to_backend
        self._ended = ended

    async def receive(self) -> bytes:
        await asyncio.shield(self._ended)
        return b""

    async def send(self, data: bytes) -> None:
        if self._input is not None:
            await write_all(self._input, data)

    def finish_sending(self) -> None:
        if self._input is not None:
            os.close(self._input)
            self._input = None

    def close(self) -> None:
        self.finish_sending()

    def reset(self) -> None:
        self.finish_sending()


class _JobLine:
    """The `Line` from CUPS: its standard input, or a file as often as there are copies."""

    def __init__(self, file: Path | None, copies: int) -> None:
        self._handle = 0 if file is None else os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        self._is_file = file is not None
        self._copies_left = copies - 1
        if file is None:
            os.set_blocking(0, False)

    async def receive(self) -> bytes:
        while True:
            try:
                data = os.read(self._handle, READ_BYTES)
            except (BlockingIOError, InterruptedError):
                await readable(self._handle)
                continue
            if data or not (self._is_file and self._copies_left):
                return data
            self._copies_left -= 1
            os.lseek(self._handle, 0, os.SEEK_SET)

    async def send(self, data: bytes) -> None:
        """A filter hears nothing."""

    def finish_sending(self) -> None:
        """As above."""

    def close(self) -> None:
        if self._is_file:
            os.close(self._handle)
            self._is_file = False

    def reset(self) -> None:
        self.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
