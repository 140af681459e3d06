"""Checks for the authors of transports: what every way to exchange bytes with a device must do.

Owns the checks and their error, which the checks of drivers share. Needs no test framework: a check returns, or
raises ConformanceError.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import repeat
from typing import Protocol, TypeVar

from drivers.transport.port import (
    PortMissingError,
    PortUnpluggedError,
    Transport,
    TransportClosedError,
)

# What should happen at once has happened within this time, or never does.
WAIT_S = 3.0
# What was sent is there to be read within this time: a terminal or a local connection takes microseconds.
ARRIVES_WITHIN_S = 0.02
# Whoever takes no byte for so long is holding back.
STALLED_AFTER_S = 0.1
# What may be on the way to a reader that does not read: its own buffer, and those of the operating system.
BACKLOG_LIMIT_BYTES = 1024 * 1024

_EVERY_BYTE = bytes(range(256))
_T = TypeVar("_T")


class ConformanceError(AssertionError):
    """A driver or a transport does not do what it must. The message says what, and what to do."""


class TransportRig(Protocol):
    """A transport, not open yet, and the device at its far end, plugged in."""

    transport: Transport

    async def send(self, data: bytes) -> None:
        """Let the device send `data`. Waits while the transport takes no more."""

    async def receive(self, count: int) -> bytes:
        """The next `count` bytes that the device gets."""

    async def unplug(self) -> None:
        """Pull the device out."""

    async def plug_in(self) -> None:
        """Plug it in again, where the same transport finds it."""


MakeRig = Callable[[], AbstractAsyncContextManager[TransportRig]]
TransportCheck = Callable[[TransportRig], Awaitable[None]]


async def check_transport(make_rig: MakeRig) -> None:
    """Every one of TRANSPORT_CHECKS, each on a rig of its own. Raises ConformanceError at the first that fails."""
    for check in TRANSPORT_CHECKS:
        async with make_rig() as rig:
            try:
                await check(rig)
            finally:
                await rig.transport.close()


async def bytes_pass_unchanged_both_ways(rig: TransportRig) -> None:
    """Every byte value arrives, in order, at both ends."""
    await rig.transport.open()
    await rig.send(_EVERY_BYTE)
    if (got := await _read(rig, len(_EVERY_BYTE))) != _EVERY_BYTE:
        raise ConformanceError(f"`read` gives {got!r} for all bytes from 0 to 255. Open the device raw.")
    await within_wait("`write` hangs", rig.transport.write(_EVERY_BYTE))
    if (got := await within_wait("What is written never arrives", rig.receive(len(_EVERY_BYTE)))) != _EVERY_BYTE:
        raise ConformanceError(f"The device gets {got!r} for all bytes from 0 to 255. Write all of them, raw.")


async def what_came_before_unplugging_is_read_first(rig: TransportRig) -> None:
    """Then comes PortUnpluggedError, for every read and write."""
    await rig.transport.open()
    await rig.send(b"last words")
    await asyncio.sleep(ARRIVES_WITHIN_S)
    await rig.unplug()
    if (got := await _read(rig, len(b"last words"))) != b"last words":
        raise ConformanceError(
            f"`read` gives {got!r} of what came before the device went. Give that first, then raise."
        )
    for _ in range(2):
        await _raises(PortUnpluggedError, "`read` of a device that has gone", rig.transport.read())
    await _raises(PortUnpluggedError, "`write` to a device that has gone", _write_for_long(rig))


async def unplugging_ends_a_pending_read(rig: TransportRig) -> None:
    """Whoever waits for a byte is told that none will come."""
    await rig.transport.open()
    reading = await _pending_read(rig)
    await rig.unplug()
    await _raises(PortUnpluggedError, "a `read` that waits while the device goes", reading)


async def a_device_that_comes_back_is_opened_again(rig: TransportRig) -> None:
    """A missing device is PortMissingError; the same transport opens it once it is there."""
    await rig.unplug()
    await _raises(PortMissingError, "`open` of a device that is not there", rig.transport.open())
    for word in (b"one", b"two"):
        await rig.plug_in()
        await within_wait("`open` hangs", rig.transport.open())
        await rig.send(word)
        if (got := await _read(rig, len(word))) != word:
            raise ConformanceError(f"Back again, the device sends {word!r} and `read` gives {got!r}. Keep nothing old.")
        await rig.unplug()
        await _raises(PortUnpluggedError, "`read` of a device that has gone", rig.transport.read())
        await rig.transport.close()


async def closing_ends_everything(rig: TransportRig) -> None:
    """A pending read ends, what is not open refuses, and closing twice does nothing."""
    await _raises(TransportClosedError, "`read` before `open`", rig.transport.read())
    await within_wait("`close` before `open` hangs", rig.transport.close())
    await rig.transport.open()
    reading = await _pending_read(rig)
    await within_wait("`close` hangs while a `read` waits", rig.transport.close())
    await _raises(TransportClosedError, "a `read` that waits while the transport is closed", reading)
    await _raises(TransportClosedError, "`read` after `close`", rig.transport.read())
    await _raises(TransportClosedError, "`write` after `close`", rig.transport.write(b"x"))
    await within_wait("A second `close` hangs", rig.transport.close())


async def a_cancelled_read_loses_nothing(rig: TransportRig) -> None:
    """Bytes that arrive as their reader gives up are there for the next one."""
    await rig.transport.open()
    for number in range(10):
        word = b"word%02d" % number
        reading = await _pending_read(rig)
        await rig.send(word)
        for _ in range(number % 5):
            await asyncio.sleep(0)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            word = word.removeprefix(await reading)
        if (got := await _read(rig, len(word))) != word:
            raise ConformanceError(f"A cancelled `read` leaves {got!r} of {word!r}. Take bytes only when giving them.")


async def a_slow_reader_holds_the_device_back(rig: TransportRig) -> None:
    """What nobody reads is bounded, and none of it is lost."""
    await rig.transport.open()
    async with flooded(rig.send, repeat(_EVERY_BYTE * 16)) as sent:
        got = await _read(rig, sum(map(len, sent)))
        if got != b"".join(sent):
            raise ConformanceError("What waited for a slow reader is not what was sent. Keep all of it, in order.")


TRANSPORT_CHECKS: tuple[TransportCheck, ...] = (
    bytes_pass_unchanged_both_ways,
    what_came_before_unplugging_is_read_first,
    unplugging_ends_a_pending_read,
    a_device_that_comes_back_is_opened_again,
    closing_ends_everything,
    a_cancelled_read_loses_nothing,
    a_slow_reader_holds_the_device_back,
)
"""Each is an async function of a `TransportRig`, for test frameworks that run them one by one."""


@asynccontextmanager
async def flooded(send: Callable[[bytes], Awaitable[None]], blocks: Iterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Send block after block until no more is taken, and yield those begun; the last one is still on its way.

    Raises ConformanceError when more than BACKLOG_LIMIT_BYTES are taken.
    """
    begun: list[bytes] = []
    sending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    while True:
        begun.append(next(blocks))
        if sum(map(len, begun)) > BACKLOG_LIMIT_BYTES:
            raise ConformanceError(
                f"{BACKLOG_LIMIT_BYTES:,} bytes are taken that nobody asked for yet. Stop reading while so much "
                "waits; then the device's own flow control holds the rest back."
            )
        sending = asyncio.ensure_future(send(begun[-1]))
        _, held_back = await asyncio.wait([sending], timeout=STALLED_AFTER_S)
        if held_back:
            break
        await sending
    try:
        yield begun
        await within_wait("The device is never read again", sending)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def within_wait(otherwise: str, awaitable: Awaitable[_T]) -> _T:
    """What `awaitable` gives, in good time; `otherwise` says what is wrong without it."""
    try:
        async with asyncio.timeout(WAIT_S):
            return await awaitable
    except TimeoutError as error:
        raise ConformanceError(f"{otherwise}; {WAIT_S:g} s were not enough.") from error


