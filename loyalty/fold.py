"""One member's sales, returns and events folded in the order in which they are told.

Owns what each means for the next: caps used, purchases made, tiers reached, visits and stamps. Each is judged by the
program that is passed with it; a return by that of its sale. Never asks which order is right (`loyalty.canonical`
does), nor whether a receipt was seen before (`loyalty.account` does), and never asks a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, UnsetType
from msgspec.structs import replace

from loyalty.entry_rules import GOODWILL, VOIDED, giving_rule, is_spent
from loyalty.evaluate import TooManyPointsError, earned, evaluate
from loyalty.events import Happened, event_entries
from loyalty.given_rewards import given_pieces
from loyalty.history import Facts, History, Scope
from loyalty.ledger import LedgerEntry, balance_of
from loyalty.member import Balance, Counters, MemberState
from loyalty.periods import FIRST, bought_at
from loyalty.program import Program, TierThreshold
from loyalty.purchase import Purchase, thousandths_of
from loyalty.receipt import Receipt
from loyalty.returns import Returned, Settled, voiding, within
from loyalty.rewards import Taken
from loyalty.roll import roll
from loyalty.spending import Spending, spent_entries
from loyalty.streaks import Streaks, Undoing

NEW: Final = MemberState(code="new")


class _Sale(Struct, kw_only=True):
    """A sale with what it gave, what came back of it, and the program that judged it."""

    purchase: Purchase
    program: Program
    settled: Settled


class Fold:
    """What one member's receipts give, one after the other. `entries` are all of them, in the order they were given.

    `refused` says, by receipt, why one that would earn gives nothing: its points are more than an entry can hold.
    `streaks` are the member's visits and stamps.

    `scope` is of all programs that will be passed: what any of them counts is counted from the beginning.
    """

    def __init__(self, scope: Scope, opening: MemberState = NEW) -> None:
        self._opening = opening
        self._history = History(scope, opening.counters)
        self.streaks = Streaks(opening.counters)
        self._sales: dict[str, _Sale] = {}
        self.entries: list[LedgerEntry] = []
        self.refused: dict[str, str] = {}

    def sell(
        self, receipt: Receipt, *, program: Program, facts: Facts, promised: Iterable[LedgerEntry] = ()
    ) -> list[LedgerEntry]:
        """A sale that earns. Where the program honours what the till `promised`, that is the least it gives.

        One that would give more than an entry can hold gives nothing and counts for nothing; `refused` says why.
        """
        judged = self._judged(receipt, program, facts)
        if judged is None:
            return []
        sale, entries = judged
        self._history.bought(sale)
        beside = self.streaks.sold(sale, program)
        self._note(sale, [*entries, *beside])
        kept = honoured(promised, [*entries, *beside], sale) if program.goodwill == "honour" else None
        if kept is not None:
            self.entries.append(kept)
            entries = (*entries, kept)
        settled = Settled(receipt=receipt, entries=entries)
        self._sales[receipt.key] = _Sale(purchase=sale, program=program, settled=settled)
        return [*entries, *beside]

    def spend(self, spending: Spending, receipt: str) -> list[LedgerEntry]:
        """Points that were spent on a sale, or beside any that is folded: then no return brings them back."""
        sale = self._sales.get(receipt)
        if sale is None:
            alone = [*spent_entries(spending, receipt, 0)]
            self.entries.extend(alone)
            return alone
        pieces = given_pieces(sale.purchase, sale.program, Taken(reward=spending.what, times=spending.times))
        basis = sum(abs(thousandths_of(sale.purchase.lines[place])) for place in pieces)
        spent = spent_entries(spending, receipt, basis or sale.purchase.basket_minor)
        settled = sale.settled
        if pieces:
            settled = replace(settled, pieces={**settled.pieces, **dict.fromkeys([one.rule for one in spent], pieces)})
        sale.settled = replace(settled, entries=(*settled.entries, *spent))
        self.entries.extend(spent)
        return [*spent]

    def refuses(self, receipt: Receipt, program: Program, facts: Facts) -> bool:
        """Whether a sale would give more than an entry can hold; asking counts nothing."""
        return self._judged(receipt, program, facts) is None

    def _judged(
        self, receipt: Receipt, program: Program, facts: Facts
    ) -> tuple[Purchase, tuple[LedgerEntry, ...]] | None:
        known = self._history.known(bought_at(receipt, program.time_zone), program, facts)
        sale = Purchase(receipt, program.time_zone, known)
        try:
            self.streaks.check(sale, program)
            return sale, earned(sale, program)
        except TooManyPointsError as error:
            self.refused[receipt.key] = str(error)
            return None

    def take_back(self, receipt: Receipt, original: str, suffix: str = "") -> list[LedgerEntry]:
        """A return of the sale with the key `original`, which has to be there; its rules end with `suffix`."""
        sale = self._sales[original]
        program, purchase = sale.program, sale.purchase
        back = Returned(receipt, sale.settled, program.time_zone, purchase.known)
        pending_only = program.returns.policy == "pending_only"
        undoing = Undoing(receipt=receipt.key, suffix=suffix, pending_only=pending_only, at=back.now.at)
        taken = [
            replace(entry, rule=f"{entry.rule}{suffix}")
            for entry in evaluate(receipt, known=purchase.known, program=program, original=sale.settled)
        ]
        taken += self.streaks.returned(purchase, back, undoing)
        if program.returns.policy == "within_balance":
            taken = list(within(taken, self._held(program, back.now.at), back.now.at))
        self._history.is_left(purchase, back.basket_left())
        self._note(purchase, taken)
        sale.settled = replace(
            sale.settled, reversed=(*sale.settled.reversed, *taken), returns=(*sale.settled.returns, receipt)
        )
        return taken

    def void(self, key: str) -> list[LedgerEntry]:
        """A sale that does not count any more; nothing where it never did."""
        sale = self._sales.pop(key, None)
        if sale is None:
            return []
        undoing = Undoing(receipt=key, suffix=VOIDED)
        entries = [*voiding(sale.settled), *self.streaks.voided(sale.purchase, undoing)]
        self._history.voided(sale.purchase)
        self._note(sale.purchase, entries)
        return entries

    def happen(self, happened: Happened, program: Program) -> list[LedgerEntry]:
        """An event: what the program's rules give for it."""
        local = happened.at.astimezone(ZoneInfo(program.time_zone))
        given = event_entries(happened, program=program, used=self._history.used(local))
        by_id = {rule.id: rule for rule in program.events}
        for entry in given:
            self._history.happened(by_id[entry.rule], happened.key, happened.at, local, entry.points)
        self.entries.extend(given)
        return list(given)

    def is_sold(self, key: str) -> bool:
        """Whether the sale with this key was folded, so that a return may take from it."""
        return key in self._sales

    def program_of(self, key: str) -> Program:
        """The program that judged a sale that is folded."""
        return self._sales[key].program

    def learn(self, receipt: Receipt) -> None:
        """A fuller reading of a sale that was folded: its returns are matched with it."""
        sale = self._sales.get(receipt.key)
        if sale is not None:
            sale.settled = replace(sale.settled, receipt=receipt)

    def sale(self, key: str) -> Receipt | None:
        """A sale that was folded and still counts."""
        sale = self._sales.get(key)
        return None if sale is None else sale.settled.receipt

    def purchase(self, key: str) -> Purchase:
        """A sale that was folded, as its program's rules saw it, with what was known of the member then."""
        return self._sales[key].purchase

    def tier(self, program: Program, facts: Facts, at: datetime) -> str | UnsetType:
        return self._history.tier(program, facts, at)

    def counted(self, threshold: TierThreshold, program: Program, at: datetime) -> list[tuple[datetime, int]]:
        """What counts for a tier at `at`, in order of time, and how much it counts."""
        return self._history.counted(threshold, program, at)

    def tier_changes_at(self, program: Program, now: datetime) -> datetime | None:
        """When time alone may next change the tier."""
        return self._history.tier_changes_at(program, now)

    def balance(self, program: Program, as_of: datetime) -> Balance:
        """The opening balance, rolled on to `as_of`, plus the fold of the entries then."""
        earned, opening = balance_of(self.entries, as_of), roll(self._opening, program, as_of).balance
        return Balance(
            confirmed=opening.confirmed + earned.confirmed,
            pending=opening.pending + earned.pending,
            spendable=opening.spendable + earned.spendable,
        )

    def counters(self, program: Program, at: datetime) -> Counters:
        """All that the next sale, at `at` or later and under the same program, needs of those before."""
        return Counters(
            used=self._history.used(at.astimezone(ZoneInfo(program.time_zone))),
            purchases=self._history.purchases(),
            activity=self._history.activity(at),
            visits=self.streaks.visits(at),
            visited=self.streaks.visited(),
            stamps=self.streaks.stamps(),
        )

    def _note(self, sale: Purchase, entries: list[LedgerEntry]) -> None:
        self.entries.extend(entries)
        counted = (entry for entry in entries if giving_rule(entry.rule) != GOODWILL and not is_spent(entry.rule))
        self._history.given(sale, counted)

    def _held(self, program: Program, at: datetime | None) -> int:
        """All points that a member has when a return is made, pending ones too."""
        balance = self.balance(program, at or FIRST)
        return balance.spendable + balance.pending


def honoured(promised: Iterable[LedgerEntry], given: Iterable[LedgerEntry], sale: Purchase) -> LedgerEntry | None:
    """What is missing to a higher promise that was printed; it goes as the goods of the sale come back."""
    claims = [claim for claim in promised if claim.points > 0]
    claimed, earned = sum(claim.points for claim in claims), sum(entry.points for entry in given)
    if claimed <= earned:
        return None
    largest = max(claims, key=lambda claim: claim.points)
    return LedgerEntry(
        receipt=sale.receipt.key,
        rule=GOODWILL,
        points=claimed - earned,
        basis_minor=max(1, sale.basket_minor),
        pending_until=largest.pending_until,
        expires_at=largest.expires_at,
        why=f"{claimed} were promised at the till, {earned} are given by the rules",
    )
