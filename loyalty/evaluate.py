"""What a receipt is worth: one pure evaluator for the till and for the centre.

Owns what a sale gives under each rule, and which rules give together. `loyalty.returns` takes back, `loyalty.account`
folds many receipts. All arithmetic is on integers; the whole product is made before the one rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec import UNSET

from loyalty.ledger import LedgerEntry
from loyalty.member import MAX_POINTS
from loyalty.periods import day_of
from loyalty.program import NO_CAP, EarnRule, Program
from loyalty.purchase import Known, Purchase
from loyalty.receipt import Receipt
from loyalty.reconcile import unearning
from loyalty.returns import Settled, taken_back
from loyalty.terms import Multiplier, Rule, Terms, terms_of

NOBODY: Final = Known()


class OriginalUnknownError(LookupError):
    """A return came before the receipt it gives back; it waits for that one."""


class TooManyPointsError(ValueError):
    """A rule would give more points, or look at more, than an entry can hold. The message names rule and remedy."""


def evaluate(
    receipt: Receipt, *, program: Program, known: Known = NOBODY, original: Settled | None = None
) -> tuple[LedgerEntry, ...]:
    """Ledger entries that `receipt` gives a member of whom so much is known.

    A return takes back from `original`, for which `known` is what was known of the member then; without one it raises
    OriginalUnknownError. Receipts that are not final, do not reconcile, or are in another currency than the program
    give nothing. Raises TooManyPointsError where a rule gives more than MAX_POINTS.
    """
    if not earns(receipt, program):
        return ()
    terms = terms_of(program)
    if receipt.kind == "return":
        if original is None:
            raise OriginalUnknownError(receipt.key)
        return taken_back(receipt, original, terms, known)
    return earned(Purchase(receipt, program.time_zone, known), program)


def earned(purchase: Purchase, program: Program) -> tuple[LedgerEntry, ...]:
    """What the earn rules give a sale that earns. Raises TooManyPointsError."""
    terms = terms_of(program)
    by = terms.multiplier(purchase.known.tier)
    given = [entry for rule in terms.rules if (entry := entry_of(purchase, rule, by)) is not None]
    return tuple(_best(given, terms) if program.conflict == "best_per_group" else given)


def earns(receipt: Receipt, program: Program) -> bool:
    """Whether a receipt counts at all."""
    return receipt.status == "final" and unearning(receipt) is None and receipt.currency == program.currency


def entry_of(purchase: Purchase, rule: Rule, by: Multiplier) -> LedgerEntry | None:
    """What one rule gives a purchase, by itself; None for nothing. Raises TooManyPointsError."""
    basis = rule.basis_of(purchase)
    if basis <= 0:
        return None
    earn = rule.earn
    points = uncut = rule.points(basis, by)
    cut_by = ""
    if earn.cap is not NO_CAP:
        points, cut_by = _cut(uncut, purchase, earn)
    check_size(earn.id, max(basis, points))
    if points <= 0:
        return None
    matures, gone = purchase.times(earn.pending, earn.expires)
    why = rule.arithmetic(basis, uncut, by)
    return LedgerEntry(
        receipt=purchase.receipt.key,
        rule=earn.id,
        points=points,
        basis_minor=basis,
        pending_until=matures,
        expires_at=gone,
        why=f"{why}, cut to {points} by the cap of a {cut_by}" if cut_by else why,
    )


def check_size(rule: str, amount: int) -> None:
    """Raises TooManyPointsError where `amount` is more than what an entry, and a member's balance, can hold."""
    if amount > MAX_POINTS:
        detail = f"rule {rule}: {amount} is more than {MAX_POINTS}; correct the receipt, or what the rule gives"
        raise TooManyPointsError(detail)


def _cut(points: int, purchase: Purchase, rule: EarnRule) -> tuple[int, str]:
    """Points within the rule's caps, and which of them cut."""
    cut_by = ""
    cap = rule.cap
    if cap.receipt is not UNSET and points > cap.receipt:
        points, cut_by = cap.receipt, "receipt"
    if cap.day is UNSET and cap.month is UNSET and cap.member is UNSET:
        return points, cut_by
    used = purchase.known.used.get(rule.id, {})
    for name, period in periods_of(purchase.local):
        most = getattr(cap, name)
        if most is not UNSET and points > (room := max(0, most - used.get(period, 0))):
            points, cut_by = room, name
    return points, cut_by


def periods_of(local: datetime | None) -> tuple[tuple[str, str], ...]:
    """Which caps count a moment on the program's clock, and under what. What has no time shares a day and a month."""
    if local is None:
        return (("day", "undated day"), ("month", "undated month"), ("member", "member"))
    day = day_of(local)
    return (("day", day), ("month", day[:-3]), ("member", "member"))


def _best(entries: Iterable[LedgerEntry], terms: Terms) -> list[LedgerEntry]:
    """Of each group the entry with the most points, the first of equals; all that are in none."""
    best: dict[str, LedgerEntry] = {}
    for entry in entries:
        group = terms.by_id[entry.rule].earn.group
        # Rule ids and names of groups are kept apart by what stands before them.
        name = f"rule {entry.rule}" if group is UNSET else f"group {group}"
        if name not in best or entry.points > best[name].points:
            best[name] = entry
    kept = {entry.rule for entry in best.values()}
    return [entry for entry in entries if entry.rule in kept]
