"""A barcode scanner on a serial port (or its TCP twin), whatever its make: prefix, code, suffix.

Owns what may be set for it. All else is `port_scanner`'s.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from drivers.scanning.driver import DriverOptionsError
from drivers.scanning.framing import IDLE_MS, ScanFramer
from drivers.scanning.port_scanner import PortOptions, PortScannerDriver


class SerialScannerOptions(PortOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set for a scanner.

    `suffix` is what the scanner sends after each code: absent, it may be CR, LF or TAB; empty, there is none and
    silence of `idle_ms` ends a code.
    """

    prefix: Annotated[str, Meta(max_length=16)] = ""
    suffix: Annotated[str, Meta(max_length=16)] | None = None
    idle_ms: Annotated[int, Meta(ge=20, le=10_000)] = IDLE_MS


class SerialScannerDriver(PortScannerDriver[SerialScannerOptions]):
    """The `ScannerDriver` of every scanner that sends its codes as bytes."""

    options_type = SerialScannerOptions

    def framer(self) -> ScanFramer:
        suffix = self.options.suffix
        return ScanFramer(
            prefix=_as_bytes("prefix", self.options.prefix),
            suffix=None if suffix is None else _as_bytes("suffix", suffix),
            idle_ms=self.options.idle_ms,
        )


def _as_bytes(key: str, text: str) -> bytes:
    try:
        return text.encode("iso-8859-1")
    except UnicodeEncodeError as error:
        raise DriverOptionsError(key, "a scanner sends single bytes: use characters up to \\u00ff") from error
