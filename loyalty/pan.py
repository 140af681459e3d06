"""Payment card numbers (PANs) in scanned text: found, so that they are never kept.

Owns the issuer ranges and lengths. A Luhn check alone hits a tenth of all EAN-13s, so a number must also
lie in a range that issuers use and have a length used there.

Source: ISO/IEC 7812-1 (numbering, Luhn) and the ranges that the networks publish.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate

from loyalty.check_digit import has_valid_check_digit

KEPT_LEADING, KEPT_TRAILING = 6, 4  # what PCI DSS 3.4.1 lets be shown

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
    ("65", "65", _ALL),  # Discover, RuPay, DinaCard, Verve, Elo
    ("636", "636", _ALL),  # InterPayment, Elo
    ("637", "639", frozenset({16})),  # InstaPayment
    ("60", "60", frozenset({16})),  # RuPay
    ("62", "62", _ALL),  # UnionPay
    ("81", "82", _ALL),  # UnionPay, RuPay
    ("50", "50", frozenset(range(13, 20))),  # Maestro
    ("56", "58", frozenset(range(13, 20))),  # Maestro
    ("6304", "6304", frozenset(range(13, 20))),  # Maestro
    ("6390", "6390", frozenset(range(13, 20))),  # Maestro
    ("67", "67", frozenset(range(13, 20))),  # Maestro
    ("2200", "2205", _ALL),  # Mir, Borica
    ("8600", "8600", frozenset({16})),  # Uzcard
    ("9860", "9860", frozenset({16})),  # Humo
    ("9792", "9792", frozenset({16})),  # Troy
    ("9891", "9891", frozenset({16})),  # DinaCard
)
# The longest first: a number's beginning may look like another.
_CARD_LENGTHS = range(19, 12, -1)
_DOUBLED_DIGIT_SUM = bytes.maketrans(b"0123456789", b"0246813579")
# Digits, alone or in groups with one separator between, as people and terminals write them; at least as
# many as the shortest card number has.
_RUN = re.compile(r"\d(?:[ .\-\u00a0\u2007-\u2015\u202f\u2212]?\d){12,}")
# What stands before the digits of a magnetic stripe's third track: the start sentinel, and a format code of two
# digits without a separator (ISO/IEC 4909).
_SENTINELS = (";", "+")
_FORMAT_CODE_DIGITS = 2
_GROUP = re.compile(r"\d+")
# A text that is one number and nothing else, whatever stands between its digits.
_ONE_NUMBER = re.compile(r"[\W_]*(?:\d[\W_]*){13,19}")
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")


Own = Callable[[str], bool]
"""Whether a number that looks like a payment card's is surely this shop's own (`identification.owns_number`)."""


def nobodys(_number: str) -> bool:
    """An `Own` for a shop without rules."""
    return False


def is_pan(digits: str) -> bool:
    """Whether `digits` is a payment card number: issuer range, its length, Luhn check; never a valid EAN-13."""
    return len(digits) in _issued_lengths(digits[:4]) and luhn_holds(digits) and not _is_ean_13(digits)


def pan_spans(text: str, own: Own = nobodys) -> Iterator[tuple[int, int]]:
    """Start and end of each payment card number in `text` that is not `own`, written in one piece or in groups.

    Card numbers are made of whole groups, so that a long number which contains one by chance is none. Takes
    time in proportion to `text`, whatever it holds.
    """
    for run in _RUN.finditer(text):
        written = _with_ascii_digits(run[0])
        groups = _groups(written, after=text[run.start() - 1 : run.start()])
        digits = "".join(written[start:end] for start, end in groups)
        luhn = _Luhn(digits)
        # Of each count of digits that ends a group, where that group ends.
        ends: dict[int, int] = {}
        count = 0
        for start, end in groups:
            count += end - start
            ends[count] = end
        before = taken = 0
        for start, end in groups:
            if before >= taken and (length := _pan_length(digits, before, ends, luhn)) is not None:
                owned = _own_length(digits, before, ends, own)
                taken = before + (owned or length)
                if owned is None:
                    yield run.start() + start, run.start() + ends[taken]
            before += end - start


def _groups(written: str, *, after: str) -> list[tuple[int, int]]:
    """Start and end of each group of digits in `written`; a third track's format code is one of its own."""
    groups = [match.span() for match in _GROUP.finditer(written)]
    end = groups[0][1]
    if after in _SENTINELS and is_pan(written[_FORMAT_CODE_DIGITS:end]):
        groups[:1] = [(0, _FORMAT_CODE_DIGITS), (_FORMAT_CODE_DIGITS, end)]
    return groups


