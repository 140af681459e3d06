"""Linux's description of its input devices, as sysfs lays it out."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from drivers.wedge.backend import VIRTUAL_PHYS
from drivers.wedge.input_devices import input_devices

KEYBOARD = frozenset(range(1, 84))
MODIFIERS = frozenset({29, 42, 54, 56, 97, 100})
BITS = struct.calcsize("l") * 8


class Sysfs:
    """A folder like /sys/class/input, and one like /dev/input."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.classes, self.dev = folder / "class", folder / "dev"
        self.classes.mkdir()
        (self.dev / "by-id").mkdir(parents=True)

    def add(
        self,
        number: int,
        keys: frozenset[int],
        *,
        name: str = "Scanner",
        bus: int = 3,
        phys: str = "usb-0000:00:14.0-1.2/input0",
        uniq: str = "A1",
        at: str = "usb1/1-1/1-1.2/1-1.2:1.0",
        link: str = "",
    ) -> None:
        device = self.root / "devices" / at / f"input{number}"
        (device / "id").mkdir(parents=True)
        (device / "capabilities").mkdir()
        for path, text in {
            "name": name,
            "phys": phys,
            "uniq": uniq,
            "id/bustype": f"{bus:04x}",
            "id/vendor": "05e0",
            "id/product": "1200",
            "capabilities/key": _words(keys),
        }.items():
            (device / path).write_text(text + "\n")
        event = self.classes / f"event{number}"
        event.mkdir()
        (event / "device").symlink_to(device)
        node = self.dev / f"event{number}"
        node.write_text("")
        if link:
            (self.dev / "by-id" / link).symlink_to(node)


def _words(keys: frozenset[int]) -> str:
    """A bit map as the kernel prints it."""
    bits = sum(1 << key for key in keys)
    words = []
    while bits:
        words.append(f"{bits & (1 << BITS) - 1:x}")
        bits >>= BITS
    return " ".join(reversed(words)) or "0"


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def test_a_scanner_is_described_without_opening_it(sysfs: Sysfs) -> None:
    sysfs.add(12, KEYBOARD, link="usb-Symbol_A1-event-kbd")

    (device,) = input_devices(sysfs.classes, sysfs.dev)

    assert (device.name, device.vid_pid, device.uniq) == ("Scanner", "05e0:1200", "A1")
    assert device.nodes == (str(sysfs.dev / "event12"),)
    assert device.by_id == (str(sysfs.dev / "by-id" / "usb-Symbol_A1-event-kbd"),)
    assert device.location == "1-1.2"
    assert device.keys == KEYBOARD


def test_two_nodes_of_one_device_are_one_device(sysfs: Sysfs) -> None:
    sysfs.add(10, MODIFIERS | {28}, phys="usb-0000:00:14.0-1.2/input0", at="usb1/1-1.2/1-1.2:1.0")
    sysfs.add(
        9, KEYBOARD - MODIFIERS, phys="usb-0000:00:14.0-1.2/input1", at="usb1/1-1.2/1-1.2:1.1", name="Scanner Keys"
    )
    sysfs.add(11, KEYBOARD, phys="usb-0000:00:14.0-1.3/input0", uniq="B2", at="usb1/1-1.3/1-1.3:1.0")

    first, second = input_devices(sysfs.classes, sysfs.dev)

    assert first.nodes == (str(sysfs.dev / "event9"), str(sysfs.dev / "event10"))
    assert first.keys == KEYBOARD | MODIFIERS
    assert second.uniq == "B2"


def test_what_cannot_type_digits_is_no_wedge(sysfs: Sysfs) -> None:
    sysfs.add(0, frozenset({113, 114, 115}), name="Volume", phys="a/input0", uniq="")
    sysfs.add(1, frozenset({0x110, 0x111}), name="Mouse", phys="b/input0", uniq="")
    sysfs.add(2, frozenset({28}), name="One button", phys="c/input0", uniq="")
    sysfs.add(3, frozenset({71, 72, 73, 75, 76, 77, 79, 80, 81, 82, 96}), name="Number pad", phys="d/input0", uniq="")

    assert [device.name for device in input_devices(sysfs.classes, sysfs.dev)] == ["Number pad"]


def test_our_own_virtual_keyboards_are_left_out(sysfs: Sysfs) -> None:
    sysfs.add(5, KEYBOARD, phys=VIRTUAL_PHYS, at="virtual")

    assert input_devices(sysfs.classes, sysfs.dev) == ()


def test_a_keyboard_off_usb_has_no_usb_names(sysfs: Sysfs) -> None:
    sysfs.add(
        0, KEYBOARD, name="AT keyboard", bus=0x11, phys="isa0060/serio0/input0", uniq="", at="platform/i8042/serio0"
    )

    (device,) = input_devices(sysfs.classes, sysfs.dev)

    assert (device.vid_pid, device.location) == ("", "")


def test_two_devices_that_say_nothing_of_their_place_stay_two(sysfs: Sysfs) -> None:
    sysfs.add(0, KEYBOARD, phys="", uniq="", at="a")
    sysfs.add(1, KEYBOARD, phys="", uniq="", at="b")

    assert len(input_devices(sysfs.classes, sysfs.dev)) == 2


def test_a_machine_without_input_devices_has_none(tmp_path: Path) -> None:
    assert input_devices(tmp_path / "nowhere", tmp_path / "nothing") == ()


def test_a_device_that_goes_while_it_is_read_is_left_out(sysfs: Sysfs) -> None:
    (sysfs.classes / "event3").mkdir()

    assert input_devices(sysfs.classes, sysfs.dev) == ()
