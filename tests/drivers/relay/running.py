"""A relay in the tests' own process, with real sockets, ports and a real spool."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from drivers.relay.announce import Announcer
from drivers.relay.clock import system_clock
from drivers.relay.connection import Surroundings
from drivers.relay.keeper import JobKeeper
from drivers.relay.line import Inlet, Outlet
from drivers.relay.relay import Relay
from drivers.relay.spool import SpoolWriter
from drivers.relay.status import Facts, Status
from drivers.relay.tcp import Endpoint, TcpInlet, TcpOutlet, listen
from drivers.relay.unfinished import Unfinished

WAIT_S = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Returns once `condition` holds. Raises TimeoutError."""
    async with asyncio.timeout(WAIT_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


def endpoint(address: str) -> Endpoint:
    host, _, port = address.rpartition(":")
    return Endpoint(host=host, port=int(port))


class Running:
    """A relay in this process, with real sockets and a real spool."""

    def __init__(self, address: str, folder: Path, stop: asyncio.Event) -> None:
        self.address = address
        self.folder = folder
        self.stop = stop
        self.ended = asyncio.Event()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = endpoint(self.address)
        return await asyncio.open_connection(address.host, address.port)

    def jobs(self) -> list[SpooledJob]:
        return SpoolReader(self.folder).read_after(SpoolPosition())

    def texts(self) -> list[bytes]:
        return [job.payload for job in self.jobs()]

    async def spools(self, count: int) -> list[bytes]:
        """Payloads, once `count` jobs are kept."""
        reader = SpoolReader(self.folder)
        async with asyncio.timeout(WAIT_S):
            while len(jobs := reader.read_after(SpoolPosition())) < count:
                await reader.changed()
        reader.close()
        return [job.payload for job in jobs]


@asynccontextmanager
async def relaying(
    printer: Outlet | str,
    folder: Path,
    *,
    inlet: Inlet | None = None,
    sync: Callable[[int], None] = os.fdatasync,
    idle_ms: int = 60_000,
    hold_ms: int = 20_000,
) -> AsyncIterator[Running]:
    inlet = inlet or TcpInlet("any", partial(listen, Endpoint(host="127.0.0.1", port=0)))
    outlet = TcpOutlet(endpoint(printer)) if isinstance(printer, str) else printer
    inlet.start()
    address = inlet.name
    status = Status(
        folder, Facts(pid=1, listen=address, printer=outlet.name, register="3", started_at=system_clock().wall)
    )
    announcer = Announcer(as_json=True)
    keeper = JobKeeper(writer=SpoolWriter(folder, cap_bytes=100_000_000, sync=sync), status=status, announcer=announcer)
    keeper.start()
    around = Surroundings(
        printer=outlet,
        unfinished=Unfinished(keeper.keep, system_clock),
        idle_ms=idle_ms,
        hold_ms=hold_ms,
        keeper=keeper,
        status=status,
        announcer=announcer,
        clock=system_clock,
    )
    running = Running(address, folder, asyncio.Event())
    serving = asyncio.create_task(Relay(around, "3").serve(inlet, running.stop))
    serving.add_done_callback(lambda _: running.ended.set())
    try:
        yield running
    finally:
        running.stop.set()
        await serving
        await outlet.close()
        keeper.close(WAIT_S)
