"""Codes that a chain makes itself: a letter for what they are for, and 23 letters and digits that are not taken for one
another.

Owns their form. Fourteen of the characters nobody comes upon by trying; nine prove that a machine of this chain made
them, and what about, since they follow from the others and from the key that a centre shares with its registers. Never
says what a code does.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Final

from loyalty.pan import first_pan

# As of vouchers: without 0, O, 1, I and U.
_CHARACTERS: Final = "23456789ABCDEFGHJKLMNPQRSTVWXYZ"
# 31^14, or 69 bits: of a thousand million codes no two are the same, nor is one of them guessed.
_RANDOM_CHARS: Final = 14
# 31^9, or 44 bits: of codes that are made up, one in 26 million million passes for ours.
_PROOF_CHARS: Final = 9
# Of randomness for one code: so many more than are needed that no code is likelier than another.
RANDOM_BYTES: Final = 16
_GROUP: Final = 4
_form = re.compile(f"[A-Z][{_CHARACTERS}]{{{_RANDOM_CHARS + _PROOF_CHARS}}}").fullmatch


def made_code(mark: str, randomness: Callable[[int], bytes], key: str, purpose: str, about: str) -> str:
    """A new code in normal form that begins with `mark`, and proves under `key` that it is for `purpose` and `about`.

    `randomness` gives so many unguessable bytes.
    """
    while True:
        begun = mark + _characters(int.from_bytes(randomness(RANDOM_BYTES)), _RANDOM_CHARS)
        code = begun + _proof(begun, key, purpose, about)
        if first_pan(code) is None:  # such a code would be kept nowhere
            return code


def is_made_code(mark: str, code: str) -> bool:
    """Whether a code, in normal form, has the form of those that begin with `mark`."""
    return code.startswith(mark) and _form(code) is not None


def is_proven(code: str, key: str, purpose: str, about: str) -> bool:
    """Whether a code of the form was made for this. Takes the same time whether it was or not."""
    begun, proof = code[:-_PROOF_CHARS], code[-_PROOF_CHARS:]
    return hmac.compare_digest(proof, _proof(begun, key, purpose, about))


def shown_code(code: str) -> str:
    """As it is shown and typed: in groups of four."""
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


def _proof(begun: str, key: str, purpose: str, about: str) -> str:
    digest = hmac.digest(bytes.fromhex(key), f"{purpose}\0{begun}\0{about}".encode(), "sha256")
    return _characters(int.from_bytes(digest), _PROOF_CHARS)


def _characters(number: int, count: int) -> str:
    text = ""
    for _ in range(count):
        number, value = divmod(number, len(_CHARACTERS))
        text += _CHARACTERS[value]
    return text
