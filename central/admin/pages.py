"""The admin pages (a door, and nothing behind it yet)."""

from __future__ import annotations

from aiohttp import web

from central import operations
from central.clock import Clock
from central.db.database import Database
from central.devices import Randomness
from central.feed import Sequencer
from central.folder import Address


class AdminPages:
    def __init__(
        self,
        *,
        database: Database,
        sequencer: Sequencer,
        secret: bytes,
        brand: str,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._database = database
        self._clock = clock
        self._randomness = randomness
        self._at = Address(host="127.0.0.1", port=0)

    def application(self) -> web.Application:
        return web.Application()

    def bound_to(self, address: Address) -> None:
        self._at = address

    async def one_time_link(self) -> str:
        link = await self._database.write(
            lambda connection: operations.admin_link(connection, self._at, self._clock(), self._randomness)
        )
        return link.open
