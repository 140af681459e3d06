"""What a return takes back, and a voiding.

Owns the two ways in which points go: in proportion to what came back, telescoping so that any number of steps comes to
the whole; and, where they hang on a threshold or bracket, by asking again of what remains. Lines of a return count
as the same goods did when they were sold. Never finds an original (`loyalty.originals` does).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from loyalty.entry_rules import VOIDED
from loyalty.item_matching import as_sold, goods_of
from loyalty.ledger import LedgerEntry
from loyalty.program import Program
from loyalty.purchase import ALL_GOODS, QUANTITY_SCALE, Known, Purchase, tags_of, thousandths_of
from loyalty.receipt import Line, Receipt
from loyalty.reconcile import unearning
from loyalty.terms import Rule, Terms, written


class Settled(Struct, frozen=True, kw_only=True):
    """A sale that was evaluated, with what came back of it so far: the returns themselves, and what they took.

    `pieces` says of points that were spent for pieces, by their rule, at which places the lines of these are.
    """

    receipt: Receipt
    entries: tuple[LedgerEntry, ...]
    reversed: tuple[LedgerEntry, ...] = ()
    returns: tuple[Receipt, ...] = ()
    pieces: Mapping[str, frozenset[int]] = {}


def taken_back(receipt: Receipt, original: Settled, terms: Terms, known: Known) -> tuple[LedgerEntry, ...]:
    """Entries that take back what `receipt`, a return, gives back of `original`; `known` is of the sale's time."""
    back = Returned(receipt, original, terms.program.time_zone, known)
    taken = (_reversal(entry, terms.by_id.get(entry.rule), back) for entry in original.entries)
    return allowed((entry for entry in taken if entry is not None), terms.program, back.now.at)


def allowed(taken: Iterable[LedgerEntry], program: Program, at: datetime | None) -> tuple[LedgerEntry, ...]:
    """Of what a return made at `at` would take back, what the program lets go: all, or what is still pending.

    What it gives back was spent, and is the member's under every policy.
    """
    if program.returns.policy != "pending_only":
        return tuple(taken)
    return tuple(entry for entry in taken if entry.points > 0 or is_pending(entry, at))


def is_pending(entry: LedgerEntry, at: datetime | None) -> bool:
    """Whether points are pending when a return is made at `at`; one without a time is as early as may be."""
    return entry.pending_until is not None and (at is None or at < entry.pending_until)


class Returned:
    """A return beside the sale that it gives back, and beside the returns before it.

    `is_whole` says that with it everything came back.
    """

    def __init__(self, receipt: Receipt, original: Settled, time_zone: str, known: Known) -> None:
        self.original = original
        self.sold = Purchase(original.receipt, time_zone, known)
        self.now = self._purchase(receipt)
        # One that does not add up took nothing, and is not asked until someone resolves it.
        before = [each for each in original.returns if each.key != receipt.key and unearning(each) is None]
        self._all = (*map(self._purchase, before), self.now)
        everything = sum(each.receipt.total_minor for each in self._all)
        # Shares of discounts and taxes are rounded in each step; what is all given back is all taken back.
        self.is_whole = 0 < original.receipt.total_minor <= -everything

    def _purchase(self, receipt: Receipt) -> Purchase:
        return Purchase(as_sold(receipt, self.original.receipt), self.sold.time_zone, self.sold.known)

    def basis_of(self, rule: Rule | None) -> int:
        """The basis of all that came back so far, of the lines that counted when they were sold."""
        return sum(max(0, self._basis_of(back, rule)) for back in self._all)

    def _basis_of(self, back: Purchase, rule: Rule | None) -> int:
        if rule is None:
            return -back.basis_of_goods(ALL_GOODS)
        if not back.receipt.lines:
            # Which goods came back is not said: as many of the rule's as the money may stand for.
            pieces = rule.earn.basis.scope == "quantity"
            return rule.basis_of(self.sold) if pieces else -back.receipt.total_minor
        lines = [line for line in back.lines if self._counted(line, rule)]
        return -back.basis_of(lines, rule.earn.basis) if lines else 0

    def pieces_of(self, places: frozenset[int]) -> int:
        """How much came back of the lines at these places, in thousandths of a piece, by the goods on the returns.

        Money does not tell: what was given for points cost nothing.
        """
        left = {place: abs(thousandths_of(line)) for place, line in enumerate(self.sold.lines)}
        whole, missing = sum(left[place] for place in places), sum(left.values())
        for back in self._all:
            if not back.receipt.lines:
                share = whole * -back.receipt.total_minor // max(1, self.sold.receipt.total_minor)
                return whole if self.is_whole else max(0, min(whole, share))
            for line in back.lines:
                pieces = abs(thousandths_of(line))
                missing -= pieces
                for place in self._same_goods(line):
                    gone = min(pieces, left[place])
                    left[place], pieces = left[place] - gone, pieces - gone
        # Some tills name what comes back otherwise than what they sold.
        return whole if self.is_whole and missing <= 0 else whole - sum(left[place] for place in places)

    def _same_goods(self, line: Line) -> list[int]:
        """Places of the same goods: what cost nothing comes back for nothing, before what was paid for."""
        same = [place for place, one in enumerate(self.sold.lines) if goods_of(one) == goods_of(line)]
        is_free = line.amount_minor == 0
        return sorted(same, key=lambda place: (self.sold.lines[place].amount_minor == 0) is not is_free)

    def basket_left(self) -> int:
        """What of the goods was not brought back, in minor units."""
        if self.is_whole:
            return 0
        return self.sold.basket_minor + sum(back.basket_minor for back in self._all)

    def _counted(self, line: Line, rule: Rule) -> bool:
        twin = next((self.sold.lines[place] for place in _twins(line, self.sold.lines)), line)
        return line.counts_as in rule.criterion.kinds and bool(rule.criterion.chosen(self.sold, (twin,)))

    def lost(self, rule: Rule, remaining: int) -> int:
        """How much of the `remaining` basis counts no more, now that a condition is asked of what remains."""
        if not rule.criterion.has_threshold or remaining <= 0:
            return 0
        left = list(self.sold.lines)
        for back in self._all:
            left = _less(left, back.lines)
        chosen = {id(line) for line in rule.lines_of(self.sold)}
        counted = [one for one, line in zip(left, self.sold.lines, strict=True) if id(line) in chosen]
        basket_minor = self.basket_left()
        asked = Purchase(self.original.receipt, self.sold.time_zone, self.sold.known, basket_minor=basket_minor)
        if not rule.criterion.holds(asked):
            return remaining
        kept = rule.criterion.chosen(asked, counted)
        whole = sum(line.amount_minor for line in counted)
        return remaining - remaining * sum(line.amount_minor for line in kept) // whole if whole > 0 else 0


