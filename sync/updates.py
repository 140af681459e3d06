"""What register and centre tell one another of versions of the program; nothing is installed by it."""

from __future__ import annotations

from typing import Protocol

from sync.wire import GivenUp


class Updates(Protocol):
    """Whoever updates this register."""

    def given_up(self) -> tuple[GivenUp, ...]:
        """Releases that were tried here, or looked at, and are not tried again."""

    def wanted(self, version: str | None) -> None:
        """The centre wants this version here, or none in particular."""


class NoUpdates:
    """Of a program that was installed some other way."""

    def given_up(self) -> tuple[GivenUp, ...]:
        return ()

    def wanted(self, version: str | None) -> None:
        """Nothing can be done about it here."""
