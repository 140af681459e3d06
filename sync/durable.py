"""Small files that a power cut must not lose: written beside, synced, renamed, the folder synced; or in place.

Owns that order. Never decides what is in a file or where it stands.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Puts `content` into `path`, mode 0600; a crash at any time leaves the old content or the new."""
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    beside.replace(path)
    sync_folder(path.parent)


def private_folder(folder: Path) -> None:
    """Makes `folder`, mode 0700, where it is not there. On Windows the folder above says who is let in: there mode 0700
    would close what an administrator's command made to the service's own account.
    """
    folder.mkdir(mode=0o700 if os.name == "posix" else 0o777, parents=True, exist_ok=True)


def overwrite(path: Path, offset: int, content: bytes) -> None:
    """Puts `content` over what stands at `offset` of a file that is there: one write to the disk, where
    `write_private` needs three. A crash leaves the old content, the new, or something of both.
    """
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        file.write(content)
        getattr(os, "fdatasync", os.fsync)(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes names that were given or taken in `folder` durable. Windows has no such call and keeps them itself."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
