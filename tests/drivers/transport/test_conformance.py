"""Every transport does what a transport must; and each check finds transports that do not, one mistake each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import pytest

from drivers.transport import testing
from drivers.transport.port import (
    PortMissingError,
    PortUnpluggedError,
    Transport,
    TransportClosedError,
    TransportError,
)
from drivers.transport.testing import (
    TRANSPORT_CHECKS,
    ConformanceError,
    TransportCheck,
    TransportRig,
    check_transport,
)
from tests.drivers.transport.rigs import MemoryRig, NetworkRig, TerminalRig

MakeRig = Callable[[Path], AbstractAsyncContextManager[TransportRig]]
RIGS: dict[str, MakeRig] = {
    "memory": lambda _: MemoryRig.made(),
    "serial": lambda folder: TerminalRig.made(folder / "port"),
    "tcp": lambda _: NetworkRig.made(),
}


@pytest.mark.parametrize("check", TRANSPORT_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", RIGS)
async def test_our_transports_conform(name: str, check: TransportCheck, tmp_path: Path) -> None:
    async with RIGS[name](tmp_path) as rig:
        await check(rig)
        await rig.transport.close()


async def test_all_checks_run_one_after_another() -> None:
    await check_transport(MemoryRig.made)


# One mistake each


class Wrapped:
    """A transport that does what another one does."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    async def open(self) -> None:
        await self.inner.open()

    async def read(self) -> bytes:
        return await self.inner.read()

    async def write(self, data: bytes) -> None:
        await self.inner.write(data)

    async def close(self) -> None:
        await self.inner.close()


class SevenBits(Wrapped):
    async def write(self, data: bytes) -> None:
        await self.inner.write(bytes(byte & 0x7F for byte in data))


class TextMode(Wrapped):
    async def read(self) -> bytes:
        return (await self.inner.read()).replace(b"\r", b"\n")


class RaisesFirst(Wrapped):
    async def read(self) -> bytes:
        await asyncio.sleep(0.05)
        data = await self.inner.read()
        try:
            await self.inner.write(b"")
        except PortUnpluggedError:
            raise
        return data


class GivesNothingAtTheEnd(Wrapped):
    async def read(self) -> bytes:
        try:
            return await self.inner.read()
        except PortUnpluggedError:
            return b""


class EndsInItsOwnWords(Wrapped):
    async def read(self) -> bytes:
        try:
            return await self.inner.read()
        except PortUnpluggedError as error:
            raise EOFError from error


class WritesIntoTheVoid(Wrapped):
    async def write(self, data: bytes) -> None:
        with suppress(TransportError):
            await self.inner.write(data)


class MissingInItsOwnWords(Wrapped):
    async def open(self) -> None:
        try:
            await self.inner.open()
        except PortMissingError as error:
            raise FileNotFoundError from error


class ClosesInItsOwnWords(Wrapped):
    async def read(self) -> bytes:
        try:
            return await self.inner.read()
        except TransportClosedError as error:
            raise PortUnpluggedError("closed") from error


class TakesEarly(Wrapped):
    async def read(self) -> bytes:
        data = await self.inner.read()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return data


class TakesWithoutEnd(Wrapped):
    _taking: asyncio.Task[None]

    async def open(self) -> None:
        await self.inner.open()
        self._taken = bytearray()
        self._taking = asyncio.create_task(self._take())

    async def close(self) -> None:
        self._taking.cancel()
        await asyncio.gather(self._taking, return_exceptions=True)
        await self.inner.close()

    async def _take(self) -> None:
        while True:
            self._taken += await self.inner.read()


MISTAKES: list[tuple[TransportCheck, type[Wrapped], str]] = [
    (testing.bytes_pass_unchanged_both_ways, SevenBits, "The device gets.*Write all of them, raw"),
    (testing.bytes_pass_unchanged_both_ways, TextMode, "`read` gives.*Open the device raw"),
    (testing.what_came_before_unplugging_is_read_first, RaisesFirst, "Give that first, then raise"),
    (testing.what_came_before_unplugging_is_read_first, WritesIntoTheVoid, "`write` to a device.*PortUnpluggedError"),
    (testing.what_came_before_unplugging_is_read_first, GivesNothingAtTheEnd, "gives b''. Raise PortUnpluggedError"),
    (testing.unplugging_ends_a_pending_read, EndsInItsOwnWords, "EOFError.*Raise PortUnpluggedError"),
    (testing.a_device_that_comes_back_is_opened_again, MissingInItsOwnWords, "Raise PortMissingError"),
    (testing.closing_ends_everything, ClosesInItsOwnWords, "Raise TransportClosedError"),
    (testing.a_cancelled_read_loses_nothing, TakesEarly, "A cancelled `read` leaves"),
    (testing.a_slow_reader_holds_the_device_back, TakesWithoutEnd, "are taken that nobody asked for"),
]


@pytest.mark.parametrize(("check", "mistake", "said"), MISTAKES, ids=lambda value: getattr(value, "__name__", None))
async def test_a_mistake_is_found_and_told(check: TransportCheck, mistake: type[Wrapped], said: str) -> None:
    async with MemoryRig.made() as memory:
        rig: TransportRig = memory
        rig.transport = mistake(memory.transport)
        with pytest.raises(ConformanceError, match=f"(?s){said}"):
            await check(rig)
        await rig.transport.close()


def test_every_check_is_shown_to_fail() -> None:
    assert {check for check, _, _ in MISTAKES} == set(TRANSPORT_CHECKS)
