"""The same transaction seen again: a reprint, a fuller print, a later stage, or a contradiction.

Owns what a further sighting of one identity means and what it adds, for till, centre and
`tillside evaluate` alike. Never says whether two receipts are one (`loyalty.identity` does).
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET
from msgspec.structs import fields, replace

from loyalty.identity import identity_keys, key_of, natural_ids, same_content
from loyalty.receipt import MAX_ALSO, Receipt
from loyalty.reconcile import reconciled

Sighting = Literal["same", "revision", "told_before", "conflict"]

# suspended → final → voided; the other stages say even less than a suspended one.
_STAGE = {"training": 0, "copy": 0, "proforma": 0, "advance": 0, "suspended": 0, "final": 1, "voided": 2}

_ABSENT = (UNSET, (), 0)
# These belong together: one print's lines and another's discounts do not add up.
_SUMS = ("lines", "item_map", "discounts", "taxes", "rounding_minor")
_PAYMENT = ("tenders", "change_minor")
_OWN = ("key", "also", "kind", "status", "captured_at", "currency", "total_minor", "problems", *_SUMS, *_PAYMENT)
_FACTS = tuple(field.name for field in fields(Receipt) if field.name not in _OWN)


def sighting_of(known: Receipt, seen: Receipt) -> Sighting:
    """What `seen` is to the `known` receipt with its identity.

    `same` may fill in what was absent; `revision` is a later stage; `told_before` is an earlier stage, or
    a voiding, of what is further on already.
    """
    if (known.kind, known.currency) != (seen.kind, seen.currency):
        return "conflict"
    if _STAGE[seen.status] > _STAGE[known.status]:
        return "revision"
    if same_content(known, seen):
        return "same"
    parked = seen.status == "suspended" and known.status in ("final", "voided")
    return "told_before" if parked or seen.status == known.status == "voided" else "conflict"


def filled(known: Receipt, seen: Receipt) -> Receipt:
    """`known` with the facts it lacks taken from `seen`, and the ids of both; itself where nothing is new."""
    facts = {name: getattr(seen, name) for name in _FACTS if _adds(known, seen, name)}
    if not known.lines and seen.lines:
        facts |= {name: getattr(seen, name) for name in _SUMS}
    elif not known.taxes and all(tax.included for tax in seen.taxes) and seen.taxes:
        facts["taxes"] = seen.taxes
    if not known.tenders and seen.tenders:
        facts |= {name: getattr(seen, name) for name in _PAYMENT}
    further = _further(known, seen)
    if not facts and not further:
        return known
    return reconciled(replace(known, also=(*known.also, *further), **facts))


def revised(known: Receipt, seen: Receipt) -> Receipt:
    """What is true after a revision, under the key of `known`.

    The voiding of a final sale says that it does not count, whatever it prints; what was sold stays as it was.
    """
    if known.status == "final":
        return replace(filled(known, seen), status=seen.status)
    both = filled(known, seen)
    return replace(filled(seen, known), key=known.key, also=both.also)


def corrected(known: Receipt, reading: Receipt) -> Receipt:
    """What is true once the same paper was read right: the new reading, under the key and ids of `known`."""
    return replace(
        reading,
        key=known.key,
        also=(*known.also, *_further(known, reading)),
        captured_at=known.captured_at,
        member=known.member or reading.member,
    )


def _further(known: Receipt, seen: Receipt) -> tuple[str, ...]:
    """Ids that only `seen` has, as many as there is room for: no transaction has so many names of its own."""
    held = identity_keys(known)
    further = tuple(natural_id for natural_id in natural_ids(seen) if key_of(natural_id) not in held)
    return further[: max(0, MAX_ALSO - len(known.also))]


def _adds(known: Receipt, seen: Receipt, name: str) -> bool:
    return getattr(known, name) in _ABSENT and getattr(seen, name) not in _ABSENT
