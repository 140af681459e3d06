"""What to append to a ledger so that it comes to what it should hold: entries are only ever added.

Owns the difference between entries that are recorded and those that are wanted, per receipt and rule. Never says what
is wanted (`loyalty.canonical` does).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from msgspec.structs import replace

from loyalty.entry_rules import CORRECTED, VOIDED, corrected_rule, numbered
from loyalty.ledger import LedgerEntry

Times = tuple[datetime | None, datetime | None]


def corrections(
    recorded: Iterable[LedgerEntry], wanted: Iterable[LedgerEntry], *, because: str, voided: Collection[str] = ()
) -> list[LedgerEntry]:
    """Entries to append, in the order of `wanted` and then of `recorded`.

    What was not recorded is appended as it is wanted. Where points differ, one entry gives or takes the difference,
    with the times of those it corrects; where points mature or expire at other times than recorded, those are taken
    and given anew. `because` says what happened; receipts among `voided` say that instead.
    """
    held: dict[tuple[str, str], list[LedgerEntry]] = defaultdict(list)
    for entry in recorded:
        held[entry.receipt, corrected_rule(entry.rule)].append(entry)
    appended: list[LedgerEntry] = []
    for entry in wanted:
        before = held.pop((entry.receipt, entry.rule), None)
        if before is None:
            appended.append(entry)
        else:
            appended += _difference(before, entry, entry.rule, CORRECTED, because)
    for (receipt, rule), before in held.items():
        suffix = VOIDED if receipt in voided else CORRECTED
        appended += _difference(before, None, rule, suffix, "voided" if receipt in voided else because)
    return appended


def _difference(
    before: list[LedgerEntry], wanted: LedgerEntry | None, rule: str, suffix: str, because: str
) -> Iterable[LedgerEntry]:
    points: Counter[Times] = Counter()
    for entry in before:
        points[_times(entry)] += entry.points
    after = Counter({_times(wanted): wanted.points}) if wanted is not None else Counter[Times]()
    missing = {times: after[times] - points[times] for times in (*points, *after) if after[times] != points[times]}
    if not missing:
        return
    basis_minor = (0 if wanted is None else wanted.basis_minor) - sum(entry.basis_minor for entry in before)
    was, to_be = sum(points.values()), sum(after.values())
    arithmetic = "" if wanted is None else f": {wanted.why}"
    number = sum(1 for entry in before if entry.rule.startswith(f"{rule}{suffix}"))
    for (pending_until, expires_at), difference in missing.items():
        number += 1
        yield replace(
            before[0],
            rule=numbered(f"{rule}{suffix}", number if number > 1 else 0),
            points=difference,
            basis_minor=basis_minor,
            pending_until=pending_until,
            expires_at=expires_at,
            reverses=before[0].entry_id,
            why=f"{because}: {was} → {to_be}{arithmetic}",
        )
        basis_minor = 0


def _times(entry: LedgerEntry) -> Times:
    return entry.pending_until, entry.expires_at
