"""The count after a shift: the centre's ledger against what the terms promise.

Owns what counts as lost and as doubled. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from agent.demo.floor import BalanceLine, EntryLine, LedgerLine, ReceiptLine
from agent.demo.plan import SPENT, Given, Step
from loyalty.entry_rules import corrected_rule, giving_rule, is_spent


class Tally(Struct, frozen=True, kw_only=True):
    """What the ledger holds, what it lacks (`lost`), and what it has too much of (`double`).

    `entries` counts what stands for a receipt under a rule in the end, `corrections` the entries that were needed to
    come to it.
    """

    receipts: int
    entries: int
    corrections: int
    points: int
    lost: int
    double: int


def tally(
    ledger: Iterable[LedgerLine], steps: Iterable[Step], expected: Iterable[Given], keys: Mapping[str, str]
) -> Tally:
    """Compare transactions by key, and entries by receipt, member, rule and points, corrections included.

    `keys` gives the receipt key of each step that was played.
    """
    lines = list(ledger)
    receipts = Counter(line.key for line in lines if isinstance(line, ReceiptLine))
    rows = [line for line in lines if isinstance(line, EntryLine)]
    sums: Counter[tuple[str, str, str]] = Counter()
    for line in rows:
        sums[line.receipt, line.member, _rule(line)] += line.points
    entries = Counter((*name, points) for name, points in sums.items() if points)
    transactions = Counter(keys[step.name] for step in steps if step.is_transaction)
    promised = Counter((keys[given.step], given.member, given.rule, given.points) for given in expected)
    return Tally(
        receipts=receipts.total(),
        entries=entries.total(),
        corrections=sum(corrected_rule(line.rule) != line.rule for line in rows),
        points=sum(points for (_, _, _, points) in entries),
        lost=(transactions - receipts).total() + (promised - entries).total(),
        double=(receipts - transactions).total() + (entries - promised).total(),
    )


def _rule(line: EntryLine) -> str:
    return SPENT if is_spent(line.rule) else giving_rule(line.rule)


def redeemed(ledger: Iterable[LedgerLine]) -> int:
    """Rewards that took points of somebody."""
    return sum(1 for line in ledger if isinstance(line, EntryLine) and is_spent(line.rule) and line.points < 0)


def overspent(ledger: Iterable[LedgerLine]) -> int:
    """Points that were spent and that nobody had."""
    return sum(max(0, -confirmed) for confirmed, _ in balances_in(ledger).values())


def promised_balances(expected: Iterable[Given]) -> dict[str, tuple[int, int]]:
    """Confirmed and pending points of each member; those of the rule `kept` are held back for two weeks."""
    sums: dict[str, list[int]] = {}
    for given in expected:
        sums.setdefault(given.member, [0, 0])[given.rule == "kept"] += given.points
    return {member: (confirmed, pending) for member, (confirmed, pending) in sums.items() if confirmed or pending}


def balances_in(ledger: Iterable[LedgerLine]) -> dict[str, tuple[int, int]]:
    """Confirmed and pending points of each member as the centre holds them."""
    return {line.member: (line.confirmed, line.pending) for line in ledger if isinstance(line, BalanceLine)}
