"""The port to the operating system's knowledge of who holds a device open.

Owns the protocol. Never opens or frees a device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that has a device open."""

    program: str
    pid: int

    def __str__(self) -> str:
        return f"{self.program} (process {self.pid})"


class OpenPort(Protocol):
    """A port that this process has open."""

    def fileno(self) -> int: ...


class Holders(Protocol):
    """What an operating system tells of the holders of a device. Total: what cannot be told is absent."""

    def of(self, path: str) -> tuple[Holder, ...]:
        """Other processes that have the device at `path` open, as far as this user may see them."""

    def claim(self, path: str, port: OpenPort) -> tuple[Holder, ...]:
        """Keep other programs from opening the device that `port` has open, unless some have it open already.

        Those are returned: they would get a part of what it sends.
        """

    def untold(self, path: str) -> str:
        """Why a holder may not be seen, and how to find it; one sentence."""
