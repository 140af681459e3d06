"""What the package calls its parts: the same tree always gives the same names, so that a build can be repeated.

Owns identifiers of tables and GUIDs. An identifier follows from a path; a GUID from a path and the version, since no
part of one version is shared with another.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from typing import Final

# Chosen once; changing one makes Windows take the next package for another program, installed beside this one.
UPGRADE_CODE: Final = "7C1F0B5E-3A4D-4E0B-9C57-2B8D6F1E9A43"
_OURS: Final = uuid.UUID("4f5e1c0a-8f0e-4b8e-8f43-6d0f0c0e7a11")


def identifier(kind: str, path: str) -> str:
    """At most 72 letters, digits, `_` and `.`, which is what a table's key may be; `kind` tells files from folders."""
    return f"{kind}_{hashlib.sha256(path.encode()).hexdigest()[:24]}"


def guid(*parts: str) -> str:
    return str(uuid.uuid5(_OURS, "\n".join(parts))).upper()


def service_sid(name: str) -> str:
    """The SID of `NT SERVICE\\name`, which Windows makes of the name alone: S-1-5-80 and the SHA-1 of its capitals."""
    digest = hashlib.sha1(name.upper().encode("utf-16-le"), usedforsecurity=False).digest()
    return "S-1-5-80-" + "-".join(str(part) for part in struct.unpack("<5I", digest))


def product_version(version: str) -> str:
    """The version as Windows compares it, `major.minor.patch`. Raises ValueError where it does not fit there."""
    parts = version.split(".")
    most = (255, 255, 65535)
    if len(parts) != 3 or not all(
        part.isdigit() and int(part) <= limit for part, limit in zip(parts, most, strict=True)
    ):
        raise ValueError(f"{version}: an MSI is of a version MAJOR.MINOR.PATCH, of at most 255.255.65535")
    return version
