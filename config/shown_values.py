"""How a setting's value is shown to people: whole, cut where it is long, and never with a password.

Owns which settings may hold one, in an address.
"""

from __future__ import annotations

import re
from typing import Any, Final

# What may hold a password, in an address.
ADDRESSES: Final = frozenset(("proxy", "database"))
MAX_SHOWN_CHARACTERS: Final = 80
_NO_ADDRESS: Final = ("env:", "credential:")
_HOST_OR_WORD: Final = re.compile(r"[\w.:-]*")


def shown(key: str, value: Any) -> Any:
    """The value of a setting that is named `key`, without a password."""
    return without_password(value) if key in ADDRESSES and isinstance(value, str) else value


def quoted(key: str, value: Any) -> str:
    """The same for a sentence."""
    text = repr(shown(key, value))
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def without_password(address: str) -> str:
    """Of an address that names a user, the host alone; the URL of a database may hold a password anywhere.

    Where an `@` comes behind a `?`, nobody can tell whether that is the password's: nothing of it is shown.
    """
    if address.startswith(_NO_ADDRESS):
        return address
    kind, separator, rest = address.rpartition("://") if address.count("://") == 1 else ("", "", address)
    before, _, behind = rest.partition("?")
    if "@" in behind:
        return f"{kind}{separator}…"
    host = before.rpartition("@")[2]
    if not separator and not _HOST_OR_WORD.fullmatch(host):
        return "…"
    return f"{kind}{separator}…@{host}" if "@" in before else f"{kind}{separator}{host}"
