"""Secrets of a register, kept outside its database.

Owns the port, the names and lengths of the secrets, and the choice for this machine. Never writes a
secret to a log, an error or the database.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

# 32 bytes of AES-256 key, then 16 of salt: the salt outside the file keeps it readable without its header.
STORE_KEY = "store-key"
STORE_KEY_BYTES = 48
# An Ed25519 seed.
DEVICE_KEY = "device-key"
DEVICE_KEY_BYTES = 32


class SecretError(Exception):
    """A secret cannot be read or kept. The message names the file and the remedy, never the secret."""


class KeyKeeper(Protocol):
    """Keeps secrets where the operating system keeps them best."""

    def get_or_create(self, name: str, length: int) -> bytes:
        """The secret, made from the system's randomness and made durable the first time."""
        ...

    def find(self, name: str, length: int) -> bytes | None:
        """The secret, or None where it was never made."""
        ...

    def renew(self, name: str, length: int) -> bytes:
        """Another secret in its place, durable, in one step. Raises SecretError where it is not ours to change."""
        ...

    def forget(self, name: str) -> None:
        """Takes the secret away; one that is not there, or is the system's to take away, stays so. Raises OSError."""
        ...

    def where(self) -> str:
        """Where secrets are kept, in words for `status`."""
        ...


def keeper_for(folder: Path) -> KeyKeeper:
    """The keeper of this operating system; `folder` holds what it cannot keep itself."""
    if sys.platform == "win32":
        from sync.keys_windows import DpapiKeyKeeper  # noqa: PLC0415 - ctypes.windll exists there only

        return DpapiKeyKeeper(folder)
    from sync.keys_linux import LinuxKeyKeeper  # noqa: PLC0415 - fcntl and owners exist there only

    return LinuxKeyKeeper(folder)
