"""What a receipt is worth: one pure evaluator for the till and for the centre.

`evaluate` looks at one receipt; `Account` folds many, letting a return wait for its original. All
arithmetic is on integers; the whole product is made before the one rounding.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from loyalty.identity import identity_keys
from loyalty.item_matching import as_sold
from loyalty.ledger import LedgerEntry, balance_of
from loyalty.member import Balance
from loyalty.originals import awaited_names, names_of, original_among
from loyalty.program import Duration, EarnRule, Program
from loyalty.receipt import Problem, Receipt
from loyalty.reconcile import TOTAL_MISMATCH
from loyalty.sightings import filled, revised, sighting_of

# Ends the rule of an entry that a voiding makes, so that it has an id of its own beside the one it takes back.
VOIDED = "/voided"


class OriginalUnknownError(LookupError):
    """A return came before the receipt it gives back; it waits for that one."""


class Settled(Struct, frozen=True, kw_only=True):
    """A sale that was evaluated, with what came back of it so far."""

    receipt: Receipt
    entries: tuple[LedgerEntry, ...]
    reversed: tuple[LedgerEntry, ...] = ()


def evaluate(
    receipt: Receipt, *, tier: str | UnsetType, program: Program, original: Settled | None = None
) -> tuple[LedgerEntry, ...]:
    """Ledger entries that `receipt` gives a member of `tier`.

    A return takes back from `original`; without one it raises OriginalUnknownError. Receipts that are
    not final, do not reconcile, or are in another currency than the program give nothing.
    """
    if not _earns(receipt, program):
        return ()
    if receipt.kind == "return":
        if original is None:
            raise OriginalUnknownError(receipt.key)
        returned = as_sold(receipt, original.receipt)
        return tuple(
            reversal for entry in original.entries if (reversal := _reversal(returned, entry, original)) is not None
        )
    basis_minor = earning_basis_minor(receipt)
    given = (_given(receipt, rule, basis_minor, tier, program) for rule in program.ordered_rules())
    return tuple(entry for entry in given if entry is not None)


def _earns(receipt: Receipt, program: Program) -> bool:
    if receipt.status != "final" or receipt.has_problem(TOTAL_MISMATCH):
        return False
    return receipt.currency == program.currency


def earning_basis_minor(receipt: Receipt) -> int:
    """The money that earns: goods after discounts with tax; the total where a source gives no lines.

    Discounts on the whole receipt and taxes not included in the lines fall on goods in proportion to
    their share of all lines, rounded towards zero.
    """
    if not receipt.lines:
        return receipt.total_minor
    live = [line for line in receipt.lines if not line.voided]
    goods = sum(line.amount_minor for line in live if line.counts_as == "goods")
    others = sum(line.amount_minor for line in live if line.counts_as != "goods")
    shared = sum(tax.amount_minor for tax in receipt.taxes if not tax.included)
    shared -= sum(discount.amount_minor for discount in receipt.discounts)
    if others == 0:
        return goods + shared
    everything = goods + others
    if everything == 0:
        return goods
    share = abs(shared * goods) // abs(everything)
    return goods + (share if (shared * goods < 0) == (everything < 0) else -share)


def _given(
    receipt: Receipt, rule: EarnRule, basis_minor: int, tier: str | UnsetType, program: Program
) -> LedgerEntry | None:
    numerator, denominator = program.multiplier(tier)
    product = basis_minor * rule.give.points * numerator
    points = product // (rule.give.per_minor * denominator) if product > 0 else 0
    if points == 0:
        return None
    times = f" × {numerator}/{denominator} ({tier})" if (numerator, denominator) != (1, 1) else ""
    return LedgerEntry(
        receipt=receipt.key,
        rule=rule.id,
        points=points,
        basis_minor=basis_minor,
        pending_until=_pending_until(receipt, rule, program),
        why=f"floor({basis_minor} × {rule.give.points}{times} ÷ {rule.give.per_minor}) = {points}",
    )


def _pending_until(receipt: Receipt, rule: EarnRule, program: Program) -> datetime | None:
    if rule.pending is UNSET:
        return None
    bought = _bought(receipt, program)
    return later(bought, rule.pending, program.time_zone) if bought is not None else None


def _bought(receipt: Receipt, program: Program) -> datetime | None:
    """When a receipt was issued; by its day alone the end of it, by nothing at all when it was captured."""
    if receipt.issued_at is not UNSET:
        return receipt.issued_at
    if receipt.business_day is not UNSET:
        return datetime.combine(receipt.business_day + timedelta(days=1), time(), ZoneInfo(program.time_zone))
    return receipt.captured_at or None


def later(moment: datetime, duration: Duration, time_zone: str) -> datetime:
    """`moment` plus an ISO 8601 duration of days, weeks, months or years, on the wall clock of `time_zone`.

    A day that the target month does not have becomes that month's last day.
    """
    local = moment.astimezone(ZoneInfo(time_zone))
    count, unit = int(duration[1:-1]), duration[-1]
    if unit in "DW":
        return local + timedelta(days=count * (7 if unit == "W" else 1))
    months = local.month - 1 + count * (12 if unit == "Y" else 1)
    year, month = local.year + months // 12, months % 12 + 1
    return local.replace(year=year, month=month, day=min(local.day, calendar.monthrange(year, month)[1]))


def _reversal(receipt: Receipt, entry: LedgerEntry, original: Settled) -> LedgerEntry | None:
    """Telescoping: reversed so far = floor(earned × returned so far ÷ basis), never beyond the whole."""
    before = [earlier for earlier in original.reversed if earlier.reverses == entry.entry_id]
    returned_before = -sum(earlier.basis_minor for earlier in before)
    reversed_before = -sum(earlier.points for earlier in before)
    returning = min(-earning_basis_minor(receipt), entry.basis_minor - returned_before)
    if returning <= 0:
        return None
    returned = returned_before + returning
    reversed_now = entry.points * returned // entry.basis_minor - reversed_before
    return LedgerEntry(
        receipt=receipt.key,
        rule=entry.rule,
        points=-reversed_now,
        basis_minor=-returning,
        pending_until=entry.pending_until,
        reverses=entry.entry_id,
        why=f"floor({entry.points} × {returned} ÷ {entry.basis_minor}) − {reversed_before} = {reversed_now} taken back",
    )


def voiding(voided: Settled) -> tuple[LedgerEntry, ...]:
    """Entries that take back whatever a sale still gives, now that it does not count."""
    taken = []
    for entry in voided.entries:
        before = [earlier for earlier in voided.reversed if earlier.reverses == entry.entry_id]
        points = entry.points + sum(earlier.points for earlier in before)
        basis_minor = entry.basis_minor + sum(earlier.basis_minor for earlier in before)
        if points == 0:
            continue
        taken.append(
            LedgerEntry(
                receipt=entry.receipt,
                rule=f"{entry.rule}{VOIDED}",
                points=-points,
                basis_minor=-basis_minor,
                pending_until=entry.pending_until,
                reverses=entry.entry_id,
                why=f"voided: {points} taken back",
            )
        )
    return tuple(taken)


class Account:
    """One member's receipts under one program, folded in the order they arrive.

    A receipt seen again, under any of its ids, counts once, in its latest stage. A return waits for its
    original. `problems` names what contradicts what was there before; it gives nothing.
    """

    def __init__(self, program: Program, tier: str | UnsetType = UNSET, opening: Balance | None = None) -> None:
        self._program = program
        self._tier = tier
        self._opening = opening or Balance()
        self._known: dict[str, str] = {}
        self._receipts: dict[str, Receipt] = {}
        self._settled: dict[str, Settled] = {}
        self._named: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, Receipt] = {}
        self.entries: list[LedgerEntry] = []
        self.problems: list[Problem] = []

    @property
    def waiting(self) -> tuple[Receipt, ...]:
        """Returns whose original has not come."""
        return tuple(self._waiting.values())

    def add(self, receipt: Receipt) -> tuple[LedgerEntry, ...]:
        """Entries that this receipt gives now, those of returns that waited for it included."""
        if receipt.status == "copy":
            return ()
        known = {self._known[key] for key in identity_keys(receipt) if key in self._known}
        if len(known) > 1:
            return self._refuse(receipt, "its ids belong to two receipts")
        if not known:
            self._keep(receipt.key, receipt)
            return tuple(self._settle(receipt))
        return tuple(self._again(self._receipts[known.pop()], receipt))

    def _again(self, known: Receipt, seen: Receipt) -> Iterable[LedgerEntry]:
        match sighting_of(known, seen):
            case "conflict":
                return self._refuse(seen, "it is known with another kind, currency, total or minute")
            case "told_before":
                return ()
            case "same":
                self._keep(known.key, seen, filled(known, seen))
                return self._learn(self._receipts[known.key])
            case "revision":
                if known.status != "final":
                    self._keep(known.key, seen, revised(known, seen))
                    return self._settle(self._receipts[known.key])
                return self._void(known, seen)

    def _keep(self, key: str, seen: Receipt, whole: Receipt | None = None) -> None:
        """All that is known of the receipt with `key`, under the ids of this sighting too."""
        self._receipts[key] = whole or seen
        for each in (*identity_keys(seen), *identity_keys(self._receipts[key])):
            self._known.setdefault(each, key)

    def _learn(self, receipt: Receipt) -> Iterable[LedgerEntry]:
        """A receipt was filled in: a return may find it by what was absent, or say now what it gives back."""
        if receipt.key in self._waiting:
            self._waiting[receipt.key] = receipt
        elif receipt.key in self._settled:
            self._settle_as(replace(self._settled[receipt.key], receipt=receipt))
        return self._settle_waiting()

    def _void(self, known: Receipt, seen: Receipt) -> Iterable[LedgerEntry]:
        if known.kind == "return" and known.key not in self._waiting:
            return self._refuse(seen, "it voids a return that took points back; only a person can undo that")
        self._keep(known.key, seen, revised(known, seen))
        self._waiting.pop(known.key, None)
        settled = self._settled.pop(known.key, None)
        entries = voiding(settled) if settled is not None else ()
        self.entries.extend(entries)
        return entries

    def _refuse(self, receipt: Receipt, why: str) -> tuple[LedgerEntry, ...]:
        self.problems.append(Problem(code="identity_conflict", detail=f"receipt {receipt.key}: {why}"))
        return ()

    def _settle(self, receipt: Receipt) -> Iterable[LedgerEntry]:
        original = self._original_of(receipt)
        try:
            entries = evaluate(receipt, tier=self._tier, program=self._program, original=original)
        except OriginalUnknownError:
            self._waiting[receipt.key] = receipt
            return []
        self.entries.extend(entries)
        if original is not None:
            key = original.receipt.key
            self._settled[key] = replace(original, reversed=(*original.reversed, *entries))
            return entries
        if receipt.kind == "return" or receipt.status != "final":
            return entries
        self._settle_as(Settled(receipt=receipt, entries=entries))
        return [*entries, *self._settle_waiting()]

    def _settle_as(self, settled: Settled) -> None:
        self._settled[settled.receipt.key] = settled
        for name in names_of(settled.receipt):
            self._named.setdefault(name, {})[settled.receipt.key] = None

    def _settle_waiting(self) -> list[LedgerEntry]:
        ready = [receipt for receipt in self._waiting.values() if self._original_of(receipt) is not None]
        given: list[LedgerEntry] = []
        for receipt in ready:
            del self._waiting[receipt.key]
            given.extend(self._settle(receipt))
        return given

    def _original_of(self, receipt: Receipt) -> Settled | None:
        if receipt.kind != "return":
            return None
        named = [key for name in awaited_names(receipt) for key in self._named.get(name, ())]
        original = original_among(receipt, (self._settled[key].receipt for key in named if key in self._settled))
        return self._settled[original.key] if original is not None else None

    def balance(self, as_of: datetime) -> Balance:
        """Opening balance plus the fold of the entries at `as_of`."""
        earned = balance_of(self.entries, as_of)
        return Balance(
            confirmed=self._opening.confirmed + earned.confirmed,
            pending=self._opening.pending + earned.pending,
            spendable=self._opening.spendable + earned.spendable,
        )
