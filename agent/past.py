"""A sale after all that this register knows of its member's past.

Owns putting together what the centre counted and what was sold here since. Pure but for the store that it reads.
"""

from __future__ import annotations

from loyalty.evaluate import earns
from loyalty.exchange import parts_of
from loyalty.fold import Fold
from loyalty.history import Facts, missing, remembers, scope_of
from loyalty.ledger import LedgerEntry
from loyalty.member import Counters, Member, MemberState
from loyalty.program import Program
from loyalty.receipt import Receipt
from sync.store.writing import Writing


def folded(
    writing: Writing, sold: Receipt, member: Member, terms: Program
) -> tuple[Fold, tuple[LedgerEntry, ...], bool]:
    """A sale after all that is known of its member: the fold, what the sale gives, and whether that is an estimate.

    Goes on from what the centre counted, and from the own sales that it has not told of yet.
    """
    counters = member.counters or Counters()
    facts = Facts(tier=member.tier, segments=frozenset(counters.segments or ()))
    fold = Fold(scope_of((terms,)), MemberState(code=member.member, counters=counters))
    before = writing.unconfirmed_receipts(member.member)
    for each in before:
        earlier, _ = parts_of(each.receipt)
        if earlier is not None and earlier.key != sold.key and earns(earlier, terms):
            fold.sell(earlier, program=terms, facts=facts)
    entries = tuple(fold.sell(sold, program=terms, facts=facts)) if earns(sold, terms) else ()
    untold = set(missing(terms, counters)) - {"activity"}
    returns = any(parts_of(each.receipt)[1] is not None for each in before)
    return fold, entries, bool(untold) or (returns and remembers(terms))
