"""Which keys of a shared wedge reach the POS, and when: unchanged and in order, but for a member's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.wedge.composer import IDLE_MS
from drivers.wedge.encode import encode
from drivers.wedge.events import DOWN, REPEAT, UP, CapsLight, DeviceEvent, EventsLost, KeyEvent
from drivers.wedge.keymaps import LOCK_KEYS
from drivers.wedge.passage import HELD_CODE_MS, HOLD_MS, MAX_HELD_EVENTS, Judged, Release, Step, WedgePassage
from tests.drivers.wedge.keys import MS, at, down, press, up

SHIFT, CAPS, ENTER, A, B, F5 = 42, 58, 28, 30, 48, 63


def members(text: str) -> bool:
    return text.startswith(("]C1M", "M"))


def fed(passage: WedgePassage, *events: DeviceEvent) -> list[Step]:
    return [step for event in events for step in passage.feed(event)]


def released(steps: list[Step]) -> list[KeyEvent]:
    return [event for step in steps if isinstance(step, Release) for event in step.events]


def judged(steps: list[Step]) -> list[tuple[str, bool]]:
    return [(step.code.text, step.withheld) for step in steps if isinstance(step, Judged)]


@pytest.mark.parametrize("step_ms", [0, 1, 8, HOLD_MS - 1])
@pytest.mark.parametrize("layout", ["us", "de", "fr", "si"])
def test_a_member_s_code_is_withheld_whole_down_to_the_last_release(layout: str, step_ms: int) -> None:
    passage = WedgePassage(layout, members, held_code_ms=10_000)

    steps = fed(passage, *at(encode(layout, "]C1M-12@"), 0, step_ms)) + passage.idle(10_000 * MS)

    assert released(steps) == []
    assert judged(steps) == [("]C1M-12@", True)]


@pytest.mark.parametrize("step_ms", [1, 8])
def test_any_other_code_is_released_whole_and_unchanged_with_its_last_key(step_ms: int) -> None:
    passage = WedgePassage("de", members)
    keys = at(encode("de", "3850123456781"), 0, step_ms)

    *before, (released_at_enter, *_), _ = [passage.feed(key) for key in keys]

    assert all(steps == [] for steps in before)
    assert isinstance(released_at_enter, Release)
    assert list(released_at_enter.events) == keys[:-1]


def test_goods_and_members_in_turn_keep_their_order() -> None:
    passage = WedgePassage("us", members)
    goods, more = at(encode("us", "12345670"), 0), at(encode("us", "87654325"), 200)

    steps = fed(passage, *goods, *at(encode("us", "M1"), 100), *more)

    assert released(steps) == [*goods, *more]
    assert judged(steps) == [("12345670", False), ("M1", True), ("87654325", False)]


@pytest.mark.parametrize("prefix", ["enter", "tab"])
@pytest.mark.parametrize("suffix", ["enter", "tab"])
def test_prefix_and_suffix_are_withheld_with_the_code(prefix: str, suffix: str) -> None:
    passage = WedgePassage("us", members, prefix=prefix, suffix=suffix)  # type: ignore[arg-type]

    steps = fed(passage, *encode("us", "M123", prefix=prefix, suffix=suffix))  # type: ignore[arg-type]

    assert released(steps) == []
    assert judged(steps) == [("M123", True)]


def test_what_comes_before_a_prefix_goes_to_the_pos() -> None:
    passage = WedgePassage("us", members, prefix="tab", suffix="enter")
    stray = at(press(A), 0)

    steps = fed(passage, *stray, *at(encode("us", "M123", prefix="tab"), 3))

    assert released(steps) == stray
    assert judged(steps) == [("M123", True)]


def test_a_code_that_pauses_is_let_go_as_it_comes_and_still_told() -> None:
    passage = WedgePassage("us", members)
    begun, rest = at(encode("us", "M12", suffix=None), 0), at(encode("us", "345"), HOLD_MS + 9)

    assert fed(passage, *begun) == []
    assert passage.due_in_s(begun[-1].at_ns) == pytest.approx(HOLD_MS / 1000)
    assert passage.idle(begun[-1].at_ns + HOLD_MS * MS - 1) == []
    assert released(passage.idle(begun[-1].at_ns + HOLD_MS * MS)) == begun
    steps = [passage.feed(event) for event in rest]

    assert [released(each) for each in steps] == [[event] for event in rest]
    assert judged([step for each in steps for step in each]) == [("M12345", False)]


def test_after_a_code_that_was_let_go_the_next_one_is_withheld() -> None:
    passage = WedgePassage("us", members)
    slow = at(encode("us", "M12"), 0, HOLD_MS + 1)

    steps = fed(passage, *slow, *at(encode("us", "M34"), 1000))

    assert released(steps) == slow
    assert judged(steps) == [("M12", False), ("M34", True)]


def test_no_key_is_held_for_longer_than_a_code_may_take() -> None:
    passage = WedgePassage("us", members, held_code_ms=100)
    keys = at(encode("us", "M" + "1" * 100), 0)

    steps = fed(passage, *keys[:100])
    assert released(steps) == []
    steps += fed(passage, *keys[100:])

    assert released(steps) == keys
    assert judged(steps) == [("M" + "1" * 100, False)]


def test_no_more_keys_are_held_than_the_limit() -> None:
    passage = WedgePassage("us", members, held_code_ms=10_000)
    keys = at(encode("us", "M" + "1" * MAX_HELD_EVENTS), 0)

    steps = fed(passage, *keys[: MAX_HELD_EVENTS - 1])
    assert released(steps) == []

    assert released(fed(passage, keys[MAX_HELD_EVENTS - 1])) == keys[:MAX_HELD_EVENTS]


def test_typing_passes_within_the_hold_and_then_at_once() -> None:
    passage = WedgePassage("us", members)
    first, second = at(press(A), 0, 70), at(press(B), 150, 70)

    assert passage.feed(first[0]) == []
    assert released(passage.idle(HOLD_MS * MS)) == first[:1]
    assert [released(passage.feed(key)) for key in [first[1], *second]] == [[first[1]], [second[0]], [second[1]]]


def test_keys_that_begin_no_code_pass_at_once() -> None:
    passage = WedgePassage("us", members)
    keys = [*press(F5), *press(ENTER), *press(103), *press(CAPS)]

    assert [released(passage.feed(key)) for key in keys] == [[key] for key in keys]


def test_nothing_is_held_while_nothing_may_be_withheld() -> None:
    passage = WedgePassage("us", members, may_withhold=lambda: False)
    keys = encode("us", "M123")

    steps = [passage.feed(key) for key in keys]

    assert [released(each) for each in steps] == [[key] for key in keys]
    assert judged([step for each in steps for step in each]) == [("M123", False)]


def test_a_modifier_that_the_pos_has_down_is_released_to_it_from_within_a_member_s_code() -> None:
    passage = WedgePassage("us", members)
    steps = fed(passage, down(SHIFT, 0))
    steps += passage.idle(HOLD_MS * MS)  # somebody holds SHIFT
    steps += fed(passage, *at([*press(50), up(SHIFT), *press(2), *press(ENTER)], 50))

    assert released(steps) == [down(SHIFT, 0), up(SHIFT, 52)]
    assert judged(steps) == [("M1", True)]


def test_a_modifier_that_the_pos_has_down_is_released_to_it_after_a_member_s_code_too() -> None:
    passage = WedgePassage("us", members)
    steps = fed(passage, down(SHIFT, 0))
    steps += passage.idle(HOLD_MS * MS)  # its release is lost, and it is pressed again
    steps += fed(passage, *at([down(SHIFT), *press(50), *press(2), *press(ENTER), up(SHIFT)], 50))

    assert released(steps) == [down(SHIFT, 0), up(SHIFT, 57)]
    assert judged(steps) == [("M!", True)]


def test_a_key_whose_release_was_lost_in_a_member_s_code_reaches_the_pos_at_its_next_press() -> None:
    passage = WedgePassage("us", members)
    goods = at([*press(2), *press(ENTER)], 100)

    steps = fed(passage, *at([down(SHIFT), *press(50), up(SHIFT), down(2), *press(ENTER)], 0), *goods)

    assert judged(steps) == [("M1", True), ("1", False)]
    assert released(steps) == goods


def test_releases_after_a_withheld_code_are_withheld_and_a_new_press_is_not() -> None:
    passage = WedgePassage("us", members)
    code = at(encode("us", "M1"), 0)

    steps = fed(passage, *code[:-1], KeyEvent(code=ENTER, value=REPEAT, at_ns=code[-1].at_ns))
    steps += fed(passage, *at([up(ENTER), *press(ENTER)], 60))

    assert released(steps) == at(press(ENTER), 61)


def test_lock_keys_pressed_by_the_scanner_always_go_so_that_the_host_keeps_count() -> None:
    passage = WedgePassage("us", members)
    code = at([*press(CAPS), *press(50), *press(2), *press(CAPS), *press(ENTER)], 0)

    steps = fed(passage, *code)

    assert released(steps) == [event for event in code if event.code == CAPS]
    assert judged(steps) == [("M1", True)]


def test_a_judge_that_fails_withholds_nothing() -> None:
    def broken(text: str) -> bool:
        raise LookupError(text[:1])

    passage = WedgePassage("us", broken)
    keys = encode("us", "M1")

    steps = fed(passage, *keys)

    assert released(steps) == keys
    assert passage.fault == "LookupError: M"


def test_a_code_that_is_none_goes_with_its_end() -> None:
    passage = WedgePassage("us", members)
    keys = encode("de", "M@")

    steps = fed(passage, *keys)

    assert released(steps) == keys
    assert judged(steps) == []


def test_a_dead_key_that_has_gone_takes_its_code_along() -> None:
    passage = WedgePassage("de", lambda _: True)
    accent, rest = at(press(41), 0), at(encode("de", " M1"), 100)

    steps = fed(passage, *accent, *rest)

    assert released(steps) == [*accent, *rest]
    assert judged(steps) == [("^M1", False)]


def test_after_a_loss_the_pos_has_no_key_down_that_the_scanner_has_not() -> None:
    passage = WedgePassage("us", members)
    steps = fed(passage, down(SHIFT, 0), down(A, 1))
    steps += fed(passage, EventsLost(held=frozenset({A}), at_ns=5 * MS))
    steps += fed(passage, up(A, 6), *at(press(ENTER), 7))

    assert released(steps) == [down(SHIFT, 0), down(A, 1), up(SHIFT, 5), up(A, 6), *at(press(ENTER), 7)]


def test_at_the_end_everything_held_goes_and_no_key_stays_down() -> None:
    passage = WedgePassage("us", members)
    steps = fed(passage, down(SHIFT, 0), down(50, 1), up(50, 2), down(A, 3))

    steps += passage.end(4 * MS)

    assert released(steps) == [down(SHIFT, 0), down(50, 1), up(50, 2), down(A, 3), up(A, 4), up(SHIFT, 4)]
    assert passage.end(5 * MS) == []


def test_the_light_is_told_to_the_keyboard_and_to_nobody_else() -> None:
    passage = WedgePassage("us", lambda text: text == "M1")

    steps = fed(passage, CapsLight(on=True, at_ns=0), *press(50), *press(2), *press(ENTER))

    assert released(steps) == []
    assert judged(steps) == [("M1", True)]


# Keys of scans and of people, with whatever is between them.
KEYS = st.lists(
    st.one_of(
        st.sampled_from(["M1", "4006381333931", "]C1M-7", "a\tb", "@^ ~", "x" * 30]).map(
            lambda text: encode("de", text)
        ),
        st.sampled_from([A, SHIFT, ENTER, CAPS, F5, 15, 56, 82, 100]).map(press),
        st.builds(
            lambda code, value: [KeyEvent(code=code, value=value, at_ns=0)],
            st.sampled_from([A, SHIFT, ENTER, 50, 100]),
            st.sampled_from([UP, DOWN, REPEAT]),
        ),
    ),
    max_size=8,
).map(lambda parts: [key for part in parts for key in part])
PAUSES_MS = st.lists(st.sampled_from([0, 1, 1, 1, 8, HOLD_MS - 1, HOLD_MS, 30, IDLE_MS, 2 * HELD_CODE_MS]), min_size=1)


def timed(keys: list[KeyEvent], pauses_ms: list[int]) -> list[KeyEvent]:
    """`keys` with the pauses between them in turn."""
    now_ms, events = 0, []
    for number, key in enumerate(keys):
        now_ms += pauses_ms[number % len(pauses_ms)]
        events.append(KeyEvent(code=key.code, value=key.value, at_ns=now_ms * MS))
    return events


def run(passage: WedgePassage, events: list[KeyEvent], *, with_timer: bool) -> list[tuple[int, Step]]:
    """All steps with the time at which they came; a timer calls `idle` when it is due."""
    steps: list[tuple[int, Step]] = []
    now_ns = 0
    for event in events:
        while with_timer and (due_s := passage.due_in_s(now_ns)) is not None:
            due_ns = now_ns + round(due_s * 1e9)
            if due_ns >= event.at_ns:
                break
            now_ns = due_ns
            steps += [(now_ns, step) for step in passage.idle(now_ns)]
        now_ns = event.at_ns
        steps += [(now_ns, step) for step in passage.feed(event)]
    return steps + [(now_ns, step) for step in passage.end(now_ns)]


@given(keys=KEYS, pauses_ms=PAUSES_MS, with_timer=st.booleans(), prefix=st.sampled_from(["none", "enter", "tab"]))
@settings(max_examples=300)
def test_where_nothing_is_claimed_everything_comes_out_as_it_went_in(
    keys: list[KeyEvent], pauses_ms: list[int], with_timer: bool, prefix: str
) -> None:
    events = timed(keys, pauses_ms)

    passage = WedgePassage("de", lambda _: False, prefix=prefix)  # type: ignore[arg-type]

    steps = run(passage, events, with_timer=with_timer)

    out = released([step for _, step in steps])
    assert out[: len(events)] == events
    assert all(extra.value == UP for extra in out[len(events) :])  # what was never released


@given(keys=KEYS, pauses_ms=PAUSES_MS, claims=st.sampled_from([members, lambda _: True]))
@settings(max_examples=300)
def test_what_is_claimed_leaves_the_pos_a_keyboard_in_order(
    keys: list[KeyEvent], pauses_ms: list[int], claims: Callable[[str], bool]
) -> None:
    events = timed(keys, pauses_ms)

    steps = run(WedgePassage("de", claims), events, with_timer=True)

    out = released([step for _, step in steps])
    in_order = iter(events)
    known = [event for event in out if any(event == each for each in in_order)]
    assert all(extra.value == UP for extra in out[len(known) :])
    assert _down(out) == set()
    assert _toggles(out) == _toggles(events)


@given(keys=KEYS, pauses_ms=PAUSES_MS)
@settings(max_examples=300)
def test_no_last_key_waits_for_longer_than_the_hold_and_no_first_one_for_longer_than_a_code(
    keys: list[KeyEvent], pauses_ms: list[int]
) -> None:
    for now_ns, step in run(WedgePassage("de", lambda _: False), timed(keys, pauses_ms), with_timer=True):
        if isinstance(step, Release):
            assert now_ns - step.events[-1].at_ns <= HOLD_MS * MS
            assert now_ns - step.events[0].at_ns <= HELD_CODE_MS * MS


def _down(events: list[KeyEvent]) -> set[int]:
    pressed: set[int] = set()
    for event in events:
        if event.value == DOWN:
            pressed.add(event.code)
        elif event.value == UP:
            pressed.discard(event.code)
    return pressed


def _toggles(events: list[KeyEvent]) -> int:
    return sum(event.value == DOWN and event.code in LOCK_KEYS for event in events)


def test_a_code_after_a_torn_one_is_withheld_like_any_other() -> None:
    passage = WedgePassage("us", members, suffix="enter")
    torn = at(encode("us", "12", suffix=None), 0, 1)
    code = at(encode("us", "M1"), IDLE_MS + 50, 1)

    steps = fed(passage, *torn) + passage.idle(torn[-1].at_ns + HOLD_MS * MS) + fed(passage, *code)

    assert released(steps) == torn
    assert judged(steps) == [("M1", True)]
