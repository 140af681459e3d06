"""What a member's past means for the next receipt: caps used and purchases made, from a member file and since.

Owns how that moves with each entry. Never evaluates anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import UNSET, Struct, UnsetType

from loyalty.conditions import keys_in
from loyalty.entry_rules import giving_rule
from loyalty.evaluate import periods_of
from loyalty.ledger import LedgerEntry
from loyalty.member import Activity, Counters
from loyalty.program import EventCap, EventRule, Program, TierThreshold
from loyalty.purchase import Known, Purchase
from loyalty.standing import Standing, reached_by_activity
from loyalty.terms import terms_of

NO_EVENT_CAP: Final = EventCap()


class Facts(Struct, frozen=True, kw_only=True):
    """What people told of a member: a tier given by hand, the month of birth, segments."""

    tier: str | UnsetType = UNSET
    birth_month: int | None = None
    segments: frozenset[str] = frozenset()


class Scope(Struct, frozen=True, kw_only=True):
    """What is counted of a member's past, for programs that follow one another.

    `counted` are the rules with a cap in any of them, `tiered` the programs with tiers that are reached.
    """

    counted: frozenset[str]
    tiered: tuple[Program, ...]


def scope_of(programs: Iterable[Program]) -> Scope:
    return _scope_of(tuple(dict.fromkeys(programs)))


@lru_cache(maxsize=32)
def _scope_of(different: tuple[Program, ...]) -> Scope:
    """Told once for as long as the programs are in use."""
    return Scope(
        counted=frozenset(rule for program in different for rule in capped_rules(program)),
        tiered=tuple(program for program in different if reached_by_activity(program)),
    )


class History:
    """One member's past, as far as the rules of the programs in `scope` ask for it."""

    def __init__(self, scope: Scope, counters: Counters) -> None:
        self._tiered = scope.tiered
        self._standing = Standing((counters.activity or ()) if self._tiered else ())
        self._purchases = counters.purchases or 0
        self._gave: dict[str, Purchase] = {}
        used = counters.used or {}
        self._used = defaultdict(dict, {rule: dict(periods) for rule, periods in used.items()})
        self._counted = scope.counted

    def tier(self, program: Program, facts: Facts, now: datetime | None) -> str | UnsetType:
        return self._standing.tier(program, facts.tier, now)

    def tier_changes_at(self, program: Program, now: datetime) -> datetime | None:
        """When time alone may next change the tier."""
        return self._standing.changes_at(program, now)

    def counted(self, threshold: TierThreshold, program: Program, at: datetime) -> list[tuple[datetime, int]]:
        """What counts for a tier at `at`, in order of time, and how much it counts."""
        return self._standing.counted(threshold, program.time_zone, at)

    def known(self, at: datetime | None, program: Program, facts: Facts) -> Known:
        """What is known at `at`, before the next receipt; it stays as it is when more is learned."""
        local = at.astimezone(ZoneInfo(program.time_zone)) if at is not None else None
        periods = [period for _, period in periods_of(local)] if self._counted else []
        return Known(
            tier=self._standing.tier(program, facts.tier, at),
            purchases=self._purchases,
            birth_month=facts.birth_month,
            segments=facts.segments,
            used={rule: {period: used.get(period, 0) for period in periods} for rule, used in self._used.items()},
        )

    def bought(self, sale: Purchase) -> None:
        self._purchases += 1
        self.is_left(sale, sale.basket_minor)

    def is_left(self, sale: Purchase, left_minor: int) -> None:
        """Of the goods of `sale` so much was kept."""
        if self._tiered:
            self._standing.is_left(sale.receipt.key, sale.at, left_minor)

    def voided(self, sale: Purchase) -> None:
        self._purchases -= 1
        self.is_left(sale, 0)

    def given(self, sale: Purchase, entries: Iterable[LedgerEntry]) -> None:
        """Points that the rules gave for `sale`, or took back of it: what came back makes room under its caps again."""
        periods, own = periods_of(sale.local), 0
        for entry in entries:
            if self._tiered:
                # A visit or stamp that is none any more may take what another sale gave: it counts where that did.
                gave = self._gave.get(entry.reverses, sale) if entry.reverses else sale
                if entry.reverses is None:
                    self._gave[entry.entry_id] = sale
                if gave is sale:
                    own += entry.points
                else:
                    self._standing.earned(gave.receipt.key, gave.at, entry.points)
            rule = giving_rule(entry.rule) if "/" in entry.rule else entry.rule
            if rule in self._counted:
                self._count(rule, periods, entry.points)
        if own:
            self._standing.earned(sale.receipt.key, sale.at, own)

    def happened(self, rule: EventRule, key: str, at: datetime, local: datetime, points: int) -> None:
        """An event gave points: its cap counts times."""
        if self._tiered:
            self._standing.earned(key, at, points)
        if rule.id in self._counted:
            self._count(rule.id, periods_of(local), 1)

    def _count(self, rule: str, periods: tuple[tuple[str, str], ...], more: int) -> None:
        used = self._used[rule]
        for _, period in periods:
            used[period] = used.get(period, 0) + more

    def used(self, local: datetime | None) -> dict[str, dict[str, int]]:
        """What each rule gave in the day and the month of `local`, and ever."""
        periods = {period for _, period in periods_of(local)}
        return {
            rule: {period: used[period] for period in used if period in periods} for rule, used in self._used.items()
        }

    def purchases(self) -> int:
        return self._purchases

    def activity(self, now: datetime) -> tuple[Activity, ...]:
        """What may still count for a tier at `now` or later."""
        return self._standing.recent(self._tiered, now)


def capped_rules(program: Program) -> frozenset[str]:
    """Rules with a cap of a day, a month or a member."""
    events = (rule.id for rule in program.events if rule.cap != NO_EVENT_CAP)
    return terms_of(program).capped.union(events)


def remembers(program: Program) -> bool:
    """Whether what a receipt gives may hang on the receipts before it."""
    told_by_hand = {"birth_month", "segments"}
    return bool(capped_rules(program)) or not told_by_hand.issuperset(missing(program, Counters()))


def missing(program: Program, counters: Counters) -> tuple[str, ...]:
    """Counters that the program's rules ask for and that are not told: what is said without them is an estimate."""
    asked = _asked(program)
    needs = {
        "used": bool(terms_of(program).capped),
        "purchases": "first_purchase" in asked,
        "birth_month": "birthday_month" in asked,
        "segments": "segment_in" in asked,
        "activity": reached_by_activity(program),
        "visits": bool(program.visits),
        "stamps": bool(program.stamps),
    }
    return tuple(name for name, needed in needs.items() if needed and getattr(counters, name) is UNSET)


@lru_cache(maxsize=32)
def _asked(program: Program) -> frozenset[str]:
    """All that is asked in any of a program's conditions; told once for as long as it is in use."""
    conditions = [
        *(rule.when for rule in program.earn),
        *(visit.when for visit in program.visits),
        *(stamp.when for stamp in program.stamps),
    ]
    return frozenset(key for condition in conditions if condition for key in keys_in(condition))
