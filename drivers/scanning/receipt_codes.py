"""Whether a scanned code stands on a fiscal receipt: those of Serbia and Croatia, by their addresses.

Owns telling them apart from what else is scanned, with the standard library alone, since the relay of a shared scanner
asks. Never reads one (`drivers.receipts.fiscal_qr` does). A Slovenian code says no amount, so nothing comes of it.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.scanning.scan import Scan

_ADDRESS: Final = re.compile(
    r"https?://(?:suf\.purs\.gov\.rs(?::443)?/v|(?:www\.)?porezna\.gov\.hr(?::443)?/rn)/?\?", re.IGNORECASE
).match


def names_receipt(scan: Scan) -> bool:
    """Whether `scan` is the code of a fiscal receipt, and nobody's by the rules of the shop."""
    return scan.identifier is None and _ADDRESS(scan.text) is not None
