"""Whether a scanned code is this register's alone: one that enrols it, or one that grants it points.

Owns telling them by their beginning, with the standard library alone, since the relay of a shared scanner asks before
the whole code is there. Never reads one.
"""

from __future__ import annotations

from typing import Final

from drivers.scanning.enrolment_codes import PREFIX as ENROLS
from drivers.scanning.enrolment_codes import is_enrolment_code
from drivers.scanning.grant_codes import PREFIX as GRANTS
from drivers.scanning.grant_codes import is_grant_code
from drivers.scanning.scan import Scan

_BEGINNINGS: Final = (ENROLS.encode(), GRANTS.encode())
# How the symbology identifier of a QR code begins, and how long it is.
_QR: Final = b"]Q"
_AIM_BYTES: Final = 3
# So many bytes of a code tell.
MAX_BEGINNING: Final = _AIM_BYTES + max(map(len, _BEGINNINGS))


def is_own_code(scan: Scan) -> bool:
    return is_enrolment_code(scan) or is_grant_code(scan)


def may_become_one(heard: bytes) -> bool:
    """Whether what was heard of a code so far could be the beginning of one, or is one."""
    code = heard[_AIM_BYTES:] if heard.startswith(_QR) else heard
    return _QR.startswith(heard) or any(code.startswith(one) or one.startswith(code) for one in _BEGINNINGS)
