"""A printer port made for a POS on this machine: a pseudo-terminal behind a link that keeps its name.

Owns when a POS's connection begins and ends there: with its opening and closing the port. The terminal and its link
are `pos_pty`'s.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final

from drivers.relay.line import Arrival
from drivers.relay.pos_pty import PosPty
from drivers.transport.port import PortMissingError, TransportError

# Asking whether a POS has opened a terminal costs microseconds.
LOOK_EVERY_S: Final = 0.02


class TerminalInlet:
    """A POS that prints to the terminal behind `link`. What it did not read of answers goes with its connection."""

    is_wire = True

    def __init__(self, link: Path, *, group: str | None = None) -> None:
        self._link = link
        self._pty = PosPty(link, group=group)
        self._is_free = asyncio.Event()
        self._is_free.set()

    @property
    def name(self) -> str:
        return f"pty:{self._link}"

    def start(self) -> None:
        self._pty.make()

    async def take(self) -> Arrival:
        await self._is_free.wait()
        await self._pty.close()
        while True:
            try:
                await self._pty.open()
                break
            except PortMissingError:
                await asyncio.sleep(LOOK_EVERY_S)
        self._is_free.clear()
        return Arrival(line=_TerminalLine(self._pty, self._is_free.set), pos=self.name)

    async def close(self) -> None:
        await self._pty.remove()


class _TerminalLine:
    """The `Line` of a POS that has the terminal open."""

    def __init__(self, pty: PosPty, give_back: Callable[[], None]) -> None:
        self._pty = pty
        self._give_back = give_back

    async def receive(self) -> bytes:
        try:
            return await self._pty.read()
        except TransportError:
            return b""

    async def send(self, data: bytes) -> None:
        try:
            await self._pty.write(data)
        except TransportError as error:
            raise OSError(errno.EPIPE, str(error)) from error

    def finish_sending(self) -> None:
        """The POS may print on."""

    def close(self) -> None:
        self._give_back()

    def reset(self) -> None:
        self._give_back()
