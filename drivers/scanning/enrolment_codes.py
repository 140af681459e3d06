"""Whether a scanned code is one that enrols a register: it opens a way in, and is nobody's but this register's.

Owns telling it by its beginning, with the standard library alone, since the relay of a shared scanner asks. Never reads
one (`sync.enrolment` does).
"""

from __future__ import annotations

from typing import Final

from drivers.scanning.scan import Scan

PREFIX: Final = "tillside-enrol:"


def is_enrolment_code(scan: Scan) -> bool:
    return scan.text.startswith(PREFIX)
