"""Codes by which a customer without a card joins on their own telephone: one for each sale that asks for it.

Begins with J, and its proof is of the store at which it was made (`loyalty.made_codes`). So a centre knows its own
codes before it has heard of a sale, and a register makes them without a network. Never says who may join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from loyalty.made_codes import is_made_code, is_proven, made_code

_MARK: Final = "J"
_PURPOSE: Final = "join"


def made_join_code(randomness: Callable[[int], bytes], key: str, store: str) -> str:
    """A new code of `store`, in normal form. `randomness` gives so many unguessable bytes; `key` is the centre's key
    of codes.
    """
    return made_code(_MARK, randomness, key, _PURPOSE, store)


def is_join_code(code: str) -> bool:
    """Whether a code, in normal form, has the form of one. Only who has the key can say whether it is one."""
    return is_made_code(_MARK, code)


def store_of(code: str, key: str, stores: Iterable[str]) -> str | None:
    """At which of these stores a code, in normal form, was made; None where it was at none of them.

    Takes the same time whichever it is.
    """
    if not is_join_code(code):
        return None
    found = None
    for store in stores:
        if is_proven(code, key, _PURPOSE, store):
            found = store
    return found
