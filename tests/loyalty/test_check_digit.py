"""GS1's check digit and check character pair, GTINs in their shortest form, and UPC-E.

Vectors: GS1 General Specifications sections 7.9.1, 7.9.5 and 7.10, and the GS1 Barcode Syntax Tests.
"""

from __future__ import annotations

import random

import pytest

from loyalty.check_digit import has_valid_check_digit, has_valid_check_pair, shortest_gtin, upc_a_of

CHECK_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@pytest.mark.parametrize(
    "right",
    [
        "24012345678905",
        "2112233789657",
        "416000336108",
        "02345680",
        "952012345678912345",
        "9520123456788",
        "006141411234567890",
        "95201234567891235",
        "00000000",
    ],
)
def test_each_length_of_number_has_its_own_check_digit(right: str) -> None:
    others = {right[:-1] + digit for digit in "0123456789"} - {right}

    assert has_valid_check_digit(right)
    assert not any(map(has_valid_check_digit, others))


@pytest.mark.parametrize(
    "right",
    [
        "1987654Ad4X4bL5ttr2310c2K",
        "12345678901234567890123NT",
        "12345_ABCDEFGHIJKLMCP",
        "12345_nopqrstuvwxyzP2",
        "12345_!\"%&'()*+,-./LC",
        "12345_0123456789:;<=>?62",
        "99999zzzzzzzzzzzzzzzzzzT2",
        "22",
    ],
)
def test_a_check_pair_of_the_standard_is_right(right: str) -> None:
    assert has_valid_check_pair(right)


@pytest.mark.parametrize(
    "wrong",
    ["", "2", "33", "1987654Ad4X4bL5ttr2310cXK", "1987654Ad4X4bL5ttr2310c2X", "12 45_ABCDEFGHIJKLMCP", "2" * 26],
)
def test_another_check_pair_is_wrong(wrong: str) -> None:
    assert not has_valid_check_pair(wrong)


def test_what_stands_before_the_longest_value_is_not_passed_over() -> None:
    longest = "2" * 23 + check_pair_of("2" * 23)

    assert has_valid_check_pair(longest)
    assert not has_valid_check_pair(f"2{longest}")


def check_pair_of(data: str) -> str:
    pairs = (f"{high}{low}" for high in CHECK_CHARACTERS for low in CHECK_CHARACTERS)
    return next(pair for pair in pairs if has_valid_check_pair(data + pair))


@pytest.mark.parametrize(
    ("upc_e", "upc_a"),
    [
        ("01234505", "012000003455"),
        ("01234514", "012100003454"),
        ("01234523", "012200003453"),
        ("01234531", "012300000451"),
        ("01234543", "012340000053"),
        ("01234558", "012345000058"),
        ("01234565", "012345000065"),
        ("01234596", "012345000096"),
        ("04252614", "042100005264"),
        ("11234562", "112345000062"),
    ],
)
def test_upc_e_says_with_its_last_digit_which_zeros_were_left_out(upc_e: str, upc_a: str) -> None:
    assert upc_a_of(upc_e) == upc_a


@pytest.mark.parametrize("none", ["01234566", "21234565", "91234565"])
def test_a_wrong_digit_or_another_number_system_is_no_upc_e(none: str) -> None:
    assert upc_a_of(none) is None


@pytest.mark.parametrize(
    ("digits", "shortest"),
    [
        ("00000096385074", "96385074"),
        ("00012345678905", "012345678905"),
        ("05901234123457", "5901234123457"),
        ("15012345678907", "15012345678907"),
        ("00000000000000", "00000000"),
    ],
)
def test_one_product_has_one_code_whatever_carried_it(digits: str, shortest: str) -> None:
    assert shortest_gtin(digits) == shortest
    assert shortest_gtin(digits.zfill(14)) == shortest


def test_one_wrong_digit_is_always_noticed() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(500):
        body = "".join(chance.choices("0123456789", k=chance.choice([7, 11, 12, 13, 16, 17])))
        right = next(body + digit for digit in "0123456789" if has_valid_check_digit(body + digit))
        at = chance.randrange(len(right))
        other = chance.choice([digit for digit in "0123456789" if digit != right[at]])

        assert not has_valid_check_digit(right[:at] + other + right[at + 1 :])
