"""What a change of templates would read otherwise on stored captures.

Owns the comparison: a receipt that read right before must read the same, with every fact. What did not read right
before may become anything. Never puts a template in force (`agent.templates` does).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from drivers.receipts.decode import decode
from drivers.receipts.port import DecodeOptions
from loyalty.receipt import Receipt

# What follows from the other facts, and may grow with them.
_DERIVED: Final = ("key", "also", "problems", "source")
# What says that a receipt was not read right; other problems are about what it does not print.
_WRONG: Final = "total_mismatch"


class StoredCapture(Struct, frozen=True, kw_only=True):
    """A printer dump or a text that was kept to try changes on."""

    name: str
    document: bytes


class Loss(Struct, frozen=True, kw_only=True):
    """The first receipt that would no longer read right: `fact` is where it differs, empty where it is gone."""

    capture: str
    number: str
    fact: str


def first_loss(captures: Iterable[StoredCapture], before: DecodeOptions, after: DecodeOptions) -> Loss | None:
    """What `after` reads worse than `before`; None where it loses nothing. Raises DecodeOptionsError."""
    for capture in captures:
        right = [receipt for receipt in decode(capture.document, before).receipts if not receipt.has_problem(_WRONG)]
        read = [_facts(receipt) for receipt in decode(capture.document, after).receipts] if right else []
        for receipt in right:
            fact = _lost(_facts(receipt), read)
            if fact is not None:
                return Loss(capture=capture.name, number=receipt.number or "", fact=fact)
    return None


def _facts(receipt: Receipt) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(receipt)
    return {name: value for name, value in facts.items() if name not in _DERIVED}


def _lost(facts: dict[str, Any], read: list[dict[str, Any]]) -> str | None:
    """Where the likest of what is read differs from `facts`; None where one holds them all."""
    differing = [_differs(facts, other) for other in read]
    if None in differing:
        return None
    same = [place for place, other in zip(differing, read, strict=True) if _is_about(facts, other)]
    return next((place for place in same if place is not None), "")


def _is_about(facts: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(facts.get(name) == other.get(name) for name in ("number", "total_minor"))


def _differs(known: object, seen: object, place: str = "") -> str | None:
    """The first place where `seen` lacks or changes what is `known`."""
    if isinstance(known, dict) and isinstance(seen, dict):
        places = (_differs(value, seen.get(name), f"{place}.{name}".lstrip(".")) for name, value in known.items())
        return next((found for found in places if found is not None), None)
    if isinstance(known, list) and isinstance(seen, list) and len(known) == len(seen):
        pairs = enumerate(zip(known, seen, strict=True), 1)
        places = (_differs(one, other, f"{place} {number}") for number, (one, other) in pairs)
        return next((found for found in places if found is not None), None)
    return None if known == seen else place
