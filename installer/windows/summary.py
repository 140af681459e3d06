"""The two times in an MSI that say when it was made: put to the commit's, so that a build can be repeated.

Owns the place of them: the property set "SummaryInformation" ([MS-OLEPS] 2.21), which lies in one piece in what
msitools writes; anything else is refused. Never changes another byte.
"""

from __future__ import annotations

import struct
from typing import Final

# FMTID_SummaryInformation, as it stands in the file.
_FORMAT: Final = bytes.fromhex("e0859ff2f94f6810ab9108002b27b3d9")
# PIDSI_CREATE_DTM and PIDSI_LASTSAVE_DTM; VT_FILETIME.
_TIMES: Final = {12, 13}
_FILETIME: Final = 64
# FILETIME counts tenths of microseconds from 1601 on.
_BEFORE_1970: Final = 116_444_736_000_000_000
_BEFORE_FORMAT: Final = 28


class NoSummaryError(ValueError):
    """The file has no summary where one is looked for: made by another tool than msitools."""


def timed(package: bytes, at: int) -> bytes:
    """The MSI `package` as if it was made `at` seconds after 1970. Raises NoSummaryError."""
    found = package.find(_FORMAT)
    if found < _BEFORE_FORMAT or package.find(_FORMAT, found + 1) >= 0:
        raise NoSummaryError("the MSI has not exactly one summary")
    changed = bytearray(package)
    section = found - _BEFORE_FORMAT + struct.unpack_from("<I", package, found + len(_FORMAT))[0]
    _, properties = struct.unpack_from("<II", package, section)
    seen = set()
    for index in range(properties):
        property_id, offset = struct.unpack_from("<II", package, section + 8 + 8 * index)
        if property_id not in _TIMES:
            continue
        if struct.unpack_from("<I", package, section + offset)[0] != _FILETIME:
            raise NoSummaryError("the MSI's summary does not lie in one piece")
        struct.pack_into("<Q", changed, section + offset + 4, at * 10_000_000 + _BEFORE_1970)
        seen.add(property_id)
    if seen != _TIMES:
        raise NoSummaryError("the MSI's summary does not say when it was made")
    return bytes(changed)
