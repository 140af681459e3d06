"""What is wrong with a receipt in JSON, so that its sender can put it right: where it stands, and what may stand there.

Owns the words of a refusal. Never quotes more than a bounded part of what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

from drivers.receipts.given import GivenReceipt

if TYPE_CHECKING:
    from msgspec.inspect import Type

# A wrong value is quoted, however long it is.
MAX_QUOTED_LETTERS: Final = 200
# The longest list of the contract, the kinds of tenders, has eleven.
MAX_ALLOWED_NAMED: Final = 20

# How msgspec names the place at the end of a message, and a key that is not there.
_PLACE: Final = re.compile(r" - at `(\$[^`]{0,200})`\Z")
_MISSING: Final = re.compile(r"missing required field `(\w+)`")
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")


def refusal(error: Exception, number: int | None) -> str:
    """What `error` says of a receipt, its place, and the values that are allowed there where only some are.

    `number` is the receipt's among those of the document, from 1; None where it stands alone.
    """
    said, place = str(error), "$"
    found = _PLACE.search(said)
    if found is not None:
        said, place = said[: found.start()], found[1]
    missing = _MISSING.search(said)
    allowed = allowed_at(f"{place}.{missing[1]}" if missing is not None else place)
    if len(said) > MAX_QUOTED_LETTERS:
        said = f"{said[:MAX_QUOTED_LETTERS]}…"
    if found is not None:
        said += f" - at `{place}`"
    if number is not None:
        said = f"receipt {number}: {said}"
    if allowed:
        said += f"; allowed: {', '.join(allowed[:MAX_ALLOWED_NAMED])}"
    return f"{said}; correct it at the sender"


def allowed_at(place: str) -> tuple[str, ...]:
    """The values that may stand at a `place` such as `$.lines[0].kind`; none where any of a type may."""
    kinds = [_receipt()]
    for key, _ in _STEP.findall(place):
        kinds = [below for kind in kinds for below in _below(kind, key)]
    return tuple(str(value) for kind in kinds for value in getattr(kind, "values", ()))


@cache
def _receipt() -> Type:
    from msgspec.inspect import type_info  # noqa: PLC0415  100 ms

    return type_info(GivenReceipt)


def _below(kind: Type, key: str) -> Iterator[Type]:
    """The types of what stands under a `key` of an object, or, without one, in a list. A union's parts stand for it."""
    found = next((field.type for field in getattr(kind, "fields", ()) if field.encode_name == key), None)
    found = found if key else getattr(kind, "item_type", None)
    if found is not None:
        yield from getattr(found, "types", (found,))
