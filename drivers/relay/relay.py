"""Takes a printer's POS connections from its way in, one after the other or many at once, and carries each.

Owns how many there may be, and an end that lets begun jobs finish.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

from drivers.relay.clock import boot_id
from drivers.relay.connection import Connection, Surroundings
from drivers.relay.line import Arrival, Inlet
from drivers.relay.spool import Origin

# A POS has one or two connections. More than this and it forgets to close them.
MAX_CONNECTIONS: Final = 64
# After SIGTERM, for jobs that have begun.
FINISH_WITHIN_S: Final = 5.0
# A port that cannot be opened, or a system that has no connection left, is tried again so often.
TAKE_AGAIN_AFTER_S: Final = 0.5


class Relay:
    """Carries what arrives at an inlet until it is stopped."""

    def __init__(self, around: Surroundings, register: str) -> None:
        self._around = around
        self._register = register
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._taken = 0
        self._has_trouble = False

    async def serve(self, inlet: Inlet, stop: asyncio.Event) -> None:
        """Take connections until `stop` is set, then let the jobs that have begun finish. Closes `inlet`."""
        taking = asyncio.create_task(self._take_connections(inlet))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            taking.cancel()
            if not inlet.is_wire:  # whose connection goes through it
                await inlet.close()
            await self._finish()
            await inlet.close()
            self._around.unfinished.end()
        if not taking.cancelled() and taking.done():
            taking.result()

    async def _take_connections(self, inlet: Inlet) -> None:
        while True:
            try:
                arrival = await inlet.take()
            except OSError as error:
                self._cannot_take(inlet, error)
                await asyncio.sleep(TAKE_AGAIN_AFTER_S)
                continue
            self._can_take(inlet)
            if len(self._connections) < MAX_CONNECTIONS:
                self._begin(arrival, on_wire=inlet.is_wire)
                continue
            self._around.announcer.say(
                "error",
                "too_many_connections",
                f"{MAX_CONNECTIONS} POS connections are open and one more was refused: the POS does not close them",
            )
            arrival.line.reset()

    def _begin(self, arrival: Arrival, *, on_wire: bool) -> None:
        self._taken += 1
        origin = Origin(register=self._register, connection=f"{os.getpid()}-{self._taken}", boot=boot_id())
        connection = Connection(arrival, origin, self._around, on_wire=on_wire)
        task = asyncio.create_task(self._carry(connection))
        self._connections[task] = connection
        self._count()
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task)
        self._count()

    def _count(self) -> None:
        with self._around.status.changing() as figures:
            figures.connections = len(self._connections)

    async def _carry(self, connection: Connection) -> None:
        try:
            await connection.run()
        except Exception as error:  # noqa: BLE001  the next connection must find a relay
            self._around.announcer.say(
                "error", "connection_failed", f"one POS connection ended by a fault of the relay: {error!r}"
            )

    async def _finish(self) -> None:
        for connection in self._connections.values():
            connection.stop()
        if not self._connections:
            return
        _, unfinished = await asyncio.wait(self._connections, timeout=FINISH_WITHIN_S)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    def _cannot_take(self, inlet: Inlet, error: OSError) -> None:
        self._has_trouble = True
        reason = error.strerror or str(error)
        if inlet.is_wire:
            self._around.announcer.say(
                "error", "pos_away", f"the POS's port {inlet.name} is not there ({reason}); it is looked for"
            )
        else:
            self._around.announcer.say(
                "error", "cannot_accept", f"a POS connection could not be taken ({reason}); trying again"
            )

    def _can_take(self, inlet: Inlet) -> None:
        if self._has_trouble and inlet.is_wire:
            self._around.announcer.say("info", "pos_there", f"the POS's port {inlet.name} is there again")
        self._has_trouble = False
