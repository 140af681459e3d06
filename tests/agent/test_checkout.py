"""The checkout's rule, by example and by property: the answer depends on instants, not on reading order."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.checkout import (
    MAX_UNUSED_SCANS,
    UNUSED_MEMBER_CLEARS_AFTER,
    AttachMember,
    Checkout,
    ClearMember,
    Effect,
    Event,
    MemberRefused,
    MemberRemoved,
    MemberScan,
    MemberScanned,
    ReceiptPrinted,
    ShowMember,
    TimePassed,
    UseUp,
    current,
    step,
)
from loyalty.instant import Instant

MORNING = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LIMIT_S = int(UNUSED_MEMBER_CLEARS_AFTER.total_seconds())


def at(seconds: float, *, boot: str = "now", wall: datetime = MORNING) -> Instant:
    return Instant(wall=wall + timedelta(seconds=seconds), boot=boot, monotonic_ns=int(seconds * 1e9))


def scan(number: int, seconds: float, *, boot: str = "now", wall: datetime = MORNING) -> MemberScanned:
    return MemberScanned(scan=MemberScan(id=number, code=f"C{number}", at=at(seconds, boot=boot, wall=wall)))


def printed(seconds: float, *, boot: str = "now", wall: datetime = MORNING) -> ReceiptPrinted:
    return ReceiptPrinted(at=at(seconds, boot=boot, wall=wall))


def play(*events: Event, state: Checkout | None = None) -> tuple[Checkout, list[Effect]]:
    state = state or Checkout(boot="now")
    effects: list[Effect] = []
    for event in events:
        state, more = step(state, event)
        effects.extend(more)
    return state, effects


def attached(*events: Event, state: Checkout | None = None) -> list[int | None]:
    """Id of the scan that each receipt took."""
    _, effects = play(*events, state=state)
    return [effect.scan.id if effect.scan else None for effect in effects if isinstance(effect, AttachMember)]


def test_a_scan_before_or_during_the_sale_attaches() -> None:
    assert attached(scan(1, 0), printed(30)) == [1]


def test_a_second_scan_replaces_the_first() -> None:
    assert attached(scan(1, 0), scan(2, 5), printed(30), printed(40)) == [2, None]


def test_after_the_receipt_a_scan_belongs_to_the_next_sale() -> None:
    assert attached(printed(30), scan(1, 31), printed(60)) == [None, 1]


def test_a_scan_is_used_once() -> None:
    assert attached(scan(1, 0), printed(10), printed(20)) == [1, None]


def test_a_receipt_read_late_leaves_the_scan_made_after_it_to_the_next_sale() -> None:
    # given a receipt printed at 10 which is read only after the next customer's scan at 20
    assert attached(scan(1, 0), scan(2, 20), printed(10), printed(30)) == [1, 2]


@pytest.mark.parametrize(("age_s", "taken"), [(LIMIT_S, 1), (LIMIT_S + 1, None)])
def test_a_scan_serves_for_ten_minutes(age_s: int, taken: int | None) -> None:
    assert attached(scan(1, 0), printed(age_s)) == [taken]


def test_an_unused_member_clears_from_the_page_after_ten_minutes() -> None:
    state, effects = play(scan(1, 0), TimePassed(at=at(LIMIT_S)))
    assert not any(isinstance(effect, ClearMember) for effect in effects)

    state, effects = play(TimePassed(at=at(LIMIT_S + 1)), TimePassed(at=at(LIMIT_S + 2)), state=state)

    assert effects == [ClearMember()]
    assert current(state, at(LIMIT_S + 1)) is None


def test_clearing_the_page_takes_nothing_from_a_receipt_that_is_read_late() -> None:
    assert attached(scan(1, 0), TimePassed(at=at(LIMIT_S + 60)), printed(30)) == [1]


def test_a_receipt_says_which_scans_are_used_up_and_what_the_page_shows() -> None:
    state, effects = play(scan(1, 0), scan(2, 5), scan(3, 50), printed(30))

    assert UseUp(ids=(1, 2)) in effects
    assert not any(isinstance(effect, ClearMember) for effect in effects)
    assert state.shown == 3

    _, effects = play(printed(60), state=state)

    assert ClearMember() in effects


def test_a_power_cut_in_the_middle_of_a_sale_keeps_the_member() -> None:
    # given a scan in the run before, and the sale finished two minutes later by the wall clock
    early = scan(1, 5000, boot="before", wall=MORNING - timedelta(seconds=5000))

    assert attached(early, printed(120)) == [1]


@pytest.mark.parametrize("jump", [timedelta(days=3650), timedelta(days=-3650)])
def test_a_clock_that_jumps_within_a_run_changes_nothing(jump: timedelta) -> None:
    assert attached(scan(1, 0), printed(30, wall=MORNING + jump)) == [1]
    assert attached(scan(1, 0, wall=MORNING + jump), printed(30), scan(2, 40), printed(50)) == [1, 2]


def test_a_clock_set_back_by_a_restart_gives_nobody_elses_points_away() -> None:
    # given a scan before a restart that set the clock back ten years, and sales since
    past = MORNING - timedelta(days=3650)
    state, _ = play(scan(1, 900, boot="before"), printed(10, wall=past))

    # when the clock is put right, at a wall time just after the old scan's
    assert attached(printed(1000), state=state) == [None]


def test_a_job_from_the_run_before_comes_before_every_scan_of_this_run() -> None:
    # given a clock that went back over the restart, so that wall times are the wrong way round
    state, _ = play(scan(1, 5, wall=MORNING - timedelta(hours=1)))

    assert attached(printed(9000, boot="before"), printed(20, wall=MORNING - timedelta(hours=1)), state=state) == [
        None,
        1,
    ]


def test_a_scan_that_is_told_of_after_the_receipt_it_missed_is_shown_to_nobody() -> None:
    state, effects = play(printed(30), scan(1, 20))

    assert not any(isinstance(effect, ShowMember) for effect in effects)
    assert state.shown is None
    assert attached(printed(40), state=state) == [None]


def refused(number: int, seconds: float) -> MemberRefused:
    return MemberRefused(scan=scan(number, seconds).scan)


def test_a_refused_card_leaves_the_sale_to_the_one_before() -> None:
    state, effects = play(scan(1, 0), scan(2, 5), refused(2, 5))

    assert effects[-2:] == [UseUp(ids=(2,)), ShowMember(scan=scan(1, 0).scan)]
    assert state.shown == 1
    assert attached(printed(30), state=state) == [1]


def test_a_refused_card_alone_leaves_nobody() -> None:
    state, effects = play(scan(1, 0), refused(1, 0))

    assert ClearMember() in effects
    assert state.shown is None
    assert attached(printed(30), state=state) == [None]


def test_a_card_that_is_refused_late_takes_the_page_from_nobody() -> None:
    # given the centre's answer after the next scan, and once more after the receipt
    state, _ = play(scan(1, 0), scan(2, 5), refused(1, 0))
    assert state.shown == 2

    state, _ = play(printed(30), state=state)
    assert play(refused(2, 5), state=state) == (state, [])


def test_a_scan_that_is_told_of_after_a_later_one_does_not_replace_it() -> None:
    state, effects = play(scan(2, 5), scan(1, 0))

    assert [effect.scan.id for effect in effects if isinstance(effect, ShowMember)] == [2]
    assert state.shown == 2
    assert attached(printed(30), state=state) == [2]
    assert attached(printed(3), printed(30), state=state) == [1, 2]


def test_unused_scans_are_bounded() -> None:
    state, effects = play(*(scan(number, number) for number in range(MAX_UNUSED_SCANS + 3)))

    assert len(state.scans) == MAX_UNUSED_SCANS
    assert [effect.ids for effect in effects if isinstance(effect, UseUp)] == [(0,), (1,), (2,)]


@st.composite
def timelines(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Scans ("s") and receipts ("r") at strictly growing seconds."""
    kinds = draw(st.lists(st.sampled_from("ssr"), min_size=1, max_size=25))
    gaps = draw(st.lists(st.integers(1, LIMIT_S * 2 // 3), min_size=len(kinds), max_size=len(kinds)))
    second, timeline = 0, []
    for kind, gap in zip(kinds, gaps, strict=True):
        second += gap
        timeline.append((kind, second))
    return timeline


def events_of(timeline: list[tuple[str, int]]) -> list[Event]:
    return [scan(second, second) if kind == "s" else printed(second) for kind, second in timeline]


def by_the_rule(timeline: list[tuple[str, int]]) -> list[int | None]:
    """The rule as it is written, on the whole timeline at once."""
    answers: list[int | None] = []
    previous = -1
    for kind, second in timeline:
        if kind == "r":
            fit = [s for k, s in timeline if k == "s" and previous < s <= second and second - s <= LIMIT_S]
            answers.append(fit[-1] if fit else None)
            previous = second
    return answers


@given(timelines())
def test_the_state_machine_says_what_the_rule_says(timeline: list[tuple[str, int]]) -> None:
    assert attached(*events_of(timeline)) == by_the_rule(timeline)


@given(timelines(), st.integers(0, 2**32))
def test_reading_receipts_late_changes_no_assignment(timeline: list[tuple[str, int]], seed: int) -> None:
    # given scans on time, receipts read any time later but in order, and time passing anywhere
    chance = random.Random(seed)
    pending: list[Event] = []
    read: list[Event] = []
    for event in events_of(timeline):
        if isinstance(event, MemberScanned):
            read.append(event)
        else:
            pending.append(event)
        while pending and chance.random() < 0.4:
            read.append(pending.pop(0))
        if chance.random() < 0.2:
            read.append(TimePassed(at=at(timeline[-1][1] + chance.randrange(LIMIT_S * 2))))

    assert attached(*read, *pending) == by_the_rule(timeline)


@given(timelines(), st.integers(0, 2**32))
def test_telling_of_scans_in_any_order_changes_no_assignment(timeline: list[tuple[str, int]], seed: int) -> None:
    events = events_of(timeline)
    scans = [event for event in events if isinstance(event, MemberScanned)]
    random.Random(seed).shuffle(scans)

    assert attached(*scans, *(event for event in events if event not in scans)) == by_the_rule(timeline)


@given(timelines(), st.integers(0, 24))
def test_a_crash_anywhere_changes_no_assignment(timeline: list[tuple[str, int]], crash_after: int) -> None:
    # given a state that is rebuilt from the unused scans and the last receipt, as the store keeps them
    events = events_of(timeline)
    state, before = play(*events[:crash_after])
    rebuilt = Checkout(boot="now", scans=state.scans, previous=state.previous)

    _, after = play(*events[crash_after:], state=rebuilt)

    taken = [e.scan.id if e.scan else None for e in [*before, *after] if isinstance(e, AttachMember)]
    assert taken == by_the_rule(timeline)


@given(timelines())
def test_no_scan_serves_two_receipts_and_the_page_shows_only_unused_ones(timeline: list[tuple[str, int]]) -> None:
    state = Checkout(boot="now")
    used: list[int] = []
    for event in events_of(timeline):
        state, effects = step(state, event)
        used += [e.scan.id for e in effects if isinstance(e, AttachMember) and e.scan]
        assert state.shown is None or state.shown in [unused.id for unused in state.scans]
        assert [e for e in effects if isinstance(e, ShowMember)] == [] or isinstance(event, MemberScanned)

    assert len(used) == len(set(used))


def test_whoever_is_removed_gets_no_later_receipt() -> None:
    state, effects = play(scan(1, 0), scan(2, 5), MemberRemoved(at=at(6)))

    assert effects[-2:] == [UseUp(ids=(1, 2)), ClearMember()]
    assert state.shown is None
    assert attached(printed(7), state=state) == [None]


def test_who_is_scanned_after_the_removal_is_the_customer() -> None:
    later = scan(2, 8)
    state, effects = play(scan(1, 0), later, MemberRemoved(at=at(6)))

    assert effects[-1] == UseUp(ids=(1,))
    assert state.shown == 2
    assert attached(printed(9), state=state) == [2]


def test_nobody_is_removed_where_nobody_was_scanned() -> None:
    assert play(MemberRemoved(at=at(6)))[1] == []
