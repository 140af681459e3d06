"""A network cable that can be pulled: a TCP forwarder between a register and the centre."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType

CHUNK_BYTES = 64 * 1024


class Cable:
    """Forwards TCP connections from a loopback port to `target`.

    While cut, standing connections are dropped and new ones are closed at once, as a pulled cable
    behind a switch looks from the register.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._plugged = True
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Cable:
        self._server = await asyncio.start_server(self._pass_through, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._passing, return_exceptions=True)

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the cable is not laid yet")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Pull the cable."""
        self._plugged = False
        for task in self._passing:
            task.cancel()

    def restore(self) -> None:
        """Put it back; who wants to talk connects again."""
        self._plugged = True

    async def _pass_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        onward: asyncio.StreamWriter | None = None
        if task is None:
            return
        self._passing.add(task)
        try:
            if not self._plugged:
                return
            answer, onward = await asyncio.open_connection(*self._target)
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(_pump(reader, onward))
                both_ways.create_task(_pump(answer, writer))
        except* (OSError, asyncio.CancelledError):
            pass  # either side hung up, or the cable was pulled
        finally:
            self._passing.discard(task)
            for end in (writer, onward):
                if end is not None:
                    end.transport.abort()
                    with contextlib.suppress(OSError):
                        await end.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