async def _raises(kind: type[Exception], what: str, awaitable: Awaitable[object]) -> None:
    try:
        got = await within_wait(f"{what} hangs", awaitable)
    except kind:
        return
    except ConformanceError:
        raise
    except Exception as error:
        raise ConformanceError(f"{what} raises {error!r}. Raise {kind.__name__}.") from error
    raise ConformanceError(f"{what} gives {got!r}. Raise {kind.__name__}.")


async def _read(rig: TransportRig, count: int) -> bytes:
    """What `read` gives until `count` bytes have come, or no more do."""
    got = bytearray()
    while len(got) < count:
        try:
            async with asyncio.timeout(WAIT_S):
                part = await rig.transport.read()
        except (TimeoutError, PortUnpluggedError):
            break
        if not part:
            raise ConformanceError("`read` gives no byte. Wait for one, or raise PortUnpluggedError.")
        got += part
    return bytes(got)


async def _pending_read(rig: TransportRig) -> asyncio.Task[bytes]:
    reading = asyncio.create_task(rig.transport.read())
    await asyncio.sleep(0)
    return reading


async def _write_for_long(rig: TransportRig) -> None:
    """The first bytes may still find room somewhere."""
    for _ in range(BACKLOG_LIMIT_BYTES // len(_EVERY_BYTE)):
        await rig.transport.write(_EVERY_BYTE)
