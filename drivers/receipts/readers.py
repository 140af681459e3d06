"""The readers that are installed: made once, and what is wrong with those that do not work.

Owns that a reader which fails stops no other, and that it is logged. Never reads a receipt.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Final

import msgspec

from drivers.receipts.port import ReceiptReader
from drivers.registry import load_readers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Readers by name. `broken` says of the others what is wrong with them."""

    working: Mapping[str, ReceiptReader]
    broken: Mapping[str, str]


def is_ours(reader: ReceiptReader) -> bool:
    """Whether a reader is the project's own, and not a third party's."""
    return type(reader).__module__.startswith("drivers.")


# Sources decode in threads of their own, and a reader that is made makes msgspec look at its types: where two threads
# do so at once the interpreter crashes (msgspec 0.22).
_LOADING: Final = Lock()


def installed() -> Readers:
    """The readers of this installation, loaded at the first call."""
    with _LOADING:
        return _loaded()


@cache
def _loaded() -> Readers:
    loaded = load_readers()
    working: dict[str, ReceiptReader] = {}
    broken = {name: str(error) for name, error in loaded.broken.items()}
    for name, error in loaded.broken.items():
        _say_broken(name, type(error.__cause__ or error).__name__)
    for name, reader in loaded.readers.items():
        try:
            working[name] = reader()
        except Exception as error:  # noqa: BLE001 - a third party's reader may fail in any way and stops no other
            broken[name] = failed(name, error)
    return Readers(working=working, broken=broken)


def failed(name: str, error: Exception) -> str:
    """What is wrong with a reader that raised `error`, for the operator. It is logged as well."""
    _say_broken(name, type(error).__name__)
    return f"The reader {name!r} failed ({type(error).__name__}). Update or uninstall the package it came with."


@cache
def _say_broken(reader: str, error: str) -> None:
    """Once for each reader and kind of error: it fails at every receipt.

    Through the standard library, which writes to standard error and costs `tillside decode` nothing.
    """
    log.warning(msgspec.json.encode({"event": "reader_broken", "reader": reader, "error": error}).decode())
