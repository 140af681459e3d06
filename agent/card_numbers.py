"""Keeps payment card numbers out of everything that is stored.

Owns masking in texts, raw bytes and the free texts of a receipt. What a card number is, `drivers.scanning.pan`
knows. Masks digits only: nothing is dropped, and what surrounds a number stays as it was.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from drivers.scanning.pan import KEPT_LEADING, KEPT_TRAILING, is_pan
from loyalty.receipt import Receipt

# ISO/IEC 7812-1: a card number has at most 19 digits; the shortest in use has 13.
SHORTEST, LONGEST = 13, 19
STAR = "*"

# Digits in groups with one separator between, at least as many as a card number has.
_RUN = re.compile(r"[0-9](?:[ .\-\u00a0]?[0-9]){12,}")
_GROUP = re.compile(r"[0-9]+")
# Texts of a receipt that a till or a payment terminal fills freely.
_FREE_TEXTS = ("description", "name")


def masked_text(text: str) -> str:
    """`text` with all but the first six and last four digits of each card number starred."""
    return _RUN.sub(lambda run: _masked_run(run[0]), text)


def masked_bytes(raw: bytes) -> bytes:
    """The same for bytes of any code page that has ASCII digits."""
    text = raw.decode("latin-1")
    return masked_text(text).encode("latin-1")


def masked_receipt(receipt: Receipt) -> Receipt:
    """The same for every free text of a receipt; its identity, numbers and amounts stay."""
    if _RUN.search(msgspec.json.encode(receipt).decode()) is None:
        return receipt
    return replace(
        receipt,
        operator=masked_text(receipt.operator) if receipt.operator else receipt.operator,
        lines=_masked_all(receipt.lines),
        discounts=_masked_all(receipt.discounts),
        taxes=_masked_all(receipt.taxes),
        tenders=_masked_all(receipt.tenders),
    )


_Item = TypeVar("_Item", bound=msgspec.Struct)


def _masked_all(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    return tuple(_masked_item(item) for item in items)


def _masked_item(item: _Item) -> _Item:
    texts = {name: getattr(item, name) for name in _FREE_TEXTS if getattr(item, name, None)}
    return replace(item, **{name: masked_text(text) for name, text in texts.items()}) if texts else item


def _masked_run(run: str) -> str:
    """Card numbers are made of whole groups, so that a long number which contains one by chance is left."""
    groups = [(match.start(), match.end()) for match in _GROUP.finditer(run)]
    index = 0
    while index < len(groups):
        end = _card_from(run, groups, index)
        if end is None:
            index += 1
            continue
        start, stop = groups[index][0], groups[end][1]
        run = run[:start] + _starred(run[start:stop]) + run[stop:]
        index = end + 1
    return run


def _card_from(run: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """Index of the last group of the longest card number that begins with group `first`."""
    digits, found = "", None
    for index in range(first, len(groups)):
        start, end = groups[index]
        digits += run[start:end]
        if len(digits) > LONGEST:
            break
        if len(digits) >= SHORTEST and is_pan(digits):
            found = index
    return found


def _starred(card: str) -> str:
    total = sum(character.isdigit() for character in card)
    seen, starred = 0, []
    for character in card:
        if character.isdigit():
            seen += 1
            hidden = KEPT_LEADING < seen <= total - KEPT_TRAILING
            starred.append(STAR if hidden else character)
        else:
            starred.append(character)
    return "".join(starred)
