"""Whether a scanned code is what a centre granted by a member's telephone: it is nobody's but this register's.

Owns telling it by its beginning, with the standard library alone, since the relay of a shared scanner asks. Never reads
one (`sync.phone_codes` does).
"""

from __future__ import annotations

from typing import Final

from drivers.scanning.scan import Scan

# The hyphen and the colon are other keys on most keyboards: a code that was read by the wrong layout is none.
PREFIX: Final = "TILLSIDE-GRANT:"


def is_grant_code(scan: Scan) -> bool:
    return scan.text.startswith(PREFIX)
