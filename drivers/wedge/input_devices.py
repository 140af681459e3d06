"""Linux's input devices as sysfs describes them, whether or not this user may open them.

Owns the reading of /sys/class/input and /dev/input/by-id, and which nodes are one device. Never opens a device.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Final

from drivers.wedge.backend import VIRTUAL_PHYS, WedgeDevice
from drivers.wedge.keymaps import KEY_ENTER, KEY_KPENTER, KEYPAD_DIGITS, MODIFIERS, TEXT_KEYS

SYS_INPUT: Final = Path("/sys/class/input")
DEV_INPUT: Final = Path("/dev/input")

# From Linux's input.h: buses whose devices have a vendor and a product.
_USB, _BLUETOOTH = 0x03, 0x05
_KERNEL_LONG_BITS: Final = struct.calcsize("l") * 8
_DIGITS: Final = frozenset(range(2, 12))
# A node counts when it has a part of what it takes to type a code. Volume and power buttons have none.
_TYPING: Final = TEXT_KEYS | MODIFIERS | KEYPAD_DIGITS.keys() | {KEY_ENTER, KEY_KPENTER}
_EVENT: Final = re.compile(r"event([0-9]+)")
_USB_PORT: Final = re.compile(r"[0-9]+-[0-9]+(?:\.[0-9]+)*")


def input_devices(sys_input: Path = SYS_INPUT, dev_input: Path = DEV_INPUT) -> tuple[WedgeDevice, ...]:
    """Devices that can type digits, each with all its nodes, in the order of these. Empty where there are none."""
    links = _links(dev_input)
    grouped: dict[tuple[str, ...], list[WedgeDevice]] = {}
    for folder in _event_folders(sys_input):
        node = _node(folder, dev_input, links)
        if node.keys & _TYPING and not node.phys.startswith(VIRTUAL_PHYS):
            grouped.setdefault(_identity(node), []).append(node)
    devices = (_joined(nodes) for nodes in grouped.values())
    return tuple(each for each in devices if each.keys >= _DIGITS or each.keys >= KEYPAD_DIGITS.keys())


def _event_folders(sys_input: Path) -> list[Path]:
    try:
        folders = [(found[1], each) for each in sys_input.iterdir() if (found := _EVENT.fullmatch(each.name))]
    except OSError:
        return []
    return [folder for _, folder in sorted(folders, key=lambda item: int(item[0]))]


def _node(folder: Path, dev_input: Path, links: dict[Path, list[str]]) -> WedgeDevice:
    """One node as a device of its own."""
    about = folder / "device"
    path = dev_input / folder.name
    has_ids = int(_text(about / "id/bustype") or "0", 16) in {_USB, _BLUETOOTH}
    return WedgeDevice(
        name=_text(about / "name"),
        nodes=(str(path),),
        by_id=tuple(links.get(path.resolve(), ())),
        vid=int(_text(about / "id/vendor") or "0", 16) if has_ids else None,
        pid=int(_text(about / "id/product") or "0", 16) if has_ids else None,
        phys=_text(about / "phys"),
        uniq=_text(about / "uniq"),
        location=_usb_location(about),
        keys=_keys(_text(about / "capabilities/key")),
    )


def _identity(node: WedgeDevice) -> tuple[str, ...]:
    """The same for all nodes of one device: where it is plugged, less the number of the interface."""
    place = node.phys.rpartition("/input")[0] or node.phys
    return (node.vid_pid, place, node.uniq) if place or node.uniq else node.nodes


def _joined(nodes: list[WedgeDevice]) -> WedgeDevice:
    first = nodes[0]
    return WedgeDevice(
        name=first.name,
        nodes=tuple(path for each in nodes for path in each.nodes),
        by_id=tuple(link for each in nodes for link in each.by_id),
        vid=first.vid,
        pid=first.pid,
        phys=first.phys,
        uniq=first.uniq,
        location=first.location,
        keys=frozenset().union(*(each.keys for each in nodes)),
    )


def _keys(words: str) -> frozenset[int]:
    """Key codes out of the kernel's bit map: hexadecimal words, the highest first, without leading zeros."""
    bits = 0
    for word in words.split():
        bits = bits << _KERNEL_LONG_BITS | int(word, 16)
    return frozenset(code for code in range(bits.bit_length()) if bits >> code & 1)


def _usb_location(about: Path) -> str:
    """`1-1.2` out of the path that leads to the device, as `usb:location=` takes it; empty off USB."""
    ports = [part for part in about.resolve().parts if _USB_PORT.fullmatch(part)]
    return ports[-1] if ports else ""


def _links(dev_input: Path) -> dict[Path, list[str]]:
    """The links in by-id of each node that has some."""
    links: dict[Path, list[str]] = {}
    try:
        for link in sorted((dev_input / "by-id").iterdir()):
            links.setdefault(link.resolve(), []).append(str(link))
    except OSError:
        return links
    return links


def _text(path: Path) -> str:
    """What a file of sysfs says; empty when it is not there (any more)."""
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
