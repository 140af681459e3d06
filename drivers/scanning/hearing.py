"""From codes heard to scans taken by the agent: what every scanner has in common, whatever its device.

Owns composites and repeats, the scans that wait for the agent, and saying why a code was dropped. Never opens a
device, never cuts codes, and never looks one up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import structlog

from drivers.scanning.composite import CompositeJoiner
from drivers.scanning.driver import Emit, ScanEvent
from drivers.scanning.repeats import RepeatFilter
from drivers.scanning.scan import Parse
from loyalty.instant import Instant

# Scans heard while the agent is still busy with one. Then what is below fills: a port's buffer, the kernel's.
MAX_SCANS_AHEAD = 64

AimOption = Literal["optional", "required"]
Put = Callable[[ScanEvent], Awaitable[None]]

_AIM_MISSING = {"aim_missing": 'Let the scanner send AIM identifiers, or set aim = "optional".'}
_log = structlog.get_logger(__name__)


class Hearing:
    """What one reader hears, during one run of its driver.

    With `aim` required, a code without an AIM identifier is dropped: its beginning was lost, as when the agent starts
    in the middle of it. `shared` where the POS hears the same. `remedies` say what to do about a code that was dropped,
    by reason.
    """

    def __init__(
        self,
        reader: str,
        parse: Parse,
        *,
        aim: AimOption,
        repeat_ms: int,
        remedies: Mapping[str, str],
        shared: bool = False,
    ) -> None:
        self._reader = reader
        self._parse = parse
        self._aim_required = aim == "required"
        self._shared = shared
        self._remedies = {**_AIM_MISSING, **remedies}
        self._composites = CompositeJoiner()
        self._repeats = RepeatFilter(repeat_ms)
        self._without_aim = 0
        self._reported: Counter[str] = Counter()

    async def run(self, listen: Callable[[Put], Awaitable[None]], emit: Emit) -> None:
        """Emit what `listen` puts, in order, until it raises or this is cancelled.

        Listening goes on while `emit` works, so that each scan carries the time at which it was made.
        """
        heard: asyncio.Queue[ScanEvent | None] = asyncio.Queue(MAX_SCANS_AHEAD)
        listening = asyncio.create_task(_until_it_fails(listen, heard), name=f"scanner {self._reader}")
        try:
            while (event := await heard.get()) is not None:
                await emit(event)
            await listening
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def event(self, code: bytes | str, at: Instant) -> ScanEvent | None:
        """The scan that a code is; None for one that is dropped, and for a repeat."""
        alone = self._parse(code)
        if self._aim_required and not alone.aim:
            self._without_aim += 1
            return None
        scan = self._composites.joined(alone, self._reader, at)
        if self._repeats.is_repeat(scan.text, self._reader, at, component=scan is not alone):
            return None
        return ScanEvent(scan=scan, at=at, reader=self._reader, shared=self._shared)

    def report(self, dropped: Mapping[str, int]) -> None:
        """Say once for each code that was dropped why it was, `dropped` being how many so far. Never what it said."""
        counts = Counter(dict(dropped))
        counts["aim_missing"] += self._without_aim
        for reason in counts - self._reported:
            remedy = self._remedies.get(reason, "See the description of this scanner's driver.")
            _log.warning("scan_dropped", reader=self._reader, reason=reason, times=counts[reason], remedy=remedy)
        self._reported = counts


async def _until_it_fails(listen: Callable[[Put], Awaitable[None]], heard: asyncio.Queue[ScanEvent | None]) -> None:
    """Put every scan into `heard`; None when the device fails, which is then raised."""
    try:
        await listen(heard.put)
    except Exception:
        await heard.put(None)
        raise
