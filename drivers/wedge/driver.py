"""A scanner that types what it reads, heard on Linux beside the POS: the driver `wedge`.

Owns its device, the repeats, and the scans that wait for the agent, from start to cancellation. Listens only: it
never grabs, so that the POS hears every key with or without us. Never looks a code up.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

import structlog
from msgspec import Meta, Struct

from drivers.clock import Clock
from drivers.scanning.composite import CompositeJoiner
from drivers.scanning.driver import DriverOptionsError, Emit, Ready, ScanEvent, typed_options
from drivers.scanning.repeats import REPEAT_WITHIN_MS, RepeatFilter
from drivers.scanning.scan import Parse, Scan
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

# Scans heard while the agent is still busy with one. Then keys wait with the operating system.
MAX_SCANS_AHEAD = 64

_REMEDIES: Mapping[str, str] = {
    **{str(reason): remedy for reason, remedy in REMEDIES.items()},
    "aim_missing": 'Let the scanner send AIM identifiers, or set aim = "optional".',
}
_log = structlog.get_logger(__name__)


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
    aim: Literal["optional", "required"] = "optional"
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
        self._parse = parse
        self._backend = backend or _machine()
        self._reader = self._options.name or self._options.device
        self._composer = _composer(self._options)
        self._repeats = RepeatFilter(self._options.repeat_ms)
        self._composites = CompositeJoiner()
        self._without_aim = 0
        self._reported: Counter[str] = Counter()

    async def run(self, emit: Emit, ready: Ready) -> None:
        heard: asyncio.Queue[ScanEvent | None] = asyncio.Queue(MAX_SCANS_AHEAD)
        device = await self._backend.open(self._options.device)
        # Listening goes on while `emit` works, so that keys do not pile up with the operating system.
        listening = asyncio.create_task(self._listen(device, heard), name=f"scanner {self._reader}")
        try:
            ready()
            while (event := await heard.get()) is not None:
                await emit(event)
            await listening
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await device.close()

    async def _listen(self, device: OpenWedge, heard: asyncio.Queue[ScanEvent | None]) -> None:
        """Put every scan into `heard`; None when the device fails, which is then raised."""
        try:
            while True:
                for code in await self._next_codes(device):
                    at = self._instant(code.at_ns)
                    if (scan := self._scan(code, at)) is not None:
                        await heard.put(ScanEvent(scan=scan, at=at, reader=self._reader, shared=True))
                self._report()
        except Exception:
            await heard.put(None)
            raise

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

    def _scan(self, code: ComposedCode, at: Instant) -> Scan | None:
        """The scan that a code is; None for what is no scan of its own."""
        alone = self._parse(code.text)
        if self._options.aim == "required" and not alone.aim:
            self._without_aim += 1
            return None
        scan = self._composites.joined(alone, self._reader, at)
        is_repeat = self._repeats.is_repeat(scan.text, self._reader, at, component=scan is not alone)
        return None if is_repeat else scan

    def _report(self) -> None:
        """Say once for each code that was dropped why it was. Never what it said."""
        dropped = Counter[str](self._composer.dropped)
        dropped["aim_missing"] += self._without_aim
        del dropped["typed"]  # that was asked for
        for reason in dropped - self._reported:
            _log.warning(
                "scan_dropped", reader=self._reader, reason=reason, times=dropped[reason], remedy=_REMEDIES[reason]
            )
        self._reported = dropped


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
