"""Linux's input devices through python-evdev: reading, grabbing, and a virtual keyboard through uinput.

Owns the file descriptors, and the kernel's clock, losses and grabs as the port describes them. Never decides what is
read or passed on. python-evdev is imported at the first open, so that who only lists devices does not pay for it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from drivers.transport.port import (
    PortBusyError,
    PortMissingError,
    PortUnpluggedError,
    TransportClosedError,
    TransportError,
)
from drivers.wedge.backend import INPUT_LIMIT_EVENTS, VIRTUAL_PHYS, VirtualKeyboard, WedgeDevice, chosen
from drivers.wedge.events import CapsLight, DeviceEvent, EventsLost, KeyEvent
from drivers.wedge.input_devices import input_devices
from drivers.wedge.nodes import NodeMerger

# The kernel keeps 64 events for each listener of a keyboard, and a key with its report takes two: a burst of more
# would make a busy desktop lose keys. So many at once, then a pause in which it reads them.
BURST_KEYS: Final = 24
BURST_PAUSE_S: Final = 0.001
# A desktop needs this long to take up a new keyboard; what is typed before is heard by nobody.
SETTLE_S: Final = 1.0
# A key that is down when a device is grabbed would stay down for everybody else: wait for its release.
GRAB_WITHIN_S: Final = 2.0
GRAB_AGAIN_AFTER_S: Final = 0.005

# From Linux's input.h, input-event-codes.h and uinput.h.
_EV_SYN, _EV_KEY, _EV_LED = 0x00, 0x01, 0x11
_SYN_REPORT, _SYN_DROPPED, _LED_CAPSL = 0, 3, 1
_FIRST_BUTTON: Final = 0x100
_EVIOCSCLOCKID: Final = 0x400445A0
_BUS_USB: Final = 0x03
_MAX_NAME_CHARS: Final = 79
_UINPUT: Final = "/dev/uinput"


def use_monotonic_clock(fd: int) -> None:
    """Let the kernel stamp the events of `fd` with CLOCK_MONOTONIC. Raises OSError."""
    fcntl.ioctl(fd, _EVIOCSCLOCKID, struct.pack("i", time.CLOCK_MONOTONIC))


class EvdevBackend:
    """The `WedgeBackend` of Linux. The arguments are the outside's: python-evdev, sysfs and one ioctl."""

    def __init__(
        self,
        *,
        evdev: Any = None,
        devices: Callable[[], tuple[WedgeDevice, ...]] = input_devices,
        set_clock: Callable[[int], None] = use_monotonic_clock,
        settle_s: float = SETTLE_S,
        grab_within_s: float = GRAB_WITHIN_S,
    ) -> None:
        self._evdev = evdev
        self._devices = devices
        self._set_clock = set_clock
        self._settle_s = settle_s
        self._grab_within_s = grab_within_s

    async def devices(self) -> tuple[WedgeDevice, ...]:
        return await asyncio.to_thread(self._devices)

    async def open(self, device: str) -> OpenEvdevWedge:
        found = chosen(device, await self.devices())
        inputs = await asyncio.to_thread(self._open_nodes, found)
        return OpenEvdevWedge(found, inputs, self._grab_within_s)

    async def virtual_keyboard(self, like: WedgeDevice) -> EvdevKeyboard:
        uinput = await asyncio.to_thread(self._make_keyboard, like)
        await asyncio.sleep(self._settle_s)
        return EvdevKeyboard(uinput)

    def _module(self) -> Any:
        if self._evdev is None:
            import evdev  # noqa: PLC0415  25 ms, and Linux only

            self._evdev = evdev
        return self._evdev

    def _open_nodes(self, device: WedgeDevice) -> list[Any]:
        inputs: list[Any] = []
        try:
            for path in device.nodes:
                inputs.append(self._module().InputDevice(path, readonly=True))
                self._set_clock(inputs[-1].fd)
        except OSError as error:
            for each in inputs:
                each.close()
            raise _open_error(device, error) from error
        return inputs

    def _make_keyboard(self, like: WedgeDevice) -> Any:
        evdev = self._module()
        try:
            return evdev.UInput(
                {_EV_KEY: sorted(code for code in like.keys if code < _FIRST_BUTTON)},
                # Rules of the desktop that go by name or number, such as a layout of its own, hold for it too.
                name=f"{like.name} (Tillside)"[:_MAX_NAME_CHARS],
                vendor=like.vid or 1,
                product=like.pid or 1,
                bustype=_BUS_USB,
                phys=VIRTUAL_PHYS,
            )
        except (evdev.UInputError, OSError) as error:
            if not Path(_UINPUT).exists():
                raise PortMissingError(f"{_UINPUT} is not there. Load it with `modprobe uinput`.") from error
            raise PortBusyError(
                f"This user may not use {_UINPUT}. Give it the right with the udev rule for uinput in docs/wedges.md."
            ) from error


