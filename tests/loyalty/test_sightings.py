"""The same transaction seen again: what it means, what it adds, and that it counts once."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from loyalty.account import Account
from loyalty.identity import identified, key_of, rs_purs
from loyalty.member import Balance
from loyalty.receipt import (
    MAX_ALSO,
    Discount,
    Fiscal,
    Line,
    MemberReference,
    Original,
    Problem,
    Receipt,
    ReceiptStatus,
    Tax,
    Tender,
)
from loyalty.reconcile import TOTAL_MISMATCH
from loyalty.sightings import Sighting, corrected, filled, revised, sighting_of
from tests.loyalty.receipts import MORNING, refund, sale
from tests.loyalty.test_evaluate import EVENING, program

SUSPENDED = sale("1", 500, status="suspended")
FINAL = sale("1", 1000)
VOIDED = sale("1", 1000, status="voided")


@pytest.mark.parametrize(
    ("known", "seen", "sighting"),
    [
        (FINAL, FINAL, "same"),
        (FINAL, replace(FINAL, operator="Ana"), "same"),
        (FINAL, sale("1", 1001), "conflict"),
        (FINAL, replace(FINAL, kind="return"), "conflict"),
        (SUSPENDED, FINAL, "revision"),
        (sale("1", 1000, status="training"), FINAL, "revision"),
        (FINAL, VOIDED, "revision"),
        (FINAL, sale("1", status="voided"), "revision"),
        (FINAL, sale("1", 1000, status="voided", currency="RSD"), "conflict"),
        (FINAL, SUSPENDED, "told_before"),
        (FINAL, sale("1", 500, status="training"), "conflict"),
        (VOIDED, SUSPENDED, "told_before"),
        (VOIDED, FINAL, "same"),
        (VOIDED, sale("1", 1001), "conflict"),
        (VOIDED, sale("1", status="voided"), "told_before"),
    ],
)
def test_what_a_further_sighting_is(known: Receipt, seen: Receipt, sighting: Sighting) -> None:
    assert sighting_of(known, seen) == sighting


def test_what_was_absent_is_filled_in_and_nothing_else_changes() -> None:
    known = identified(replace(FINAL, store="12", register="3", business_day=date(2026, 11, 22), lines=()), b"")
    seen = replace(
        FINAL,
        operator="Ana",
        store="99",
        member=MemberReference(code="TS1"),
        fiscal=Fiscal(scheme="rs-purs", number="A-A-1"),
        tenders=(Tender(kind="cash", amount_minor=2000),),
        change_minor=1000,
        captured_at=MORNING,
    )

    whole = filled(known, seen)

    assert (whole.key, whole.also) == (known.key, ("rs-purs:A-A-1",))
    assert (whole.lines, whole.operator, whole.tenders, whole.change_minor) == (seen.lines, "Ana", seen.tenders, 1000)
    assert (whole.store, whole.captured_at, whole.problems) == ("12", UNSET, ())
    assert whole.member == seen.member
    assert filled(whole, seen) == whole


def test_the_lines_of_one_print_are_not_mixed_with_the_discounts_of_another() -> None:
    # given a sale once with its discount in the line, once below it
    other = replace(sale("1", 1100), total_minor=1000, discounts=(Discount(amount_minor=100),))

    assert filled(FINAL, other) == FINAL
    assert filled(replace(FINAL, lines=()), other).discounts == other.discounts
    taxed = replace(FINAL, taxes=(Tax(amount_minor=200, included=True),))
    assert filled(FINAL, taxed).taxes == taxed.taxes
    assert filled(FINAL, replace(FINAL, taxes=(Tax(amount_minor=200, included=False),))) == FINAL


def test_lines_that_do_not_add_up_say_so_once_filled_in() -> None:
    wrong = replace(FINAL, lines=(Line(position=1, amount_minor=1),))

    assert filled(replace(FINAL, lines=()), wrong).has_problem(TOTAL_MISMATCH)


def test_a_revision_says_what_is_true_under_the_first_key() -> None:
    known = replace(SUSPENDED, key="first", also=("pos:1/1/2026-11-22/1",), member=MemberReference(code="TS1"))
    seen = replace(FINAL, key="second", also=("rs-purs:A-A-1",))

    final = revised(known, seen)

    assert (final.key, final.status, final.total_minor) == ("first", "final", 1000)
    assert final.also == ("pos:1/1/2026-11-22/1", "rs-purs:A-A-1")
    assert final.member == known.member
    voided = revised(final, sale("1", status="voided"))
    assert (voided.status, voided.total_minor, voided.lines) == ("voided", 1000, FINAL.lines)


@pytest.mark.parametrize("status", ["suspended", "copy", "training", "proforma", "advance"])
def test_what_was_not_final_does_not_stop_the_final_from_earning(status: ReceiptStatus) -> None:
    account = Account(program())

    assert account.add(sale("1", 500, status=status)) == ()
    (entry,) = account.add(FINAL)

    assert entry.points == 30
    assert account.add(FINAL) == ()
    assert account.problems == []


@given(st.permutations([SUSPENDED, FINAL, sale("1", 1000, status="copy"), FINAL, SUSPENDED]))
def test_the_stages_of_a_sale_count_once_in_any_order(receipts: list[Receipt]) -> None:
    account = Account(program())
    for receipt in receipts:
        account.add(receipt)

    assert account.balance(EVENING).confirmed == 30
    assert account.problems == []


@given(
    st.permutations([SUSPENDED, FINAL, VOIDED, replace(VOIDED, operator="Ana")]),
    st.lists(st.integers(1, 1000), max_size=3),
)
def test_a_voided_sale_gives_nothing_whatever_came_back_before(receipts: list[Receipt], backs: list[int]) -> None:
    account = Account(program())
    for receipt in receipts:
        account.add(receipt)
        for index, amount in enumerate(backs):
            account.add(refund(f"r{index}", "1", amount))

    assert account.balance(EVENING) == Balance()
    assert account.problems == []
    assert len({entry.entry_id for entry in account.entries}) == len(account.entries)


def test_voiding_takes_back_what_is_left() -> None:
    account = Account(program())
    account.add(FINAL)
    account.add(refund("2", "1", 400))

    (entry,) = account.add(VOIDED)

    assert (entry.points, entry.basis_minor, entry.reverses) == (-18, -600, "key-1/base")
    assert entry.entry_id == "key-1/base/voided"
    # and a return of it finds nothing to give back any more
    account.add(refund("3", "1", 100))
    assert [receipt.number for receipt in account.waiting] == ["3"]


def test_voiding_a_return_that_waits_ends_its_waiting() -> None:
    account = Account(program())
    back = refund("2", "1", 1000)
    account.add(back)

    assert account.add(replace(back, status="voided")) == ()
    account.add(FINAL)

    assert account.waiting == ()
    assert account.balance(EVENING).confirmed == 30


def test_voiding_a_return_that_took_points_is_shown() -> None:
    account = Account(program())
    account.add(FINAL)
    account.add(refund("2", "1", 1000))

    assert account.add(replace(refund("2", "1", 1000), status="voided")) == ()
    assert [problem.code for problem in account.problems] == ["identity_conflict"]
    assert account.balance(EVENING) == Balance()


def test_a_contradiction_is_shown_and_gives_nothing() -> None:
    account = Account(program())
    account.add(replace(FINAL, also=("a:1",)))
    account.add(sale("2", 1000))

    assert account.add(sale("1", 9000)) == ()
    assert account.add(replace(sale("2", 1000), also=("a:1",))) == ()
    assert [problem.code for problem in account.problems] == ["identity_conflict"] * 2
    assert account.balance(EVENING).confirmed == 60


def test_an_id_and_a_fact_learned_later_count() -> None:
    # given a sale known by its QR code, and a return that waits under the till's number
    account = Account(program())
    account.add(replace(FINAL, number=UNSET))
    account.add(refund("2", "1", 1000))
    waiting = replace(refund("3", "", 1000), original=UNSET)
    account.add(waiting)
    assert [receipt.number for receipt in account.waiting] == ["2", "3"]

    # when the print tells its number, its fiscal number, and what the other return gives back
    assert [entry.points for entry in account.add(replace(FINAL, also=(rs_purs("A-A-1"),)))] == [-30]
    account.add(replace(waiting, original=Original(key="key-1")))

    # then all of it counts once
    assert account.add(replace(FINAL, key=key_of(rs_purs("A-A-1")), also=())) == ()
    assert account.waiting == ()
    assert account.balance(EVENING) == Balance()


def test_a_problem_of_another_print_is_not_taken_over() -> None:
    seen = replace(FINAL, problems=(Problem(code="weak_identity"),), issued_at=MORNING + timedelta(seconds=5))

    assert filled(FINAL, seen) == FINAL


def test_a_right_reading_takes_the_place_of_a_wrong_one_under_its_key_and_ids() -> None:
    # given paper that was read with a wrong total, and its card from a scan; then read right, with its fiscal number
    scanned = MemberReference(code="TS1")
    wrong = replace(FINAL, also=(PARKED_ID,), captured_at=MORNING, member=scanned)
    right = replace(
        sale("1", 1200),
        key="key-right",
        also=(PARKED_ID,),
        fiscal=Fiscal(scheme="rs-purs", number="A-B-1"),
        captured_at=EVENING,
        member=MemberReference(code="TS2"),
    )

    known = corrected(wrong, right)

    assert (known.key, known.total_minor, known.captured_at) == (wrong.key, 1200, MORNING)
    assert known.also == (PARKED_ID, rs_purs("A-B-1"))
    assert known.member == scanned
    assert corrected(replace(wrong, member=UNSET), right).member == MemberReference(code="TS2")


PARKED_ID = "pos:12/3/2026-11-22/1"


def test_a_transaction_keeps_no_more_ids_than_one_can_have() -> None:
    ids = [f"a:{number}" for number in range(MAX_ALSO + 4)]
    known = replace(FINAL, also=tuple(ids[:10]))
    for told in (filled(known, replace(FINAL, also=tuple(ids[8:]))), corrected(known, replace(FINAL, also=tuple(ids)))):
        assert told.also == tuple(ids[:MAX_ALSO])
        assert filled(told, replace(FINAL, also=("b:1",))) is told
