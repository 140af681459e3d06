"""The Acme wand, which sends each code as STX, its length, its text, and the exclusive or of the text's bytes."""

from collections import Counter
from functools import reduce
from operator import xor

from drivers.scanning.framing import REMEDIES, ScanFrame
from drivers.scanning.port_scanner import PortOptions, PortScannerDriver
from loyalty.instant import Instant

STX = b"\x02"
# The wand sends a code in one go, and is done in 30 ms.
SILENCE_NS = 300_000_000


class WandFramer:
    """Finds whole codes in what the wand sends, and skips what is none."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._pending = bytearray()
        self._last: Instant | None = None

    def feed(self, data: bytes, at: Instant) -> list[ScanFrame]:
        self.idle(at)
        self._pending += data
        self._last = at
        frames = []
        while (text := self._next()) is not None:
            frames.append(ScanFrame(data=text, at=at))
        return frames

    def idle(self, now: Instant) -> list[ScanFrame]:
        if self._last is not None and now.ns_since(self._last) >= SILENCE_NS:
            self.dropped["torn"] += bool(self._pending)
            self._pending.clear()
            self._last = None
        return []

    def idle_due_in_s(self, now: Instant) -> float | None:
        if self._last is None:
            return None
        return max(SILENCE_NS - now.ns_since(self._last), 0) / 1e9

    def _next(self) -> bytes | None:
        """The next whole code; None when more has to come."""
        while True:
            start = self._pending.find(STX)
            del self._pending[: start if start >= 0 else len(self._pending)]
            if len(self._pending) < 2 or len(self._pending) < 3 + self._pending[1]:
                return None
            end = 2 + self._pending[1]
            text, check = bytes(self._pending[2:end]), self._pending[end]
            if text and reduce(xor, text) == check:
                del self._pending[: end + 1]
                return text
            self.dropped["garbled"] += 1
            del self._pending[0]  # it was no beginning; there may be one behind it


class WandDriver(PortScannerDriver[PortOptions]):
    options_type = PortOptions
    remedies = REMEDIES | {
        "torn": "Keep the wand still until it beeps.",
        "garbled": "Set `baud` as on the wand, and check its cable.",
    }

    def framer(self) -> WandFramer:
        return WandFramer()
