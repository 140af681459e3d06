"""POS and printer on a port of this machine: serial ports, and printers that are a file (`/dev/usb/lp0`).

Owns opening and setting the port, waiting for it, and noticing that it went away. Never interprets a byte, and leaves
modem lines alone. A port stays open from one job to the next: opening resets some printers.
"""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import os
import stat
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from drivers.relay.line import READ_BYTES, TURN_WITHIN_S, Arrival, Line
from drivers.relay.ready import readable, writable

DataBits = Literal[7, 8]
Parity = Literal["none", "even", "odd"]
StopBits = Literal[1, 2]
Flow = Literal["none", "rtscts", "xonxoff"]

# A printer that was asked something answers within this; nobody hangs up on a port.
PORT_ANSWER_WITHIN_S: Final = 0.3
# At the end, for what the port has not sent yet.
PORT_DRAIN_WITHIN_S: Final = 5.0
_DRAIN_STEP_S: Final = 0.02
# A printer's file may read as empty, or say that it takes bytes and refuse them; it is asked again after this.
_PAUSE_S: Final = 0.02
# What a file says that can only be written.
_NOTHING_TO_READ: Final = {errno.EBADF, errno.EINVAL, errno.ENOSYS}

_SIZES: Final[dict[DataBits, int]] = {7: termios.CS7, 8: termios.CS8}
_PARITIES: Final[dict[Parity, int]] = {"none": 0, "even": termios.PARENB, "odd": termios.PARENB | termios.PARODD}

Find = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSettings:
    """How a serial line is set. A printer's file and pseudo-terminals ignore it."""

    baud: int
    data_bits: DataBits
    parity: Parity
    stop_bits: StopBits
    flow: Flow


def speed_named(baud: int) -> int | None:
    """The operating system's constant of that speed; None where it has none."""
    speed: int | None = getattr(termios, f"B{baud}", None)
    return speed


