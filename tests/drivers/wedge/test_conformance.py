"""The wedge driver passes the checks for every scanner driver, on a machine whose keys come over the network."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from drivers.clock import Clock
from drivers.scanning.driver import DriverOptionsError
from drivers.scanning.scan import Parse
from drivers.testing import SCANNER_CHECKS, Sample, ScannerCheck, ScannerUnderTest
from drivers.transport.ports import transport_for
from drivers.wedge.backend import VirtualKeyboard, WedgeDevice
from drivers.wedge.driver import WedgeDriver
from drivers.wedge.encode import encode
from drivers.wedge.events import DOWN, DeviceEvent, KeyEvent
from drivers.wedge.memory_backend import MemoryMachine

_DOWN = 0x80


def sent(text: str) -> bytes:
    """The keys of `text`, a byte each: the code, and whether it goes down."""
    return bytes(key.code | (_DOWN if key.value == DOWN else 0) for key in encode("us", text))


class KeysOverTcp(MemoryMachine):
    """A machine with one device, which is a TCP port."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    async def open(self, device: str) -> OpenTcpWedge:  # type: ignore[override]
        opened = OpenTcpWedge(device, self._clock)
        await opened.transport.open()
        return opened


class OpenTcpWedge:
    def __init__(self, device: str, clock: Clock) -> None:
        self.device = WedgeDevice(name=device, nodes=(device,))
        self.transport = transport_for(device)
        self._clock = clock

    async def read(self) -> list[DeviceEvent]:
        data = await self.transport.read()
        at_ns = self._clock().monotonic_ns
        return [KeyEvent(code=byte & ~_DOWN, value=byte // _DOWN, at_ns=at_ns) for byte in data]

    async def grab(self, into: VirtualKeyboard) -> None:
        raise AssertionError(into)

    async def close(self) -> None:
        await self.transport.close()


class WedgeOverTcp(WedgeDriver):
    """The driver with its `device` called `port`, as the checks call it."""

    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        try:
            named = {"device" if key == "port" else key: value for key, value in options.items()}
            super().__init__(named, clock, parse, backend=KeysOverTcp(clock))
        except DriverOptionsError as error:
            raise DriverOptionsError("port" if error.key == "device" else error.key, error.problem) from error


# Digits alone: noise may press CapsLock, which a code of letters would then rightly follow.
CODES: tuple[Sample, ...] = tuple(Sample(sent=sent(text), text=text) for text in ("4006381333931", "12345670", "007"))


@pytest.mark.parametrize("check", SCANNER_CHECKS, ids=lambda check: check.__name__)
async def test_the_driver_passes_every_check(check: ScannerCheck) -> None:
    # The checks send codes faster than people scan. A kernel stamps keys as they arrive; here they are stamped when
    # they are read, which a busy agent does late, so a pause within a code says nothing.
    options = {"repeat_ms": 0, "idle_ms": 10_000}
    await check(ScannerUnderTest(driver=WedgeOverTcp, codes=CODES, options=options))
