"""Payment card numbers (PANs) in scanned text: found, so that they are never kept.

Owns the issuer ranges and lengths. A Luhn check alone hits a tenth of all EAN-13s, so a number must also
lie in a range that issuers use and have a length used there.

Source: ISO/IEC 7812-1 (numbering, Luhn) and the ranges that the networks publish.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import accumulate

from drivers.scanning.check_digit import has_valid_check_digit

KEPT_LEADING, KEPT_TRAILING = 6, 4  # what PCI DSS 3.4.1 lets be shown
MAX_DIGITS = 19

_ALL = frozenset(range(16, 20))
# First and last prefix, and the lengths in use.
_ISSUER_RANGES: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("4", "4", frozenset({13, 16, 19})),  # Visa
    ("51", "55", frozenset({16})),  # Mastercard
    ("2221", "2720", frozenset({16})),  # Mastercard
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),  # American Express
    ("300", "305", frozenset({14, *_ALL})),  # Diners Club
    ("3095", "3095", frozenset({14, *_ALL})),  # Diners Club
    ("36", "36", frozenset({14, *_ALL})),  # Diners Club
    ("38", "39", frozenset({14, *_ALL})),  # Diners Club
    ("3528", "3589", _ALL),  # JCB
    ("6011", "6011", _ALL),  # Discover
    ("644", "649", _ALL),  # Discover
    ("65", "65", _ALL),  # Discover, RuPay, DinaCard
    ("60", "60", frozenset({16})),  # RuPay
    ("62", "62", _ALL),  # UnionPay
    ("81", "82", _ALL),  # UnionPay, RuPay
    ("50", "50", frozenset(range(13, 20))),  # Maestro
    ("56", "58", frozenset(range(13, 20))),  # Maestro
    ("6304", "6304", frozenset(range(13, 20))),  # Maestro
    ("6390", "6390", frozenset(range(13, 20))),  # Maestro
    ("67", "67", frozenset(range(13, 20))),  # Maestro
    ("2200", "2205", _ALL),  # Mir, Borica
    ("9792", "9792", frozenset({16})),  # Troy
    ("9891", "9891", frozenset({16})),  # DinaCard
)
_DOUBLED_DIGIT_SUM = str.maketrans("0123456789", "0246813579")
# Digits, alone or in groups with one separator between, as people and terminals write them.
_GROUPS = re.compile(r"\d+(?:[ .\-\u00a0]\d+)*")


def is_pan(digits: str) -> bool:
    """Whether `digits` is a payment card number: issuer range, its length, Luhn check; never a valid EAN-13."""
    return len(digits) in _issued_lengths(digits[:4]) and _luhn_holds(digits) and not _is_ean_13(digits)


def first_pan(text: str) -> str | None:
    """Digits of the first payment card number in `text`, written in one piece or in groups."""
    for run in _GROUPS.finditer(_with_ascii_digits(text)):
        groups = re.findall(r"\d+", run[0])
        for start in range(len(groups)):
            if (pan := _leading_pan(groups[start : start + MAX_DIGITS])) is not None:
                return pan
    return None


def _leading_pan(groups: list[str]) -> str | None:
    joined = "".join(groups)
    lengths = _issued_lengths(joined[:4])
    candidates = (joined[:end] for end in accumulate(map(len, groups)) if end in lengths)
    return next((digits for digits in candidates if is_pan(digits)), None)


def masked(pan: str) -> str:
    """`pan` with all but the first six and last four digits starred."""
    hidden = len(pan) - KEPT_LEADING - KEPT_TRAILING
    return pan[:KEPT_LEADING] + "*" * hidden + pan[-KEPT_TRAILING:]


@cache
def _issued_lengths(leading: str) -> frozenset[int]:
    """Lengths that a card number starting with these four digits may have."""
    ranges = (lengths for first, last, lengths in _ISSUER_RANGES if first <= leading[: len(first)] <= last)
    return frozenset().union(*ranges)


def _with_ascii_digits(text: str) -> str:
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(character, character)) for character in text)


def _is_ean_13(digits: str) -> bool:
    return len(digits) == 13 and has_valid_check_digit(digits)


def _luhn_holds(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B: every second digit from the right doubled, digit sums, total a multiple of ten."""
    doubled = digits[-2::-2].translate(_DOUBLED_DIGIT_SUM)
    return (sum(map(int, digits[-1::-2])) + sum(map(int, doubled))) % 10 == 0
