"""Sales of which nothing is told but that they keep a code, since too many codes that nobody has were tried.

Owns which codes of sales count as tried, and of which sales nothing of a member is told for the while. What a sale is
worth, and whose it is, is never changed by it: the register knows, and who asks is told once that may be. Never knows
HTTP.
"""

from __future__ import annotations

from typing import Final, Protocol

from agent.sale_shapes import SaleRefusedError
from loyalty.receipt import MemberReference
from sync.guesses import Guesses
from sync.store.spending_rows import MAX_ENDED_SALES, MAX_OPEN_SALES
from sync.store.store import Store

# As many as the store remembers sales.
MAX_UNTOLD: Final = MAX_OPEN_SALES + MAX_ENDED_SALES


class Asked(Protocol):
    async def lookup(self, code: str) -> object:
        """Whoever the centre knows by the code is in the store then."""


class Untold:
    """Those of one register. `tries` and `look_again` are for the event loop, the rest for the store's writer."""

    def __init__(self, store: Store, guesses: Guesses, centre: Asked) -> None:
        self._store = store
        self._guesses = guesses
        self._centre = centre
        # By sale: the code that was given last, as it is kept. Nothing of it outlives the agent, as the count does not.
        self._codes: dict[str, str] = {}
        self._wait_s = 0  # as it was when it was last asked in the event loop: the count is not for two threads

    async def tries(self, sale: str, reference: MemberReference) -> bool:
        """Whether it may be told whose a code is that is given to a sale. The centre is asked about unknown ones.

        It counts however it came in, since nobody can tell what a scanner sent from what is called so. The code that
        a sale has already is given without that, however often.
        """
        kept, code = self._store.sale(sale), self._store.hidden(reference.kind, reference.code)
        if kept is None or kept.state != "open":
            return True  # it is refused
        if sale not in self._codes and kept.member is not None and kept.member.code == code:
            return True
        if self._waits():
            return False
        if self._store.member_by_code(reference.code) is None:
            self._guesses.missed()  # others may ask meanwhile
            await self._centre.lookup(code)  # no telephone number stands in an address
            if self._store.member_by_code(code) is not None:
                self._guesses.found()
        return True

    def look_again(self, sale: str) -> None:
        """Whether a code can be told by now; where nobody has it, it counts now."""
        code = self._codes.get(sale)
        if code is None or self._waits():
            return
        if self._store.member_by_code(code) is None:
            self._guesses.missed()
        if self._codes.get(sale) == code:
            self._codes.pop(sale, None)

    def given(self, sale: str, code: str | None, *, told: bool) -> None:
        """The sale has this code from here on, or none."""
        self._codes.pop(sale, None)
        if code is None or told:
            return
        while len(self._codes) >= MAX_UNTOLD:
            self._codes.pop(next(iter(self._codes)))
        self._codes[sale] = code

    def wait_s(self, sale: str) -> int:
        """Whole seconds until something may be told of the sale's member; 0 where it may be."""
        return max(1, self._wait_s) if sale in self._codes else 0

    def check(self, sale: str) -> None:
        """Raises SaleRefusedError where nothing may be told: what can be reserved would tell."""
        if wait_s := self.wait_s(sale):
            why = f"Too many codes that nobody has: try again in {wait_s} s. Scans and sales go on."
            raise SaleRefusedError("no_member", why)

    def _waits(self) -> bool:
        self._wait_s = self._guesses.wait_s()
        return self._wait_s > 0
