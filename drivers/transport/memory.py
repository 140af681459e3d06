"""Two ends of a wire in memory: the transport of simulations and tests, with the faults of a real one.

Owns the wire. Its time is the event loop's, so under virtual time a delay takes none.
"""

from __future__ import annotations

import asyncio
from collections import deque

from drivers.transport.port import (
    INPUT_LIMIT_BYTES,
    PortBusyError,
    PortMissingError,
    PortUnpluggedError,
    TransportClosedError,
)


def memory_pair(*, delay_s: float = 0.0, split_bytes: int | None = None) -> tuple[MemoryTransport, MemoryTransport]:
    """The two ends of a new wire: what one writes, the other reads.

    Bytes arrive `delay_s` after they were written; a read returns at most `split_bytes` (None: all there is).
    What is written while the other end is closed waits for it.
    """
    wire = _Wire()
    forth, back = _Lane(delay_s, split_bytes), _Lane(delay_s, split_bytes)
    return MemoryTransport(wire, reads=back, writes=forth), MemoryTransport(wire, reads=forth, writes=back)


class MemoryTransport:
    """One end of a wire: a `Transport` that can also be pulled out and plugged in again."""

    def __init__(self, wire: _Wire, *, reads: _Lane, writes: _Lane) -> None:
        self._wire = wire
        self._reads = reads
        self._writes = writes
        self._is_open = False
        wire.lanes += [reads]

    async def open(self) -> None:
        if not self._wire.plugged:
            raise PortMissingError("The wire in memory is unplugged.")
        if self._is_open:
            raise PortBusyError("This end of the wire in memory is open already.")
        self._is_open = True

    async def read(self) -> bytes:
        while True:
            self._refuse_closed()
            if data := self._reads.take():
                return data
            if not self._wire.plugged:
                raise PortUnpluggedError("The wire in memory was unplugged.")
            await self._reads.wait_for_arrival()

    async def write(self, data: bytes) -> None:
        while True:
            self._refuse_closed()
            if not self._wire.plugged:
                raise PortUnpluggedError("The wire in memory was unplugged.")
            if self._writes.size < INPUT_LIMIT_BYTES:
                return self._writes.put(data)
            await self._writes.wait_for_room()

    async def close(self) -> None:
        self._is_open = False
        self._reads.wake()
        self._writes.wake()

    def unplug(self) -> None:
        """Pull the wire: what has arrived can still be read, what is under way is lost, then both ends fail."""
        self._wire.plugged = False
        for lane in self._wire.lanes:
            lane.lose_under_way()
            lane.wake()

    def plug_in(self) -> None:
        """Both ends can be opened again."""
        self._wire.plugged = True

    def _refuse_closed(self) -> None:
        if not self._is_open:
            raise TransportClosedError("This end of the wire in memory is not open.")


class _Wire:
    def __init__(self) -> None:
        self.plugged = True
        self.lanes: list[_Lane] = []


class _Lane:
    """One direction: what was written and not yet read, each part with the loop time at which it arrives."""

    def __init__(self, delay_s: float, split_bytes: int | None) -> None:
        self.size = 0
        self._delay_s = delay_s
        self._split_bytes = split_bytes
        self._parts: deque[tuple[float, bytes]] = deque()
        self._written = asyncio.Event()
        self._taken = asyncio.Event()

    def put(self, data: bytes) -> None:
        if data:
            self._parts.append((_now() + self._delay_s, data))
            self.size += len(data)
            self._written.set()

    def take(self) -> bytes:
        """What has arrived, as much as one read may return."""
        arrived = bytearray()
        now = _now()
        limit = self._split_bytes or INPUT_LIMIT_BYTES
        while self._parts and self._parts[0][0] <= now and len(arrived) < limit:
            due, data = self._parts.popleft()
            room = limit - len(arrived)
            arrived += data[:room]
            if data[room:]:
                self._parts.appendleft((due, data[room:]))
        self.size -= len(arrived)
        self._taken.set()
        return bytes(arrived)

    def lose_under_way(self) -> None:
        now = _now()
        self._parts = deque(part for part in self._parts if part[0] <= now)
        self.size = sum(len(data) for _, data in self._parts)

    def wake(self) -> None:
        self._written.set()
        self._taken.set()

    async def wait_for_arrival(self) -> None:
        self._written.clear()
        try:
            async with asyncio.timeout_at(self._parts[0][0] if self._parts else None):
                await self._written.wait()
        except TimeoutError:
            return

    async def wait_for_room(self) -> None:
        self._taken.clear()
        await self._taken.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
