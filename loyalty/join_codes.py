"""Codes by which a customer without a card joins on their own telephone: one for each sale that asks for it.

Owns their form: 24 letters and digits that begin with J and are not taken for one another. Fifteen name the sale, and
nobody comes upon them by trying; nine prove that a register of this chain made them, and at which of its stores, since
they follow from the others, from the store and from the key that a centre shares with its registers. So a centre knows
its own codes before it has heard of a sale, and a register makes them without a network. Never says who may join.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from typing import Final

from loyalty.pan import first_pan

# As of vouchers: without 0, O, 1, I and U.
_CHARACTERS: Final = "23456789ABCDEFGHJKLMNPQRSTVWXYZ"
_MARK: Final = "J"
# 31^14, or 69 bits: of a thousand million codes no two are the same, nor is one of them guessed.
_RANDOM_CHARS: Final = 14
# 31^9, or 44 bits: of codes that are made up, one in 26 million million passes for ours.
_PROOF_CHARS: Final = 9
# Of randomness for one code: so many more than are needed that no code is likelier than another.
RANDOM_BYTES: Final = 16
_GROUP: Final = 4
_form = re.compile(f"{_MARK}[{_CHARACTERS}]{{{_RANDOM_CHARS + _PROOF_CHARS}}}").fullmatch


def made_join_code(randomness: Callable[[int], bytes], key: str, store: str) -> str:
    """A new code of `store`, in normal form. `randomness` gives so many unguessable bytes; `key` is the centre's key
    of codes.
    """
    while True:
        begun = _MARK + _characters(int.from_bytes(randomness(RANDOM_BYTES)), _RANDOM_CHARS)
        code = begun + _proof(begun, key, store)
        if first_pan(code) is None:  # such a code would be kept nowhere
            return code


def is_join_code(code: str) -> bool:
    """Whether a code, in normal form, has the form of one. Only who has the key can say whether it is one."""
    return _form(code) is not None


def store_of(code: str, key: str, stores: Iterable[str]) -> str | None:
    """At which of these stores a code, in normal form, was made; None where it was at none of them.

    Takes the same time whichever it is.
    """
    if not is_join_code(code):
        return None
    begun, proof = code[:-_PROOF_CHARS], code[-_PROOF_CHARS:]
    found = None
    for store in stores:
        if hmac.compare_digest(proof, _proof(begun, key, store)):
            found = store
    return found


def shown_join_code(code: str) -> str:
    """As it is shown and typed: in groups of four."""
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


def _proof(begun: str, key: str, store: str) -> str:
    digest = hmac.digest(bytes.fromhex(key), f"join\0{begun}\0{store}".encode(), "sha256")
    return _characters(int.from_bytes(digest), _PROOF_CHARS)


def _characters(number: int, count: int) -> str:
    text = ""
    for _ in range(count):
        number, value = divmod(number, len(_CHARACTERS))
        text += _CHARACTERS[value]
    return text
