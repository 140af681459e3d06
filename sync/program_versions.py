"""Versions of this program, as numbers to compare: `1.20.3`."""

from __future__ import annotations

PARTS = 3
MAX_DIGITS = 6


def version_key(version: str) -> tuple[int, ...]:
    """The numbers of a version. Raises ValueError for what is none."""
    parts = version.split(".")
    if len(parts) != PARTS or not all(part.isascii() and part.isdigit() and len(part) <= MAX_DIGITS for part in parts):
        raise ValueError(f"{version!r} is no version: three numbers, as in 1.20.3")
    return tuple(map(int, parts))


def newer(version: str, than: str) -> bool:
    """Whether `version` follows `than`. Raises ValueError for what is no version."""
    return version_key(version) > version_key(than)
