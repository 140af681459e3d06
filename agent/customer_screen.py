"""What the customer is shown on a display of their own: themselves, and nothing of the cashier's.

Owns choosing that from the page's state. Pure; the page formats it.
"""

from __future__ import annotations

from typing import get_args

from msgspec import Struct

from agent.view import InvitationView, PageState, PictureView, ReservedView, SaleView, Standing
from config.settings import Language
from loyalty.receipt import AwareDatetime, ReceiptKind

_LANGUAGES = frozenset(get_args(Language))
# Of a name that is one word nobody can say what is the family's: so much of it is shown.
MAX_NAME_CHARS = 24


class ScreenSale(Struct, frozen=True, kw_only=True):
    """What the customer's own sale gave; None of what this register cannot tell."""

    kind: ReceiptKind
    points: int | None
    pending: int
    estimated: bool
    given: bool


class ScreenMember(Struct, frozen=True, kw_only=True):
    """The member, by first name and initial."""

    name: str | None
    tier: str | None
    spendable: int
    pending: int
    as_of: AwareDatetime | None
    reserved: tuple[ReservedView, ...] = ()
    currency: str = ""
    digits: int = 0


class CustomerScreen(Struct, frozen=True, kw_only=True, tag_field="type", tag="screen"):
    """Everything the customer view shows. `language` is the member's own, else the register's; `turn` as the page's."""

    language: str
    turn: int | None = None
    standing: Standing | None = None
    member: ScreenMember | None = None
    sale: ScreenSale | None = None
    invitation: InvitationView | None = None
    phone: PictureView | None = None


def screen_of(state: PageState) -> CustomerScreen:
    customer = state.customer
    if customer is None:
        return CustomerScreen(language=state.language)
    sale = _sale(state.sale) if state.sale is not None and state.sale.current else None
    member = customer.member
    if member is None:
        return CustomerScreen(
            language=state.language,
            turn=customer.turn,
            standing=customer.standing,
            sale=sale,
            invitation=customer.invitation,
            phone=customer.phone,
        )
    return CustomerScreen(
        language=spoken(member.language) or state.language,
        turn=customer.turn,
        standing=customer.standing,
        member=ScreenMember(
            name=shortened(member.name),
            tier=member.tier,
            spendable=member.spendable,
            pending=member.pending,
            as_of=member.as_of,
            reserved=member.reserved,
            currency=member.currency,
            digits=member.digits,
        ),
        sale=sale,
        phone=customer.phone,
    )


def spoken(language: str | None) -> str | None:
    """The language of the pages that comes closest to the member's; None where there is none."""
    parts = (language or "").split("-")
    candidates = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((one for one in candidates if one in _LANGUAGES), None)


def shortened(name: str | None) -> str | None:
    """First name and initial: what may stand where the next in line can read it."""
    words = name.split() if name is not None else []
    if not words:
        return None
    first = words[0][:MAX_NAME_CHARS]
    return first if len(words) == 1 else f"{first} {words[-1][0]}."


def _sale(sale: SaleView) -> ScreenSale:
    return ScreenSale(
        kind=sale.kind,
        points=sale.points if sale.outcome == "points" else None,
        pending=sale.pending,
        estimated=sale.estimated,
        given=sale.reward == "confirmed",
    )
