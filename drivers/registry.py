"""Which drivers are installed, found through entry points; the built-in ones register no differently.

Owns the names of the groups and the import of a driver that was asked for. Never imports another one,
and never makes or runs a driver.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

if TYPE_CHECKING:  # finding a scanner loads nothing about receipts, and the other way round
    from drivers.receipts.port import ReceiptReader
    from drivers.scanning.driver import ScannerDriver

SCANNERS = "tillside.scanners"
READERS = "tillside.readers"


class RegistryError(Exception):
    """A driver cannot be had. The message says what to do about it."""


class UnknownDriverError(RegistryError):
    """No installed package registers that name."""


class AmbiguousDriverError(RegistryError):
    """Two installed packages register that name."""


class BrokenDriverError(RegistryError):
    """A driver is registered and cannot be imported."""


class LoadedReaders(Struct, frozen=True, kw_only=True):
    """Readers by name, in the order of their names, and what keeps the others away, also by name."""

    readers: dict[str, type[ReceiptReader]]
    broken: dict[str, RegistryError]


def installed(group: str) -> tuple[str, ...]:
    """Names registered in `group`, sorted; imports none of them."""
    return tuple(sorted({entry.name for entry in entry_points(group=group)}))


def load_scanner(name: str) -> type[ScannerDriver]:
    """The scanner driver registered as `name`. Raises RegistryError."""
    return cast("type[ScannerDriver]", _load(SCANNERS, name))


def load_readers() -> LoadedReaders:
    """Every receipt reader: finding out what a receipt is takes all of them. A broken one stops no other."""
    readers: dict[str, type[ReceiptReader]] = {}
    broken: dict[str, RegistryError] = {}
    for name in installed(READERS):
        try:
            readers[name] = _load(READERS, name)
        except RegistryError as error:
            broken[name] = error
    return LoadedReaders(readers=readers, broken=broken)


def _load(group: str, name: str) -> Any:
    entry = _entry(group, name)
    try:
        return entry.load()
    except Exception as error:  # a third party's module may fail in any way
        raise BrokenDriverError(
            f"The driver {name!r} of {_package(entry)} cannot be imported ({type(error).__name__}: {error}). "
            f"Install {_package(entry)} again, or a version of it made for this one."
        ) from error


def _entry(group: str, name: str) -> EntryPoint:
    entries = list(_distinct(group, name))
    if not entries:
        names = ", ".join(installed(group)) or "none"
        raise UnknownDriverError(
            f"No driver {name!r} is installed. Installed are: {names}. Correct the name, or install the "
            f"package that provides it (entry point group {group})."
        )
    if len(entries) > 1:
        packages = " and ".join(_package(entry) for entry in entries)
        raise AmbiguousDriverError(f"{packages} both provide a driver {name!r}. Uninstall one of them.")
    return entries[0]


def _distinct(group: str, name: str) -> Iterator[EntryPoint]:
    """Entry points that lead to different objects; one package can be on the path twice."""
    seen = set()
    for entry in entry_points(group=group, name=name):
        if entry.value not in seen:
            seen.add(entry.value)
            yield entry


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module
