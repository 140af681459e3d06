"""`tillside replay`: plays a capture as the device that it was taken from, at its own speed or faster.

Owns where it is played to, and when each read is due. Never changes what was captured.
"""

from __future__ import annotations

import array
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from drivers.capture import MAX_CAPTURE_BYTES, BytesRead, Capture, CaptureError, Kind, decode_capture
from drivers.transport.port import TransportError
from drivers.transport.ports import PortNameError, transport_for
from drivers.transport.serial import SerialLine

MAX_SPEED = 1000.0
# What was written to a terminal is lost if it goes before it is read.
READ_OUT_WITHIN_S = 5.0
LOOK_EVERY_S = 0.01
# The kernel hands over what was written a moment later; so often in a row it must have nothing.
EMPTY_LOOKS = 10
# Somebody has to connect to a scanner on the network before it can send.
CONNECT_WITHIN_S = 60.0
# Who should read a terminal, of a capture of each kind.
_READERS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "scanner": "start the agent with {path} as a scanner's port",
        "relay": "start a relay with --listen {path}, and see whether its printer is on",
    }
)

Send = Callable[[bytes], Awaitable[None]]


class Replayed(Struct, frozen=True, kw_only=True):
    """How much was played, and where to."""

    to: str
    reads: int
    bytes: int


class ReplayError(Exception):
    """A capture cannot be played there. The message says what can be."""


def replay_command(*, file: str, to: str, speed: float, fast: bool, as_json: bool) -> int:
    """Play `file` to a serial port, to whoever connects at `tcp://host:port`, or to a new terminal at `pty:PATH`.

    A capture of a relay is printed: it connects to `tcp://host:port` itself. `speed` 2 plays twice as fast, `fast`
    without any pause. Exit codes: 0 played, 1 nobody took it, 2 usage, or no capture.
    """

    def work() -> int:
        capture = _capture(file)
        if not 0 < speed <= MAX_SPEED:
            raise CaptureError(f"--speed is more than 0 and at most {MAX_SPEED:g}")
        asyncio.run(_play(capture, to, pace=0.0 if fast else 1 / speed, as_json=as_json))
        done = Replayed(to=to, reads=len(capture.reads), bytes=len(capture.data))
        if as_json:
            say_json(done)
        else:
            say(f"{done.reads} reads, {done.bytes} bytes played to {to}.")
        return DONE

    try:
        return guarded("replay", work, as_json=as_json)
    except (TransportError, ReplayError) as error:
        return complain("replay", error, PROBLEM, as_json=as_json)
    except (CaptureError, PortNameError) as error:
        return complain("replay", f"{file}: {error}", USAGE, as_json=as_json)
    except KeyboardInterrupt:
        return complain("replay", "stopped before the end", PROBLEM, as_json=as_json)


def _capture(file: str) -> Capture:
    with Path(file).open("rb") as stream:
        capture = decode_capture(stream.read(MAX_CAPTURE_BYTES + 1))
    if capture.has_keys:
        raise CaptureError(
            "a capture of keys, which no port takes: `tillside parse-scan --file` reads it, and tests type it"
        )
    return capture


async def _play(capture: Capture, to: str, *, pace: float, as_json: bool) -> None:
    async with _opened(capture, to, as_json=as_json) as send:
        reads = [read for read in capture.reads if isinstance(read, BytesRead)]
        loop = asyncio.get_running_loop()
        # The silence before the first read was the operator's.
        began = loop.time() - (reads[0].ms / 1000 * pace if reads else 0)
        for read in reads:
            await asyncio.sleep(max(0.0, began + read.ms / 1000 * pace - loop.time()))
            await send(read.data)


@asynccontextmanager
async def _opened(capture: Capture, to: str, *, as_json: bool) -> AsyncIterator[Send]:
    if to.startswith("pty:"):
        async with _terminal(Path(to.removeprefix("pty:")), capture.header.kind, as_json=as_json) as send:
            yield send
    elif to.startswith("tcp://") and capture.header.kind == "scanner":
        async with _served(to, as_json=as_json) as send:
            yield send
    else:
        transport = transport_for(to, _line(capture))
        await transport.open()
        try:
            yield transport.write
        finally:
            await transport.close()


def _line(capture: Capture) -> SerialLine:
    """The line as it was when the capture was taken."""
    baud = capture.header.options.get("baud")
    return SerialLine(baud=baud) if isinstance(baud, int) else SerialLine()


@asynccontextmanager
async def _terminal(path: Path, kind: Kind, *, as_json: bool) -> AsyncIterator[Send]:
    """A new terminal with a link at `path`; it stays until all of it was read."""
    from agent.demo.scanner import NobodyListensError, VirtualScanner

    with VirtualScanner(path) as scanner:
        as_what = "--listen of a relay" if kind == "relay" else "the scanner's port"
        _announce(f"Playing at {path}: set it as {as_what}.", as_json=as_json)
        remedy = _READERS[kind].format(path=path)

        async def send(data: bytes) -> None:
            try:
                await asyncio.to_thread(scanner.send, data)
            except NobodyListensError as error:
                raise ReplayError(f"nobody reads {path}: {remedy}") from error

        yield send
        if not await _is_read_out(path):
            raise ReplayError(f"nobody has read {path} to its end: {remedy}")


async def _is_read_out(path: Path) -> bool:
    """True when nothing waits in the terminal any more, for long enough that nothing is on its way there."""
    import fcntl
    import termios

    empty = 0
    with path.open("rb", buffering=0) as terminal:
        for _ in range(int(READ_OUT_WITHIN_S / LOOK_EVERY_S)):
            waiting = array.array("i", [0])
            fcntl.ioctl(terminal, termios.FIONREAD, waiting)
            empty = 0 if waiting[0] else empty + 1
            if empty == EMPTY_LOOKS:
                return True
            await asyncio.sleep(LOOK_EVERY_S)
    return False


@asynccontextmanager
async def _served(to: str, *, as_json: bool) -> AsyncIterator[Send]:
    """A network scanner: it listens, and sends to the first who connects."""
    host, _, port = to.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdecimal():
        raise PortNameError("write a device on the network as tcp://host:port")
    came: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if came.done():
            writer.close()
        else:
            came.set_result(writer)

    async with await asyncio.start_server(connected, host.strip("[]"), int(port)):
        _announce(f"Playing at {to}: set it as the scanner's port.", as_json=as_json)
        try:
            writer = await asyncio.wait_for(came, CONNECT_WITHIN_S)
        except TimeoutError as error:
            raise ReplayError(f"nobody connected to {to} within {CONNECT_WITHIN_S:.0f} s: start the agent") from error

        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            yield send
        finally:
            writer.close()
            await writer.wait_closed()


def _announce(line: str, *, as_json: bool) -> None:
    out = sys.stderr if as_json else sys.stdout
    out.write(line + "\n")
    out.flush()
