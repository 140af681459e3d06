"""Composite symbols that a scanner sends as two messages: a linear code of goods, then what stands above it.

Owns joining the second message to the first, so that a lot or a date is goods, and no unknown card. The first one
is never held back. Sans-IO: the instant is passed in. Never reads a message (`scan` does).

Source: GS1 General Specifications sections 5.1.2 and 5.11 (the component of an EAN or UPC composite is a message
of its own under ]e0; GS1-128 and DataBar composites are one message).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `scan` joins two messages in one text by `with_linear`; the relay needs no instants
    from drivers.scanning.scan import Scan
    from loyalty.instant import Instant

# A scanner decodes both at once and sends one behind the other: 338 characters, the most that a component beside
# an EAN or UPC holds (CC-B), take 350 ms at 9600 baud. Nobody scans two things in this time.
COMPOSITE_WITHIN_MS = 500

_COMPONENTS = frozenset({"]e0", "]e1", "]e2", "]e3"})
# A message with one of these says itself what it is about: SSCC, GTIN, content, piece of a trade item.
_SUBJECTS = frozenset({"00", "01", "02", "8006"})
_GTIN_AI = "01"


def with_linear(scan: Scan, linear: Scan) -> Scan:
    """`scan` as what it says of the goods in `linear`; the same if it is no second message of a composite."""
    goods = linear.identifier
    if goods is None or goods.kind != "gtin" or scan.identifier is not None:
        return scan
    if scan.gs1 is None or not scan.gs1.keys().isdisjoint(_SUBJECTS) or scan.aim not in {*_COMPONENTS, ""}:
        return scan
    return replace(scan, gs1={_GTIN_AI: goods.code.zfill(14), **scan.gs1}, identifier=goods)


class CompositeJoiner:
    """Joins what each reader sends within `within_ms` of the message before. Remembers one scan of each reader."""

    def __init__(self, within_ms: int = COMPOSITE_WITHIN_MS) -> None:
        self._within_ns = within_ms * 1_000_000
        self._last: dict[str, tuple[Scan, Instant]] = {}

    def joined(self, scan: Scan, reader: str, at: Instant) -> Scan:
        """`scan`, or the same with the goods of the linear message just before it."""
        last = self._last.pop(reader, None)
        if last is not None and 0 <= at.ns_since(last[1]) <= self._within_ns:
            joined = with_linear(scan, last[0])
            if joined is not scan:
                return joined
        self._last[reader] = (scan, at)
        return scan
