"""What a scanner sends is heard raw, whichever way it is connected; what cannot be is refused with the reason."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent.doctor.diagnose import SerialSetting, WedgeSetting, diagnose
from agent.doctor.listening import ByteEar, Ear, NotRawError, ear_of, next_code
from agent.doctor.sheet import CODES
from config.settings import Option, ScannerSettings
from drivers.clock import now
from drivers.registry import RegistryError
from drivers.scanning.driver import DriverOptionsError
from drivers.scanning.framing import ScanFramer
from drivers.scanning.port_scanner import PortOptions, PortScannerDriver
from drivers.scanning.scan import parse_scan
from drivers.transport.port import PortMissingError, TransportClosedError
from drivers.wedge.encode import encode
from drivers.wedge.memory_backend import MemoryMachine
from tests.agent.doctor.ears import SpokenEar

LAYOUT = CODES[0]


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A scanner's end, and the port at the other."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def settings(driver: str = "serial", **options: Option) -> ScannerSettings:
    return ScannerSettings(name="counter", driver=driver, options=options)


async def test_a_serial_scanner_is_heard_with_its_prefix_and_suffix(terminal: tuple[int, str]) -> None:
    scanner, port = terminal
    ear = ear_of(settings(port=port, prefix="\x02", suffix="\x03", idle_ms=50))
    await ear.open()
    os.write(scanner, b"\x02]C0TS1\x03")

    heard = ear.code(await next_code(ear, within_s=5, quiet_s=0.02))

    assert heard.data == b"\x02]C0TS1\x03"
    assert heard.setting == SerialSetting(prefix="\x02", suffix="\x03", idle_ms=50)
    await ear.close()


async def test_a_missing_port_says_so() -> None:
    with pytest.raises(PortMissingError):
        await ear_of(settings(port="/dev/tillside-none")).open()


async def test_a_wedge_is_heard_key_by_key() -> None:
    machine = MemoryMachine()
    scanner = machine.plug_in("Acme wedge")
    ear = ear_of(settings("wedge", device="Acme wedge", layout="de"), machine)
    with pytest.raises(TransportClosedError):
        await ear.read()
    await ear.open()
    keys = encode("fr", LAYOUT.aims[0] + LAYOUT.text)
    scanner.type(keys)

    heard = ear.code(await next_code(ear, within_s=5, quiet_s=0.01))

    assert heard.keys == tuple(keys)
    assert isinstance(heard.setting, WedgeSetting)
    assert [found.kind for found in diagnose(LAYOUT, heard)] == ["layout_wrong"]
    await ear.close()
    await ear.close()


class Length(PortScannerDriver[PortOptions]):
    """A model with a framing of its own, here as simple as can be."""

    options_type = PortOptions

    def framer(self) -> ScanFramer:
        return ScanFramer(prefix=b"<", suffix=b">")


async def test_a_model_with_its_own_framing_is_heard_through_it(terminal: tuple[int, str]) -> None:
    scanner, port = terminal
    driver = Length({"port": port}, now, parse_scan)
    ear = ByteEar(settings("acme", port=port), driver)
    await ear.open()
    code = f"{LAYOUT.aims[0]}{LAYOUT.text}"
    os.write(scanner, f"<{code}>".encode())

    heard = ear.code(await next_code(ear, within_s=5, quiet_s=0.02))
    noise = ear.code([])

    assert diagnose(LAYOUT, heard) == ()
    assert noise.data == b""
    await ear.close()


def test_a_shared_scanner_is_the_relays(tmp_path: Path) -> None:
    with pytest.raises(NotRawError, match="relay"):
        ear_of(settings("shared", spool=str(tmp_path)))


@pytest.mark.parametrize(
    ("scanner", "error"),
    [
        (settings("magic", port="x"), RegistryError),
        (settings(), DriverOptionsError),
        (settings(port="tcp://nowhere"), DriverOptionsError),
        (settings("wedge", device="x", layout="dvorak"), DriverOptionsError),
        (settings("wedge", device="usb:wrong"), DriverOptionsError),
    ],
)
def test_wrong_settings_are_named(scanner: ScannerSettings, error: type[Exception]) -> None:
    with pytest.raises(error):
        ear_of(scanner)


async def test_a_code_is_over_when_it_is_quiet_and_none_comes_in_vain() -> None:
    ear = SpokenEar()
    assert await next_code(ear, within_s=0.001, quiet_s=0.001) == []

    ear.say(b"A")
    waiting = asyncio.create_task(next_code(ear, within_s=5, quiet_s=0.05))
    await asyncio.sleep(0.005)
    ear.say(b"B\r")
    assert [chunk.said for chunk in await waiting] == [b"A", b"B\r"]


def test_the_ears_are_ears(terminal: tuple[int, str]) -> None:
    ears: Mapping[str, Ear] = {"bytes": ear_of(settings(port=terminal[1])), "spoken": SpokenEar()}

    assert {ear.driver for ear in ears.values()} == {"serial"}
