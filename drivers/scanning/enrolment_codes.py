"""Whether a scanned code is one that enrols a register: it opens a way in, and is nobody's but this register's.

Owns telling it by its beginning, with the standard library alone, since the relay of a shared scanner asks before the
whole code is there. Never reads one (`sync.enrolment` does).
"""

from __future__ import annotations

from typing import Final

from drivers.scanning.scan import Scan

PREFIX: Final = "tillside-enrol:"
_BYTES: Final = PREFIX.encode()
# How the symbology identifier of a QR code begins, and how long it is.
_QR: Final = b"]Q"
_AIM_BYTES: Final = 3
# So many bytes of a code tell.
MAX_BEGINNING: Final = _AIM_BYTES + len(PREFIX)


def is_enrolment_code(scan: Scan) -> bool:
    return scan.text.startswith(PREFIX)


def may_become_one(heard: bytes) -> bool:
    """Whether what was heard of a code so far could be the beginning of one, or is one."""
    code = heard[_AIM_BYTES:] if heard.startswith(_QR) else heard
    return code.startswith(_BYTES) or _BYTES.startswith(code) or _QR.startswith(heard)
