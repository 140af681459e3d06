"""Serial ports: USB and RS-232 devices, and pseudo-terminals, through pyserial.

Owns one thread per open port, which alone opens, reads and closes it, so that no call of the operating
system ever blocks the event loop. Never interprets a byte.

What arrived while nobody had the port open: Linux keeps it only for a pseudo-terminal whose other users
hold it open, and then it is read. A real UART or USB adapter throws it away, before any program can help.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import serial

from drivers.transport.holder import Holder, Holders
from drivers.transport.port import (
    INPUT_LIMIT_BYTES,
    PortBusyError,
    PortMissingError,
    PortUnpluggedError,
    TransportClosedError,
    TransportError,
)

if sys.platform == "win32":
    from drivers.transport.holder_windows import WindowsHolders as HoldersHere
else:
    from drivers.transport.holder_linux import LinuxHolders as HoldersHere

# Some drivers (Bluetooth, a hung USB hub) never return from open.
OPEN_DEADLINE_S = 10.0
# An open that is cancelled ends within moments, or is one of those.
LET_GO_WITHIN_S = 2.0
# `close` wakes the thread at once on Linux; on Windows the wake can miss, and this is the longest wait then.
READ_WAKE_S = 1.0
# A device that does not take the next bytes within this time has gone or holds its flow control, where the line has had
# the time for what the kernel holds: it takes more only when nearly all of that has left.
WRITE_DEADLINE_S = 5.0
KERNEL_HOLDS_BYTES = 8192
# So that a long write, as to a printer, takes as long as the line does.
WRITE_PIECE_BYTES = 1024
# With the start bit, the stop bit, and a parity bit or a second stop bit.
BITS_A_BYTE = 11
# A message names so many programs that hold a port; there is hardly ever more than one.
MAX_HOLDERS_NAMED = 3

_MISSING = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO, errno.ENOTTY, errno.EISDIR, errno.ENOTDIR}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM}
_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialLine:
    """How the line is set. USB devices and pseudo-terminals ignore it."""

    baud: int = 9600
    data_bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1


class SerialTransport:
    """The `Transport` of the serial port that messages call `name`: `/dev/serial/by-id/…`, `COM3`.

    `find` says at each open which path that is, or raises PortMissingError or PortAmbiguousError; without it, the
    name is the path. `holders` tell who has a port that is busy.
    """

    def __init__(
        self,
        name: str,
        line: SerialLine | None = None,
        *,
        find: Callable[[], str] | None = None,
        holders: Holders | None = None,
    ) -> None:
        self._name = name
        self._line = line or SerialLine()
        self._find = find or (lambda: name)
        self._holders = holders or HoldersHere()
        self._thread: _PortThread | None = None

    async def open(self) -> None:
        await self.close()
        thread = _PortThread(self._name, self._opened_port, asyncio.get_running_loop())
        thread.start()
        try:
            async with asyncio.timeout(OPEN_DEADLINE_S):
                await thread.opened
        except TimeoutError as error:
            thread.stop()
            raise PortMissingError(f"{self._name} does not open. Unplug the device and plug it in again.") from error
        except BaseException:  # whoever cancels wants the port; one that is being opened is closed in a moment
            thread.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(LET_GO_WITHIN_S):
                    await thread.closed.wait()
            raise
        self._thread = thread

    async def read(self) -> bytes:
        thread = self._open_thread()
        while not (data := thread.take()):
            await thread.changed.wait()
        return data

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self._open_thread().write, data)

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()
            await thread.closed.wait()

    def _open_thread(self) -> _PortThread:
        if self._thread is None:
            raise TransportClosedError(f"{self._name} is not open.")
        return self._thread

    def _opened_port(self) -> serial.Serial:
        """Runs on the port's own thread: looking for a device takes its time, too."""
        path = self._find()
        try:
            port = _opened(path, self._line)
        except (serial.SerialException, OSError, ValueError) as error:
            raise self._refusal(path, error) from error
        if others := self._holders.claim(path, port):
            port.close()
            raise self._busy(path, others)
        return port

    def _refusal(self, path: str, error: Exception) -> TransportError:
        number = getattr(error, "errno", None)
        if number is None and "PermissionError" in str(error):  # how pyserial reports a port in use on Windows
            number = errno.EBUSY
        if sys.platform != "win32" and number in _NOT_ALLOWED:
            return PortBusyError(
                f"This user may not open {path}. Add it to the group that owns the port (on Debian: "
                "`usermod -aG dialout USER`) and start again."
            )
        if number is None or number in _MISSING:
            return PortMissingError(
                f"{self._name} is not there, or no serial port. Plug the device in, or correct the port: "
                "`ls /dev/serial/by-id` lists them."
            )
        return self._busy(path, self._holders.of(path))

    def _busy(self, path: str, others: tuple[Holder, ...]) -> PortBusyError:
        if others:
            named = ", ".join(map(str, others[:MAX_HOLDERS_NAMED]))
            return PortBusyError(f"{self._name} is used by {named}. Stop that program, or name another port.")
        return PortBusyError(
            f"{self._name} is used by another program. {self._holders.untold(path)} Stop it, or name another port."
        )


