"""What is appended to a ledger so that it comes to what it should hold."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from loyalty.corrections import corrections
from loyalty.entry_rules import corrected_rule
from loyalty.ledger import LedgerEntry
from tests.loyalty.receipts import MORNING

SOON, LATE = MORNING + timedelta(days=1), MORNING + timedelta(days=9)


def entry(points: int, rule: str = "base", receipt: str = "k1", **facts: object) -> LedgerEntry:
    whole = LedgerEntry(receipt=receipt, rule=rule, points=points, basis_minor=points * 10, why=f"{points} given")
    return replace(whole, **facts)


def test_what_is_recorded_as_it_is_wanted_needs_nothing() -> None:
    assert corrections([entry(5)], [entry(5)], because="a late receipt") == []


def test_what_was_not_recorded_is_appended_as_it_is_wanted() -> None:
    assert corrections([], [entry(5), entry(7, "more")], because="a late receipt") == [entry(5), entry(7, "more")]


def test_a_difference_is_one_entry_that_says_what_happened() -> None:
    recorded = [entry(5, pending_until=SOON), entry(4, "more")]
    wanted = [entry(9, pending_until=SOON), entry(4, "more")]

    (given,) = corrections(recorded, wanted, because="a late receipt")

    assert given == entry(
        4,
        "base/corrected",
        basis_minor=40,
        pending_until=SOON,
        reverses="k1/base",
        why="a late receipt: 5 → 9: 9 given",
    )


def test_a_further_correction_has_a_number_of_its_own() -> None:
    recorded = [entry(5), entry(4, "base/corrected"), entry(-2, "base/corrected/2")]

    (given,) = corrections(recorded, [entry(1)], because="a late receipt")

    assert (given.rule, given.points, given.basis_minor, given.reverses) == ("base/corrected/3", -6, -60, "k1/base")


def test_points_that_mature_or_expire_at_other_times_are_taken_and_given_anew() -> None:
    recorded, wanted = [entry(5, pending_until=SOON)], [entry(6, pending_until=LATE, expires_at=LATE)]

    taken, given = corrections(recorded, wanted, because="a late receipt")

    assert (taken.rule, taken.points, taken.pending_until, taken.expires_at) == ("base/corrected", -5, SOON, None)
    assert (given.rule, given.points, given.pending_until, given.expires_at) == ("base/corrected/2", 6, LATE, LATE)
    assert (taken.basis_minor, given.basis_minor) == (10, 0)
    assert taken.why == "a late receipt: 5 → 6: 6 given"


def test_what_is_wanted_no_more_is_taken_and_of_a_voided_receipt_it_says_so() -> None:
    recorded = [entry(5), entry(7, receipt="k2"), entry(-3, receipt="k2", rule="base/corrected")]

    first, second = corrections(recorded, [], because="a late receipt", voided={"k2"})

    assert (first.entry_id, first.points, first.why) == ("k1/base/corrected", -5, "a late receipt: 5 → 0")
    assert first.basis_minor == -50
    assert (second.entry_id, second.points, second.why) == ("k2/base/voided", -4, "voided: 4 → 0")
    # what was taken once is not taken again, and comes back if it is wanted after all
    assert corrections([*recorded, first, second], [], because="again", voided={"k2"}) == []
    (back,) = corrections([entry(7, receipt="k2"), second], [entry(7, receipt="k2")], because="it counts")
    assert (back.entry_id, back.points) == ("k2/base/corrected", 4)


def test_the_rule_that_an_entry_corrects() -> None:
    corrected = ["base/corrected", "base/corrected/2", "base/voided", "base/returned", "base/corrected/x", "base"]

    assert list(map(corrected_rule, corrected)) == [
        "base",
        "base",
        "base",
        "base/returned",
        "base/corrected/x",
        "base",
    ]


entries = st.lists(
    st.builds(
        entry,
        st.integers(-9, 9),
        st.sampled_from(["base", "more"]),
        st.sampled_from(["k1", "k2"]),
        pending_until=st.sampled_from([None, SOON, LATE]),
    ),
    unique_by=lambda each: each.entry_id,
)


@given(st.lists(entries, min_size=1, max_size=4))
def test_whatever_was_wanted_before_the_ledger_comes_to_what_is_wanted_last(wishes: list[list[LedgerEntry]]) -> None:
    ledger: list[LedgerEntry] = []
    for wanted in wishes:
        ledger += corrections(ledger, wanted, because="a change")

    def sums(recorded: list[LedgerEntry]) -> dict[object, int]:
        total: Counter[object] = Counter()
        for each in recorded:
            total[each.receipt, corrected_rule(each.rule), each.pending_until] += each.points
        return {what: points for what, points in total.items() if points}

    assert sums(ledger) == sums(wishes[-1])
    assert len({each.entry_id for each in ledger}) == len(ledger)
    assert corrections(ledger, wishes[-1], because="nothing") == []
