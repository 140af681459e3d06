"""A printer behind a queue of Windows's spooler, to which bytes go raw, past its driver.

Owns documents: the queue prints what is sent until a pause. The spooler gives no answers of the printer.

**Not yet run on Windows.** The calls of winspool.drv are written by Microsoft's documentation of OpenPrinter,
StartDocPrinter and WritePrinter, and tested against a stand-in; the rest of the relay runs on Linux.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

from drivers.relay.line import Line

# The spooler prints a document once it has ended. Longer than any pause that a POS makes within a receipt's bytes.
DOCUMENT_ENDS_AFTER_S: Final = 0.5


class Queue(Protocol):
    """One open queue. Every call may block on the spooler, and raises OSError."""

    def begin_document(self) -> None: ...

    def write(self, data: bytes) -> int:
        """How many of the bytes it has taken."""

    def end_document(self) -> None: ...

    def close(self) -> None: ...


OpenQueue = Callable[[str], Queue]


class SpoolerOutlet:
    """The queue `queue` of this machine's spooler. Its documents keep connections apart."""

    stays = False

    def __init__(self, queue: str, open_queue: OpenQueue | None = None) -> None:
        self._queue = queue
        self._open = open_queue or WinspoolQueue
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return f"spooler:{self._queue}"

    async def reach(self) -> Line:
        return SpoolerLine(await asyncio.to_thread(self._open, self._queue), self._end)

    async def close(self) -> None:
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self, ended: Coroutine[object, object, None]) -> None:
        """Nobody waits for the end of a line; it is seen to here."""
        task = asyncio.create_task(ended)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class SpoolerLine:
    """The `Line` of one POS connection to a queue. `end` sees to what is left to do when nobody waits for it."""

    def __init__(self, queue: Queue, end: Callable[[Coroutine[object, object, None]], None]) -> None:
        self._queue = queue
        self._end = end
        self._using = asyncio.Lock()
        self._in_document = False
        self._closed = False
        self._pause: asyncio.TimerHandle | None = None
        self._no_more = asyncio.Event()

    async def receive(self) -> bytes:
        await self._no_more.wait()
        return b""

    async def send(self, data: bytes) -> None:
        self._stop_pause()
        async with self._using:
            await asyncio.to_thread(self._write, data)
        loop = asyncio.get_running_loop()
        self._pause = loop.call_later(DOCUMENT_ENDS_AFTER_S, lambda: self._end(self._end_document()))

    def finish_sending(self) -> None:
        self._no_more.set()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._stop_pause()
            self._end(self._close_queue())

    def reset(self) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        if not self._in_document:
            self._queue.begin_document()
            self._in_document = True
        rest = memoryview(data)
        while rest:
            taken = self._queue.write(bytes(rest))
            if taken <= 0:
                raise OSError(errno.EIO, "the spooler takes no more bytes")
            rest = rest[taken:]

    async def _end_document(self) -> None:
        async with self._using:
            if self._in_document:
                self._in_document = False
                await asyncio.to_thread(self._queue.end_document)

    async def _close_queue(self) -> None:
        try:
            await self._end_document()
        finally:
            await asyncio.to_thread(self._queue.close)

    def _stop_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None


class _DocInfo(ctypes.Structure):
    """DOC_INFO_1W."""

    _fields_ = (("name", ctypes.c_wchar_p), ("output_file", ctypes.c_wchar_p), ("datatype", ctypes.c_wchar_p))


class WinspoolQueue:
    """A `Queue` of winspool.drv. Raises OSError with the system's words when there is no such queue."""

    def __init__(self, name: str) -> None:
        self._winspool = ctypes.WinDLL("winspool.drv", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
        self._handle = ctypes.c_void_p()
        self._check(self._winspool.OpenPrinterW(ctypes.c_wchar_p(name), ctypes.byref(self._handle), None))

    def begin_document(self) -> None:
        document = _DocInfo("Tillside receipt", None, "RAW")
        self._check(self._winspool.StartDocPrinterW(self._handle, 1, ctypes.byref(document)))
        self._check(self._winspool.StartPagePrinter(self._handle))

    def write(self, data: bytes) -> int:
        taken = ctypes.c_ulong(0)
        self._check(self._winspool.WritePrinter(self._handle, data, len(data), ctypes.byref(taken)))
        return taken.value

    def end_document(self) -> None:
        self._check(self._winspool.EndPagePrinter(self._handle))
        self._check(self._winspool.EndDocPrinter(self._handle))

    def close(self) -> None:
        self._winspool.ClosePrinter(self._handle)

    def _check(self, succeeded: int) -> None:
        if not succeeded:
            number = ctypes.get_last_error()  # type: ignore[attr-defined,unused-ignore]
            raise OSError(errno.EIO, ctypes.FormatError(number))  # type: ignore[attr-defined,unused-ignore]
