"""A barcode scanner on a serial port (or its TCP twin), whatever its make.

Owns its port, framing and repeats from start to cancellation. Never looks a code up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

import structlog
from msgspec import Meta, Struct

from drivers.clock import Clock
from drivers.scanning.driver import DriverOptionsError, Emit, Ready, ScanEvent, typed_options
from drivers.scanning.framing import IDLE_MS, REMEDIES, ScanFrame, ScanFramer
from drivers.scanning.repeats import REPEAT_WITHIN_MS, RepeatFilter
from drivers.scanning.scan import Parse
from drivers.transport.port import Transport
from drivers.transport.serial import SerialLine, SerialTransport
from drivers.transport.tcp import TcpTransport

# Scans heard while the agent is still busy with one. Then the port's own buffer fills.
MAX_SCANS_AHEAD = 64

_log = structlog.get_logger(__name__)


class SerialScannerOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set for a scanner.

    `port` is a device path, a COM name or `tcp://host:port`. `suffix` is what the scanner sends after each code:
    absent, it may be CR, LF or TAB; empty, there is none and silence of `idle_ms` ends a code.
    """

    name: str = ""
    port: Annotated[str, Meta(min_length=1)]
    baud: Annotated[int, Meta(ge=300, le=4_000_000)] = 9600
    data_bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    prefix: Annotated[str, Meta(max_length=16)] = ""
    suffix: Annotated[str, Meta(max_length=16)] | None = None
    idle_ms: Annotated[int, Meta(ge=20, le=10_000)] = IDLE_MS
    repeat_ms: Annotated[int, Meta(ge=0, le=60_000)] = REPEAT_WITHIN_MS


class SerialScannerDriver:
    """The `ScannerDriver` of every scanner that sends its codes as bytes."""

    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        self._options = typed_options(SerialScannerOptions, options)
        self._clock = clock
        self._parse = parse
        self._reader = self._options.name or self._options.port
        self._transport = _transport(self._options)
        self._prefix = _as_bytes("prefix", self._options.prefix)
        self._suffix = None if self._options.suffix is None else _as_bytes("suffix", self._options.suffix)
        self._repeats = RepeatFilter(self._options.repeat_ms)

    async def run(self, emit: Emit, ready: Ready) -> None:
        heard: asyncio.Queue[ScanEvent | None] = asyncio.Queue(MAX_SCANS_AHEAD)
        await self._transport.open()
        # Listening goes on while `emit` works, so that each scan carries the time at which it was made.
        listening = asyncio.create_task(self._listen(heard), name=f"scanner {self._reader}")
        try:
            ready()
            while (event := await heard.get()) is not None:
                await emit(event)
            await listening
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await self._transport.close()

    async def _listen(self, heard: asyncio.Queue[ScanEvent | None]) -> None:
        """Put every scan into `heard`; None when the port fails, which is then raised."""
        framer = ScanFramer(prefix=self._prefix, suffix=self._suffix, idle_ms=self._options.idle_ms)
        dropped = 0
        try:
            while True:
                for frame in await self._next_frames(framer):
                    event = self._event(frame)
                    if not self._repeats.is_repeat(event.scan.text, self._reader, event.at):
                        await heard.put(event)
                if framer.dropped.total() > dropped:
                    dropped = framer.dropped.total()
                    self._report(framer)
        except Exception:
            await heard.put(None)
            raise

    async def _next_frames(self, framer: ScanFramer) -> list[ScanFrame]:
        try:
            async with asyncio.timeout(framer.idle_due_in_s(self._clock())):
                data = await self._transport.read()
        except TimeoutError:
            return framer.idle(self._clock())
        return framer.feed(data, self._clock())

    def _event(self, frame: ScanFrame) -> ScanEvent:
        return ScanEvent(scan=self._parse(frame.data), at=frame.at, reader=self._reader)

    def _report(self, framer: ScanFramer) -> None:
        for reason, times in framer.dropped.items():
            _log.warning("scan_dropped", reader=self._reader, reason=reason, times=times, remedy=REMEDIES[reason])


def _transport(options: SerialScannerOptions) -> Transport:
    if not options.port.startswith("tcp://"):
        line = SerialLine(
            baud=options.baud, data_bits=options.data_bits, parity=options.parity, stop_bits=options.stop_bits
        )
        return SerialTransport(options.port, line)
    address = urlsplit(options.port)
    try:
        host, port = address.hostname, address.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise DriverOptionsError("port", "write a TCP scanner as tcp://host:port")
    return TcpTransport(host, port)


def _as_bytes(key: str, text: str) -> bytes:
    try:
        return text.encode("iso-8859-1")
    except UnicodeEncodeError as error:
        raise DriverOptionsError(key, "a scanner sends single bytes: use characters up to \\u00ff") from error
