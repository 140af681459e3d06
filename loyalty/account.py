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
from loyalty.exchange import parts_of
from loyalty.history import History
from loyalty.identity import identity_keys
from loyalty.ledger import LedgerEntry, balance_of
from loyalty.member import Balance, MemberState
from loyalty.originals import awaited_names, names_of, original_among
from loyalty.periods import bought_at
from loyalty.program import Program
from loyalty.purchase import Purchase
from loyalty.receipt import Problem, Receipt
from loyalty.returns import EXCHANGED, VOIDED, Returned, Settled, voiding, within
from loyalty.roll import roll
from loyalty.sightings import filled, revised, sighting_of
from loyalty.streaks import Streaks, Undoing

NEW: Final = MemberState(code="new")


class Account:
    """One member's receipts under one program, folded in the order they arrive.

    A receipt seen again, under any of its ids, counts once, in its latest stage. A return waits for its
    original. `problems` names what contradicts what was there before; it gives nothing.
    """

    def __init__(self, program: Program, state: MemberState = NEW) -> None:
        self._program = program
        self._history = History(program, state.tier or UNSET, state.counters)
        self._streaks = Streaks(program, state.counters)
        self._opening = state
        self._sold: dict[str, Purchase] = {}
        self._took_back: set[str] = set()
        self._known: dict[str, str] = {}
        self._receipts: dict[str, Receipt] = {}
        self._settled: dict[str, Settled] = {}
        self._named: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, Receipt] = {}
        self.entries: list[LedgerEntry] = []
        self.problems: list[Problem] = []

    def tier(self, as_of: datetime) -> str | UnsetType:
        """The tier at `as_of`."""
        return self._history.tier(as_of)

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
        sold, returned = parts_of(receipt)
        if receipt.key in self._waiting and returned is not None:
            self._waiting[receipt.key] = returned
        if receipt.key in self._settled and sold is not None:
            self._settle_as(replace(self._settled[receipt.key], receipt=sold))
        return self._settle_waiting()

    def _void(self, known: Receipt, seen: Receipt) -> Iterable[LedgerEntry]:
        if known.key in self._took_back:
            return self._refuse(seen, "it voids a return that took points back; only a person can undo that")
        self._keep(known.key, seen, revised(known, seen))
        self._waiting.pop(known.key, None)
        settled = self._settled.pop(known.key, None)
        if settled is None:
            return ()
        sale = self._sold[known.key]
        entries = [*voiding(settled), *self._streaks.voided(sale, Undoing(receipt=known.key, suffix=VOIDED))]
        self._history.voided(sale)
        self._note(sale, entries)
        return entries

    def _refuse(self, receipt: Receipt, why: str) -> tuple[LedgerEntry, ...]:
        self.problems.append(Problem(code="identity_conflict", detail=f"receipt {receipt.key}: {why}"))
        return ()

    def _settle(self, receipt: Receipt) -> Iterable[LedgerEntry]:
        if not earns(receipt, self._program):
            return ()
        sold, returned = parts_of(receipt)
        taken = self._take_back(returned, EXCHANGED if sold is not None else "") if returned is not None else []
        return [*taken, *(self._give(sold) if sold is not None else ())]

    def _give(self, receipt: Receipt) -> Iterable[LedgerEntry]:
        at = bought_at(receipt, self._program.time_zone)
        sale = Purchase(receipt, self._program.time_zone, self._history.known(at))
        entries = evaluate(receipt, known=sale.known, program=self._program)
        self._sold[receipt.key] = sale
        self._history.bought(sale)
        self._note(sale, [*entries, *(beside := self._streaks.sold(sale))])
        self._settle_as(Settled(receipt=receipt, entries=entries))
        return [*entries, *beside, *self._settle_waiting()]

    def _take_back(self, receipt: Receipt, suffix: str = "") -> list[LedgerEntry]:
        original = self._original_of(receipt)
        if original is None:
            self._waiting[receipt.key] = receipt
            return []
        sale = self._sold[original.receipt.key]
        back = Returned(receipt, original, self._program.time_zone, sale.known)
        pending_only = self._program.returns.policy == "pending_only"
        undoing = Undoing(receipt=receipt.key, suffix=suffix, pending_at=back.now.at if pending_only else None)
        taken = [
            replace(entry, rule=f"{entry.rule}{suffix}")
            for entry in evaluate(receipt, known=sale.known, program=self._program, original=original)
        ]
        taken += self._streaks.returned(sale, back, undoing)
        if self._program.returns.policy == "within_balance":
            taken = list(within(taken, self._held(back.now.at)))
        self._history.brought_back(sale, back.basket_left())
        self._took_back.add(receipt.key)
        self._note(sale, taken)
        self._settled[original.receipt.key] = replace(
            original, reversed=(*original.reversed, *taken), returns=(*original.returns, receipt)
        )
        return taken

    def _note(self, sale: Purchase, entries: Iterable[LedgerEntry]) -> None:
        self.entries.extend(entries)
        self._history.given(sale, entries)

    def _held(self, at: datetime | None) -> int:
        """All points that a member has when a return is made, pending ones too."""
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
            given.extend(self._take_back(receipt, EXCHANGED if receipt.key in self._sold else ""))
        return given

    def _original_of(self, receipt: Receipt) -> Settled | None:
        named = [key for name in awaited_names(receipt) for key in self._named.get(name, ())]
        original = original_among(receipt, (self._settled[key].receipt for key in named if key in self._settled))
        return self._settled[original.key] if original is not None else None

    def balance(self, as_of: datetime) -> Balance:
        """The opening balance, rolled on to `as_of`, plus the fold of the entries then."""
        earned, opening = balance_of(self.entries, as_of), roll(self._opening, self._program, as_of).balance
        return Balance(
            confirmed=opening.confirmed + earned.confirmed,
            pending=opening.pending + earned.pending,
            spendable=opening.spendable + earned.spendable,
        )


def newest(receipts: Iterable[Receipt]) -> datetime:
    """As of when balances stand after these receipts: the newest receipt's own time."""
    times = [receipt.issued_at for receipt in receipts if receipt.issued_at is not UNSET]
    return max(times, default=datetime.min.replace(tzinfo=UTC))
