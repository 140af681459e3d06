"""The member: who they are by code, and the points they hold.

Owns the value types shared by register and centre. Never holds a name beyond a short one, an
address or a birth date: those stay at the centre.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from loyalty.identification import MemberKind, normal_code
from loyalty.receipt import AwareDatetime

# Larger than anyone earns, small enough that sums of them stay far from 2**63.
MAX_POINTS = 10**14
Points = Annotated[int, Meta(ge=-MAX_POINTS, le=MAX_POINTS)]
CardState = Literal["unissued", "active", "blocked", "replaced"]
"""Printed and not handed out yet; in use; not to be accepted; an old one that still earns."""

# What may be shown of a card where others can see it.
ENDING_CHARS = 4


class Identifier(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A code that names a member. `code` is in normal form (`loyalty.identification.normal_code`).

    `card` is the same for all numbers of one card (the printed and the encoded one) and absent where there is
    only this one. `replaced_by` is the ending of the card that took its place, where it can be told.
    """

    kind: MemberKind
    code: str
    card: str = ""
    state: CardState = "active"
    replaced_by: str = ""


class Balance(Struct, frozen=True, kw_only=True):
    """Points at one moment: confirmed may be spent unless reserved, pending not yet."""

    confirmed: int = 0
    pending: int = 0
    spendable: int = 0


class Activity(Struct, frozen=True, kw_only=True):
    """What a member earned, spent on goods, and how often they came, at one time or on one day; net of returns."""

    at: AwareDatetime
    points: Points = 0
    spent_minor: Points = 0
    visits: int = 0


class Lot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Points that mature and expire together: pending ones have `pending_until`; without `expires_at` they stay."""

    points: Points
    pending_until: AwareDatetime | UnsetType = UNSET
    expires_at: AwareDatetime | UnsetType = UNSET


class Counters(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What rules need of a member's past; what is not told is taken for nothing, and the answer is an estimate.

    `used` is what each rule gave in each period (`{"base": {"2026-11-22": 120, "2026-11": 300, "member": 900}}`), net
    of returns; `purchases` how
    many sales there were; `birth_month` 1 to 12; `activity` what tiers are reached with; `visits`
    and `stamps` what each rule counted and gave nothing for yet, `visited` the newest day that each rule of days
    counted; `lots` what the balances are made of. What a newer centre counts besides is passed over.
    """

    used: dict[str, dict[str, Points]] | UnsetType = UNSET
    purchases: Annotated[int, Meta(ge=0, le=10**9)] | UnsetType = UNSET
    birth_month: Annotated[int, Meta(ge=1, le=12)] | UnsetType = UNSET
    segments: tuple[str, ...] | UnsetType = UNSET
    activity: tuple[Activity, ...] | UnsetType = UNSET
    visits: dict[str, tuple[AwareDatetime, ...]] | UnsetType = UNSET
    visited: dict[str, str] | UnsetType = UNSET
    stamps: dict[str, Annotated[int, Meta(ge=0, le=10**9)]] | UnsetType = UNSET
    lots: tuple[Lot, ...] | UnsetType = UNSET


class Consent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a member may be written to on one channel, and which text they were shown.

    `hlc` is the stamp of what was told last: who tells otherwise says that they saw it.
    """

    channel: str
    state: Literal["granted", "withdrawn"]
    text_version: str = ""
    hlc: str = ""


class Progress(Struct, frozen=True, kw_only=True):
    """How far it is to the next tier: what counts for it so far, of what is asked for.

    `measure` says what is counted: points, money in minor units, or visits.
    """

    tier: str
    measure: Literal["points_in", "spend_in", "visits_in"]
    counted: Points
    at_least: Points


ContextKind = Literal["order", "appointment", "cart", "offer", "contact"]
"""An order to collect, the next appointment, a cart on line, the last offer, and what was last talked or written of."""


class ContextLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What another channel knows of a member and a till should: a few words on what lies ready, or was last said.

    `kind` is one of ContextKind, or what a newer centre knows besides. `at` is since when, of an `appointment` when it
    is. From `until` on nobody is shown it.
    """

    kind: str
    text: Annotated[str, Meta(min_length=1, max_length=80)]
    at: AwareDatetime
    until: AwareDatetime | UnsetType = UNSET

    def holds(self, now: datetime) -> bool:
        return self.until is UNSET or now < self.until


class Member(Struct, frozen=True, kw_only=True):
    """A member as a register may hold one. `member` is the centre's id, `aliases` ids that mean the same member.

    `stamps` say when each field was told (`sync.hlc`), for who tells otherwise.

    `counters` are what rules need of the member's past, as far as a register may hold it: no month of birth, and in
    place of activity the `tier` that was reached and the `progress` to the next. `context` is what other channels know.
    """

    member: str
    identifiers: tuple[Identifier, ...] = ()
    short_name: str | UnsetType = UNSET
    tier: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    balance: Balance = Balance()
    as_of: AwareDatetime | UnsetType = UNSET
    counters: Counters | UnsetType = UNSET
    aliases: tuple[str, ...] | UnsetType = UNSET
    note: str | UnsetType = UNSET
    consents: tuple[Consent, ...] | UnsetType = UNSET
    stamps: dict[str, str] | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET
    context: tuple[ContextLine, ...] | UnsetType = UNSET

    def identifier(self, code: str) -> Identifier | None:
        """Which of the member's identifiers `code`, in any way of writing it, is."""
        normal = normal_code(code)
        return next((one for one in self.identifiers if normal_code(one.code) == normal), None)

    def known_elsewhere(self, now: datetime) -> tuple[ContextLine, ...]:
        """What other channels know that still holds."""
        return tuple(line for line in self.context or () if line.holds(now))

    def refuses(self, code: str) -> bool:
        """Whether `code` is one of theirs that is not to be accepted."""
        found = self.identifier(code)
        return found is not None and found.state == "blocked"


class MemberState(Struct, frozen=True, kw_only=True):
    """What evaluation knows of a member: what a member file holds (every key but `code` optional).

    Without `spendable` nothing is reserved: all that is confirmed may be spent.
    """

    code: str
    tier: str | UnsetType | None = UNSET
    confirmed: Points = 0
    pending: Points = 0
    spendable: Points | UnsetType = UNSET
    counters: Counters = Counters()

    @property
    def balance(self) -> Balance:
        spendable = self.confirmed if self.spendable is UNSET else self.spendable
        return Balance(confirmed=self.confirmed, pending=self.pending, spendable=spendable)


def stamps_of(member: Member) -> dict[str, int]:
    """The stamps that a member has, by their rule."""
    return (member.counters.stamps or {}) if member.counters else {}


def ahead_of(counters: Counters, until: datetime) -> str | None:
    """The first of a member's activity and visits that lies on a later day than `until`, by the clock of `until`."""
    midnight = datetime.combine(until, time.max, until.tzinfo)
    moments = [(f"$.counters.activity[{place}].at", each.at) for place, each in enumerate(counters.activity or ())]
    moments += [
        (f"$.counters.visits.{rule}[{place}]", at)
        for rule, visits in (counters.visits or {}).items()
        for place, at in enumerate(visits)
    ]
    return next((f"{path} ({at.isoformat()})" for path, at in moments if at > midnight), None)


def ending_of(code: str) -> str:
    """The last characters of a card's code; nothing of one too short to hide the rest."""
    return code[-ENDING_CHARS:] if len(code) > ENDING_CHARS else ""
