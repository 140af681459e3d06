"""Sales of one member that are too many to count without a look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from loyalty.limits import USUAL, WINDOW, Limits, OneTooMany, Sale, given_late, one_too_many

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def sale(minute: int, **facts: Any) -> Sale:
    fields = {"store": "12", "register": "3", "cashier": "Savka", "code": "TS1"} | facts
    return Sale(key=f"{minute:05}", at=NOON + timedelta(minutes=minute), **fields)


def told(limits: Limits, this: Sale, *others: Sale) -> str:
    return str(one_too_many(limits, this, others) or "")


def test_a_cashiers_own_card_counts_so_often() -> None:
    day = [sale(minute) for minute in range(20)]
    over = [one.key for one in day if one_too_many(USUAL, one, day)]
    assert over == [one.key for one in day[8:]]
    assert told(USUAL, day[8], *day) == (
        "sale 9 for one member by one cashier within 24 hours, where 8 count without a look"
    )


@pytest.mark.parametrize(
    ("limits", "other", "words"),
    [
        (Limits(cashier=1), {"cashier": "Mira"}, "for one member by one cashier"),
        (Limits(cashier=1), {"store": "13"}, "for one member by one cashier"),
        (Limits(register=1), {"register": "4"}, "for one member at one register"),
        (Limits(register=1), {"store": "13"}, "for one member at one register"),
        (Limits(card=1), {"code": "TS2"}, "with one card"),
    ],
)
def test_each_limit_counts_its_own(limits: Limits, other: dict[str, str], words: str) -> None:
    assert told(limits, sale(2), sale(1)) == f"sale 2 {words} within 24 hours, where 1 count without a look"
    assert told(limits, sale(2), sale(1, **other)) == ""


def test_a_member_is_counted_whatever_else_differs() -> None:
    elsewhere = sale(1, store="13", register="4", cashier="Mira", code="TS2")
    assert one_too_many(Limits(member=1), sale(2), [elsewhere]) == OneTooMany(what="member", number=2, allowed=1)


@pytest.mark.parametrize(
    ("limits", "unsaid"), [(Limits(cashier=1), "cashier"), (Limits(register=1), "register"), (Limits(card=1), "code")]
)
def test_what_a_receipt_does_not_say_is_not_counted(limits: Limits, unsaid: str) -> None:
    assert told(limits, sale(2, **{unsaid: ""}), sale(1, **{unsaid: ""})) == ""


def test_only_a_day_is_counted_and_only_what_was_before() -> None:
    limits, minutes = Limits(member=1), int(WINDOW.total_seconds()) // 60
    assert told(limits, sale(minutes), sale(0)) == ""
    assert told(limits, sale(minutes), sale(1)) != ""
    assert told(limits, sale(5), sale(6), sale(5)) == ""


def test_one_that_comes_late_is_counted_with_the_later_ones_that_count() -> None:
    limits, minutes = Limits(member=2), int(WINDOW.total_seconds()) // 60

    def counting(minute: int, **facts: str) -> Sale:
        return replace(sale(minute, **facts), counts=True)

    # Whatever window holds it: with what is behind it, before and behind it, and never with what is a day away
    assert told(limits, sale(5), counting(6), counting(7)).startswith("sale 3 for one member")
    assert told(limits, sale(5), sale(4), counting(6)).startswith("sale 3 for one member")
    assert told(limits, sale(5), counting(6), sale(7)) == ""
    assert told(limits, sale(minutes), sale(1), counting(2 * minutes - 1)) == ""
    assert told(limits, sale(5), counting(6), counting(5 + minutes)) == ""
    assert told(Limits(cashier=1), sale(5), counting(6, cashier="Mira")) == ""


def test_sales_of_one_moment_are_counted_one_after_the_other() -> None:
    pair = [sale(5), Sale(key="z", at=sale(5).at, store="12", register="3", cashier="", code="")]
    assert [one_too_many(Limits(member=1), one, pair) is None for one in pair] == [True, False]


def test_what_is_given_several_times_at_once_counts_as_often() -> None:
    def reward(minute: int, times: int) -> Sale:
        return replace(sale(minute), times=times)

    limits = Limits(member=3)
    assert one_too_many(limits, reward(2, 4), []) == OneTooMany(what="member", number=4, allowed=3)
    assert one_too_many(limits, reward(2, 1), [reward(1, 3)]) == OneTooMany(what="member", number=4, allowed=3)
    assert one_too_many(limits, reward(2, 2), [reward(1, 1)]) is None


@pytest.mark.parametrize(("minutes", "words"), [(0, None), (120, None), (-120, None), (121, "121"), (-180, "180")])
def test_a_sale_may_be_given_to_a_member_for_so_long(minutes: int, words: str | None) -> None:
    said = given_late(USUAL, NOON, NOON + timedelta(minutes=minutes))
    assert said == (words and f"given to its member {words} minutes from it, where 120 pass without a look")
    assert given_late(Limits(member=1), NOON, NOON + timedelta(minutes=minutes)) is None


def test_the_narrowest_limit_is_named() -> None:
    limits = Limits(cashier=1, register=1, card=1, member=1)
    over = one_too_many(limits, sale(2), [sale(1)])
    assert over is not None
    assert over.what == "cashier"


def test_without_a_limit_any_number_counts() -> None:
    assert not Limits().are_set
    assert all(Limits(**{name: 1}).are_set for name in ("cashier", "register", "card", "member"))
    assert told(Limits(), sale(100), *(sale(minute) for minute in range(100))) == ""


@given(st.lists(st.integers(0, 3_000), unique=True, max_size=40), st.integers(1, 5))
def test_what_counts_never_passes_the_limit_by_more_than_what_a_day_brings(minutes: list[int], allowed: int) -> None:
    sales = [sale(minute) for minute in minutes]
    counting = [one for one in sales if one_too_many(Limits(member=allowed), one, sales) is None]
    for one in sales:
        before = [other for other in sales if one.at - WINDOW < other.at <= one.at]
        # Of all that a day holds only the first count, in whatever order they came.
        assert (one in counting) == (len(before) <= allowed)


@given(st.lists(st.integers(0, 3_000), unique=True, max_size=40), st.integers(1, 5))
def test_no_day_holds_more_of_what_counts_than_are_allowed_in_whichever_order_it_came(
    minutes: list[int], allowed: int
) -> None:
    here: list[Sale] = []
    for minute in minutes:
        came = sale(minute)
        over = one_too_many(Limits(member=allowed), came, here)
        here.append(replace(came, counts=over is None))
    counting = [one.at for one in here if one.counts]
    assert all(sum(end - WINDOW < at <= end for at in counting) <= allowed for end in counting)
