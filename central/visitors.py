"""How much one visitor may ask where anybody can come: the join page, and the door that registers come in by.

Owns who a visitor is, and the counts of each. Keeps addresses in memory alone, and never tells one.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from sync.guesses import Guesses

# Visitors that are remembered; who was not seen for longest is forgotten first.
MAX_VISITORS: Final = 10_000
# Of IPv6 one customer has at least so much, and may use any address of it.
_IPV6_PREFIX: Final = 64


class Visitors:
    """The misses of each visitor. `monotonic_s` gives seconds."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._guesses: OrderedDict[str, Guesses] = OrderedDict()

    def guesses(self, visitor: str) -> Guesses:
        found = self._guesses.setdefault(visitor, Guesses(self._monotonic_s))
        self._guesses.move_to_end(visitor)
        if len(self._guesses) > MAX_VISITORS:
            self._guesses.popitem(last=False)
        return found


def visitor_of(peer: str, forwarded: Sequence[str]) -> str:
    """Who asks: `peer`, or where that is this machine the last of whom its proxy names in `X-Forwarded-For`."""
    if not _is_loopback(peer) or not forwarded:
        return _network(peer)
    return _network(forwarded[-1].rpartition(",")[2].strip())


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""  # all whom nobody can tell apart are one
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, _IPV6_PREFIX), strict=False))
