"""Which sale a return gives back."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from loyalty.identity import identified
from loyalty.originals import awaited_names, may_be_original, names_of, original_among
from loyalty.receipt import Fiscal, Original, Receipt, ReceiptStatus
from tests.loyalty.receipts import MORNING, refund, sale

DAY = date(2026, 11, 22)


def bought(number: str = "1", *, store: str = "12", register: str = "3", day: date = DAY, minute: int = 0) -> Receipt:
    receipt = replace(
        sale(number, 1000, issued_at=MORNING + timedelta(minutes=minute)),
        store=store,
        register=register,
        business_day=day,
    )
    return identified(receipt, b"")


def back(original: Original) -> Receipt:
    """A return at store 99, two days later."""
    return replace(
        refund("r", "", 1000), original=original, store="99", register="9", business_day=DAY + timedelta(days=2)
    )


@pytest.mark.parametrize(
    ("original", "fits"),
    [
        (Original(number="1"), True),
        (Original(number=" 1 "), True),
        (Original(number="2"), False),
        (Original(number="1", store="12"), True),
        (Original(number="1", store="13"), False),
        (Original(number="1", register="3"), True),
        (Original(number="1", register="4"), False),
        (Original(number="1", business_day=DAY), True),
        (Original(number="1", business_day=DAY - timedelta(days=1)), False),
        (Original(number="1", issued_at=MORNING + timedelta(seconds=50)), True),
        (Original(number="1", issued_at=MORNING + timedelta(seconds=70)), False),
        (Original(number="1", store="12", register="3", business_day=DAY), True),
        (Original(key=bought().key, number="a number that nobody has"), True),
        (Original(key=bought("2").key, number="1"), False),
        (Original(store="12", register="3", business_day=DAY), False),
        (Original(), False),
    ],
)
def test_everything_that_a_return_says_of_its_original_has_to_be_true(original: Original, fits: bool) -> None:
    assert may_be_original(bought(), back(original)) is fits


def test_where_it_was_brought_back_says_nothing() -> None:
    here = replace(back(Original(number="1")), store="12", register="3", business_day=DAY)

    assert original_among(here, [bought(register="4", day=DAY - timedelta(days=1))])
    assert original_among(here, [bought(register="3"), bought(register="4")]) is None


def test_where_numbers_begin_anew_each_day_the_sale_made_after_the_return_is_another() -> None:
    # given two sales with one number, and a return between them that names it by that alone
    monday, tuesday = bought(minute=0), bought(day=DAY + timedelta(days=1), minute=24 * 60)
    returned = back(Original(number="1"))
    between = replace(returned, issued_at=MORNING + timedelta(hours=23), business_day=DAY + timedelta(days=1))

    # then it gives back the first, whichever came in first
    assert original_among(between, [monday, tuesday]) == original_among(between, [tuesday, monday]) == monday
    # and by their days where one of them tells no time; on one day nobody can say
    dated = replace(between, issued_at=UNSET, business_day=DAY)
    assert original_among(dated, [monday, tuesday]) == monday
    assert original_among(replace(dated, business_day=DAY + timedelta(days=1)), [monday, tuesday]) is None
    # and one alone is the original also where its register's clock was ahead
    assert original_among(between, [tuesday]) == tuesday
    # and a return that tells neither says nothing of when
    assert original_among(replace(dated, business_day=UNSET), [monday, tuesday]) is None


def test_a_fact_that_a_sale_lacks_does_not_agree() -> None:
    bare = sale("1", 1000)

    assert may_be_original(bare, back(Original(number="1", business_day=DAY)))  # its own date is printed on it
    assert not may_be_original(bare, back(Original(number="1", store="12")))
    assert not may_be_original(sale("1", 1000, issued_at=UNSET), back(Original(number="1", business_day=DAY)))
    assert not may_be_original(sale("1", 1000, issued_at=UNSET), back(Original(number="1", issued_at=MORNING)))


@pytest.mark.parametrize("status", ["voided", "suspended", "training", "copy", "proforma", "advance"])
def test_only_a_final_sale_is_an_original(status: ReceiptStatus) -> None:
    assert not may_be_original(replace(bought(), status=status), back(Original(number="1")))


def test_neither_a_return_nor_another_currency_is_an_original() -> None:
    assert not may_be_original(replace(bought(), kind="return"), back(Original(number="1")))
    assert not may_be_original(replace(bought(), currency="RSD"), back(Original(number="1")))


@pytest.mark.parametrize("written", ["ABCDEF01", "abcdef01", "AbCd EF01"])
@pytest.mark.parametrize("scheme", ["rs-purs", "hr-fisk", "si-furs"])
def test_a_fiscal_number_is_found_however_it_is_written(written: str, scheme: str) -> None:
    fiscal = replace(Fiscal(scheme="rs-purs", number="aBcDeF01"), scheme=scheme)

    assert may_be_original(replace(bought(), fiscal=fiscal), back(Original(number=written)))
    assert not may_be_original(replace(bought(), fiscal=fiscal), back(Original(number=f"{written}2")))


_SALES = st.builds(
    bought,
    st.sampled_from("12"),
    store=st.sampled_from(["12", "13"]),
    register=st.sampled_from("34"),
    day=st.sampled_from([DAY, DAY - timedelta(days=1)]),
    minute=st.integers(0, 1),
)


@given(sales=st.lists(_SALES, unique_by=lambda receipt: receipt.key), of=_SALES, told=st.sets(st.sampled_from(
    ["store", "register", "business_day", "issued_at"]
)))  # fmt: skip
def test_a_number_names_the_one_sale_that_agrees_or_none(sales: list[Receipt], of: Receipt, told: set[str]) -> None:
    # given a return that tells the number and some facts more of `of`
    original = replace(Original(number=of.number), **{name: getattr(of, name) for name in told})
    exact = {"store", "register", "business_day"} <= told
    heeded = told - {"issued_at"} if exact else told

    # when
    found = original_among(back(original), sales)

    # then what is found is the only one that is the same in all of that
    same = [
        receipt
        for receipt in sales
        if receipt.number == of.number and all(getattr(receipt, name) == getattr(of, name) for name in heeded)
    ]
    assert ([found] if found else []) == (same if len(same) == 1 else [])


@given(sale=_SALES, told=st.sets(st.sampled_from(["store", "register", "business_day"])))
def test_whatever_may_be_an_original_is_found_under_its_names(sale: Receipt, told: set[str]) -> None:
    original = replace(Original(number=sale.number), **{name: getattr(sale, name) for name in told})

    assert may_be_original(sale, back(original))
    assert not set(names_of(sale)).isdisjoint(awaited_names(back(original)))
