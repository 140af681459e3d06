"""The small values: instants, members, entries, files."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from loyalty.identification import normal_code
from loyalty.instant import Instant
from loyalty.ledger import LedgerEntry
from loyalty.member import Balance, MemberState
from tests.loyalty.receipts import MORNING, receipts_in


def test_within_one_boot_the_monotonic_clock_decides() -> None:
    before = Instant(wall=MORNING, boot="a", monotonic_ns=5_000_000_000)
    after = Instant(wall=MORNING - timedelta(days=3650), boot="a", monotonic_ns=6_000_000_000)

    assert after.ns_since(before) == 1_000_000_000


def test_across_boots_the_wall_clock_decides() -> None:
    before = Instant(wall=MORNING, boot="a", monotonic_ns=5)
    after = Instant(wall=MORNING + timedelta(seconds=2), boot="b", monotonic_ns=1)

    assert after.ns_since(before) == 2_000_000_000
    assert isinstance(after.ns_since(before), int)


def test_codes_are_compared_in_one_form() -> None:
    assert normal_code(" ts-0001 2345 ") == normal_code("TS00012345") == "TS00012345"


def test_all_that_is_confirmed_may_be_spent_unless_said_otherwise() -> None:
    state = msgspec.json.decode(b'{"code":"1","confirmed":7}', type=MemberState)
    reserved = msgspec.json.decode(b'{"code":"1","confirmed":7,"spendable":2}', type=MemberState)

    assert state.balance == Balance(confirmed=7, spendable=7)
    assert reserved.balance == Balance(confirmed=7, spendable=2)


def test_an_entry_is_named_by_receipt_and_rule() -> None:
    assert LedgerEntry(receipt="k", rule="base", points=1, basis_minor=100, why="").entry_id == "k/base"


def test_absent_facts_are_absent_keys() -> None:
    (receipt,) = receipts_in(b'{"receipts":[{"key":"k","kind":"sale","currency":"EUR","total_minor":1}]}')

    assert set(msgspec.json.decode(msgspec.json.encode(receipt))) == {
        "key", "also", "kind", "status", "currency", "total_minor", "rounding_minor", "lines", "discounts", "taxes",
        "tenders", "change_minor", "problems",
    }  # fmt: skip


@pytest.mark.parametrize("bad", ["1.5", '"1"', "100000000000000000"])
def test_amounts_are_integers_of_a_till(bad: str) -> None:
    document = f'{{"receipts":[{{"key":"k","kind":"sale","currency":"EUR","total_minor":{bad}}}]}}'

    with pytest.raises(msgspec.ValidationError, match="total_minor"):
        receipts_in(document.encode())
