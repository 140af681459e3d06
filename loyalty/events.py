"""Points for something else than a purchase: a referral, a review, an app installed.

Owns what an event gives, as a pure function. Who says that it happened is not asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import UNSET, Struct

from loyalty.evaluate import periods_of
from loyalty.ledger import LedgerEntry
from loyalty.periods import expiry, later
from loyalty.program import EventRule, Program


class Happened(Struct, frozen=True, kw_only=True):
    """Something that a member did. `key` names it for ever, as a receipt's does; `on` is its name in the program."""

    key: str
    on: str
    at: datetime


def event_entries(
    happened: Happened, *, program: Program, used: Mapping[str, Mapping[str, int]]
) -> tuple[LedgerEntry, ...]:
    """Ledger entries of an event. `used` is how often each rule gave already in each period, as `Known.used`."""
    local = happened.at.astimezone(ZoneInfo(program.time_zone))
    return tuple(
        LedgerEntry(
            receipt=happened.key,
            rule=rule.id,
            points=rule.give.points,
            basis_minor=0,
            pending_until=None if rule.pending is UNSET else later(happened.at, rule.pending, program.time_zone),
            expires_at=None if rule.expires is UNSET else expiry(happened.at, rule.expires, program.time_zone),
            why=f"{rule.on} = {rule.give.points}",
        )
        for rule in sorted(program.events, key=lambda rule: rule.id)
        if rule.on == happened.on and _has_room(rule, local, used.get(rule.id, {}))
    )


def _has_room(rule: EventRule, local: datetime, used: Mapping[str, int]) -> bool:
    """An event's cap counts times, not points."""
    return all(
        (most := getattr(rule.cap, name)) is UNSET or used.get(period, 0) < most for name, period in periods_of(local)
    )
