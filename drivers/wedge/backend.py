"""The port between keyboard wedges and an operating system's input devices, and how that fails.

Owns the protocol, what a device is, and which device a name in the settings means. Never opens anything:
`evdev_backend` and `memory_backend` do. Of the standard library alone, as the relay wants it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from drivers.transport.port import PortAmbiguousError, PortMissingError
from drivers.wedge.events import DeviceEvent, KeyEvent

# Read and not taken yet: some hundred codes. More stays with the operating system, which drops what it cannot keep and
# says so; the codes that were hurt are then dropped whole.
INPUT_LIMIT_EVENTS: Final = 8192
# What a message names of the devices there are; it has to fit on the cashier page's one line.
MAX_NAMED: Final = 3
# How pass-through names the virtual keyboards that it makes, so that no one takes them for a scanner.
VIRTUAL_PHYS: Final = "tillside/pass-through"

_VID_PID: Final = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}")


class WedgeNameError(ValueError):
    """A device is written in no form that is known. The message says which are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WedgeDevice:
    """A device with keys that is there now: all its `nodes`, such as `/dev/input/event7`.

    `by_id` are its links in /dev/input/by-id. `phys` is where it is plugged as the kernel writes it, `location` as
    `usb:location=` takes it (`1-1.2`), `uniq` its serial number. Texts are empty, and `vid` and `pid` None, where it
    has none. `keys` are the codes it can send.
    """

    name: str
    nodes: tuple[str, ...]
    by_id: tuple[str, ...] = ()
    vid: int | None = None
    pid: int | None = None
    phys: str = ""
    uniq: str = ""
    location: str = ""
    keys: frozenset[int] = frozenset()

    @property
    def vid_pid(self) -> str:
        """`05e0:1200`; empty for what is neither on USB nor Bluetooth."""
        return "" if self.vid is None or self.pid is None else f"{self.vid:04x}:{self.pid:04x}"


class VirtualKeyboard(Protocol):
    """A keyboard that the host hears like one that is plugged in."""

    @property
    def is_open(self) -> bool: ...

    async def inject(self, events: Sequence[KeyEvent]) -> None:
        """Type `events`, in order and no faster than a host reads them. Raises PortUnpluggedError."""

    async def close(self) -> None:
        """Unplug it: the host then takes every key of it as released. Does nothing when it is closed."""


class OpenWedge(Protocol):
    """An open device, for one reader."""

    @property
    def device(self) -> WedgeDevice: ...

    async def read(self) -> list[DeviceEvent]:
        """At least one event, in the order in which they happened, as soon as there is one.

        What arrived before a failure comes first. Raises PortUnpluggedError when the device has gone,
        TransportClosedError when closed meanwhile.
        """

    async def grab(self, into: VirtualKeyboard) -> None:
        """Take the device's keys for us alone, to pass them on through `into`, which must be open by then.

        Waits for a moment without a key down, so that none stays down for the others. Raises PortBusyError when
        another program has grabbed it, or when a key stays down; TransportClosedError when `into` is closed.
        """

    async def close(self) -> None:
        """Close the device, and let go of it; does nothing when it is closed."""


class WedgeBackend(Protocol):
    """An operating system's input devices."""

    async def devices(self) -> tuple[WedgeDevice, ...]:
        """Devices that can type, in the order of their nodes; virtual keyboards of ours are not among them."""

    async def open(self, device: str) -> OpenWedge:
        """Open the device that `device` means now, to listen: others hear it as before.

        Raises PortMissingError, PortAmbiguousError, or PortBusyError where this user may not.
        """

    async def virtual_keyboard(self, like: WedgeDevice) -> VirtualKeyboard:
        """A keyboard with the keys of `like`. Raises PortMissingError or PortBusyError."""


def check_name(device: str) -> None:
    """Raises WedgeNameError when `device` is in no form that is known."""
    _wanted(device)


def chosen(device: str, devices: Sequence[WedgeDevice]) -> WedgeDevice:
    """The one of `devices` that `device` means, as it stands in the settings.

    `/dev/input/by-id/…` or another path of a node, `usb:serial=…`, `usb:location=…`, `usb:VID:PID`, or the name that
    the device gives itself. Raises WedgeNameError, PortMissingError and PortAmbiguousError.
    """
    wanted = _wanted(device)
    found = [each for each in devices if wanted(each)]
    if not found:
        raise PortMissingError(f"{device} is not plugged in. {plugged_in(devices)} Plug it in, or correct `device`.")
    if len(found) > 1:
        choices = "; ".join(f"{ways_to_write(each, devices)[0]} is {each.nodes[0]}" for each in found[:MAX_NAMED])
        raise PortAmbiguousError(f"{len(found)} devices are {device}. Name one of them as `device`: {choices}.")
    return found[0]


def ways_to_write(device: WedgeDevice, devices: Sequence[WedgeDevice]) -> tuple[str, ...]:
    """Names that mean `device` and no other of `devices`, the steadiest first; its node at the end."""
    forms = [
        *device.by_id,
        *([f"usb:serial={device.uniq}"] if device.uniq else ()),
        *([f"usb:location={device.location}"] if device.location else ()),
        *([f"usb:{device.vid_pid}"] if device.vid_pid else ()),
        *([device.name] if device.name else ()),
    ]
    only = [form for form in forms if [each for each in devices if _wanted(form)(each)] == [device]]
    return (*only, device.nodes[0])


def plugged_in(devices: Sequence[WedgeDevice]) -> str:
    """One sentence that says which devices there are, as they can be written."""
    if not devices:
        return "No device with keys is there."
    named = ", ".join(
        f"{each.name or each.nodes[0]} ({ways_to_write(each, devices)[0]})" for each in devices[:MAX_NAMED]
    )
    return f"There are: {named}{', …' if len(devices) > MAX_NAMED else ''}."


def _wanted(device: str) -> Callable[[WedgeDevice], bool]:
    """Whether a device is the one that `device` means."""
    if device.startswith("/"):
        return lambda each: device in each.by_id or device in each.nodes
    if not device.startswith("usb:"):
        return lambda each: each.name == device
    key, _, value = device.removeprefix("usb:").partition("=")
    if key == "serial" and value:
        return lambda each: each.uniq.casefold() == value.casefold()
    if key == "location" and value:
        return lambda each: each.location == value
    if _VID_PID.fullmatch(key) and not value:
        return lambda each: each.vid_pid == key.lower()
    raise WedgeNameError(
        "write a USB device as usb:serial=…, usb:location=… or usb:VID:PID with four hexadecimal digits each"
    )
