"""Records what a scanner sends, with times and without payment cards, into a capture file.

Owns the clock of a capture and the order of masking and writing. The format is `drivers.capture`'s. Never writes
what has not passed a masker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from agent.doctor.diagnose import SerialSetting
from agent.doctor.listening import Chunk, Ear
from drivers.capture import (
    MAX_CAPTURE_BYTES,
    MAX_READ_BYTES,
    MAX_READS,
    BytesRead,
    CapsRead,
    Header,
    KeyRead,
    LostRead,
    Read,
    harmless_options,
    header_line,
    read_line,
)
from drivers.capture_masking import ByteMasker, KeyMasker
from drivers.wedge.events import CapsLight, DeviceEvent, KeyEvent
from loyalty.pan import Own, nobodys

# What was masked is written this often while nothing comes.
LOOK_EVERY_S = 0.25

Write = Callable[[bytes], object]


class Recording:
    """One capture of one scanner; `reads` are written so far."""

    def __init__(self, ear: Ear, write: Write, *, own: Own = nobodys) -> None:
        self.reads = 0
        self._ear = ear
        self._write = write
        self._began_ns = 0
        self._ms = 0
        self._bytes = 0
        setting = ear.setting
        if isinstance(setting, SerialSetting):
            suffix = (setting.suffix or "").encode("latin-1")
            # Without a suffix, silence stands between two codes.
            self._masker: ByteMasker | KeyMasker = ByteMasker(
                prefix=setting.prefix.encode("latin-1"), suffix=suffix, quiet_ms=setting.idle_ms, own=own
            )
        else:
            self._masker = KeyMasker(own=own)

    async def run(self, seconds: float | None = None) -> None:
        """Record for that long, or until cancelled; then all that is left is written. Raises TransportError."""
        header = Header(
            kind="scanner",
            driver=self._ear.driver,
            options=harmless_options(self._ear.options),
            started_at=datetime.now(UTC),
        )
        self._write(header_line(header))
        self._began_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(seconds):
                while not self._is_full:
                    await self._step()
        except TimeoutError:
            return
        finally:
            self._keep(self._masker.end())

    @property
    def _is_full(self) -> bool:
        return self.reads >= MAX_READS or self._bytes >= MAX_CAPTURE_BYTES - 2 * MAX_READ_BYTES

    async def _step(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                chunks = await self._ear.read()
        except TimeoutError:
            self._keep(self._masker.until(self._ms_at(time.monotonic_ns())))
            return
        for chunk in chunks:
            self._keep(self._masker.heard(self._read(chunk)))

    def _read(self, chunk: Chunk) -> Read:
        # Nodes of one device may overtake one another, and events may have waited before the capture began.
        self._ms = max(self._ms, self._ms_at(chunk.at_ns))
        return (
            BytesRead(ms=self._ms, data=chunk.said) if isinstance(chunk.said, bytes) else read_of(chunk.said, self._ms)
        )

    def _ms_at(self, at_ns: int) -> int:
        return (at_ns - self._began_ns) // 1_000_000

    def _keep(self, reads: list[Read]) -> None:
        for read in reads:
            line = read_line(read)
            self._write(line)
            self._bytes += len(line)
            self.reads += 1


def read_of(event: DeviceEvent, ms: int) -> Read:
    """An event of a keyboard device as a capture has it."""
    if isinstance(event, KeyEvent):
        return KeyRead(ms=ms, code=event.code, value=event.value)
    if isinstance(event, CapsLight):
        return CapsRead(ms=ms, on=event.on)
    return LostRead(ms=ms, held=tuple(sorted(event.held)))
