"""The part of python-evdev and the kernel that the backend uses, since this machine may have no /dev/input.

Names, arguments and errors are python-evdev 2.0's; what a device sends is put in by `FakeKernel`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

EV_SYN, EV_KEY, EV_MSC, EV_LED = 0, 1, 4, 0x11
SYN_REPORT, SYN_DROPPED, MSC_SCAN, LED_CAPSL = 0, 3, 4, 1


@dataclass(frozen=True)
class InputEvent:
    sec: int
    usec: int
    type: int
    code: int
    value: int


class UInputError(Exception):
    pass


@dataclass
class FakeNode:
    """A device file: what is in it, and who holds it."""

    events: list[InputEvent] = field(default_factory=list)
    held: set[int] = field(default_factory=set)
    leds: set[int] = field(default_factory=set)
    gone: bool = False
    forbidden: bool = False
    grabbed_by: object = None
    opened: list[InputDevice] = field(default_factory=list)
    pressed_while_grabbed: list[int] = field(default_factory=list)
    """Keys that go down just before each grab takes hold."""


class FakeKernel:
    """Device files by path, and `evdev` as the module would be for them."""

    def __init__(self, *paths: str) -> None:
        self.nodes = {path: FakeNode() for path in paths}
        self.keyboards: list[UInput] = []
        self.uinput_fails: Exception | None = None
        self.clocks: list[int] = []
        self.UInputError = UInputError

    def InputDevice(self, path: str, *, readonly: bool = False) -> InputDevice:  # noqa: N802  as python-evdev has it
        assert readonly
        node = self.nodes.get(path)
        if node is None or node.gone:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if node.forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        device = InputDevice(node)
        node.opened.append(device)
        return device

    def UInput(self, events: Mapping[int, Sequence[int]], **about: object) -> UInput:  # noqa: N802  as python-evdev has it
        if self.uinput_fails is not None:
            raise self.uinput_fails
        keyboard = UInput(events, about)
        self.keyboards.append(keyboard)
        return keyboard

    def set_clock(self, fd: int) -> None:
        self.clocks.append(fd)

    def send(self, path: str, *events: InputEvent) -> None:
        """The kernel has `events` for all who have the node open."""
        node = self.nodes[path]
        for event in events:
            if event.type == EV_KEY and event.value == 1:
                node.held.add(event.code)
            elif event.type == EV_KEY and event.value == 0:
                node.held.discard(event.code)
        for device in node.opened:
            device.put(list(events))

    def unplug(self, path: str) -> None:
        node = self.nodes[path]
        node.gone = True
        for device in node.opened:
            device.put([])


class InputDevice:
    def __init__(self, node: FakeNode) -> None:
        self.fd, self._wake = os.pipe()
        self._node = node
        self._waiting: list[InputEvent] = []
        self.is_closed = False

    def put(self, events: list[InputEvent]) -> None:
        self._waiting += events
        os.write(self._wake, b"!")

    def read(self) -> Iterator[InputEvent]:
        if not self._waiting:
            if self._node.gone:
                raise OSError(errno.ENODEV, "No such device")
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        os.read(self.fd, 4096)
        events, self._waiting = self._waiting[:64], self._waiting[64:]
        if self._waiting or self._node.gone:
            os.write(self._wake, b"!")
        yield from events

    def active_keys(self) -> list[int]:
        self._refuse_gone()
        return sorted(self._node.held)

    def leds(self) -> list[int]:
        self._refuse_gone()
        return sorted(self._node.leds)

    def grab(self) -> None:
        self._refuse_gone()
        if self._node.grabbed_by is not None:
            raise OSError(errno.EBUSY, "Device or resource busy")
        self._node.grabbed_by = self
        if self._node.pressed_while_grabbed:
            self._node.held.add(self._node.pressed_while_grabbed.pop())

    def ungrab(self) -> None:
        if self._node.grabbed_by is not self:
            raise OSError(errno.EINVAL, "Invalid argument")
        self._node.grabbed_by = None

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._node.opened.remove(self)
            if self._node.grabbed_by is self:
                self._node.grabbed_by = None
            os.close(self.fd)
            os.close(self._wake)

    def _refuse_gone(self) -> None:
        if self._node.gone:
            raise OSError(errno.ENODEV, "No such device")


class UInput:
    def __init__(self, events: Mapping[int, Sequence[int]], about: dict[str, object]) -> None:
        self.events = {kind: list(codes) for kind, codes in events.items()}
        self.about = about
        self.written: list[tuple[int, int, int]] = []
        self.is_closed = False
        self.fails = False

    def write(self, kind: int, code: int, value: int) -> None:
        if self.fails:
            raise OSError(errno.ENODEV, "No such device")
        self.written.append((kind, code, value))

    def syn(self) -> None:
        self.write(EV_SYN, SYN_REPORT, 0)

    def close(self) -> None:
        self.is_closed = True


def key(code: int, value: int, ms: int = 0) -> list[InputEvent]:
    """A key event as the kernel reports it: scan code, key, report."""
    at = (ms // 1000, ms % 1000 * 1000)
    return [
        InputEvent(*at, EV_MSC, MSC_SCAN, 0x70000 + code),
        InputEvent(*at, EV_KEY, code, value),
        InputEvent(*at, EV_SYN, SYN_REPORT, 0),
    ]
