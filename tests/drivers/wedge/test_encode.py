"""What a scanner types, and what a wrong layout makes of it."""

from __future__ import annotations

from itertools import permutations

import pytest

from drivers.wedge.encode import STEP_NS, UntypableError, as_seen, encode
from drivers.wedge.events import KeyEvent
from drivers.wedge.keymaps import LAYOUTS

SHIFT, ALTGR, CTRL = 42, 100, 29


def test_each_key_goes_down_and_up_inside_its_modifier() -> None:
    keys = [(event.code, event.value) for event in encode("de", "A@\x1d")]

    assert keys == [
        *[(SHIFT, 1), (30, 1), (30, 0), (SHIFT, 0)],
        *[(ALTGR, 1), (16, 1), (16, 0), (ALTGR, 0)],
        *[(CTRL, 1), (27, 1), (27, 0), (CTRL, 0)],
        *[(28, 1), (28, 0)],
    ]


def test_a_key_that_is_not_dead_is_taken_where_there_is_one() -> None:
    assert [event.code for event in encode("fr", "^", suffix=None)] == [ALTGR, 10, 10, ALTGR]
    assert [event.code for event in encode("de", "^", suffix=None)] == [41, 41, 57, 57]


def test_prefix_and_suffix_and_time_are_as_asked() -> None:
    assert encode("us", "1", prefix="tab", suffix=None, start_ns=5, step_ns=7) == [
        KeyEvent(code=15, value=1, at_ns=5),
        KeyEvent(code=15, value=0, at_ns=12),
        KeyEvent(code=2, value=1, at_ns=19),
        KeyEvent(code=2, value=0, at_ns=26),
    ]
    assert encode("us", "1")[1].at_ns == STEP_NS


def test_a_character_without_a_key_is_refused_by_name() -> None:
    with pytest.raises(UntypableError, match="'us' has no key for U\\+010D"):
        encode("us", "č")
    with pytest.raises(UntypableError, match="no ALT code for U\\+010D"):
        encode("us", "č", alt=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_right_layout_sees_what_was_sent(layout: str) -> None:
    assert as_seen("]C1aZ-0\x1d9", layout, layout) == "]C1aZ-0\x1d9"


@pytest.mark.parametrize(
    ("scanner", "host", "seen"),
    [
        ("us", "de", "+C0zyßAQM-_?´/1"),
        ("us", "fr", "$Càyw)QA?!§°=7&"),
        ("us", "si", "đC0zy'AQM-_?+/1"),
        ("de", "us", "C0zy/AQM&_?)^1"),
        ("de", "si", "Ć0yz-AQM/?_=&1"),
        ("fr", "us", "C)yw6QA:>M8=1!"),
    ],
)
def test_a_wrong_layout_garbles_in_its_own_way(scanner: str, host: str, seen: str) -> None:
    assert as_seen("]C0yz-AQM/?_=&1", scanner, host) == seen


@pytest.mark.parametrize(("scanner", "host"), list(permutations(("us", "de", "fr", "si"), 2)))
def test_digits_stay_digits_but_where_the_french_layout_is_one_of_the_two(scanner: str, host: str) -> None:
    assert (as_seen("0123456789", scanner, host) == "0123456789") == ("fr" not in {scanner, host})


def test_no_wrong_layout_looks_right() -> None:
    same = {frozenset({"si", "hr"}), frozenset({"si", "rs"}), frozenset({"hr", "rs"})}
    for scanner in LAYOUTS:
        for host in LAYOUTS.keys() - {scanner}:
            assert (as_seen("]C0yz-", scanner, host) == "]C0yz-") == (frozenset({scanner, host}) in same)
