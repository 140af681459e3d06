"""A printer behind one of CUPS's backends, the programs that CUPS prints through (`usb`, `socket`, `ipp`, …).

Owns running one for each POS connection, as CUPS would: bytes on its standard input, answers of the printer on its
descriptor 3. Never interprets a byte.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from drivers.relay.line import READ_BYTES, TURN_WITHIN_S
from drivers.relay.ready import readable, writable

BACKENDS: Final = Path("/usr/lib/cups/backend")
BACK_CHANNEL: Final = 3
# At the end, for what the backend has not sent yet.
BACKEND_ENDS_WITHIN_S: Final = 5.0

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")
# Job, user, title, copies and options, as CUPS gives them.
_JOB_ARGUMENTS: Final = ("1", "tillside", "receipt", "1", "")
_OURS: Final = ("NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_")


def scheme_of(uri: str) -> str:
    """The backend's name in a device URI, such as `usb`; "" where it is none."""
    match = _SCHEME.match(uri)
    return match[1] if match else ""


def backend_of(uri: str, folder: Path = BACKENDS) -> Path:
    """The program that prints to `uri`. Raises OSError where there is none."""
    program = folder / scheme_of(uri)
    if not (scheme_of(uri) and os.access(program, os.X_OK)):
        raise OSError(errno.ENOENT, f"CUPS has no backend {program} for this user: install it, or run as one who may")
    return program


class Backend:
    """One run of a backend. `input` takes the job; close it at its end."""

    def __init__(self, name: str, pid: int, to_backend: int) -> None:
        self.name = name
        self.input = to_backend
        self._pid = pid

    @classmethod
    def start(
        cls, program: Path, uri: str, *, arguments: Sequence[str], back_channel: int | None, says: str | None
    ) -> Backend:
        """Run `program` as CUPS does. `back_channel` becomes its descriptor 3, else it has ours, as it has our standard
        error where `says` names no file. Raises OSError.
        """
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_DUP2, theirs, 0)]
        if back_channel is not None:
            actions.append((os.POSIX_SPAWN_DUP2, back_channel, BACK_CHANNEL))
        if says is not None:
            actions += [(os.POSIX_SPAWN_OPEN, stream, says, os.O_WRONLY, 0) for stream in (1, 2)]
        try:
            pid = os.posix_spawn(
                program,
                [uri, *arguments],
                {**_inherited(), "DEVICE_URI": uri},
                file_actions=actions,
                setsigdef=[signal.SIGPIPE],
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        return cls(program.name, pid, ours)

    async def ended(self) -> int:
        """The exit code, once it has ended; of one that a signal ended, 128 and the signal's number."""
        watched = os.pidfd_open(self._pid)
        try:
            await readable(watched)
        finally:
            os.close(watched)
        return self._reaped()

    def _reaped(self) -> int:
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def cancel(self) -> None:
        """As CUPS cancels a job."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)


async def write_all(handle: int, data: bytes) -> None:
    """Give all of `data` to a pipe. Raises OSError when nobody reads it any more."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(handle, rest) :]
        except (BlockingIOError, InterruptedError):
            await writable(handle)


def _inherited() -> dict[str, str]:
    """Our environment without what systemd tells this process alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


class BackendOutlet:
    """A printer with a device URI of CUPS, as `lpinfo -v` lists them. One POS connection at a time has it."""

    stays = False

    def __init__(self, uri: str, *, folder: Path = BACKENDS) -> None:
        self._uri = uri
        self._folder = folder
        self._turn = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"cups:{self._uri}"

    async def reach(self) -> BackendLine:
        program = backend_of(self._uri, self._folder)
        try:
            async with asyncio.timeout(TURN_WITHIN_S):
                await self._turn.acquire()
        except TimeoutError as error:
            raise OSError(errno.EBUSY, f"the job before has had it for {TURN_WITHIN_S:g} s") from error
        try:
            return BackendLine.start(program, self._uri, self._turn.release)
        except BaseException:
            self._turn.release()
            raise

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(BACKEND_ENDS_WITHIN_S):
                await self._turn.acquire()


class BackendLine:
    """The `Line` to one run of a backend. `ended` is called once that is over."""

    def __init__(self, backend: Backend, answers: int, ended: Callable[[], None]) -> None:
        self._input: int | None = backend.input
        self._answers = answers
        self._name = backend.name
        self._closed = False
        self._reaping = asyncio.create_task(_ended(backend, ended))

    @classmethod
    def start(cls, program: Path, uri: str, ended: Callable[[], None]) -> BackendLine:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            backend = Backend.start(program, uri, arguments=_JOB_ARGUMENTS, back_channel=theirs, says=os.devnull)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        return cls(backend, ours, ended)

    async def receive(self) -> bytes:
        while True:
            with suppress(BlockingIOError, InterruptedError):
                if answer := os.read(self._answers, READ_BYTES):
                    return answer
                if status := await asyncio.shield(self._reaping):
                    raise OSError(errno.EIO, f"CUPS's backend {self._name} gave the job up ({status})")
                return b""
            await readable(self._answers)

    async def send(self, data: bytes) -> None:
        if self._input is None:
            raise OSError(errno.EPIPE, "the job has ended")
        await write_all(self._input, data)

    def finish_sending(self) -> None:
        if self._input is not None:
            os.close(self._input)
            self._input = None

    def close(self) -> None:
        """What the backend has, it prints; it finds its back channel open until it ends."""
        self.finish_sending()
        if not self._closed:
            self._closed = True
            self._reaping.add_done_callback(lambda _: os.close(self._answers))

    def reset(self) -> None:
        self.close()


async def _ended(backend: Backend, tell: Callable[[], None]) -> int:
    try:
        return await backend.ended()
    finally:
        tell()