class Device:
    """One open port. One task may read and one may write at a time."""

    def __init__(self, handle: int, *, is_serial: bool) -> None:
        os.set_blocking(handle, False)
        self._handle = handle
        self._is_serial = is_serial

    @classmethod
    def open(cls, path: str, settings: PortSettings, *, to_pos: bool) -> Device:
        """Raises OSError; the message says what to do. `to_pos`: there is a POS at the other end, and no printer."""
        handle = os.open(path, _rights(path) | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            _claim(handle, path)
            is_serial = os.isatty(handle)
            if is_serial:
                _set_line(handle, settings, to_pos=to_pos)
        except BaseException:
            os.close(handle)
            raise
        return cls(handle, is_serial=is_serial)

    async def read(self) -> bytes:
        """At least one byte. Raises OSError when the port has gone. Cancelling it loses nothing."""
        while True:
            try:
                if data := os.read(self._handle, READ_BYTES):
                    return data
            except (BlockingIOError, InterruptedError):
                await readable(self._handle)
                continue
            except OSError as error:
                if self._is_serial or error.errno not in _NOTHING_TO_READ:
                    raise
                await asyncio.get_running_loop().create_future()  # for ever
            if self._is_serial:
                raise OSError(errno.EIO, "it was unplugged or switched off")
            await asyncio.sleep(_PAUSE_S)

    async def write(self, data: bytes) -> None:
        """Give all of `data` to the operating system. Raises OSError when the port has gone."""
        rest = memoryview(data)
        refused = 0
        while rest:
            try:
                rest = rest[os.write(self._handle, rest) :]
                refused = 0
            except (BlockingIOError, InterruptedError):
                refused += 1
                if refused > 1:
                    await asyncio.sleep(_PAUSE_S)
                await writable(self._handle)

    def throw_away_input(self) -> None:
        """What the other end said to nobody."""
        if not self._is_serial:
            with suppress(OSError):
                while os.read(self._handle, READ_BYTES):
                    pass
            return
        with suppress(OSError, termios.error):
            termios.tcflush(self._handle, termios.TCIFLUSH)

    async def drained(self) -> None:
        """Returns when the port has sent everything, or does not get on."""
        for _ in range(round(PORT_DRAIN_WITHIN_S / _DRAIN_STEP_S)):
            if not self._unsent():
                return
            await asyncio.sleep(_DRAIN_STEP_S)

    def close(self) -> None:
        """What was not sent is thrown away: the operating system would wait for it for half a minute."""
        if self._is_serial:
            with suppress(OSError, termios.error):
                termios.tcflush(self._handle, termios.TCOFLUSH)
        os.close(self._handle)

    def _unsent(self) -> int:
        count = array.array("i", [0])
        with suppress(OSError):
            fcntl.ioctl(self._handle, termios.TIOCOUTQ, count)
        return count[0] if self._is_serial else 0


class DeviceOutlet:
    """A printer on a port. One POS connection at a time has it; the next one waits for its turn.

    `find` says at each opening which path that is, and may take milliseconds; without it, the name is the path.
    """

    stays = True

    def __init__(self, name: str, settings: PortSettings, *, find: Find | None = None) -> None:
        self._name = name
        self._settings = settings
        self._find = find
        self._turn = asyncio.Lock()
        self._device: Device | None = None

    @property
    def name(self) -> str:
        return self._name

    async def reach(self) -> Line:
        try:
            async with asyncio.timeout(TURN_WITHIN_S):
                await self._turn.acquire()
        except TimeoutError as error:
            raise OSError(errno.EBUSY, f"another POS connection has had it for {TURN_WITHIN_S:g} s") from error
        try:
            device = self._device
            if device is None:
                path = await asyncio.to_thread(self._find) if self._find is not None else self._name
                device = self._device = Device.open(path, self._settings, to_pos=False)
        except BaseException:
            self._turn.release()
            raise
        device.throw_away_input()
        return _PortLine(device, self._given_back)

    async def close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            await device.drained()
            device.close()

    def _given_back(self, *, failed: bool) -> None:
        if failed and self._device is not None:
            self._device.close()
            self._device = None
        self._turn.release()


class _PortLine:
    """The `Line` of one connection over a port that stays open after it."""

    def __init__(self, device: Device, give_back: Callable[..., None]) -> None:
        self._device = device
        self._give_back = give_back
        self._answers_until: float | None = None
        self._wait: asyncio.Timeout | None = None
        self._failed = False
        self._closed = False

    async def receive(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._answers_until) as self._wait:
                return await self._device.read()
        except TimeoutError:
            return b""
        except OSError:
            self._failed = True
            raise
        finally:
            self._wait = None

    async def send(self, data: bytes) -> None:
        try:
            await self._device.write(data)
        except OSError:
            self._failed = True
            raise

    def finish_sending(self) -> None:
        self._answers_until = asyncio.get_running_loop().time() + PORT_ANSWER_WITHIN_S
        if self._wait is not None:
            self._wait.reschedule(self._answers_until)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._give_back(failed=self._failed)

    def reset(self) -> None:
        self._failed = True
        self.close()


class DeviceInlet:
    """A POS at the other end of a serial cable. It is there as soon as the port is."""

    is_wire = True

    def __init__(self, name: str, settings: PortSettings, *, find: Find | None = None) -> None:
        self._name = name
        self._settings = settings
        self._find = find
        self._device: Device | None = None
        self._is_free = asyncio.Event()
        self._is_free.set()

    @property
    def name(self) -> str:
        return self._name

    def start(self) -> None:
        """A port that is not there yet is waited for."""

    async def take(self) -> Arrival:
        await self._is_free.wait()
        if self._device is None:
            path = await asyncio.to_thread(self._find) if self._find is not None else self._name
            self._device = Device.open(path, self._settings, to_pos=True)
        self._is_free.clear()
        return Arrival(line=_PosLine(self._device, self._given_back), pos=self._name)

    async def close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            await device.drained()
            device.close()

    def _given_back(self, *, failed: bool) -> None:
        if failed and self._device is not None:
            self._device.close()
            self._device = None
        self._is_free.set()


class _PosLine(_PortLine):
    """The same to a POS, which cannot be told that its printer has ended, or is away."""

    def finish_sending(self) -> None:
        """It may print on."""

    def reset(self) -> None:
        self.close()


def _rights(path: str) -> int:
    """How a printer's path is opened. A named pipe takes bytes only."""
    mode = Path(path).stat().st_mode
    if stat.S_ISCHR(mode):
        return os.O_RDWR
    if stat.S_ISFIFO(mode):
        return os.O_WRONLY
    raise OSError(errno.ENODEV, f"{path} is no port and no printer's file")


def _claim(handle: int, path: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(errno.EBUSY, f"{path} is used by another program: stop that one, or name another port") from error


def _set_line(handle: int, settings: PortSettings, *, to_pos: bool) -> None:
    """No byte is changed, and none is kept back. Raises OSError where the port cannot be set so."""
    cflag = termios.CREAD | termios.CLOCAL | _SIZES[settings.data_bits] | _PARITIES[settings.parity]
    if settings.stop_bits == 2:
        cflag |= termios.CSTOPB
    iflag = 0
    if settings.flow == "rtscts":
        cflag |= termios.CRTSCTS
    elif settings.flow == "xonxoff":
        # The printer says when to pause and the POS is told to; the other way both bytes are data.
        iflag = termios.IXOFF if to_pos else termios.IXON
    speed = speed_named(settings.baud)
    try:
        characters = termios.tcgetattr(handle)[6]
        characters[termios.VMIN], characters[termios.VTIME] = 1, 0
        termios.tcsetattr(handle, termios.TCSANOW, [iflag, 0, cflag, 0, speed, speed, characters])
    except termios.error as error:
        raise OSError(*error.args) from error