def _pan_length(digits: str, first: int, ends: dict[int, int], luhn: _Luhn) -> int | None:
    """How many digits the longest card number has that begins at digit `first` and ends with a group."""
    for length in _issued_lengths(digits[first : first + 4]):
        last = first + length
        if last in ends and luhn.holds(first, last) and is_pan(digits[first:last]):
            return length
    return None


def _own_length(digits: str, first: int, ends: dict[int, int], own: Own) -> int | None:
    """How many digits the shop's own number has that begins at digit `first` and ends with a group."""
    lengths = (length for length in _CARD_LENGTHS if first + length in ends)
    return next((length for length in lengths if own(digits[first : first + length])), None)


def first_pan(text: str, own: Own = nobodys) -> str | None:
    """Digits of the first payment card number in `text` that is not `own`; also of one that is a whole line, with
    anything but letters between its digits."""
    span = next(pan_spans(text, own), None)
    if span is not None:
        return "".join(_GROUP.findall(_with_ascii_digits(text[slice(*span)])))
    for line in unicodedata.normalize("NFKC", text).split("\n"):
        if _ONE_NUMBER.fullmatch(line) is not None:
            number = "".join(_GROUP.findall(_with_ascii_digits(line)))
            if is_pan(number) and not own(number):
                return number
    return None


def masked(pan: str) -> str:
    """`pan` with all but the first six and last four digits starred."""
    hidden = len(pan) - KEPT_LEADING - KEPT_TRAILING
    return pan[:KEPT_LEADING] + "*" * hidden + pan[-KEPT_TRAILING:]


@cache
def _issued_lengths(leading: str) -> tuple[int, ...]:
    """Lengths that a card number starting with these four digits may have, the longest first."""
    ranges = (lengths for first, last, lengths in _ISSUER_RANGES if first <= leading[: len(first)] <= last)
    return tuple(sorted(frozenset().union(*ranges), reverse=True))


def _with_ascii_digits(text: str) -> str:
    return _FOREIGN_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)


def _is_ean_13(digits: str) -> bool:
    return len(digits) == 13 and has_valid_check_digit(digits)


class _Luhn:
    """The sums of a long number, by which the check of each part of it takes the same short time."""

    def __init__(self, digits: str) -> None:
        plain = digits.encode()
        doubled = plain.translate(_DOUBLED_DIGIT_SUM)
        mixed = bytearray(plain), bytearray(plain)
        mixed[0][::2], mixed[1][1::2] = doubled[::2], doubled[1::2]
        # Up to each digit; the first doubles digits 0, 2, …, the second digits 1, 3, …
        self._sums = tuple(list(accumulate(each, initial=0)) for each in mixed)

    def holds(self, first: int, end: int) -> bool:
        """`luhn_holds` for the digits from `first` up to `end`, whose last one is never doubled."""
        sums = self._sums[end % 2]
        return (sums[end] - sums[first] - (end - first) * ord("0")) % 10 == 0


def luhn_holds(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B: every second digit from the right doubled, digit sums, total a multiple of ten."""
    codes = digits.encode()
    total = sum(codes[-1::-2]) + sum(codes[-2::-2].translate(_DOUBLED_DIGIT_SUM))
    return (total - len(codes) * ord("0")) % 10 == 0
