"""Which port a name in the settings means: a path, a COM name, a USB device wherever it is plugged, or TCP.

Owns the written forms of a port, and the list of the serial devices that are plugged in. A USB device is looked
for each time that its port is opened, so it may come back under another number. Never opens a port.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from drivers.transport.port import PortAmbiguousError, PortMissingError, Transport
from drivers.transport.serial import SerialLine, SerialTransport
from drivers.transport.tcp import TcpTransport

BY_ID = Path("/dev/serial/by-id")
# What a message names of them; it has to fit on the cashier page's one line.
MAX_NAMED = 3

_VID_PID = re.compile(r"([0-9a-fA-F]{4}):([0-9a-fA-F]{4})")
_FORMS = "usb:serial=…, usb:location=… or usb:VID:PID with four hexadecimal digits each"


class PortNameError(ValueError):
    """A port is written in no form that is known. The message says which are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialDevice:
    """A serial device that is there now. Texts are empty, and `vid` and `pid` None, where it has none.

    `by_id` is its link in /dev/serial/by-id, `location` where it is plugged, such as `1-1.2:1.0`.
    """

    name: str
    path: str
    by_id: str = ""
    vid: int | None = None
    pid: int | None = None
    serial: str = ""
    location: str = ""
    description: str = ""

    @property
    def vid_pid(self) -> str:
        """`1eab:1a03`; empty for what is not on USB."""
        return "" if self.vid is None or self.pid is None else f"{self.vid:04x}:{self.pid:04x}"


Lister = Callable[[], Sequence[SerialDevice]]


def list_devices() -> tuple[SerialDevice, ...]:
    """The serial devices that are there now, in the order of their names. Raises PortMissingError.

    Takes milliseconds; not for the event loop's thread.
    """
    from serial.tools.list_ports import comports  # noqa: PLC0415 — 5 ms that a plain path need not pay

    links = _links_by_id()
    try:
        found = sorted(comports())
    except (OSError, TypeError, ValueError) as error:  # pyserial, when a device goes while it is read
        raise PortMissingError("Devices are being plugged in or pulled out just now. Try again.") from error
    return tuple(
        SerialDevice(
            name=each.name or each.device,
            path=each.device,
            by_id=links.get(each.device, ""),
            vid=each.vid,
            pid=each.pid,
            serial=each.serial_number or "",
            location=each.location or "",
            description="" if each.description in (None, "n/a") else each.description,
        )
        for each in found
    )


def transport_for(port: str, line: SerialLine | None = None, *, devices: Lister = list_devices) -> Transport:
    """The transport of `port` as it stands in the settings. Opens nothing. Raises PortNameError.

    `tcp://host:port` (`socket://`, as pyserial writes it, is the same) is a scanner or a serial box on the
    network; `usb:serial=…`, `usb:location=…` and `usb:VID:PID` a USB device; all else a device path or COM name.
    """
    if port.startswith(("tcp://", "socket://")):
        return TcpTransport(*_address(port))
    if port.startswith("usb:"):
        return SerialTransport(port, line, find=usb_path_finder(port, devices=devices))
    return SerialTransport(port, line, find=functools.partial(_present, port, devices))


def usb_path_finder(port: str, *, devices: Lister = list_devices) -> Callable[[], str]:
    """What says, each time, which path has the device that `usb:…` means. Raises PortNameError; it itself raises
    PortMissingError or PortAmbiguousError.
    """
    return functools.partial(_usb_path, port, _wanted(port), devices)


def ways_to_write(device: SerialDevice, devices: Sequence[SerialDevice]) -> tuple[str, ...]:
    """Ports that mean `device` and no other of `devices`, the steadiest first."""
    forms = []
    if device.serial:
        forms.append(f"usb:serial={device.serial}")
    if device.location:
        forms.append(f"usb:location={device.location}")
    if device.vid_pid:
        forms.append(f"usb:{device.vid_pid}")
    only = [form for form in forms if [each for each in devices if _wanted(form)(each)] == [device]]
    return (*only, device.by_id or device.path)


def _address(port: str) -> tuple[str, int]:
    try:
        address = urlsplit(port)
        host, number = address.hostname, address.port
    except ValueError:
        host = number = None
    if not host or not number:
        raise PortNameError("write a device on the network as tcp://host:port")
    return host, number


def _wanted(port: str) -> Callable[[SerialDevice], bool]:
    """Whether a device is the one that `port` means."""
    key, _, value = port.removeprefix("usb:").partition("=")
    if key == "serial" and value:  # Windows shows it in capitals
        return lambda device: device.serial.casefold() == value.casefold()
    if key == "location" and value:  # with or without the interface of a device that has several
        return lambda device: device.location == value or device.location.startswith(f"{value}:")
    if (pair := _VID_PID.fullmatch(key)) and not value:
        return lambda device: device.vid_pid == pair[0].lower()
    raise PortNameError(f"write a USB device as {_FORMS}")


def _usb_path(port: str, wanted: Callable[[SerialDevice], bool], lister: Lister) -> str:
    """The path of the device that `port` means now."""
    devices = lister()
    found = [device for device in devices if wanted(device)]
    if not found:
        raise PortMissingError(f"{port} is not plugged in. {plugged_in(devices)} Plug it in, or correct the port.")
    if len(found) > 1:
        choices = "; ".join(f"{ways_to_write(device, devices)[0]} is {device.path}" for device in found[:MAX_NAMED])
        raise PortAmbiguousError(f"{len(found)} devices are {port}. Name one of them as port: {choices}.")
    return found[0].path


def _present(path: str, lister: Lister) -> str:
    """`path`, if it is there. Whether a COM name is, Windows tells only when it is opened."""
    if sys.platform != "win32" and not os.path.lexists(path):
        raise PortMissingError(f"{path} is not there. {plugged_in(lister())} Plug it in, or correct the port.")
    return path


def plugged_in(devices: Sequence[SerialDevice]) -> str:
    """One sentence that says which USB devices there are, as they can be written for a port."""
    usb = [device for device in devices if device.vid_pid]
    if not usb:
        return "No serial device is on USB."
    named = ", ".join(ways_to_write(device, devices)[0] for device in usb[:MAX_NAMED])
    return f"On USB: {named}{', …' if len(usb) > MAX_NAMED else ''}."


def _links_by_id(folder: Path = BY_ID) -> dict[str, str]:
    """The link in `folder` of each path that has one."""
    try:
        return {str(link.resolve()): str(link) for link in sorted(folder.iterdir())}
    except OSError:
        return {}
