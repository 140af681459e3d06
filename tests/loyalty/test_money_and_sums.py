"""Amounts, and whether a receipt adds up."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from loyalty.money import AmountError, line_product_minor, minor_digits, to_major, to_minor
from loyalty.receipt import Discount, Problem, ReceiptStatus, Tax, Tender
from loyalty.reconcile import TOTAL_MISMATCH, reconciled, unearning
from tests.loyalty.receipts import sale


@pytest.mark.parametrize(("currency", "digits"), [("RSD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3)])
def test_currencies_have_their_own_minor_digits(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


def test_the_float_that_users_complained_of_is_exact() -> None:
    assert to_minor("268.28", "RSD") == 26828
    assert to_major(26828, "RSD") == "268.28"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is not an amount"),
        ("1,50", "'1,50' is not an amount"),
        ("١٢x", "is not an amount"),
        ("1.505", "'1.505' has more digits than EUR has minor units"),
        ("NaN", "'NaN' is beyond what a receipt can hold"),
        ("Infinity", "'Infinity' is beyond what a receipt can hold"),
        ("1e30", "'1e30' is beyond what a receipt can hold"),
        ("1000000000000.01", "is beyond what a receipt can hold"),
    ],
)
def test_what_is_no_amount_is_refused(text: str, says: str) -> None:
    with pytest.raises(AmountError, match=re.escape(says)):
        to_minor(text, "EUR")


@given(st.integers(-(10**14), 10**14), st.sampled_from(["JPY", "EUR", "KWD"]))
def test_major_and_minor_are_inverse(minor: int, currency: str) -> None:
    assert to_minor(to_major(minor, currency), currency) == minor


@pytest.mark.parametrize(
    ("quantity", "price", "minor"),
    [("1.482", "199.99", 29639), ("0.5", "0.01", 1), ("-1", "5.99", -599), ("-0.5", "0.01", -1), ("0", "5.99", 0)],
)
def test_a_line_rounds_half_away_from_zero(quantity: str, price: str, minor: int) -> None:
    assert line_product_minor(quantity, price, "RSD") == minor


def test_a_line_is_rounded_to_what_its_currency_has() -> None:
    assert [line_product_minor("0.5", "3", currency) for currency in ("JPY", "EUR", "KWD")] == [2, 150, 1500]


def test_a_receipt_that_adds_up_has_no_problem() -> None:
    receipt = replace(
        sale("1", 1000, 500),
        discounts=(Discount(amount_minor=100),),
        taxes=(Tax(amount_minor=200, included=True), Tax(amount_minor=50, included=False)),
        rounding_minor=-5,
        total_minor=1445,
        tenders=(Tender(kind="cash", amount_minor=2000),),
        change_minor=555,
    )

    assert reconciled(receipt) == receipt


@pytest.mark.parametrize(("off_by", "mismatch"), [(2, False), (-2, False), (3, True), (-3, True)])
def test_one_minor_unit_a_line_is_rounding_and_more_is_not(off_by: int, mismatch: bool) -> None:
    receipt = replace(sale("1", 1000, 500), total_minor=1500 + off_by)

    assert reconciled(receipt).has_problem(TOTAL_MISMATCH) is mismatch


def test_tenders_that_do_not_cover_the_total_are_a_mismatch_said_once() -> None:
    receipt = replace(sale("1", 1000), tenders=(Tender(kind="card", amount_minor=900),))

    once = reconciled(receipt)

    assert [problem.detail for problem in once.problems] == ["tenders and total differ by -1.00 EUR"]
    assert reconciled(once) == once


def test_one_minor_unit_a_line_is_rounding_in_tenders_too() -> None:
    receipt = replace(sale("1", 1000), tenders=(Tender(kind="card", amount_minor=1001),))

    assert reconciled(receipt) == receipt


def test_both_differences_are_told_in_the_receipts_currency() -> None:
    receipt = replace(
        sale("1", 1000, currency="JPY"), total_minor=900, tenders=(Tender(kind="card", amount_minor=800),)
    )

    assert [problem.detail for problem in reconciled(receipt).problems] == [
        "lines and total differ by 100 JPY; tenders and total differ by -100 JPY"
    ]


@pytest.mark.parametrize(("status", "code"), [("final", "total_mismatch"), ("training", None), ("voided", None)])
def test_only_of_a_receipt_that_would_count_it_is_said_why_it_does_not(status: ReceiptStatus, code: str | None) -> None:
    problems = (Problem(code="weak_identity"), Problem(code="total_mismatch"))

    wrong = unearning(replace(sale("1", 100, status=status), problems=problems))

    assert (wrong.code if wrong is not None else None) == code