class _PortThread(threading.Thread):
    """Opens, reads and closes one port. Its `asyncio` parts are touched by the loop's thread only."""

    def __init__(self, name: str, open_port: Callable[[], serial.Serial], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name=f"port {name}", daemon=True)
        self.opened: asyncio.Future[None] = loop.create_future()
        self.changed = asyncio.Event()
        self.closed = asyncio.Event()
        self._device = name
        self._open_port = open_port
        self._loop = loop
        self._using = threading.Lock()  # a port is not closed under a write; taken before `_state`
        self._state = threading.Condition()  # guards all below
        self._port: serial.Serial | None = None
        self._input = bytearray()
        self._told = False
        self._stopping = False
        self._failure: TransportError | None = None

    # On the loop's thread

    def take(self) -> bytes:
        """Everything that has arrived; empty when nothing has. Raises what ended the thread."""
        with self._state:
            if self._stopping:
                raise TransportClosedError(f"{self._device} was closed.")
            self._told = False
            self.changed.clear()
            if not self._input and self._failure is not None:
                raise self._failure
            data = bytes(self._input)
            self._input.clear()
            self._state.notify()
            return data

    def stop(self) -> None:
        """End the thread, and a `take` that is waited for."""
        with self._state:
            self._stopping = True
            self._state.notify()
            if self._port is not None:
                self._port.cancel_read()
                self._port.cancel_write()
        self.changed.set()

    # On any thread

    def write(self, data: bytes) -> None:
        for at in range(0, len(data), WRITE_PIECE_BYTES):
            self._write_piece(data[at : at + WRITE_PIECE_BYTES])

    def _write_piece(self, data: bytes) -> None:
        with self._using:
            with self._state:
                port, failure, stopping = self._port, self._failure, self._stopping
            if failure is not None and not stopping:
                raise failure
            if port is None or stopping:
                raise TransportClosedError(f"{self._device} was closed.")
            try:
                port.write(data)
            except (serial.SerialException, OSError) as error:
                raise self._gone() from error

    # On its own thread

    def run(self) -> None:
        try:
            port = self._open_port()
        except TransportError as error:
            self._tell(functools.partial(_settle, self.opened, error))
        else:
            with self._state:
                self._port = port
            self._tell(functools.partial(_settle, self.opened, None))
            self._read_until_stopped(port)
            with self._using:
                with self._state:
                    self._port = None
                port.close()
        self._tell(self.closed.set)

    def _read_until_stopped(self, port: serial.Serial) -> None:
        try:
            while not self._stopping:
                data = port.read(1)
                if data:
                    self._hand_over(data + port.read(port.in_waiting))
        except (serial.SerialException, OSError) as error:
            with self._state:
                self._failure = self._gone()
                self._failure.__cause__ = error
            self._tell(self.changed.set)

    def _hand_over(self, data: bytes) -> None:
        """Give `data` to the loop: one wake for all that arrives before it looks; wait while it is behind."""
        with self._state:
            self._input += data
            tell = not self._told
            self._told = True
        if tell:
            self._tell(self.changed.set)
        with self._state:
            self._state.wait_for(lambda: len(self._input) < INPUT_LIMIT_BYTES or self._stopping)

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop has ended without closing the port
            self._stopping = True

    def _gone(self) -> PortUnpluggedError:
        return PortUnpluggedError(f"{self._device} was unplugged or switched off. Plug it in again.")


class _KeepingSerial(serial.Serial):
    """pyserial throws away at open what the operating system already holds; this keeps it (on Linux)."""

    def _reset_input_buffer(self) -> None:
        pass


def write_deadline_s(line: SerialLine) -> float:
    """How long a piece of a write may take, in seconds: the kernel's bytes leave first, at the line's speed."""
    return WRITE_DEADLINE_S + (KERNEL_HOLDS_BYTES + WRITE_PIECE_BYTES) * BITS_A_BYTE / line.baud


def _opened(path: str, line: SerialLine) -> serial.Serial:
    port = _KeepingSerial(
        path,
        baudrate=line.baud,
        bytesize=line.data_bits,
        parity=_PARITY[line.parity],
        stopbits=line.stop_bits,
        timeout=READ_WAKE_S,
        write_timeout=write_deadline_s(line),
        exclusive=True,
    )
    if sys.platform == "linux":
        # FTDI's adapters gather bytes for 16 ms otherwise: longer than a code that the POS waits for may be held.
        with suppress(ValueError):  # a pseudo-terminal, or an adapter that knows no such thing
            port.set_low_latency_mode(True)
    return port


def _settle(opened: asyncio.Future[None], error: TransportError | None) -> None:
    if opened.done():
        return
    if error is None:
        opened.set_result(None)
    else:
        opened.set_exception(error)
