"""Whoever holds a card that is nobody's joins at the cashier page: while it is served, and after its sale.

Owns what may be told of whose a telephone number or an address is. Never says what a member is (`agent.profiles`), and
never knows HTTP.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from agent.checkout import MemberScan
from agent.counter_shapes import JoinHere
from agent.desk import Desk
from agent.pace import check_guesses
from agent.profiles import (
    EditRequest,
    GivenCode,
    HasMemberError,
    JoinRequest,
    MemberTold,
    Profiles,
    TwoMembersError,
)
from agent.sale_shapes import SaleRefusedError
from loyalty.addresses import email_address, phone_number
from loyalty.receipt import MemberReference
from sync.guesses import Guesses
from sync.store.store import Store

# A telephone number or address that is a member's: who tries them learns whose they are.
_SOMEBODYS: Final = (HasMemberError, TwoMembersError)


class _Asked(Struct, frozen=True, kw_only=True):
    """By what somebody would join with a card."""

    card: str
    phone: str | None
    email: str | None


class Joining:
    """Joins at the page of one register."""

    def __init__(self, store: Store, desk: Desk, profiles: Profiles, guesses: Guesses) -> None:
        self._store = store
        self._desk = desk
        self._profiles = profiles
        self._guesses = guesses
        # Whose the number and address are of which it was told last that they are a member's.
        self._whose: tuple[_Asked, str] | None = None

    async def join(self, given: JoinHere, key: str | None) -> MemberTold:
        """A telephone number or address that is somebody's is told with their name: who tries them is slowed down, too.

        `known` is taken of what was told so for this card last, and makes it one more of that member's.

        Raises TooOftenError, SaleRefusedError, MalformedBodyError and StoreError.
        """
        if (first := self._profiles.answered(given, key)) is not None:
            return first
        shown = self._shown(given.turn)
        if self._store.member_by_code(shown.code) is not None:
            raise SaleRefusedError("has_member", "This card has a member already.")
        code = GivenCode(code=shown.code, kind=shown.kind)
        asked = _Asked(card=shown.code, phone=phone_number(given.phone or ""), email=email_address(given.email or ""))
        whose = self._whose
        if given.known and whose is not None and whose[0] == asked:
            told = await self._profiles.edit(whose[1], EditRequest(code=code), key, asked=given)
            self._desk.publish()
            return told
        if given.phone or given.email:
            check_guesses(self._guesses)
        request = JoinRequest(
            short_name=given.short_name,
            phone=given.phone,
            email=given.email,
            language=given.language,
            consents=given.consents,
            code=code,
        )
        try:
            with self._guesses.asking(_SOMEBODYS):
                return await self._profiles.join(request, key, only_new=True, asked=given)
        except TwoMembersError:
            raise SaleRefusedError(
                "two_members", "The telephone number is one member's, the address another's: give theirs alone."
            ) from None
        except HasMemberError as error:
            # Whoever only knows a member's telephone number must not get a card of theirs by it, which could spend.
            self._whose = (asked, error.member)
            raise SaleRefusedError(
                "phone_known",
                "The number or address is a member's: ask for their name, and say `known` where it is the one here.",
                name=error.name,
            ) from None

    def _shown(self, turn: int | None) -> MemberScan | MemberReference:
        """Whose turn it is, or, with None, whose sale is over and still shown."""
        serving = self._desk.serving()
        if turn is None and serving is None and (served := self._desk.served()) is not None:
            return served
        if serving is None or serving.id != turn:
            raise SaleRefusedError("not_shown", "Another customer is shown by now: look again.")
        return serving
