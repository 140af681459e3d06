"""Receipts of two sources that share no id: which are one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from loyalty.instant import Instant
from loyalty.pairing import WITHIN, Pairing, Told, gap_between, pair
from loyalty.receipt import Fiscal, Receipt

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def told(
    number: int, issued_s: float | None, *, captured_s: float | None = None, total_minor: int = 500, **facts: Any
) -> Told:
    """A receipt that says `issued_s` seconds after noon, and came then or at `captured_s`."""
    came = captured_s if captured_s is not None else issued_s or 0
    receipt = Receipt(
        key=f"key-{number}",
        kind=facts.pop("kind", "sale"),
        currency=facts.pop("currency", "EUR"),
        total_minor=total_minor,
        issued_at=NOON + timedelta(seconds=issued_s) if issued_s is not None else UNSET,
        **facts,
    )
    return Told(
        id=number, receipt=receipt, captured=Instant(wall=NOON + timedelta(seconds=came), boot="", monotonic_ns=0)
    )


def test_the_nearest_are_one() -> None:
    pairing = pair([told(1, 0), told(2, 60)], [told(11, 50), told(12, 5)])

    assert pairing == Pairing(pairs=((1, 12), (2, 11)), tied=())


def test_a_third_finds_nobody() -> None:
    assert pair([told(1, 0)], [told(11, 1), told(12, 2)]) == Pairing(pairs=((1, 11),), tied=())


def test_of_receipts_printed_in_one_minute_the_moment_of_capture_tells() -> None:
    printed = [told(1, 0, captured_s=12), told(2, 0, captured_s=40)]

    pairing = pair(printed, [told(11, 0, captured_s=13), told(12, 0, captured_s=41)])

    assert pairing == Pairing(pairs=((1, 11), (2, 12)), tied=())


def test_what_fits_two_as_well_is_tied_and_takes_neither() -> None:
    assert pair([told(1, 0), told(2, 20)], [told(11, 10)]) == Pairing(pairs=(), tied=(11,))
    assert pair([told(1, 10)], [told(11, 0), told(12, 20)]) == Pairing(pairs=(), tied=(11, 12))


def test_a_tie_leaves_its_receipts_to_others() -> None:
    pairing = pair([told(1, 0), told(2, 20)], [told(11, 10), told(12, 35)])

    assert pairing == Pairing(pairs=((2, 12),), tied=(11,))


@pytest.mark.parametrize(
    "other",
    [
        {"total_minor": 501},
        {"currency": "RSD"},
        {"kind": "return"},
        {"status": "suspended"},
        {"fiscal": Fiscal(scheme="rs-purs", number="AAAAAAAA-AAAAAAAA-2")},
    ],
)
def test_what_contradicts_is_never_one(other: dict[str, Any]) -> None:
    numbered = told(1, 0, fiscal=Fiscal(scheme="rs-purs", number="AAAAAAAA-AAAAAAAA-1"))

    assert gap_between(numbered, told(11, 0, **other)) is None


def test_numbers_of_pos_and_printer_may_differ() -> None:
    printed, posted = told(1, 0, also=("pos:1/1/2026-11-22/7",)), told(11, 0, also=("pos:1/1/2026-11-22/4711",))

    assert pair([printed], [posted]).pairs == ((1, 11),)


def test_two_minutes_are_the_bound_and_a_receipt_without_a_time_has_that_of_its_capture() -> None:
    assert pair([told(1, 0)], [told(11, WITHIN.total_seconds())]).pairs == ((1, 11),)
    assert pair([told(1, 0)], [told(11, WITHIN.total_seconds() + 1)]).pairs == ()
    assert pair([told(1, 0)], [told(11, None, captured_s=30)]).pairs == ((1, 11),)


SIDE = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=400), st.integers(min_value=0, max_value=3), st.sampled_from([500, 501])
    ),
    max_size=9,
)


@given(first=SIDE, second=SIDE, data=st.data())
def test_the_order_of_arrival_does_not_matter_and_each_is_used_once(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    authoritative = [
        told(n, said, captured_s=said + late, total_minor=total) for n, (said, late, total) in enumerate(first)
    ]
    further = [
        told(100 + n, said, captured_s=said + late, total_minor=total) for n, (said, late, total) in enumerate(second)
    ]

    pairing = pair(authoritative, further)

    shuffled = pair(data.draw(st.permutations(authoritative)), data.draw(st.permutations(further)))
    assert shuffled == pairing
    ones, others = [one for one, _ in pairing.pairs], [other for _, other in pairing.pairs]
    assert len(set(ones)) == len(ones)
    assert len({*others, *pairing.tied}) == len(others) + len(pairing.tied)
    by_id = {each.id: each for each in (*authoritative, *further)}
    assert all(gap_between(by_id[one], by_id[other]) is not None for one, other in pairing.pairs)


@given(first=SIDE, second=SIDE)
def test_nobody_left_over_could_have_had_what_is_left_over(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]
) -> None:
    authoritative = [told(n, said, total_minor=total) for n, (said, _, total) in enumerate(first)]
    further = [told(100 + n, said, total_minor=total) for n, (said, _, total) in enumerate(second)]

    pairing = pair(authoritative, further)

    used = {number for edge in pairing.pairs for number in edge}
    left = [one for one in authoritative if one.id not in used]
    alone = [other for other in further if other.id not in used and other.id not in pairing.tied]
    assert not [1 for one in left for other in alone if gap_between(one, other) is not None]
