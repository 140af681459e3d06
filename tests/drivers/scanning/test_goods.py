"""Goods in a barcode's own digits, and what is said of digits that are none."""

from __future__ import annotations

import pytest

from drivers.scanning.goods import Goods, goods_in, what_is_wrong


@pytest.mark.parametrize(
    ("aim", "text", "symbology", "gtin"),
    [
        ("]E0", "5901234123457", "ean13", "5901234123457"),
        ("]E0", "2112345678900", "ean13", "2112345678900"),  # priced by weight
        ("]E0", "0012345678905", "ean13", "0012345678905"),  # UPC-A as ISO/IEC 15424 transmits it
        ("]E0", "012345678905", "upca", "012345678905"),
        ("]E0", "01234565", "upce", "012345000065"),
        ("]E0", "1234565", "upce", "012345000065"),  # a scanner that leaves the number system out
        ("]E0", "96385074", "ean8", "96385074"),  # a scanner that calls it ]E0
        ("]E4", "96385074", "ean8", "96385074"),
        ("]E4", "02345673", "ean8", "02345673"),
        ("]E3", "590123412345712", "ean13", "5901234123457"),
        ("]E3", "977123456700305", "ean13", "9771234567003"),  # magazine, two digits
        ("]E3", "978030640615754999", "ean13", "9780306406157"),  # book, five digits
        ("]E3", "01234567890512", "upca", "012345678905"),
        ("]I0", "15012345678907", "itf", "15012345678907"),
        ("]I1", "15012345678907", "itf", "15012345678907"),
        ("]X0", "9780306406157", "ean13", "9780306406157"),  # Bookland, of scanners that name it apart
        ("", "5901234123457", "ean13", "5901234123457"),
        ("", "9780306406157", "ean13", "9780306406157"),
        ("", "977123456700305", "ean13", "9771234567003"),
        ("", "978030640615754999", "ean13", "9780306406157"),
        ("", "012345678905", "upca", "012345678905"),
        ("", "96385074", "ean8", "96385074"),
        ("", "04252614", "upce", "042100005264"),
        ("", "15012345678907", "itf", "15012345678907"),
        ("", "9912345678909", "ean13", "9912345678909"),  # coupon
    ],
)
def test_goods_are_goods(aim: str, text: str, symbology: str, gtin: str) -> None:
    assert goods_in(aim, text) == Goods(symbology=symbology, gtin=gtin)


@pytest.mark.parametrize(
    ("aim", "text", "problem"),
    [
        ("]E0", "5901234123456", "check_digit_wrong"),
        ("]E0", "123456789013", "check_digit_wrong"),
        ("]E0", "01234566", "check_digit_wrong"),
        ("]E0", "123456", "length_wrong"),
        ("]E0", "0123456", "length_wrong"),
        ("]E0", "12345678901234", "length_wrong"),
        ("]E0", "1234ABC890123", "length_wrong"),
        ("]E0", "", "length_wrong"),
        ("]E0", "٥٩٠١٢٣٤١٢٣٤٥٧", "length_wrong"),
        ("]E1", "12", None),
        ("]E1", "1", "length_wrong"),
        ("]E2", "12345", None),
        ("]E2", "12", "length_wrong"),
        ("]E3", "590123412345612", "check_digit_wrong"),
        ("]E3", "5901234123457", "length_wrong"),
        ("]E4", "02345674", "check_digit_wrong"),
        ("]E4", "1234567", "length_wrong"),
        ("]E4", "123456789", "length_wrong"),
        ("]E4", "12ABC678", "length_wrong"),
        ("]I1", "15012345678908", "check_digit_wrong"),
        ("]I1", "123456", None),
        ("]I1", "A5012345678908", None),
        ("]I0", "15012345678908", None),  # nobody said that it has a check digit
        ("]C0", "5901234123457", None),
        ("]Q1", "5901234123457", None),
        ("", "5901234123456", None),
        ("", "590123412345712", None),
        ("", "21234565", None),
        ("", "", None),
    ],
)
def test_what_is_none_says_why_where_its_symbology_is_one_of_goods(aim: str, text: str, problem: str | None) -> None:
    assert goods_in(aim, text) is None
    assert what_is_wrong(aim, text) == problem
