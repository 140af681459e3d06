"""What a port in the settings means, with the devices of a shop's machine plugged in and out."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.demo.scanner import VirtualScanner
from agent.supervisor import MAX_PROBLEM_CHARACTERS
from drivers.transport import ports
from drivers.transport.port import PortAmbiguousError, PortMissingError, PortUnpluggedError, TransportError
from drivers.transport.ports import PortNameError, SerialDevice, list_devices, transport_for, ways_to_write
from drivers.transport.serial import SerialTransport
from drivers.transport.tcp import TcpTransport


def scanner(path: str, *, serial: str = "", location: str = "1-1.2:1.0", pid: int = 0x1A03) -> SerialDevice:
    return SerialDevice(
        name=Path(path).name, path=path, vid=0x1EAB, pid=pid, serial=serial, location=location, description="HR22"
    )


BUILT_IN = SerialDevice(name="ttyS0", path="/dev/ttyS0")


class Hub:
    """The USB hub of a machine: which devices are plugged in now."""

    def __init__(self, *devices: SerialDevice) -> None:
        self.devices = list(devices)
        self.looks = 0

    def list(self) -> list[SerialDevice]:
        self.looks += 1
        return self.devices


async def problem(port: str, hub: Hub, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        await transport_for(port, devices=hub.list).open()
    return str(caught.value)


@pytest.mark.parametrize(
    "port",
    ["tcp://10.0.0.9:4001", "socket://scanner.shop:4001", "tcp://[fe80::1]:4001"],
)
def test_a_device_on_the_network_is_written_as_an_address(port: str) -> None:
    assert isinstance(transport_for(port), TcpTransport)


@pytest.mark.parametrize("port", ["/dev/ttyUSB0", "COM3", r"\\.\COM12", "usb:serial=A", "usb:1EAB:1a03"])
def test_all_else_is_a_serial_port(port: str) -> None:
    hub = Hub()

    assert isinstance(transport_for(port, devices=hub.list), SerialTransport)
    assert hub.looks == 0, "it is looked for when it is opened"


@pytest.mark.parametrize(
    ("port", "remedy"),
    [
        ("tcp://host", "tcp://host:port"),
        ("tcp://host:99999", "tcp://host:port"),
        ("tcp://:4001", "tcp://host:port"),
        ("socket://[::1", "tcp://host:port"),
        ("usb:", "usb:serial="),
        ("usb:serial=", "usb:serial="),
        ("usb:location", "usb:location="),
        ("usb:1eab", "usb:VID:PID"),
        ("usb:1eab:1a03=x", "usb:VID:PID"),
        ("usb:1eab:1a03:2", "usb:VID:PID"),
        ("usb:name=HR22", "usb:serial="),
    ],
)
def test_a_port_written_wrongly_is_told_how_to_write_it(port: str, remedy: str) -> None:
    with pytest.raises(PortNameError, match=remedy):
        transport_for(port)


@pytest.mark.parametrize(
    "port", ["usb:serial=AB12", "usb:serial=ab12", "usb:location=1-1.2:1.0", "usb:location=1-1.2", "usb:1EAB:1a03"]
)
async def test_a_usb_device_is_found_by_what_it_is_or_where_it_is(port: str, tmp_path: Path) -> None:
    with VirtualScanner(tmp_path / "ttyACM7") as device:
        hub = Hub(
            BUILT_IN,
            scanner("/dev/ttyACM0", serial="ZZ", location="1-1.20", pid=0x2222),
            scanner(str(device.port), serial="AB12"),
        )
        transport = transport_for(port, devices=hub.list)
        await transport.open()
        device.scan("HERE")

        assert await transport.read() == b"HERE\r"

        await transport.close()


async def test_a_device_that_comes_back_under_another_number_is_found_again(tmp_path: Path) -> None:
    hub = Hub()
    transport = transport_for("usb:serial=AB12", devices=hub.list)
    for number in (0, 3, 1):
        with VirtualScanner(tmp_path / f"ttyUSB{number}") as device:
            hub.devices = [scanner(str(device.port), serial="AB12")]
            await transport.open()
            device.scan(f"FROM{number}")
            assert await transport.read() == b"FROM%d\r" % number
            device.unplug()
            hub.devices = []
            with pytest.raises(PortUnpluggedError, match="usb:serial=AB12"):
                await transport.read()
        with pytest.raises(PortMissingError, match="usb:serial=AB12 is not plugged in"):
            await transport.open()


async def test_a_missing_device_is_told_with_what_is_plugged_in() -> None:
    hub = Hub(BUILT_IN, scanner("/dev/ttyACM0", serial="AB12"), scanner("/dev/ttyACM1", location="3-2", pid=0x2222))

    said = await problem("usb:serial=GONE", hub, PortMissingError)

    assert "usb:serial=GONE is not plugged in" in said
    assert "usb:serial=AB12" in said
    assert "usb:location=3-2" in said
    assert "ttyS0" not in said
    assert "No serial device is on USB" in await problem("usb:serial=GONE", Hub(BUILT_IN), PortMissingError)


async def test_a_missing_path_is_told_with_what_is_plugged_in() -> None:
    hub = Hub(scanner("/dev/ttyACM0", serial="AB12"))

    said = await problem("/dev/serial/by-id/usb-gone-if00", hub, PortMissingError)

    assert "/dev/serial/by-id/usb-gone-if00 is not there. On USB: usb:serial=AB12." in said


async def test_two_scanners_of_one_model_are_both_named_with_what_to_write() -> None:
    hub = Hub(scanner("/dev/ttyACM0", serial="A1"), scanner("/dev/ttyACM1", serial="A2", location="1-1.3:1.0"))

    said = await problem("usb:1eab:1a03", hub, PortAmbiguousError)

    assert "2 devices are usb:1eab:1a03" in said
    assert "usb:serial=A1 is /dev/ttyACM0; usb:serial=A2 is /dev/ttyACM1" in said


async def test_two_scanners_with_one_serial_number_are_told_apart_by_where_they_are() -> None:
    hub = Hub(scanner("/dev/ttyACM0", serial="0001"), scanner("/dev/ttyACM1", serial="0001", location="1-1.3:1.0"))

    for port in ("usb:serial=0001", "usb:1eab:1a03"):
        said = await problem(port, hub, PortAmbiguousError)
        assert "usb:location=1-1.2:1.0 is /dev/ttyACM0; usb:location=1-1.3:1.0 is /dev/ttyACM1" in said


async def test_one_device_with_two_ports_is_told_apart_by_its_interfaces() -> None:
    hub = Hub(scanner("/dev/ttyACM0", serial="A1"), scanner("/dev/ttyACM1", serial="A1", location="1-1.2:1.2"))

    said = await problem("usb:location=1-1.2", hub, PortAmbiguousError)

    assert "usb:location=1-1.2:1.0 is /dev/ttyACM0; usb:location=1-1.2:1.2 is /dev/ttyACM1" in said


async def test_a_hub_full_of_scanners_still_fits_where_problems_are_shown() -> None:
    many = [scanner(f"/dev/ttyACM{number}", serial=f"S{number:020d}", location=f"1-{number}") for number in range(9)]

    for port in ("usb:1eab:1a03", f"usb:serial={'0' * 20}", f"/dev/serial/by-id/usb-{'x' * 80}"):
        said = await problem(port, Hub(*many), TransportError)
        assert len(said) <= MAX_PROBLEM_CHARACTERS, said
        assert "S00000000000000000002" in said
        assert "S00000000000000000003" not in said


def test_what_may_be_written_for_a_device_means_no_other() -> None:
    first = scanner("/dev/ttyACM0", serial="A1")
    second = scanner("/dev/ttyACM1", serial="A2", location="1-1.3")
    nameless = SerialDevice(name="ttyS0", path="/dev/ttyS0")

    assert ways_to_write(first, [first]) == (
        "usb:serial=A1",
        "usb:location=1-1.2:1.0",
        "usb:1eab:1a03",
        "/dev/ttyACM0",
    )
    assert ways_to_write(second, [first, second]) == ("usb:serial=A2", "usb:location=1-1.3", "/dev/ttyACM1")
    assert ways_to_write(nameless, [nameless]) == ("/dev/ttyS0",)


@pytest.fixture
def terminal() -> Iterator[str]:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield os.ttyname(theirs)
    os.close(theirs)
    os.close(ours)


async def test_the_list_names_real_devices_and_their_lasting_links(terminal: str, tmp_path: Path) -> None:
    (tmp_path / "usb-Acme_Wand-if00").symlink_to(terminal)

    assert ports._links_by_id(tmp_path) == {terminal: str(tmp_path / "usb-Acme_Wand-if00")}
    assert ports._links_by_id(tmp_path / "nothing") == {}
    listed = await asyncio.to_thread(list_devices)
    assert all(device.path.startswith("/dev/") and device.name for device in listed)
    assert [device.path for device in listed] == sorted(device.path for device in listed)
