"""How often one member's card may be used, and rewards be given for it, before a person looks at it.

A cashier who has no card to scan scans their own, or a friend's: no single receipt shows it, their number does. Or
they give it what others bought without one, later. Owns which sale, and which reward, is one too many, and what was
given too late. Such a sale is kept and counts for nothing until a person says that it is right; so is the sale on which
such a reward was given.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

# Sales are counted over so much time before each.
WINDOW: Final = timedelta(hours=24)
MAX_SALES: Final = 10_000
# A year: what is older than that nobody gives away any more.
MAX_LATE_MINUTES: Final = 366 * 24 * 60

Of = Literal["sale", "reward"]
What = Literal["cashier", "register", "card", "member"]
# How many sales within the window count without a look; None for any number.
Allowed = Annotated[int, Meta(ge=1, le=MAX_SALES)] | None
# So many minutes after it was caught a sale that was nobody's may be given to a member without a look; None for any.
Late = Annotated[int, Meta(ge=1, le=MAX_LATE_MINUTES)] | None

_IN_WORDS: Final[dict[What, str]] = {
    "cashier": "for one member by one cashier",
    "register": "for one member at one register",
    "card": "with one card",
    "member": "for one member",
}


class Limits(Struct, frozen=True, kw_only=True):
    """Sales, or rewards, of one member within the window: by one cashier, at one register, with one card, of all.

    `late_minutes` is of sales only.
    """

    cashier: Allowed = None
    register: Allowed = None
    card: Allowed = None
    member: Allowed = None
    late_minutes: Late = None

    @property
    def are_set(self) -> bool:
        """Whether anything is counted."""
        return any(allowed is not None for allowed in (self.cashier, self.register, self.card, self.member))


# Of a centre that is set up. A shop's regular comes three times a day, and a family shares a card. The page of a till
# gives away what is an hour old at most, by a clock that may be set right in between.
USUAL: Final = Limits(cashier=8, register=12, card=20, member=30, late_minutes=120)
# Of rewards: who has points for more than that in a day is not found at a till.
USUAL_REWARDS: Final = Limits(cashier=5, register=6, card=8, member=10)


class Sale(Struct, frozen=True, kw_only=True):
    """What of a member's sale, or of a reward, is counted; who and what is empty where the receipt does not say.

    `times` is how many it counts as: a reward may be given several times at once. `counts` says that it gave its points
    already: an earlier one that comes after it is counted with it, too.
    """

    key: str
    at: datetime
    store: str
    register: str
    cashier: str
    code: str
    times: int = 1
    counts: bool = False


class OneTooMany(Struct, frozen=True, kw_only=True):
    """A sale or a reward that is the `number`th of its kind within the window, where `allowed` count without a look.

    Of what counts several times it is the last.
    """

    what: What
    number: int
    allowed: int
    of: Of = "sale"

    def __str__(self) -> str:
        which = f"{self.of} {self.number} {_IN_WORDS[self.what]}"
        return f"{which} within 24 hours, where {self.allowed} count without a look"


def given_late(limits: Limits, sold: datetime, given: datetime) -> str | None:
    """What is wrong where a sale of the one moment was given to its member at the other; None where nothing is.

    Both are by the register's clock: one that was set back in between tells nothing, and is wrong by as much.
    """
    apart = abs(given - sold)
    if limits.late_minutes is None or apart <= timedelta(minutes=limits.late_minutes):
        return None
    minutes = apart // timedelta(minutes=1)
    return f"given to its member {minutes} minutes from it, where {limits.late_minutes} pass without a look"


def one_too_many(limits: Limits, sale: Sale, others: Iterable[Sale], of: Of = "sale") -> OneTooMany | None:
    """The first limit that `sale` passes, counted with the member's sales before it.

    One that comes late is counted with the later ones that count already, too: no window holds more of what counts than
    are allowed, in whichever order its sales came.
    """
    place = (sale.at, sale.key)
    around = [
        one
        for one in others
        if abs(one.at - sale.at) < WINDOW and (one.counts or (one.at, one.key) < place) and one.key != sale.key
    ]
    subjects: tuple[tuple[What, Allowed], ...] = (
        ("cashier", limits.cashier),
        ("register", limits.register),
        ("card", limits.card),
        ("member", limits.member),
    )
    for what, allowed in subjects:
        subject = _subject(what, sale)
        if allowed is None or subject is None:
            continue
        number = _most_in_a_window(sale, [one for one in around if _subject(what, one) == subject])
        if number > allowed:
            return OneTooMany(what=what, number=number, allowed=allowed, of=of)
    return None


def _most_in_a_window(sale: Sale, around: Sequence[Sale]) -> int:
    """How many are in the fullest window that holds `sale` and ends with it or with one behind it."""
    place = (sale.at, sale.key)
    before = sorted((one for one in around if (one.at, one.key) < place), key=lambda one: one.at)
    moments = [one.at for one in before]
    most = number = sale.times + sum(one.times for one in before)
    gone = 0
    for later in sorted((one for one in around if (one.at, one.key) > place), key=lambda one: (one.at, one.key)):
        # Nothing from `sale` on falls out: the later ones are less than a window behind it.
        still = bisect_right(moments, later.at - WINDOW)
        number += later.times - sum(one.times for one in before[gone:still])
        gone, most = still, max(most, number)
    return most


def _subject(what: What, sale: Sale) -> tuple[str, ...] | None:
    """What sales are counted together by; None where the receipt does not tell."""
    match what:
        case "cashier":
            return (sale.store, sale.cashier) if sale.cashier else None
        case "register":
            return (sale.store, sale.register) if sale.register else None
        case "card":
            return (sale.code,) if sale.code else None
        case _:  # all sales of the member
            return ()
