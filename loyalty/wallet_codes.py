"""Codes that stand for a card on a telephone: what somebody leaves with who joined there.

Begins with W, and its proof says what may be done with it (`loyalty.made_codes`): a new member's is as good as a card.
Who joined with a telephone number or address that was a member's already gets one that earns for that member and spends
nothing, since whoever knows a number can do that; nobody but who has the key can tell the two apart. Never says whose a
code is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from loyalty.made_codes import is_made_code, is_proven, made_code

_MARK: Final = "W"
_PURPOSE: Final = "wallet"
_SPENDS: Final = "spends"
_EARNS: Final = "earns"


def made_wallet_code(randomness: Callable[[int], bytes], key: str, *, spends: bool) -> str:
    """A new code, in normal form. `key` is the centre's key of codes."""
    return made_code(_MARK, randomness, key, _PURPOSE, _SPENDS if spends else _EARNS)


def only_earns(code: str, key: str | None) -> bool:
    """Whether nothing is spent by a code, in normal form: of one that looks like ours also where `key` is not known."""
    return is_made_code(_MARK, code) and (key is None or is_proven(code, key, _PURPOSE, _EARNS))
