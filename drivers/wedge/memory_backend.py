"""Scanners and a host in memory: the backend of simulations and tests, with the faults of real ones.

Owns the machine: its scanners, who has grabbed them, and what the POS, which is whoever else listens, hears.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Sequence
from typing import Final

from drivers.transport.port import PortBusyError, PortMissingError, PortUnpluggedError, TransportClosedError
from drivers.wedge.backend import INPUT_LIMIT_EVENTS, VirtualKeyboard, WedgeDevice, chosen
from drivers.wedge.events import DOWN, UP, CapsLight, DeviceEvent, EventsLost, KeyEvent
from drivers.wedge.nodes import NodeMerger

_ALL_KEYS: Final = frozenset(range(1, 128))


class MemoryMachine:
    """A host: the `WedgeBackend` of its scanners. `pos` is every key that the POS has heard."""

    def __init__(self) -> None:
        self.pos: list[KeyEvent] = []
        self.has_uinput = True
        self._scanners: list[MemoryScanner] = []
        self._numbers = 0

    def plug_in(self, name: str, *, nodes: int = 1, by_id: str = "", serial: str = "") -> MemoryScanner:
        """A new scanner with so many event nodes."""
        scanner = MemoryScanner(
            self, WedgeDevice(name=name, nodes=(), by_id=(by_id,) if by_id else (), uniq=serial), nodes
        )
        self._scanners.append(scanner)
        scanner.plug_in()
        return scanner

    async def devices(self) -> tuple[WedgeDevice, ...]:
        return tuple(each.device for each in self._scanners if each.is_plugged)

    async def open(self, device: str) -> OpenMemoryWedge:
        found = chosen(device, await self.devices())
        scanner = next(each for each in self._scanners if each.device == found)
        if not scanner.may_open:
            raise PortBusyError(f"This user may not read {found.name}.")
        return OpenMemoryWedge(scanner)

    async def virtual_keyboard(self, like: WedgeDevice) -> MemoryKeyboard:
        if not self.has_uinput:
            raise PortMissingError("This machine in memory has no uinput.")
        return MemoryKeyboard(self, like)

    def next_nodes(self, count: int) -> tuple[str, ...]:
        """Paths that no device has had yet."""
        self._numbers += count
        return tuple(f"/dev/input/event{number}" for number in range(self._numbers - count, self._numbers))


class MemoryScanner:
    """A scanner's end: it types, and can be unplugged, forbidden and overrun."""

    def __init__(self, machine: MemoryMachine, device: WedgeDevice, nodes: int) -> None:
        self.device = device
        self.is_plugged = False
        self.may_open = True
        self.grabbed_by: OpenMemoryWedge | None = None
        self.held: set[int] = set()
        self._machine = machine
        self._node_count = nodes
        self._listeners: list[OpenMemoryWedge] = []

    def type(self, events: Sequence[KeyEvent], *, nodes: Sequence[int] = (0,)) -> None:
        """Send `events`, from `nodes` in turn: (0, 1) sends each second one from the second node."""
        for number, event in enumerate(events):
            if event.value == DOWN:
                self.held.add(event.code)
            elif event.value == UP:
                self.held.discard(event.code)
            self._send(event, nodes[number % len(nodes)])
            if self.grabbed_by is None:
                self._machine.pos.append(event)

    def set_caps_light(self, *, on: bool, at_ns: int = 0) -> None:
        """The host switches the light, and tells all who listen."""
        self._send(CapsLight(on=on, at_ns=at_ns), 0)

    def lose_events(self, *, at_ns: int = 0) -> None:
        """The kernel drops events for all who listen, and says so."""
        self._send(EventsLost(held=frozenset(self.held), at_ns=at_ns), 0)

    def unplug(self) -> None:
        """Pull the cable: what has arrived can still be read."""
        self.is_plugged = False
        self.held.clear()
        self.grabbed_by = None
        for listener in self._listeners:
            listener.wake()

    def plug_in(self) -> None:
        """Plug it in, again: under other event numbers than before."""
        nodes = self._machine.next_nodes(self._node_count)
        before = self.device
        self.device = WedgeDevice(name=before.name, nodes=nodes, by_id=before.by_id, uniq=before.uniq, keys=_ALL_KEYS)
        self.is_plugged = True

    def join(self, listener: OpenMemoryWedge) -> None:
        self._listeners.append(listener)

    def leave(self, listener: OpenMemoryWedge) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
        if self.grabbed_by is listener:
            self.grabbed_by = None

    def _send(self, event: DeviceEvent, node: int) -> None:
        heard = self._listeners if self.grabbed_by is None else [self.grabbed_by]
        for listener in heard:
            listener.put(event, node)


