"""What a POS and the page say about a sale, and what they are answered: shapes of the local API, light to load."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from agent.view import Standing, Unsafe
from drivers.receipts.given import GivenReceipt
from loyalty.identification import MAX_WRITTEN_CHARS, MemberKind
from loyalty.member import ContextLine
from loyalty.next import Next
from loyalty.receipt import AwareDatetime
from loyalty.receipt import Entry as MemberEntry
from loyalty.rewards import LineDiscount, Missing
from sync.store.rows import RedemptionState, SaleState

# Rewards of one sale.
MAX_REDEMPTIONS: Final = 32
# What a POS is warned of when it closes a sale.
Warned = Literal["receipt_conflict", "receipt_of_another", "not_set_aside"]
Written = Annotated[str, Meta(min_length=1, max_length=MAX_WRITTEN_CHARS)]


class BasketGiven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The basket so far, as a receipt has it, **without** what rewards that are reserved here take off."""

    basket: GivenReceipt | UnsetType = UNSET


class MemberGiven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose the sale is: a `code`, how it is one and came in; or a `scan`, all that a scanner sent."""

    code: Written | UnsetType = UNSET
    scan: Written | UnsetType = UNSET
    kind: MemberKind = "card"
    entry: MemberEntry = "scanned"


class RedemptionGiven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reward that the member wants: by its id, so many `times`; or for so many `points`, of the one that is named or
    of the first that comes to them. Or a `voucher`: its code as it was typed, or all that a scanner sent.
    """

    reward: Annotated[str, Meta(min_length=1, max_length=48)] | UnsetType = UNSET
    times: Annotated[int, Meta(ge=1, le=10**6)] = 1
    points: Annotated[int, Meta(ge=1, le=10**14)] | UnsetType = UNSET
    voucher: Written | UnsetType = UNSET


class SaleMember(Struct, frozen=True, kw_only=True):
    """Whose the sale is: how their code ends, and what is known of them as of `as_of`, what was told here since off.

    `context` is what other channels know.
    """

    ending: str
    standing: Standing
    name: str | None = None
    tier: str | None = None
    pending: int = 0
    spendable: int = 0
    as_of: AwareDatetime | None = None
    context: tuple[ContextLine, ...] = ()


class RewardOffer(Struct, frozen=True, kw_only=True):
    """A reward for this basket beside those that are reserved.

    It can be had `times` times now, `safe_times` of them without asking the centre. `discount_minor` and `lines` are
    what one takes off; `missing` says what stands in the way of the first, `why` what of the others.
    """

    reward: str
    title: str | UnsetType = UNSET
    cost: int
    times: int
    safe_times: int
    discount_minor: int
    lines: tuple[LineDiscount, ...]
    missing: tuple[Missing, ...]
    until: str | UnsetType = UNSET
    why: str | UnsetType = UNSET


class RedemptionView(Struct, frozen=True, kw_only=True):
    """A reward that was chosen, all its times together: what it costs, and takes off which line."""

    redemption: str
    reward: str
    times: int
    points: int
    discount_minor: int
    lines: tuple[LineDiscount, ...]
    state: RedemptionState


class SaleReport(Struct, frozen=True, kw_only=True):
    """A sale as it stands.

    `points` are what it would give now, None where nobody can tell here; `could` stays empty in the answer to a
    redemption; `estimated` where the centre knows more of the
    member's past. `safe_offline` are the member's points that can be spent here without asking the centre;
    `unsafe_because` why they are fewer than may be spent. `receipt` is the key of the one that closed it; `quarantined`
    says what of that is kept for a person, and `warnings` what is not as the POS may think: the receipt is known with
    other content, or is another sale's, so that nothing was given by it; or a reward that lapsed was given, and its
    points may have been spent elsewhere meanwhile. With `told_in_s` the member is called unknown, whoever it is, until
    so many seconds have gone by: too many codes that nobody has were tried.
    """

    sale: str
    state: SaleState
    online: bool
    member: SaleMember | None = None
    points: int | None = None
    estimated: bool = False
    could: tuple[Next, ...] = ()
    rewards: tuple[RewardOffer, ...] = ()
    redemptions: tuple[RedemptionView, ...] = ()
    safe_offline: int = 0
    unsafe_because: Unsafe | None = None
    receipt: str | UnsetType = UNSET
    quarantined: tuple[str, ...] = ()
    warnings: tuple[Warned, ...] = ()
    told_in_s: int | UnsetType = UNSET


Refused = Literal[
    "closed",
    "no_member",
    "needs_card",
    "no_program",
    "no_basket",
    "not_for_basket",
    "not_enough",
    "by_phone",
    "not_offline",
    "register_unsure",
    "below_floor",
    "no_voucher",
    "voucher_anothers",
    "voucher_over",
    "voucher_used",
    "elsewhere",
    "not_shown",
    "has_member",
    "phone_known",
    "two_members",
    "no_join_page",
    "no_sale",
    "too_old",
]


class SaleRefusedError(Exception):
    """A sale cannot do this now. `reason` is for programs, the message for who stands at the till.

    `name` is whose telephone number it is about, for the cashier alone.
    """

    def __init__(self, reason: Refused, message: str, *, name: str | UnsetType = UNSET) -> None:
        super().__init__(message)
        self.reason: Refused = reason
        self.name = name