def _reversal(entry: LedgerEntry, rule: Rule | None, back: Returned) -> LedgerEntry | None:
    before = [earlier for earlier in back.original.reversed if earlier.reverses == entry.entry_id]
    returned_before = -sum(earlier.basis_minor for earlier in before)
    # What was spent comes back as what was earned goes.
    sign = -1 if entry.points < 0 else 1
    given, reversed_before = abs(entry.points), -sign * sum(earlier.points for earlier in before)
    pieces = back.original.pieces.get(entry.rule)
    if pieces is not None:
        returned = back.pieces_of(pieces)
    else:
        returned = min(entry.basis_minor, entry.basis_minor if back.is_whole else back.basis_of(rule))
    if rule is not None:
        returned += back.lost(rule, entry.basis_minor - returned)
        if entry.basis_minor - returned < rule.least:
            returned = entry.basis_minor
    if returned <= returned_before:
        return None
    if rule is not None and rule.gives_once:
        left = min(entry.points, rule.points_once(entry.basis_minor - returned))
        target = max(reversed_before, entry.points - left)
        remains = written(entry.basis_minor - returned, rule.scale)
        why = f"{entry.points} − {left} for the {remains} that remain − {reversed_before}"
    else:
        target = max(reversed_before, given * returned // entry.basis_minor)
        scale = rule.scale if rule is not None else 1 if pieces is None else QUANTITY_SCALE
        parts = f"{written(returned, scale)} ÷ {written(entry.basis_minor, scale)}"
        why = f"floor({given} × {parts}) − {reversed_before}"
    return LedgerEntry(
        receipt=back.now.receipt.key,
        rule=entry.rule,
        points=sign * (reversed_before - target),
        basis_minor=returned_before - returned,
        pending_until=entry.pending_until,
        expires_at=entry.expires_at,
        reverses=entry.entry_id,
        why=f"{why} = {target - reversed_before} {'taken' if sign > 0 else 'given'} back",
    )


def _twins(line: Line, sold: Sequence[Line]) -> Iterator[int]:
    """Places of sold lines that a returned one may be of: first of the same goods, then of the same sort."""
    goods = goods_of(line)
    if any(goods):
        yield from (place for place, one in enumerate(sold) if goods_of(one) == goods)
    sort = (line.counts_as, set(tags_of(line)))
    yield from (place for place, one in enumerate(sold) if (one.counts_as, set(tags_of(one))) == sort)


def _less(sold: Sequence[Line], returned: Iterable[Line]) -> list[Line]:
    """Sold lines with what came back taken off, line by line, and off the next alike where one is not enough."""
    left = list(sold)
    for line in returned:
        amount, pieces = -line.amount_minor, -thousandths_of(line)
        for place in dict.fromkeys((*_twins(line, sold), *range(len(sold)))):
            if amount <= 0:
                break
            one = left[place]
            off = min(amount, max(0, one.amount_minor))
            fewer = pieces * off // amount
            amount, pieces = amount - off, pieces - fewer
            left[place] = replace(
                one,
                amount_minor=one.amount_minor - off,
                quantity=written(max(0, thousandths_of(one) - fewer), QUANTITY_SCALE),
            )
    return left


def within(taken: Iterable[LedgerEntry], held: int, at: datetime | None) -> tuple[LedgerEntry, ...]:
    """The same reversals, together taking no more than is `held` at `at`; a later return takes up what was left.

    What takes points that expired by then moves nothing, and leaves what is held to the others. What was spent comes
    back first.
    """
    cut = []
    for entry in sorted(taken, key=lambda entry: entry.points <= 0):
        if at is not None and entry.expires_at is not None and entry.expires_at <= at:
            cut.append(entry)
            continue
        points = max(entry.points, -max(0, held))
        held += points
        why = entry.why if points == entry.points else f"{entry.why}, cut to the {-points} that were there"
        cut.append(replace(entry, points=points, why=why))
    return tuple(cut)


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
                expires_at=entry.expires_at,
                reverses=entry.entry_id,
                why=f"voided: {abs(points)} {'taken' if points > 0 else 'given'} back",
            )
        )
    return tuple(taken)
