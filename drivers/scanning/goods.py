"""Goods in a barcode's own digits: EAN, UPC, ITF-14, books and magazines.

Owns which digits of which symbology are a product's number, and what is wrong where they are not. GS1 element
strings are read elsewhere.

Sources: GS1 General Specifications sections 2.1, 5.2 and 5.3; ISO/IEC 15424 for what is transmitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from drivers.scanning.aim import symbology_of
from loyalty.check_digit import has_valid_check_digit, upc_a_of
from loyalty.identification import is_digits

# By symbology identifier and count of digits, how many of them are the GTIN; the rest is an add-on.
_GTIN_DIGITS: Mapping[str, Mapping[int, int]] = {
    "]E0": {12: 12, 13: 13},
    "]E3": {14: 12, 15: 13, 17: 12, 18: 13},
    "]E4": {8: 8},
    "]I0": {14: 14},
    "]I1": {14: 14},
}
# Where no symbology is told, a right check digit is the only sign of goods.
_UNTOLD: Mapping[int, int] = {8: 8, 12: 12, 13: 13, 14: 14}
# Magazines and books: of these an add-on is believed too.
_PRINTED_MATTER = ("977", "978", "979")
_WITH_ADD_ON: Mapping[int, int] = {15: 13, 18: 13}
_ADD_ON_ALONE = {"]E1": 2, "]E2": 5}
_SYMBOLOGIES = {8: "ean8", 12: "upca", 13: "ean13", 14: "itf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """A product's number, with a right check digit, and the symbology that carries it."""

    symbology: str
    gtin: str


def goods_in(aim: str, text: str) -> Goods | None:
    """The goods that `text` names under the symbology identifier `aim`; None where there are none for sure."""
    if not is_digits(text):
        return None
    length = len(text)
    untold = symbology_of(aim) == "unknown"
    count = _UNTOLD.get(length) if untold else _GTIN_DIGITS.get(aim, {}).get(length)
    if untold and text.startswith(_PRINTED_MATTER):
        count = _WITH_ADD_ON.get(length, count)
    if count is not None and has_valid_check_digit(text[:count]):
        return Goods(symbology=_SYMBOLOGIES[count], gtin=text[:count])
    if length in {7, 8} and (aim == "]E0" or (untold and length == 8)):
        return _short_upc(text)
    return None


def _short_upc(digits: str) -> Goods | None:
    """A UPC-E, with or without its first digit, the zero; or an EAN-8 of a scanner that calls it `]E0`."""
    upc_a = upc_a_of(digits.zfill(8))
    if upc_a is not None:
        return Goods(symbology="upce", gtin=upc_a)
    if len(digits) == 8 and has_valid_check_digit(digits):
        return Goods(symbology="ean8", gtin=digits)
    return None


def what_is_wrong(aim: str, text: str) -> Literal["check_digit_wrong", "length_wrong"] | None:
    """Why a symbology of goods names none; None where it need not, as a lone add-on or another one's text."""
    if aim == "]I1":
        return "check_digit_wrong" if is_digits(text) and len(text) == 14 else None
    if aim[:2] != "]E" or (is_digits(text) and len(text) == _ADD_ON_ALONE.get(aim)):
        return None
    known = len(text) in _GTIN_DIGITS.get(aim, {}) or (aim == "]E0" and len(text) == 8)
    return "check_digit_wrong" if known and is_digits(text) else "length_wrong"
