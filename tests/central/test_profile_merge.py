"""The merge of profiles and consents: the same whatever order tellings come in, and what it must come to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from central.profile_merge import Channel, Told, ToldGrant, bounded, channel_of, counted, later, merged, placed
from sync.hlc import Hlc, milliseconds
from sync.records import ConsentState

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
A, B = "aaaaaaaa", "bbbbbbbb"


def stamp(offset: timedelta = timedelta(), counter: int = 0, node: str = A) -> str:
    return Hlc(ms=milliseconds(NOW + offset), counter=counter, node=node).text


few_stamps = st.builds(
    lambda seconds, counter, node: stamp(timedelta(seconds=seconds), counter, node),
    st.integers(-3, 3),
    st.integers(0, 1),
    st.sampled_from([A, B]),
)
tellings = st.builds(
    Told,
    value=st.one_of(st.none(), st.sampled_from(["sr", "sl", "hr"])),
    hlc=few_stamps,
    told=few_stamps,
    key=st.sampled_from("kl"),
)
grants = st.builds(
    ToldGrant,
    state=st.sampled_from(["granted", "withdrawn"]),
    hlc=few_stamps,
    told=few_stamps,
    seen=st.one_of(st.just(""), few_stamps),
    key=st.sampled_from("kl"),
    text_version=st.sampled_from("12"),
)


def folded(told: list[ToldGrant]) -> Channel:
    return reduce(merged, map(channel_of, told), Channel())


@given(st.lists(tellings, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_field_comes_to_the_same_in_any_order_and_any_number_of_times(told: list[Told], chance: object) -> None:
    shuffled = told + told[:2]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    winner = reduce(later, shuffled)

    assert winner == reduce(later, told)
    assert winner.hlc == max(one.hlc for one in told)


@given(tellings, tellings, tellings)
def test_a_field_may_be_merged_in_any_grouping(one: Told, two: Told, three: Told) -> None:
    assert later(later(one, two), three) == later(one, later(two, three))
    assert later(one, two) == later(two, one)
    assert later(one, one) == one


@given(st.lists(grants, max_size=8), st.lists(grants, max_size=4), st.randoms(use_true_random=False))
def test_consent_comes_to_the_same_in_any_order_and_grouping(
    told: list[ToldGrant], more: list[ToldGrant], chance: object
) -> None:
    shuffled = told + more + told[:2]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert folded(shuffled) == folded(told + more)
    assert merged(folded(told), folded(more)) == folded(told + more)


@given(st.lists(grants, min_size=1, max_size=8))
def test_consent_is_given_only_by_a_grant_that_saw_the_latest_withdrawal(told: list[ToldGrant]) -> None:
    latest = max((one.hlc for one in told if one.state == "withdrawn"), default="")
    given_by = [one for one in told if one.state == "granted" and one.seen >= latest]

    current = folded(told).current

    assert (current is not None and current.state == "granted") == bool(given_by)
    assert folded(told).stamp >= latest


# ---- what comes late


C = "cccccccc"


def came(*told: ToldGrant) -> list[ToldGrant]:
    """As these count that came in this order."""
    known: list[ToldGrant] = []
    for one in told:
        known.append(placed(one, known))
    return known


def said(state: ConsentState, seconds: float, node: str, seen: str = "") -> ToldGrant:
    hlc = stamp(timedelta(seconds=seconds), node=node)
    return ToldGrant(state=state, hlc=hlc, told=hlc, seen=seen)


GIVEN = said("granted", -3600, A)
TAKEN_BACK = said("withdrawn", 0, B, GIVEN.hlc)
GIVEN_ANEW = said("granted", 60, A, TAKEN_BACK.hlc)
# By a clock that is behind, at a till that shows the first grant still.
BEHIND = said("withdrawn", -3599, C, GIVEN.hlc)


@pytest.mark.parametrize("order", list(permutations([TAKEN_BACK, GIVEN_ANEW, BEHIND])))
def test_a_withdrawal_by_a_clock_that_is_behind_is_beaten_by_no_grant_that_did_not_see_it(
    order: tuple[ToldGrant, ...],
) -> None:
    known = came(GIVEN, *order)
    assert folded(known).current in [one for one in known if one.state == "withdrawn"]

    # Until one does
    anew = said("granted", 120, A, folded(known).stamp)
    assert folded([*known, placed(anew, known)]).current == anew


@pytest.mark.parametrize("order", list(permutations([GIVEN, TAKEN_BACK, GIVEN_ANEW])))
def test_what_was_given_anew_is_given_in_whatever_order_it_comes(order: tuple[ToldGrant, ...]) -> None:
    assert folded(came(*order)).current == GIVEN_ANEW


def test_a_grant_made_before_a_withdrawal_came_that_is_behind_beats_it_neither_where_it_comes_later() -> None:
    # Given a grant that was shown another grant, which is later by the clock than a withdrawal still on its way
    other = said("granted", 100, B, GIVEN.hlc)
    late, again = said("withdrawn", 50, C, GIVEN.hlc), said("granted", 200, B, other.hlc)

    for order in ([late, again], [again, late]):
        assert folded(came(GIVEN, other, *order)).current.state == "withdrawn"  # type: ignore[union-attr]


def test_a_grant_may_name_a_withdrawal_of_its_own_register_that_the_feed_has_not_shown() -> None:
    # Given a register that is behind what it shows, and tells both before it hears of either
    ahead = said("granted", 60, A)
    back = replace(said("withdrawn", 10, B, ahead.hlc), hlc=counted(stamp(timedelta(seconds=10)), ahead.hlc, NOW, NOW))
    anew = said("granted", 20, B, back.told)

    assert folded(came(ahead, back, anew)).current.state == "granted"  # type: ignore[union-attr]
    # But none that came between from elsewhere
    elsewhere = said("withdrawn", 90, A, ahead.hlc)
    assert folded(came(ahead, elsewhere, back, anew)).current.state == "withdrawn"  # type: ignore[union-attr]


def test_a_later_grant_that_saw_nothing_hides_no_earlier_one_that_saw_the_withdrawal() -> None:
    withdrawal = ToldGrant(state="withdrawn", hlc=stamp())
    saw = ToldGrant(state="granted", hlc=stamp(timedelta(seconds=1)), seen=withdrawal.hlc, text_version="2")
    blind = ToldGrant(state="granted", hlc=stamp(timedelta(seconds=2)), text_version="1")

    assert folded([withdrawal, blind]).current == withdrawal
    assert folded([blind, saw, withdrawal]).current == saw


def test_what_is_told_far_ahead_of_the_centre_is_stamped_with_its_time() -> None:
    near, far = stamp(timedelta(minutes=5)), stamp(timedelta(minutes=5, milliseconds=1))

    assert counted(near, None, NOW, NOW) == near
    assert counted(far, None, NOW, NOW) == stamp()
    assert bounded(stamp(timedelta(days=3650), node=B), far, NOW, NOW) == stamp()


def test_a_clock_that_was_years_ahead_once_counts_by_the_time_that_is_right_again() -> None:
    far, hour = stamp(timedelta(days=3650)), timedelta(hours=1)

    assert counted(far, None, NOW, NOW - hour) == stamp(-hour)
    # And where that is wrong, too, by the centre's
    assert counted(far, None, NOW, NOW + timedelta(days=3650)) == stamp()
    assert counted(far, None, NOW, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))).startswith("0" * 16)


def test_an_edit_is_later_than_what_it_saw_though_its_clock_is_behind() -> None:
    seen = stamp(timedelta(minutes=4), node=A)

    mine = counted(stamp(timedelta(minutes=-10), node=B), seen, NOW, NOW)

    assert mine > seen
    assert mine.endswith(B)


def test_two_edits_of_a_register_whose_clock_is_years_ahead_keep_their_order() -> None:
    first, second = stamp(timedelta(days=365)), stamp(timedelta(days=365), 1)

    assert counted(first, None, NOW, NOW) < counted(second, first, NOW, NOW) <= stamp(timedelta(), 1)
