"""A TCP proxy between two sides that delays, cuts, doubles and truncates what passes, or refuses at all.

Owns faults below the protocol: it reads nothing of what it carries, so TLS passes through it as it is.
Which fault meets which connection is the caller's choice, so a seeded test can be replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

# One read; small, so that a fault at a byte position falls inside an exchange.
PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one connection. Positions count the bytes of one direction, from its start.

    `refuse` resets it at once; `silent` takes everything and answers nothing. `delay_s` passes before each
    piece. Beyond a `cut_…_after` position no byte of that direction passes and both sides are reset.
    `double_…_at` sends the piece that holds this byte twice.
    """

    refuse: bool = False
    silent: bool = False
    delay_s: float = 0.0
    cut_request_after: int | None = None
    cut_answer_after: int | None = None
    double_request_at: int | None = None
    double_answer_at: int | None = None


FINE = Fault()
REFUSED = Fault(refuse=True)
SILENT = Fault(silent=True)


class FaultyProxy:
    """Listens on a free port of `host` and carries connections to `target_host:target_port`.

    `fault_of` is asked with the number of each connection, from 0.
    """

    def __init__(
        self,
        target_host: str,
        target_port: int,
        fault_of: Callable[[int], Fault] = lambda _: FINE,
        *,
        host: str = "127.0.0.1",
    ) -> None:
        self._target = target_host, target_port
        self._host = host
        self._fault_of = fault_of
        self._server: asyncio.Server | None = None
        self._standing: dict[asyncio.Task[None], _Line] = {}
        self._down = False
        self.connections = 0
        self.port = 0

    async def __aenter__(self) -> FaultyProxy:
        self._server = await asyncio.start_server(self._accept, self._host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()
        await self._server.wait_closed()

    async def take_down(self) -> None:
        """The network is gone: standing connections are reset and new ones refused."""
        self._down = True
        await self.cut()

    def bring_up(self) -> None:
        """The network is back."""
        self._down = False

    def fall_silent(self) -> None:
        """Nothing passes any more on connections that stand, either way; they stay open. New ones are fine."""
        for line in self._standing.values():
            line.silent = True

    def half_close(self) -> None:
        """The far side of every connection that stands says that it is done (FIN), and goes on listening."""
        for line in self._standing.values():
            line.silent = True
            line.writer.write_eof()

    async def cut(self) -> None:
        """Resets every connection that stands."""
        standing = tuple(self._standing)
        for task in standing:
            task.cancel()
        await asyncio.gather(*standing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = REFUSED if self._down else self._fault_of(self.connections)
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        line = self._standing[task] = _Line(writer)
        try:
            await self._carry(fault, reader, line)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            del self._standing[task]
            _reset(writer)

    async def _carry(self, fault: Fault, reader: asyncio.StreamReader, line: _Line) -> None:
        if fault.refuse:
            return
        if fault.silent:
            while await reader.read(PIECE_BYTES):
                pass
            return
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        directions = [
            _Direction(line, reader, far_writer, fault.delay_s, fault.cut_request_after, fault.double_request_at),
            _Direction(line, far_reader, line.writer, fault.delay_s, fault.cut_answer_after, fault.double_answer_at),
        ]
        tasks = [asyncio.ensure_future(direction.run()) for direction in directions]
        try:
            # One side that has said everything leaves the other its turn; a cut ends both.
            for done in asyncio.as_completed(tasks):
                if not await done:
                    break
        finally:
            _reset(far_writer)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class _Line:
    """One connection that stands: its near side, and whether what comes in goes nowhere from now on."""

    writer: asyncio.StreamWriter
    silent: bool = False


@dataclass(slots=True)
class _Direction:
    line: _Line
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    delay_s: float
    cut_after: int | None
    double_at: int | None

    async def run(self) -> bool:
        """True at the end of what there was to carry, False where it was cut."""
        passed = 0
        while piece := await self.reader.read(PIECE_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.line.silent:
                continue
            if self.cut_after is not None and passed + len(piece) > self.cut_after:
                self.writer.write(piece[: self.cut_after - passed])
                await self.writer.drain()
                return False
            self.writer.write(piece)
            if self.double_at is not None and passed <= self.double_at < passed + len(piece):
                self.writer.write(piece)
            await self.writer.drain()
            passed += len(piece)
        if not self.line.silent:
            self.writer.write_eof()
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes at once; what is still in the buffers is lost, as on a cable that was pulled."""
    writer.transport.abort()