class OpenMemoryWedge:
    """An open scanner in memory: an `OpenWedge`."""

    def __init__(self, scanner: MemoryScanner) -> None:
        self._scanner = scanner
        self._plugged_as = scanner.device
        self._nodes: list[deque[DeviceEvent]] = [deque() for _ in scanner.device.nodes]
        self._merger = NodeMerger([functools.partial(_emptied, node) for node in self._nodes])
        self._arrived = asyncio.Event()
        self._is_open = True
        scanner.join(self)

    @property
    def device(self) -> WedgeDevice:
        return self._plugged_as

    async def read(self) -> list[DeviceEvent]:
        while True:
            if not self._is_open:
                raise TransportClosedError(f"{self._plugged_as.name} is not open.")
            if events := self._merger.take():
                return events
            if not self._scanner.is_plugged or self._scanner.device != self._plugged_as:
                raise PortUnpluggedError(f"{self._plugged_as.name} was unplugged. Plug it in again.")
            self._arrived.clear()
            await self._arrived.wait()

    async def grab(self, into: VirtualKeyboard) -> None:
        if not into.is_open:
            raise TransportClosedError("Grabbing needs a virtual keyboard that is open.")
        if self._scanner.grabbed_by not in {None, self}:
            raise PortBusyError(f"{self._plugged_as.name} is grabbed by another program. Stop that program.")
        if self._scanner.held:
            raise PortBusyError(f"A key of {self._plugged_as.name} is held down. Let go of it.")
        self._scanner.grabbed_by = self

    async def close(self) -> None:
        self._is_open = False
        self._scanner.leave(self)
        self.wake()

    def put(self, event: DeviceEvent, node: int) -> None:
        """An event arrives; when nobody reads, the older ones go, as in the kernel."""
        waiting = self._nodes[node]
        if len(waiting) >= INPUT_LIMIT_EVENTS:
            waiting.clear()
            waiting.append(EventsLost(held=frozenset(self._scanner.held), at_ns=event.at_ns))
        else:
            waiting.append(event)
        self.wake()

    def wake(self) -> None:
        self._arrived.set()


class MemoryKeyboard:
    """A virtual keyboard of the machine in memory: what it types, the POS hears."""

    def __init__(self, machine: MemoryMachine, like: WedgeDevice) -> None:
        self.like = like
        self._machine = machine
        self._down: set[int] = set()
        self._is_open = True

    @property
    def is_open(self) -> bool:
        return self._is_open

    async def inject(self, events: Sequence[KeyEvent]) -> None:
        if not self._is_open:
            raise PortUnpluggedError("This virtual keyboard in memory is closed.")
        for event in events:
            self._type(event)

    async def close(self) -> None:
        self._is_open = False
        for code in sorted(self._down):
            self._type(KeyEvent(code=code, value=UP, at_ns=0))

    def _type(self, event: KeyEvent) -> None:
        if event.value == DOWN:
            self._down.add(event.code)
        elif event.value == UP:
            self._down.discard(event.code)
        self._machine.pos.append(event)


def _emptied(waiting: deque[DeviceEvent]) -> list[DeviceEvent]:
    events = list(waiting)
    waiting.clear()
    return events
