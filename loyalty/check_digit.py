"""GS1's check digit and check character pair, and the one written form of a GTIN.

Source: GS1 General Specifications, sections 7.9.1 (check digit), 7.9.5 (check character pair) and 7.10 (UPC-E).
"""

from __future__ import annotations

GTIN_LENGTHS = (8, 12, 13, 14)

_ZERO = ord("0")
# GS1's character set 82 and the 32 of check characters, each in the order of its values.
_VALUES_82 = {
    character: value
    for value, character in enumerate(
        "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    )
}
_CHARACTERS_32 = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83)


def has_valid_check_digit(digits: str) -> bool:
    """Whether the last of these ASCII digits is right: weights 1, 3, 1, … from the right, the sum a multiple of ten."""
    codes = digits.encode()
    once, thrice = codes[-1::-2], codes[-2::-2]
    return (sum(once) + 3 * sum(thrice) - _ZERO * (len(once) + 3 * len(thrice))) % 10 == 0


def has_valid_check_pair(value: str) -> bool:
    """Whether the last two characters are right, as of a global model number: at most 25 characters of set 82.

    The others' values, weighted with the primes from the right and summed modulo 1021, make ten bits, five for each.
    """
    data, pair = value[:-2], value[-2:]
    if len(pair) < 2 or len(data) > len(_PRIMES) or not _VALUES_82.keys() >= set(data):
        return False
    total = sum(_VALUES_82[character] * prime for character, prime in zip(reversed(data), _PRIMES, strict=False))
    high, low = divmod(total % 1021, 32)
    return pair == _CHARACTERS_32[high] + _CHARACTERS_32[low]


def shortest_gtin(digits: str) -> str:
    """A GTIN as it is printed: without the zeros that fill it up to 13 or 14 digits.

    So one product has one code, whether an EAN-13, a UPC-A or a GS1 DataMatrix was scanned.
    """
    significant = digits.lstrip("0")
    length = next(length for length in GTIN_LENGTHS if len(significant) <= length)
    return significant.zfill(length)


def upc_a_of(upc_e: str) -> str | None:
    """The UPC-A that eight digits of a UPC-E stand for; None if they are none, or the check digit is wrong.

    The last of the six digits in the middle says which zeros were left out.
    """
    system, body, check = upc_e[0], upc_e[1:7], upc_e[7]
    last = body[5]
    if system not in "01":
        return None
    if last in "012":
        middle = body[:2] + last + "0000" + body[2:5]
    elif last == "3":
        middle = body[:3] + "00000" + body[3:5]
    elif last == "4":
        middle = body[:4] + "00000" + body[4]
    else:
        middle = body[:5] + "0000" + last
    upc_a = system + middle + check
    return upc_a if has_valid_check_digit(upc_a) else None
