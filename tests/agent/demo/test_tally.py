"""The count has to be able to fail: each kind of wrong ledger is found."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.demo.floor import BalanceLine, EntryLine, LedgerLine, ReceiptLine
from agent.demo.plan import Given, Step
from agent.demo.tally import balances_in, overspent, promised_balances, redeemed, tally

STEPS = (Step(name="a", register=1), Step(name="slip", register=1, kind="card_slip"))
EXPECTED = (Given(step="a", member="m1", rule="base", points=5), Given(step="a", member="m1", rule="kept", points=1))
KEYS = {"a": "key-a"}
RECEIPT = ReceiptLine(key="key-a", number="1", member="m1", state="settled")
BASE = EntryLine(member="m1", receipt="key-a", rule="base", points=5)
KEPT = EntryLine(member="m1", receipt="key-a", rule="kept", points=1)


@pytest.mark.parametrize(
    ("ledger", "lost", "double"),
    [
        ([RECEIPT, BASE, KEPT], 0, 0),
        ([RECEIPT, BASE], 1, 0),
        ([], 3, 0),
        ([RECEIPT, BASE, BASE, KEPT], 1, 1),
        ([RECEIPT, replace(RECEIPT, key="key-b"), BASE, KEPT], 0, 1),
        ([RECEIPT, replace(BASE, points=6), KEPT], 1, 1),
        ([RECEIPT, replace(BASE, member="m2"), KEPT], 1, 1),
    ],
)
def test_what_is_missing_and_what_is_too_much_is_counted(ledger: list[LedgerLine], lost: int, double: int) -> None:
    found = tally(ledger, STEPS, EXPECTED, KEYS)

    assert (found.lost, found.double) == (lost, double)


def test_an_entry_and_its_correction_are_one() -> None:
    low, more = replace(BASE, points=3), replace(BASE, rule="base/corrected", points=2)

    found = tally([RECEIPT, low, more, KEPT], STEPS, EXPECTED, KEYS)

    assert (found.entries, found.corrections, found.points, found.lost, found.double) == (2, 1, 6, 0, 0)


def test_points_that_were_spent_are_promised_by_no_rule_of_the_program() -> None:
    spent = EntryLine(member="m1", receipt="key-a", rule="spent/r-1", points=-5)
    promised = (*EXPECTED, Given(step="a", member="m1", rule="spent", points=-5))

    once = tally([RECEIPT, BASE, KEPT, spent], STEPS, promised, KEYS)
    twice = tally([RECEIPT, BASE, KEPT, spent, replace(spent, rule="spent/r-2")], STEPS, promised, KEYS)

    assert (once.lost, once.double) == (0, 0)
    assert (twice.lost, twice.double) == (1, 1)
    assert redeemed([RECEIPT, BASE, spent, replace(spent, rule="spent/r-2")]) == 2


@pytest.mark.parametrize(("confirmed", "beyond"), [(0, 0), (5, 0), (-5, 5)])
def test_what_nobody_had_was_overspent(confirmed: int, beyond: int) -> None:
    assert overspent([BASE, BalanceLine(member="m1", confirmed=confirmed, pending=9)]) == beyond


def test_balances_hold_back_what_is_kept() -> None:
    assert promised_balances(EXPECTED) == {"m1": (5, 1)}
    assert balances_in([RECEIPT, BalanceLine(member="m1", confirmed=5, pending=1)]) == {"m1": (5, 1)}
