"""GS1's check digit, and the one written form of a GTIN.

Source: GS1 General Specifications, section 7.9.
"""

from __future__ import annotations

GTIN_LENGTHS = (8, 12, 13, 14)


def has_valid_check_digit(digits: str) -> bool:
    """Whether the last digit is right: weights 1, 3, 1, … from the right, the sum a multiple of ten."""
    return sum(int(digit) * (1, 3)[index % 2] for index, digit in enumerate(reversed(digits))) % 10 == 0


def shortest_gtin(digits: str) -> str:
    """A GTIN as it is printed: without the zeros that fill it up to 13 or 14 digits.

    So one product has one code, whether an EAN-13, a UPC-A or a GS1 DataMatrix was scanned.
    """
    significant = digits.lstrip("0")
    length = next(length for length in GTIN_LENGTHS if len(significant) <= length)
    return significant.zfill(length)
