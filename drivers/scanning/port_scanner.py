"""What every scanner has in common that sends its codes as bytes over a port.

Owns the port, from start to cancellation. A model says only where its codes begin and end (`framer`) and what may
be set (`options_type`). Never looks a code up.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Generic, Literal, TypeVar

from msgspec import Meta, Struct

from drivers.clock import Clock
from drivers.scanning.driver import DriverOptionsError, Emit, Ready, typed_options
from drivers.scanning.framing import REMEDIES, Framer, ScanFrame
from drivers.scanning.hearing import AimOption, Hearing, Put
from drivers.scanning.repeats import REPEAT_WITHIN_MS
from drivers.scanning.scan import Parse
from drivers.transport.port import Transport
from drivers.transport.ports import PortNameError, transport_for
from drivers.transport.serial import SerialLine


class PortOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set for every scanner on a port.

    `port` is written as `drivers.transport.ports` reads it. With `aim` required, a code without an AIM identifier
    is dropped: its beginning was lost, as when the agent starts in the middle of it.
    """

    name: str = ""
    port: Annotated[str, Meta(min_length=1)]
    baud: Annotated[int, Meta(ge=300, le=4_000_000)] = 9600
    data_bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    aim: AimOption = "optional"
    repeat_ms: Annotated[int, Meta(ge=0, le=60_000)] = REPEAT_WITHIN_MS


OptionsOf = TypeVar("OptionsOf", bound=PortOptions)


class PortScannerDriver(ABC, Generic[OptionsOf]):
    """A `ScannerDriver` without the framing of a model.

    A model sets `options_type` and defines `framer`; where its framer drops codes for reasons of its own, it adds
    to `remedies` what to do about each.
    """

    options_type: type[OptionsOf]
    remedies: Mapping[str, str] = REMEDIES

    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        self.options = typed_options(self.options_type, options)
        self._clock = clock
        self._transport = self.transport()
        self._framer = self.framer()
        self._hearing = Hearing(
            self.options.name or self.options.port,
            parse,
            aim=self.options.aim,
            repeat_ms=self.options.repeat_ms,
            remedies=self.remedies,
        )
        self._last_read = clock()

    @abstractmethod
    def framer(self) -> Framer:
        """A new framer, by `options`. Raises DriverOptionsError."""

    def transport(self) -> Transport:
        """The transport to the scanner, not open yet. Raises DriverOptionsError."""
        options = self.options
        line = SerialLine(
            baud=options.baud, data_bits=options.data_bits, parity=options.parity, stop_bits=options.stop_bits
        )
        try:
            return transport_for(options.port, line)
        except PortNameError as error:
            raise DriverOptionsError("port", str(error)) from error

    async def run(self, emit: Emit, ready: Ready) -> None:
        await self._transport.open()
        try:
            ready()
            await self._hearing.run(self._listen, emit)
        finally:
            await self._transport.close()

    async def _listen(self, put: Put) -> None:
        while True:
            for frame in await self._next_frames():
                if (event := self._hearing.event(frame.data, frame.at)) is not None:
                    await put(event)
            self._hearing.report(self._framer.dropped)

    async def _next_frames(self) -> list[ScanFrame]:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        due_s = self._framer.idle_due_in_s(self._clock())
        try:
            async with asyncio.timeout(due_s):
                data = await self._transport.read()
        except TimeoutError:
            return await self._frames_when_due()
        if due_s is None or loop.time() - began_s < due_s:
            self._last_read = self._clock()
        return self._framer.feed(data, self._last_read)

    async def _frames_when_due(self) -> list[ScanFrame]:
        """What is there although silence should be over came while nobody looked: the agent was busy, or stopped.

        So it goes with what came last. Its beginning dropped for silence, the rest would be another's code.
        """
        try:
            async with asyncio.timeout(0):
                data = await self._transport.read()
        except TimeoutError:
            return self._framer.idle(self._clock())
        return self._framer.feed(data, self._last_read)
