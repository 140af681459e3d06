"""The codes in a capture, cut as the scanner's own settings cut them.

Owns feeding a capture to the framer or composer that its header describes, a scanner model's own too. Never parses a
code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil

from drivers.capture import BytesRead, CapsRead, Capture, CaptureError, KeyRead, Read
from drivers.clock import now
from drivers.registry import RegistryError, load_scanner
from drivers.scanning.driver import DriverOptionsError
from drivers.scanning.framing import IDLE_MS, Framer, ScanFrame, ScanFramer
from drivers.scanning.port_scanner import PortScannerDriver
from drivers.scanning.scan import parse_scan
from drivers.wedge.composer import IDLE_MS as WEDGE_IDLE_MS
from drivers.wedge.composer import ComposedCode, KeyComposer
from drivers.wedge.events import CapsLight, DeviceEvent, EventsLost, KeyEvent
from drivers.wedge.keymaps import LAYOUTS
from loyalty.instant import Instant

_NS_PER_MS = 1_000_000
_SERIAL = "serial"
_WEDGE_ENDS = ("none", "enter", "tab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What was sent for one code, and the ms at which it was over."""

    ms: int
    said: bytes | str


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedCodes:
    """All codes, and how many were dropped by reason."""

    codes: tuple[Code, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)


def codes_of(capture: Capture) -> CapturedCodes:
    """The codes that a capture holds. Raises CaptureError where its header's options cannot be used."""
    return _typed(capture) if capture.has_keys else _framed(capture)


def _framed(capture: Capture) -> CapturedCodes:
    framer = _framer(capture)
    frames: list[ScanFrame] = []
    last = 0
    for read in capture.reads:
        if isinstance(read, BytesRead):
            frames += _after_silence(capture, framer, last, until=read.ms)
            last = read.ms
            frames += framer.feed(read.data, _at(capture, last))
    frames += _after_silence(capture, framer, last)
    codes = tuple(Code(ms=frame.at.monotonic_ns // _NS_PER_MS, said=frame.data) for frame in frames)
    return CapturedCodes(codes=codes, dropped=+Counter(framer.dropped))


def _framer(capture: Capture) -> Framer:
    """The framer of the header's driver. A scanner model's own is where its package is installed."""
    header, options = capture.header, capture.header.options
    if header.driver != _SERIAL:
        try:
            driver = load_scanner(header.driver)
            if issubclass(driver, PortScannerDriver):
                return driver({"name": header.driver, **options}, now, parse_scan).framer()
        except (RegistryError, DriverOptionsError) as error:
            raise CaptureError(f"line 1: driver or options of its header cannot be used: {error}") from error
    suffix = options.get("suffix")
    return ScanFramer(
        prefix=str(options.get("prefix", "")).encode("latin-1", "replace"),
        suffix=None if suffix is None else str(suffix).encode("latin-1", "replace"),
        idle_ms=_idle_ms(capture, IDLE_MS),
    )


def _after_silence(capture: Capture, framer: Framer, last_ms: int, until: int | None = None) -> list[ScanFrame]:
    """What silence since `last_ms` ends, if it lasted `until` the next read; for ever without one."""
    due_s = framer.idle_due_in_s(_at(capture, last_ms))
    if due_s is None:
        return []
    over_ms = last_ms + ceil(due_s * 1000)
    return framer.idle(_at(capture, over_ms)) if until is None or over_ms <= until else []


def _typed(capture: Capture) -> CapturedCodes:
    options = capture.header.options
    layout, prefix, suffix = options.get("layout", "us"), options.get("prefix", "none"), options.get("suffix")
    if layout not in LAYOUTS or prefix not in _WEDGE_ENDS or suffix not in (None, *_WEDGE_ENDS):
        raise CaptureError("line 1: layout, prefix or suffix of the header's options is none that is known")
    idle_ms = _idle_ms(capture, WEDGE_IDLE_MS)
    composer = KeyComposer(str(layout), prefix=prefix, suffix=suffix, idle_ms=idle_ms)  # type: ignore[arg-type]
    composed: list[ComposedCode] = []
    last = 0
    for read in capture.reads:
        last = read.ms
        composed += composer.feed(_event(read))
    composed += composer.idle((last + idle_ms) * _NS_PER_MS)
    codes = tuple(Code(ms=code.at_ns // _NS_PER_MS, said=code.text) for code in composed)
    return CapturedCodes(codes=codes, dropped=Counter(composer.dropped))


def _idle_ms(capture: Capture, default: int) -> int:
    value = capture.header.options.get("idle_ms", default)
    return value if isinstance(value, int) and value > 0 else default


def _at(capture: Capture, ms: int) -> Instant:
    wall = capture.header.started_at + timedelta(milliseconds=ms)
    return Instant(wall=wall, boot="capture", monotonic_ns=ms * _NS_PER_MS)


def _event(read: Read) -> DeviceEvent:
    at_ns = read.ms * _NS_PER_MS
    if isinstance(read, KeyRead):
        return KeyEvent(code=read.code, value=read.value, at_ns=at_ns)
    if isinstance(read, CapsRead):
        return CapsLight(on=read.on, at_ns=at_ns)
    held = frozenset(() if isinstance(read, BytesRead) else read.held)
    return EventsLost(held=held, at_ns=at_ns)
