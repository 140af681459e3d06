"""One member's receipts as they arrive: each counts once, and a return waits for its original.

Owns which receipt is which, and what waits. `loyalty.fold` says what each gives; the centre folds in canonical order
instead (`loyalty.canonical`). Never asks a clock: balances stand as of the moment that is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from loyalty.entry_rules import EXCHANGED
from loyalty.evaluate import earns
from loyalty.exchange import parts_of
from loyalty.fold import NEW, Fold
from loyalty.history import Facts, scope_of
from loyalty.identity import identity_keys
from loyalty.ledger import LedgerEntry
from loyalty.member import Balance, MemberState
from loyalty.originals import awaited_names, names_of, original_among
from loyalty.periods import FIRST, bought_at
from loyalty.program import Program
from loyalty.receipt import Problem, Receipt
from loyalty.sightings import filled, revised, sighting_of
from loyalty.standing import tier_by_hand


class Account:
    """One member's receipts under one program, folded in the order they arrive.

    A receipt seen again, under any of its ids, counts once, in its latest stage. A return waits for its
    original. `problems` names what contradicts what was there before; it gives nothing.
    """

    def __init__(self, program: Program, state: MemberState = NEW) -> None:
        self._program = program
        self._opening = state
        self._facts = facts_of(state, program)
        self._fold = Fold(scope_of((program,)), state)
        self._took_back: set[str] = set()
        self._known: dict[str, str] = {}
        self._receipts: dict[str, Receipt] = {}
        self._named: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, Receipt] = {}
        self.problems: list[Problem] = []

    @property
    def entries(self) -> list[LedgerEntry]:
        """All that was given and taken, in order."""
        return self._fold.entries

    def tier(self, as_of: datetime) -> str | UnsetType:
        """The tier at `as_of`."""
        return self._fold.tier(self._program, self._facts, as_of)

    @property
    def waiting(self) -> tuple[Receipt, ...]:
        """Returns whose original has not come."""
        return tuple(self._waiting.values())

    def balance(self, as_of: datetime) -> Balance:
        """The opening balance, rolled on to `as_of`, plus the fold of the entries then."""
        return self._fold.balance(self._program, as_of)

    def state(self, as_of: datetime) -> MemberState:
        """The member at `as_of`, after all that was added: what the next receipt needs to know. Lots are not told."""
        told = self._opening.counters
        counters = replace(
            self._fold.counters(self._program, as_of),
            birth_month=told.birth_month,
            segments=told.segments,
        )
        if self._facts.tier is not UNSET:
            # A tier that nobody told the activity of is kept only for as long as none is told.
            counters = replace(counters, activity=told.activity)
        balance = self.balance(as_of)
        return replace(
            self._opening,
            tier=self.tier(as_of),
            confirmed=balance.confirmed,
            pending=balance.pending,
            spendable=balance.spendable,
            counters=counters,
        )

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
            case _:  # a later stage
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
        if sold is not None and self._fold.is_sold(receipt.key):
            self._fold.learn(sold)
            self._name(sold)
        return self._settle_waiting()

    def _void(self, known: Receipt, seen: Receipt) -> Iterable[LedgerEntry]:
        if known.key in self._took_back:
            return self._refuse(seen, "it voids a return that took points back; only a person can undo that")
        self._keep(known.key, seen, revised(known, seen))
        self._waiting.pop(known.key, None)
        return self._fold.void(known.key)

    def _refuse(self, receipt: Receipt, why: str) -> tuple[LedgerEntry, ...]:
        self.problems.append(Problem(code="identity_conflict", detail=f"receipt {receipt.key}: {why}"))
        return ()

    def _settle(self, receipt: Receipt) -> Iterable[LedgerEntry]:
        if not earns(receipt, self._program):
            return ()
        sold, returned = parts_of(receipt)
        if sold is not None and returned is not None and self._fold.refuses(sold, self._program, self._facts):
            # Asked before anything is taken back: an exchange counts whole or not at all.
            return self._too_many_points(receipt)
        taken = self._take_back(returned, EXCHANGED if sold is not None else "") if returned is not None else []
        return [*taken, *(self._give(sold) if sold is not None else ())]

    def _give(self, receipt: Receipt) -> Iterable[LedgerEntry]:
        entries = self._fold.sell(receipt, program=self._program, facts=self._facts)
        if receipt.key in self._fold.refused:
            return self._too_many_points(receipt)
        self._name(receipt)
        return [*entries, *self._settle_waiting()]

    def _too_many_points(self, receipt: Receipt) -> Iterable[LedgerEntry]:
        detail = f"receipt {receipt.key}: {self._fold.refused[receipt.key]}"
        self.problems.append(Problem(code="too_many_points", detail=detail))
        return ()

    def _take_back(self, receipt: Receipt, suffix: str) -> list[LedgerEntry]:
        original = self._original_of(receipt)
        if original is None:
            self._waiting[receipt.key] = receipt
            return []
        self._took_back.add(receipt.key)
        return self._fold.take_back(receipt, original, suffix)

    def _name(self, sold: Receipt) -> None:
        for name in names_of(sold):
            self._named.setdefault(name, {})[sold.key] = None

    def _settle_waiting(self) -> list[LedgerEntry]:
        ready = [receipt for receipt in self._waiting.values() if self._original_of(receipt) is not None]
        given: list[LedgerEntry] = []
        for receipt in ready:
            del self._waiting[receipt.key]
            given.extend(self._take_back(receipt, EXCHANGED if self._fold.is_sold(receipt.key) else ""))
        return given

    def _original_of(self, receipt: Receipt) -> str | None:
        named = [key for name in awaited_names(receipt) for key in self._named.get(name, ())]
        original = original_among(receipt, (sale for key in named if (sale := self._fold.sale(key)) is not None))
        return original.key if original is not None else None


def facts_of(state: MemberState, program: Program) -> Facts:
    """What a member file tells that no receipt does."""
    counters = state.counters
    return Facts(
        tier=tier_by_hand(program, state.tier or UNSET, counters.activity),
        birth_month=counters.birth_month or None,
        segments=frozenset(counters.segments or ()),
    )


def newest(receipts: Iterable[Receipt], time_zone: str) -> datetime:
    """As of when balances stand after these receipts: the newest receipt's own time; FIRST where none has any."""
    times = [at for receipt in receipts if (at := bought_at(receipt, time_zone)) is not None]
    return max(times, default=FIRST)
