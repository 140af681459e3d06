"""What the cashier page asks a register to do, and what it is answered: shapes of the local API, light to load."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from agent.profiles import GivenConsent, Language, Name, Written

# As many of one reward as have a key on the page.
MAX_AT_ONCE: Final = 9
# Of a keyboard scanner's text, as `keys.js` cuts it: a fiscal receipt's address has some 500.
MAX_SCAN_CHARS: Final = 1024
Keys = Annotated[str, Meta(min_length=1, max_length=MAX_SCAN_CHARS)]


class ScansGiven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a keyboard scanner typed into the page, as the keyboard's layout has it and as other layouts do."""

    texts: Annotated[tuple[Keys, ...], Meta(min_length=1, max_length=4)]


class ScanHeard(Struct, frozen=True, kw_only=True):
    """What a scan was: a `member` code, a `voucher`, a `grant` by telephone, `goods` that belong into the POS, or
    `nothing` that is known.

    The page says what came of a voucher or a grant.
    """

    heard: Literal["member", "voucher", "grant", "goods", "nothing"]


class CodeTyped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of a card or telephone that a person typed, or a voucher's code for the customer of that `turn`."""

    typed: Written
    turn: int | None = None


class ForTurn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom something is asked: the `turn` of the customer that the page showed."""

    turn: int


class Shown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is meant: the `turn` of the customer that the page showed, null of one whose sale is over."""

    turn: int | None


class RewardWanted(ForTurn, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reward of the program in force, so many `times`."""

    reward: Annotated[str, Meta(min_length=1, max_length=48)]
    times: Annotated[int, Meta(ge=1, le=MAX_AT_ONCE)] = 1


class VoucherShown(ForTurn, frozen=True, kw_only=True):
    """A voucher of whoever is shown: its code as it was typed, or all that a scanner sent."""

    voucher: Written


class JoinHere(Shown, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whoever holds the unknown card that is shown joins with it: the `turn` of theirs, null where their sale is over.

    `known`: the telephone number or address is a member's, who said their name when they were asked: the card is one
    more of theirs, and nothing but that is told of them.
    """

    short_name: Name | UnsetType = UNSET
    phone: Written | UnsetType = UNSET
    email: Written | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    consents: Annotated[tuple[GivenConsent, ...], Meta(max_length=16)] = ()
    known: bool = False


class Reserved(Struct, frozen=True, kw_only=True):
    """A reward is reserved so many `times`: the cashier takes `discount_minor` of `currency` off at the POS, for all of
    them together; None where the goods say how much that is.
    """

    reward: str
    times: int
    points: int
    discount_minor: int | None
    currency: str


class Attached(Struct, frozen=True, kw_only=True):
    """The receipt is the member's; `points` as far as this register can tell. `released`: what the page had reserved
    for whoever was shown can be spent again.
    """

    receipt: str
    points: int
    released: bool = False
