"""A scanner that types what it reads, heard on Linux beside the POS: the driver `wedge`.

Owns its device, from start to cancellation. Listens only: it never grabs, so that the POS hears every key with or
without us. Never looks a code up.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from drivers.clock import Clock
from drivers.scanning.driver import DriverOptionsError, Emit, Ready, typed_options
from drivers.scanning.hearing import AimOption, Hearing, Put
from drivers.scanning.repeats import REPEAT_WITHIN_MS
from drivers.scanning.scan import Parse
from drivers.wedge.backend import OpenWedge, WedgeBackend, WedgeNameError, check_name
from drivers.wedge.composer import (
    IDLE_MS,
    REMEDIES,
    TYPED_CHARS,
    TYPED_GAP_MS,
    ComposedCode,
    KeyComposer,
    Prefix,
    Suffix,
)
from drivers.wedge.keymaps import LayoutName
from loyalty.instant import Instant


class WedgeOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set for a keyboard wedge.

    `device` is written as `drivers.wedge.backend` reads it. `layout` is the keyboard that the scanner is set to.
    `suffix` absent ends a code at ENTER or TAB. With `typed` "ignore", what a person types on the same device is no
    scan. With `aim` required, a code without an AIM identifier is dropped.
    """

    name: str = ""
    device: Annotated[str, Meta(min_length=1)]
    layout: LayoutName = "us"
    prefix: Prefix = "none"
    suffix: Suffix | None = None
    idle_ms: Annotated[int, Meta(ge=20, le=10_000)] = IDLE_MS
    typed: Literal["keep", "ignore"] = "keep"
    aim: AimOption = "optional"
    repeat_ms: Annotated[int, Meta(ge=0, le=60_000)] = REPEAT_WITHIN_MS


class WedgeDriver:
    """The `ScannerDriver` of keyboard wedges. Without a `backend` it is this machine's."""

    def __init__(
        self, options: Mapping[str, object], clock: Clock, parse: Parse, *, backend: WedgeBackend | None = None
    ) -> None:
        self._options = typed_options(WedgeOptions, options)
        try:
            check_name(self._options.device)
        except WedgeNameError as error:
            raise DriverOptionsError("device", str(error)) from error
        self._clock = clock
        self._backend = backend or _machine()
        self._composer = _composer(self._options)
        self._hearing = Hearing(
            self._options.name or self._options.device,
            parse,
            aim=self._options.aim,
            repeat_ms=self._options.repeat_ms,
            remedies={str(reason): remedy for reason, remedy in REMEDIES.items()},
            shared=True,
        )

    async def run(self, emit: Emit, ready: Ready) -> None:
        device = await self._backend.open(self._options.device)
        try:
            ready()
            await self._hearing.run(lambda put: self._listen(device, put), emit)
        finally:
            await device.close()

    async def _listen(self, device: OpenWedge, put: Put) -> None:
        while True:
            for code in await self._next_codes(device):
                if (event := self._hearing.event(code.text, self._instant(code.at_ns))) is not None:
                    await put(event)
            asked_for = {"typed"}
            self._hearing.report({why: times for why, times in self._composer.dropped.items() if why not in asked_for})

    async def _next_codes(self, device: OpenWedge) -> list[ComposedCode]:
        # When the time has come, what arrived while the event loop was busy is looked at first: it has its own times.
        for wait_s in (self._composer.idle_due_in_s(self._clock().monotonic_ns), 0):
            try:
                async with asyncio.timeout(wait_s):
                    events = await device.read()
            except TimeoutError:
                continue
            return [code for event in events for code in self._composer.feed(event)]
        return self._composer.idle(self._clock().monotonic_ns)

    def _instant(self, at_ns: int) -> Instant:
        """The instant of a key that the kernel stamped `at_ns`."""
        now = self._clock()
        ago_ns = now.monotonic_ns - at_ns
        return Instant(wall=now.wall - timedelta(microseconds=ago_ns // 1000), boot=now.boot, monotonic_ns=at_ns)


def _composer(options: WedgeOptions) -> KeyComposer:
    ignores_typing = options.typed == "ignore"
    return KeyComposer(
        options.layout,
        prefix=options.prefix,
        suffix=options.suffix,
        idle_ms=options.idle_ms,
        gap_ms=TYPED_GAP_MS if ignores_typing else None,
        min_chars=TYPED_CHARS if ignores_typing else 1,
    )


def _machine() -> WedgeBackend:
    if sys.platform != "linux":
        raise DriverOptionsError(
            "driver", "keyboard wedges are read on Linux only: let the scanner work as a serial port (USB-CDC)"
        )
    from drivers.wedge.evdev_backend import EvdevBackend  # noqa: PLC0415  Linux only

    return EvdevBackend()
