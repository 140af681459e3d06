"""What a member's past means for the next receipt: caps used and purchases made, from a member file and since.

Owns how that moves with each entry. Never evaluates anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from loyalty.conditions import keys_in
from loyalty.evaluate import periods_of
from loyalty.ledger import LedgerEntry
from loyalty.member import Counters
from loyalty.program import Program
from loyalty.purchase import Known, Purchase
from loyalty.returns import VOIDED


class History:
    """One member's past under one program."""

    def __init__(self, program: Program, tier: str | UnsetType, counters: Counters) -> None:
        self._program = program
        self._tier = tier
        self._purchases = counters.purchases or 0
        self._birth_month = counters.birth_month or None
        self._segments = frozenset(counters.segments or ())
        used = counters.used or {}
        self._used = defaultdict(dict, {rule: dict(periods) for rule, periods in used.items()})
        self._capped = {
            rule.id for rule in program.earn if any(getattr(rule.cap, name) for name in ("day", "month", "member"))
        }

    @property
    def tier(self) -> str | UnsetType:
        return self._tier

    def known(self) -> Known:
        """What is known before the next receipt; it stays as it is when more is learned."""
        return Known(
            tier=self._tier,
            purchases=self._purchases,
            birth_month=self._birth_month,
            segments=self._segments,
            used={rule: dict(periods) for rule, periods in self._used.items()},
        )

    def bought(self, purchases: int = 1) -> None:
        self._purchases += purchases

    def given(self, sale: Purchase, entries: Iterable[LedgerEntry]) -> None:
        """Points that the rules gave for `sale`, or took back of it: what came back makes room under its caps again."""
        for entry in entries:
            rule = entry.rule.removesuffix(VOIDED)
            if rule in self._capped:
                used = self._used[rule]
                for _, period in periods_of(sale.local):
                    used[period] = used.get(period, 0) + entry.points


def missing(program: Program, counters: Counters) -> tuple[str, ...]:
    """Counters that the program's rules ask for and that are not told: what is said without them is an estimate."""
    asked = {key for rule in program.earn if rule.when for key in keys_in(rule.when)}
    needs = {
        "used": any(getattr(rule.cap, name) for rule in program.earn for name in ("day", "month", "member")),
        "purchases": "first_purchase" in asked,
        "birth_month": "birthday_month" in asked,
        "segments": "segment_in" in asked,
    }
    return tuple(name for name, needed in needs.items() if needed and getattr(counters, name) is UNSET)
