"""What a member's past means for the next receipt: caps used and purchases made, from a member file and since.

Owns how that moves with each entry. Never evaluates anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType

from loyalty.conditions import keys_in
from loyalty.evaluate import periods_of
from loyalty.ledger import LedgerEntry
from loyalty.member import Counters
from loyalty.program import Program
from loyalty.purchase import Known, Purchase
from loyalty.returns import EXCHANGED, VOIDED
from loyalty.standing import Standing
from loyalty.terms import terms_of


class History:
    """One member's past under one program."""

    def __init__(self, program: Program, tier: str | UnsetType, counters: Counters) -> None:
        self._program = program
        self._standing = Standing(program, tier, counters.activity)
        self._purchases = counters.purchases or 0
        self._birth_month = counters.birth_month or None
        self._segments = frozenset(counters.segments or ())
        used = counters.used or {}
        self._used = defaultdict(dict, {rule: dict(periods) for rule, periods in used.items()})
        self._capped = terms_of(program).capped

    def tier(self, now: datetime | None) -> str | UnsetType:
        return self._standing.tier(now)

    def known(self, at: datetime | None) -> Known:
        """What is known at `at`, before the next receipt; it stays as it is when more is learned."""
        local = at.astimezone(ZoneInfo(self._program.time_zone)) if at is not None else None
        periods = [period for _, period in periods_of(local)] if self._capped else []
        return Known(
            tier=self._standing.tier(at),
            purchases=self._purchases,
            birth_month=self._birth_month,
            segments=self._segments,
            used={rule: {period: used.get(period, 0) for period in periods} for rule, used in self._used.items()},
        )

    def bought(self, sale: Purchase) -> None:
        self._purchases += 1
        self._standing.is_left(sale.receipt.key, sale.at, sale.basket_minor)

    def brought_back(self, sale: Purchase, left_minor: int) -> None:
        """Some of the goods of `sale` came back; the rest is worth `left_minor`."""
        self._standing.is_left(sale.receipt.key, sale.at, left_minor)

    def voided(self, sale: Purchase) -> None:
        self._purchases -= 1
        self._standing.is_left(sale.receipt.key, sale.at, 0)

    def given(self, sale: Purchase, entries: Iterable[LedgerEntry]) -> None:
        """Points that the rules gave for `sale`, or took back of it: what came back makes room under its caps again."""
        for entry in entries:
            self._standing.earned(sale.receipt.key, sale.at, entry.points)
            rule = entry.rule.removesuffix(VOIDED).removesuffix(EXCHANGED)
            if rule in self._capped:
                used = self._used[rule]
                for _, period in periods_of(sale.local):
                    used[period] = used.get(period, 0) + entry.points


def missing(program: Program, counters: Counters) -> tuple[str, ...]:
    """Counters that the program's rules ask for and that are not told: what is said without them is an estimate."""
    conditions = [
        *(rule.when for rule in program.earn),
        *(visit.when for visit in program.visits),
        *(stamp.when for stamp in program.stamps),
    ]
    asked = {key for condition in conditions if condition for key in keys_in(condition)}
    needs = {
        "used": bool(terms_of(program).capped),
        "purchases": "first_purchase" in asked,
        "birth_month": "birthday_month" in asked,
        "segments": "segment_in" in asked,
        "activity": any(tier.from_ is not UNSET for tier in program.tiers),
        "visits": bool(program.visits),
        "stamps": bool(program.stamps),
    }
    return tuple(name for name, needed in needs.items() if needed and getattr(counters, name) is UNSET)
