"""Codes of vouchers that a centre issues, one for each: their form, and what is kept of one.

Owns that form: twelve letters and digits that begin with V and are not taken for one another on paper, the last of
which checks the others. Nobody comes upon one by trying. What is kept of a code and travels is a digest of it, under
the key that a centre and its registers share: whoever reads a database cannot show a voucher. Never says what a voucher
brings.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

# Without 0, O, 1, I and U. Their number is a prime: a wrong character, or two that changed places, never check.
_CHARACTERS: Final = "23456789ABCDEFGHJKLMNPQRSTVWXYZ"
_MARK: Final = "V"
# 31^10, or 49 bits: with a million vouchers about, one guess in eight hundred million is right.
_RANDOM_CHARS: Final = 10
# Of randomness for one code: so many more than are needed that no code is likelier than another.
RANDOM_BYTES: Final = 16
_GROUP: Final = 4
_form = re.compile(f"{_MARK}[{_CHARACTERS}]{{{_RANDOM_CHARS + 1}}}").fullmatch


def made_code(randomness: Callable[[int], bytes]) -> str:
    """A new code, in normal form. `randomness` gives so many unguessable bytes."""
    number = int.from_bytes(randomness(RANDOM_BYTES))
    code = _MARK
    for _ in range(_RANDOM_CHARS):
        number, value = divmod(number, len(_CHARACTERS))
        code += _CHARACTERS[value]
    return code + _check_character(code)


def is_voucher_code(code: str) -> bool:
    """Whether a code, in normal form, may be one that a centre issued: its form and its last character are right."""
    return _form(code) is not None and code[-1] == _check_character(code[:-1])


def voucher_id(code: str, key: str) -> str:
    """What is kept of a code in normal form, 64 hexadecimal digits. `key` is the centre's key of codes."""
    return hmac.digest(bytes.fromhex(key), b"voucher\0" + code.encode(), "sha256").hex()


def stamp_card_id(member: str, reward: str) -> str:
    """The one voucher that stands for a member's full cards of stamps, which this reward costs. It has no code."""
    return hashlib.sha256(f"stamps\0{member}\0{reward}".encode()).hexdigest()


def printed_code(code: str) -> str:
    """As it is printed and read out: in groups of four."""
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


def _check_character(code: str) -> str:
    """Each value times its place, in sum, modulo the number of characters."""
    weighted = sum(place * _CHARACTERS.index(character) for place, character in enumerate(code, start=1))
    return _CHARACTERS[weighted % len(_CHARACTERS)]
