"""Hears what a scanner sends before any of it is judged: bytes of a port, keys of a wedge.

Owns opening a scanner as its settings have it, and when a code is over. Never parses a code, and never keeps one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from agent.doctor.diagnose import HeardCode, SerialSetting, WedgeSetting
from config.settings import Option, ScannerSettings
from drivers.clock import now
from drivers.registry import load_scanner
from drivers.scanning.driver import DriverOptionsError, ScannerDriver, typed_options
from drivers.scanning.framing import Framer
from drivers.scanning.port_scanner import PortOptions, PortScannerDriver
from drivers.scanning.scan import parse_scan
from drivers.scanning.serial_scanner import SerialScannerDriver
from drivers.transport.port import Transport, TransportClosedError
from drivers.wedge.backend import OpenWedge, WedgeBackend, WedgeNameError, check_name
from drivers.wedge.driver import WedgeDriver, WedgeOptions
from drivers.wedge.events import DeviceEvent

# A scanner sends a code within tens of milliseconds; one that reads it again does so within half a second.
QUIET_S = 0.5


class NotRawError(Exception):
    """What this scanner sends cannot be heard as it is. The message says why, and what to do."""


class Chunk(Struct, frozen=True, kw_only=True):
    """Bytes that arrived together, or one event of a keyboard device; by the machine's monotonic clock."""

    at_ns: int
    said: bytes | DeviceEvent


class Ear(Protocol):
    """One scanner, heard raw."""

    driver: str
    options: dict[str, Option]
    setting: SerialSetting | WedgeSetting

    async def open(self) -> None:
        """Raises TransportError."""

    async def read(self) -> list[Chunk]:
        """At least one chunk. Raises TransportError when the device has gone."""

    async def close(self) -> None:
        """Does nothing when it is closed."""

    def code(self, chunks: Sequence[Chunk]) -> HeardCode:
        """All that came until silence, for diagnosis."""


def ear_of(scanner: ScannerSettings, backend: WedgeBackend | None = None) -> Ear:
    """The ear for a scanner of the settings. Raises NotRawError, RegistryError and DriverOptionsError."""
    driver = load_scanner(scanner.driver)
    options = {"name": scanner.name, **scanner.options}
    if issubclass(driver, PortScannerDriver):
        return ByteEar(scanner, driver(options, now, parse_scan))
    if driver is WedgeDriver:
        wedge = typed_options(WedgeOptions, options)
        try:
            check_name(wedge.device)
        except WedgeNameError as error:
            raise DriverOptionsError("device", str(error)) from error
        return KeyEar(scanner, wedge, backend or _machine())
    raise NotRawError(_why_not(scanner, driver))


def _why_not(scanner: ScannerSettings, driver: type[ScannerDriver]) -> str:
    if scanner.driver == "shared":
        return (
            f"scanner {scanner.name!r} is carried by the relay, which hands only members' codes on, not what the "
            "scanner sends: stop that relay for the test, and set the scanner up with its own port meanwhile"
        )
    return (
        f"the driver {scanner.driver!r} ({driver.__module__}) opens its device itself: what the scanner sends can only "
        "be heard through a driver made with PortScannerDriver (docs/drivers.md)"
    )


def _machine() -> WedgeBackend:
    if sys.platform != "linux":
        raise DriverOptionsError("driver", "keyboard wedges are read on Linux only")
    from drivers.wedge.evdev_backend import EvdevBackend  # noqa: PLC0415 — Linux only

    return EvdevBackend()


class ByteEar:
    """A scanner that sends bytes over a port.

    A model with a framing of its own is heard through it: what is around its codes is the model's business.
    """

    def __init__(self, scanner: ScannerSettings, driver: PortScannerDriver[PortOptions]) -> None:
        self.driver = scanner.driver
        self.options = scanner.options
        self._transport: Transport = driver.transport()
        self._framer: Framer | None = None
        self.setting: SerialSetting | WedgeSetting = SerialSetting()
        if isinstance(driver, SerialScannerDriver):
            own = driver.options
            self.setting = SerialSetting(prefix=own.prefix, suffix=own.suffix, idle_ms=own.idle_ms)
        else:
            self._framer = driver.framer()

    async def open(self) -> None:
        await self._transport.open()

    async def read(self) -> list[Chunk]:
        data = await self._transport.read()
        return [Chunk(at_ns=time.monotonic_ns(), said=data)]

    async def close(self) -> None:
        await self._transport.close()

    def code(self, chunks: Sequence[Chunk]) -> HeardCode:
        data = b"".join(chunk.said for chunk in chunks if isinstance(chunk.said, bytes))
        if self._framer is not None:
            at = now()
            frames = [*self._framer.feed(data, at), *self._framer.idle(at)]
            data = b"".join(frame.data + b"\r" for frame in frames) or data
        return HeardCode(setting=self.setting, data=data)


class KeyEar:
    """A scanner that types."""

    def __init__(self, scanner: ScannerSettings, options: WedgeOptions, backend: WedgeBackend) -> None:
        self.driver = scanner.driver
        self.options = scanner.options
        self.setting: SerialSetting | WedgeSetting = WedgeSetting(
            layout=options.layout, prefix=options.prefix, suffix=options.suffix, idle_ms=options.idle_ms
        )
        self._device = options.device
        self._backend = backend
        self._opened: OpenWedge | None = None

    async def open(self) -> None:
        self._opened = await self._backend.open(self._device)

    async def read(self) -> list[Chunk]:
        if self._opened is None:
            raise TransportClosedError(f"{self._device} is not open.")
        return [Chunk(at_ns=event.at_ns, said=event) for event in await self._opened.read()]

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    def code(self, chunks: Sequence[Chunk]) -> HeardCode:
        keys = tuple(chunk.said for chunk in chunks if not isinstance(chunk.said, bytes))
        return HeardCode(setting=self.setting, keys=keys)


async def next_code(ear: Ear, *, within_s: float, quiet_s: float = QUIET_S) -> list[Chunk]:
    """All that comes from the first byte or key on until it is quiet; empty if nothing comes `within_s`."""
    chunks: list[Chunk] = []
    while True:
        try:
            async with asyncio.timeout(quiet_s if chunks else within_s):
                chunks += await ear.read()
        except TimeoutError:
            return chunks
