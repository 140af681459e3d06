"""Keeps payment card numbers out of everything that is stored.

Owns masking in texts and every text of a receipt; `drivers.receipts.job_masking` does it in the bytes of a job. What
a card number is, `loyalty.pan` knows; numbers that an identification rule surely claims are the shop's own, and stay.
Masks digits only: nothing is dropped but what would be no use masked, and what surrounds a number stays as it was.

A receipt's identity is made of what is kept: where its number is a card number, of the masked number, since
a key made of the full one could be guessed back from it. What a fiscal authority gave stays as it is: it
holds no card number, and hexadecimal would look like one now and then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from loyalty.check_digit import GTIN_LENGTHS, has_valid_check_digit
from loyalty.identification import IdentificationRule, normal_code, owns_number
from loyalty.identity import key_of, natural_ids
from loyalty.pan import KEPT_LEADING, KEPT_TRAILING, Own, first_pan, pan_spans
from loyalty.receipt import Problem, Receipt

STAR = "*"
PAYMENT_CARD = Problem(code="payment_card", detail="a payment card number stood in its place and was left out")

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_AUTHORITIES = ("rs-purs:", "hr-fisk:", "hr-jir:", "si-furs:")
# Amounts in words of digits: a masked one would be no amount.
_DECIMALS = ("quantity", "unit_price", "rate")


def masked_text(text: str, rules: Sequence[IdentificationRule] = ()) -> str:
    """`text` with all but the first six and last four digits of each card number starred."""
    return _masked_text(text, partial(owns_number, rules))


def masked_receipt(receipt: Receipt, rules: Sequence[IdentificationRule] = ()) -> Receipt:
    """The same for every text of a receipt. A member reference that is a card number, or blank, is dropped."""
    own = partial(owns_number, rules)
    member = receipt.member
    is_card = member is not UNSET and first_pan(member.code, own) is not None
    fiscal = receipt.fiscal
    if fiscal:
        fiscal = replace(_masked(fiscal, own), number=fiscal.number, verification_url=fiscal.verification_url)
    kept = replace(
        _masked(replace(receipt, member=UNSET, fiscal=UNSET, also=()), own),
        member=UNSET if is_card or (member and not normal_code(member.code)) else member,
        fiscal=fiscal,
    )
    if is_card:
        kept = replace(kept, problems=(*kept.problems, PAYMENT_CARD))
    return _identified_again(receipt, kept, own)


def _identified_again(receipt: Receipt, kept: Receipt, own: Own) -> Receipt:
    """`kept` with the ids that its own texts give, and a key made of them where one of those made it."""
    of_texts = natural_ids(replace(receipt, also=()))
    also = tuple(_masked_id(each, own) for each in receipt.also if each not in of_texts)
    before, after = natural_ids(receipt), natural_ids(replace(kept, also=also))
    if before == after:
        return replace(kept, also=receipt.also)
    if receipt.key == key_of(before[0]):
        return replace(kept, key=key_of(after[0]), also=after[1:])
    return replace(kept, also=after)


def _masked_id(natural_id: str, own: Own) -> str:
    if natural_id.startswith(_AUTHORITIES):
        return natural_id
    # Spaces within a part of an id are written so.
    return _masked_text(natural_id.replace("+", " "), own).replace(" ", "+")


def _masked_text(text: str, own: Own) -> str:
    parts: list[str] = []
    at = 0
    for start, end in pan_spans(text, own):
        parts += (text[at:start], _starred(text[start:end]))
        at = end
    return "".join((*parts, text[at:])) if parts else text


_Item = TypeVar("_Item", bound=msgspec.Struct)


def _masked(item: _Item, own: Own) -> _Item:
    changed = {}
    for name in item.__struct_fields__:
        value = getattr(item, name)
        masked = _masked_value(name, value, own)
        if masked is not value:
            changed[name] = masked
    return replace(item, **changed) if changed else item


def _masked_value(name: str, value: object, own: Own) -> object:
    if isinstance(value, str):
        if name in _DECIMALS:
            return value if first_pan(value, own) is None else UNSET
        return value if _is_gtin(name, value) or _UUID(value) else _masked_text(value, own)
    if isinstance(value, tuple):
        masked = tuple(_masked_value(name, each, own) for each in value)
        return masked if any(new is not old for new, old in zip(masked, value, strict=True)) else value
    return _masked(value, own) if isinstance(value, msgspec.Struct) else value


def _is_gtin(name: str, text: str) -> bool:
    return name == "gtin" and len(text) in GTIN_LENGTHS and text.isdecimal() and has_valid_check_digit(text)


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
