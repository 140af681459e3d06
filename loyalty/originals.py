"""Which sale a return gives back: one rule for the till, the centre and `tillside evaluate`.

Owns the names under which an original is looked for and the judgement of what was found. Never looks
anything up, and never guesses: where two sales fit, or none, the return waits.

Only what the return says of its original counts. Where it was brought back (the return's own store and
register) says nothing about where it was bought.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from loyalty.identity import fiscal_ids, key_of, minute_of, natural_ids, pos_id
from loyalty.receipt import Original, Receipt


def original_keys(of_return: Receipt) -> tuple[str, ...]:
    """Keys under which the original may be known; a number alone may be a fiscal number of any scheme."""
    original = of_return.original
    if not original:
        return ()
    return _exact_keys(original) or tuple(key_of(each) for each in fiscal_ids(original.number or ""))


def original_number(of_return: Receipt) -> str | None:
    """The printed number that the original has; None where it is named exactly, or not at all."""
    original = of_return.original
    if not original or not original.number or _exact_keys(original):
        return None
    return printed_number(original.number)


def awaited_names(of_return: Receipt) -> tuple[str, ...]:
    """Everything that the original of this return may come under; `names_of` it has one of them."""
    number = original_number(of_return)
    keys = original_keys(of_return)
    return keys if number is None else (*keys, number_name(number))


def names_of(receipt: Receipt) -> tuple[str, ...]:
    """Everything that a return may name this receipt by."""
    names = [receipt.key, *(key_of(natural_id) for natural_id in natural_ids(receipt))]
    if receipt.number:
        names.append(number_name(receipt.number))
    return tuple(dict.fromkeys(names))


def original_among(of_return: Receipt, candidates: Iterable[Receipt]) -> Receipt | None:
    """The one of `candidates` that the return gives back; None where none fits, or more than one.

    Of several, one that was sold after the return is none: where numbers begin anew each day, another sale gets the
    same one. A single one may be later; clocks of two registers differ.
    """
    fitting = {candidate.key: candidate for candidate in candidates if may_be_original(candidate, of_return)}
    if len(fitting) > 1:
        fitting = {key: candidate for key, candidate in fitting.items() if not _is_after(candidate, of_return)}
    return next(iter(fitting.values())) if len(fitting) == 1 else None


def may_be_original(candidate: Receipt, of_return: Receipt) -> bool:
    """Whether everything that the return says of its original is true of `candidate`.

    A key, or store, register, day and number together, name one receipt and need nothing beside them. A
    number alone has to agree with each fact that stands with it; a fact that `candidate` lacks does not.
    """
    original = of_return.original
    if not original or candidate.kind == "return" or candidate.status != "final":
        return False
    if candidate.currency != of_return.currency or set(names_of(candidate)).isdisjoint(awaited_names(of_return)):
        return False
    return bool(_exact_keys(original)) or _agrees(candidate, original)


def printed_number(number: str) -> str:
    """The form in which printed numbers are compared: trimmed, single spaces."""
    return " ".join(number.split())


def number_name(number: str) -> str:
    """The name that a printed number gives."""
    return f"number:{printed_number(number)}"


def _exact_keys(original: Original) -> tuple[str, ...]:
    keys = [original.key] if original.key else []
    if original.store and original.register and original.business_day and original.number:
        day = original.business_day.isoformat()
        keys.append(key_of(pos_id(original.store, original.register, day, original.number)))
    return tuple(keys)


def _agrees(candidate: Receipt, original: Original) -> bool:
    if original.store and original.store != candidate.store:
        return False
    if original.register and original.register != candidate.register:
        return False
    if original.business_day and original.business_day != _day_of(candidate):
        return False
    return not original.issued_at or minute_of(original.issued_at) == _minute_of(candidate)


def _is_after(sale: Receipt, of_return: Receipt) -> bool:
    """Whether both tell when they were made, and the sale was made later."""
    if sale.issued_at and of_return.issued_at:
        return sale.issued_at > of_return.issued_at
    return bool(sale.business_day and of_return.business_day and sale.business_day > of_return.business_day)


def _day_of(receipt: Receipt) -> date | None:
    """Its business day; where none is known, the day that is printed on it."""
    if receipt.business_day:
        return receipt.business_day
    return receipt.issued_at.date() if receipt.issued_at else None


def _minute_of(receipt: Receipt) -> datetime | None:
    return minute_of(receipt.issued_at) if receipt.issued_at else None
