"""One member's receipts folded in the order they come: each counts once, and a return waits for its original.

Owns what a member's earlier receipts mean for the next one: caps used, purchases made. Never asks a clock: balances
stand as of the moment that is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from loyalty.evaluate import earns, evaluate
from loyalty.history import History
from loyalty.identity import identity_keys
from loyalty.ledger import LedgerEntry, balance_of
from loyalty.member import Balance, MemberState
from loyalty.originals import awaited_names, names_of, original_among
from loyalty.periods import bought_at
from loyalty.program import Program
from loyalty.purchase import Purchase
from loyalty.receipt import Problem, Receipt
from loyalty.returns import Settled, voiding, within
from loyalty.sightings import filled, revised, sighting_of

NEW: Final = MemberState(code="new")


class Account:
    """One member's receipts under one program, folded in the order they arrive.

    A receipt seen again, under any of its ids, counts once, in its latest stage. A return waits for its
    original. `problems` names what contradicts what was there before; it gives nothing.
    """

    def __init__(self, program: Program, state: MemberState = NEW) -> None:
        self._program = program
        self._history = History(program, state.tier or UNSET, state.counters)
        self._opening = state.balance
        self._sold: dict[str, Purchase] = {}
        self._known: dict[str, str] = {}
        self._receipts: dict[str, Receipt] = {}
        self._settled: dict[str, Settled] = {}
        self._named: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, Receipt] = {}
        self.entries: list[LedgerEntry] = []
        self.problems: list[Problem] = []

    @property
    def tier(self) -> str | UnsetType:
        """The tier after the last receipt."""
        return self._history.tier

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
        if settled is None:
            return ()
        entries = voiding(settled)
        self._note(self._sold[known.key], entries)
        self._history.bought(-1)
        return entries

    def _refuse(self, receipt: Receipt, why: str) -> tuple[LedgerEntry, ...]:
        self.problems.append(Problem(code="identity_conflict", detail=f"receipt {receipt.key}: {why}"))
        return ()

    def _settle(self, receipt: Receipt) -> Iterable[LedgerEntry]:
        if not earns(receipt, self._program):
            return ()
        if receipt.kind == "return":
            return self._take_back(receipt)
        purchase = Purchase(receipt, self._program.time_zone, self._history.known())
        entries = evaluate(receipt, known=purchase.known, program=self._program)
        self._sold[receipt.key] = purchase
        self._history.bought()
        self._note(purchase, entries)
        self._settle_as(Settled(receipt=receipt, entries=entries))
        return [*entries, *self._settle_waiting()]

    def _take_back(self, receipt: Receipt) -> Iterable[LedgerEntry]:
        original = self._original_of(receipt)
        if original is None:
            self._waiting[receipt.key] = receipt
            return ()
        sold = self._sold[original.receipt.key]
        taken = evaluate(receipt, known=sold.known, program=self._program, original=original)
        if self._program.returns.policy == "within_balance":
            taken = within(taken, self._held(receipt))
        self._note(sold, taken)
        self._settled[original.receipt.key] = replace(
            original, reversed=(*original.reversed, *taken), returns=(*original.returns, receipt)
        )
        return taken

    def _note(self, sale: Purchase, entries: Iterable[LedgerEntry]) -> None:
        self.entries.extend(entries)
        self._history.given(sale, entries)

    def _held(self, receipt: Receipt) -> int:
        """All points that a member has when a return is made, pending ones too."""
        at = bought_at(receipt, self._program.time_zone)
        balance = self.balance(at or datetime.min.replace(tzinfo=UTC))
        return balance.spendable + balance.pending

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


def newest(receipts: Iterable[Receipt]) -> datetime:
    """As of when balances stand after these receipts: the newest receipt's own time."""
    times = [receipt.issued_at for receipt in receipts if receipt.issued_at is not UNSET]
    return max(times, default=datetime.min.replace(tzinfo=UTC))