class OpenEvdevWedge:
    """An open device: an `OpenWedge`. Made on the event loop that reads it."""

    def __init__(self, device: WedgeDevice, inputs: Sequence[Any], grab_within_s: float) -> None:
        self._device = device
        self._inputs = list(inputs)
        self._grab_within_s = grab_within_s
        self._loop = asyncio.get_running_loop()
        self._nodes = [_Node(each, self._held) for each in inputs]
        self._merger = NodeMerger([each.read for each in self._nodes])
        self._events = self._beginning()
        self._arrived = asyncio.Event()
        self._is_open = True
        self._is_listening = False
        self._listen()

    @property
    def device(self) -> WedgeDevice:
        return self._device

    async def read(self) -> list[DeviceEvent]:
        while True:
            if not self._is_open:
                raise TransportClosedError(f"{self._device.name} is not open.")
            if self._events:
                events, self._events = self._events, []
                self._listen()
                return events
            if self._has_gone():
                raise self._unplugged()
            self._arrived.clear()
            await self._arrived.wait()

    async def grab(self, into: VirtualKeyboard) -> None:
        if not into.is_open:
            raise TransportClosedError("Grabbing needs a virtual keyboard that is open.")
        until = self._loop.time() + self._grab_within_s
        while not self._grab_at_rest():
            if self._loop.time() >= until:
                raise PortBusyError(f"A key of {self._device.name} is held down. Let go of it, or plug it in again.")
            await asyncio.sleep(GRAB_AGAIN_AFTER_S)

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._stop_listening()
            for each in self._inputs:
                each.close()  # which lets go of it, too
            self._arrived.set()

    def _beginning(self) -> list[DeviceEvent]:
        """How the device stands: a key that is down belongs to a code whose beginning nobody heard."""
        now_ns = time.monotonic_ns()
        try:
            caps = any(_LED_CAPSL in each.leds() for each in self._inputs)
        except OSError:  # gone already; the first read says so
            caps = False
        events: list[DeviceEvent] = [CapsLight(on=caps, at_ns=now_ns)]
        if held := self._held():
            events.append(EventsLost(held=held, at_ns=now_ns))
        return events

    def _held(self) -> frozenset[int]:
        try:
            return frozenset(code for each in self._inputs for code in each.active_keys())
        except OSError:
            return frozenset()

    def _grab_at_rest(self) -> bool:
        """Grab all nodes at a moment without a key down; whether that was now."""
        if self._held():
            return False
        grabbed: list[Any] = []
        try:
            for each in self._inputs:
                each.grab()
                grabbed.append(each)
        except OSError as error:
            _let_go(grabbed)
            raise self._grab_error(error) from error
        if not self._held():
            return True
        _let_go(grabbed)
        return False

    def _grab_error(self, error: OSError) -> TransportError:
        if error.errno != errno.EBUSY:
            return self._unplugged()
        return PortBusyError(
            f"{self._device.name} is grabbed by another program, maybe another relay. Stop that program."
        )

    def _unplugged(self) -> PortUnpluggedError:
        return PortUnpluggedError(f"{self._device.name} was unplugged or switched off. Plug it in again.")

    def _has_gone(self) -> bool:
        return any(each.has_gone for each in self._nodes)

    # Reading

    def _listen(self) -> None:
        if not self._is_listening and not self._has_gone():
            self._is_listening = True
            for each in self._inputs:
                self._loop.add_reader(each.fd, self._readable)

    def _stop_listening(self) -> None:
        if self._is_listening:
            self._is_listening = False
            for each in self._inputs:
                self._loop.remove_reader(each.fd)

    def _readable(self) -> None:
        self._events += self._merger.take()
        if len(self._events) >= INPUT_LIMIT_EVENTS or self._has_gone():
            self._stop_listening()
        self._arrived.set()


class EvdevKeyboard:
    """A virtual keyboard through uinput: a `VirtualKeyboard`."""

    def __init__(self, uinput: Any) -> None:
        self._uinput = uinput
        self._is_open = True
        self._in_turn = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._is_open

    async def inject(self, events: Sequence[KeyEvent]) -> None:
        async with self._in_turn:
            for start in range(0, len(events), BURST_KEYS):
                if start:
                    await asyncio.sleep(BURST_PAUSE_S)
                self._write(events[start : start + BURST_KEYS])

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._uinput.close()

    def _write(self, events: Sequence[KeyEvent]) -> None:
        if not self._is_open:
            raise PortUnpluggedError("The virtual keyboard was closed.")
        try:
            for event in events:
                self._uinput.write(_EV_KEY, event.code, event.value)
                self._uinput.syn()
        except OSError as error:
            raise PortUnpluggedError("The virtual keyboard has gone. Start again.") from error


class _Node:
    """One event node: the kernel's events as ours."""

    def __init__(self, device: Any, held: Callable[[], frozenset[int]]) -> None:
        self.has_gone = False
        self._device = device
        self._held = held
        self._dropped = False

    def read(self) -> list[DeviceEvent]:
        events: list[DeviceEvent] = []
        try:
            while batch := list(self._device.read()):
                events += [event for raw in batch if (event := self._event(raw)) is not None]
        except BlockingIOError:  # that was all
            return events
        except OSError:
            self.has_gone = True
        return events

    def _event(self, raw: Any) -> DeviceEvent | None:
        at_ns = raw.sec * 1_000_000_000 + raw.usec * 1000
        if raw.type == _EV_SYN and raw.code == _SYN_DROPPED:
            self._dropped = True
        elif self._dropped:  # the kernel's rule: what comes before the next report is a torn one
            if raw.type == _EV_SYN and raw.code == _SYN_REPORT:
                self._dropped = False
                return EventsLost(held=self._held(), at_ns=at_ns)
        elif raw.type == _EV_KEY:
            return KeyEvent(code=raw.code, value=raw.value, at_ns=at_ns)
        elif raw.type == _EV_LED and raw.code == _LED_CAPSL:
            return CapsLight(on=bool(raw.value), at_ns=at_ns)
        return None


def _let_go(grabbed: Sequence[Any]) -> None:
    for each in grabbed:
        try:
            each.ungrab()
        except OSError:  # gone meanwhile, and with it the grab
            continue


def _open_error(device: WedgeDevice, error: OSError) -> TransportError:
    if isinstance(error, PermissionError):
        return PortBusyError(
            f"This user may not read {device.name} ({device.nodes[0]}). Give it the right with the udev rule in "
            "docs/wedges.md, or add it to the group input: `usermod -aG input USER`."
        )
    return PortMissingError(f"{device.name} ({device.nodes[0]}) went while it was opened. Plug it in again.")
