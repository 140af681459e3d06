"""The hybrid logical clock: later is later, whatever the wall clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.hlc import MAX_COUNTER, Hlc, HybridClock, MalformedHlcError, parse_hlc

NODE = "5e1f00a4"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)

# Before 1970 too: a register whose battery died.
walls = st.integers(-10 * 366, 40 * 366).map(lambda days: NOON + timedelta(days=days - 10 * 366))


@given(st.lists(walls, min_size=2, max_size=50))
def test_each_reading_is_later_than_all_before_it_whatever_the_wall_clock_does(times: list[datetime]) -> None:
    clock = HybridClock(NODE)

    texts = [clock.tick(wall) for wall in times]

    assert texts == sorted(set(texts))
    assert [parse_hlc(text) for text in texts] == sorted(parse_hlc(text) for text in texts)


def test_a_reading_says_its_milliseconds_counter_and_node() -> None:
    clock = HybridClock(NODE)

    first, second = clock.tick(NOON), clock.tick(NOON)

    assert parse_hlc(first) == Hlc(ms=NOON_MS, counter=0, node=NODE)
    assert parse_hlc(second) == Hlc(ms=NOON_MS, counter=1, node=NODE)
    assert parse_hlc(first).text == first


def test_a_full_counter_borrows_the_next_millisecond() -> None:
    clock = HybridClock(NODE, Hlc(ms=NOON_MS, counter=MAX_COUNTER, node=NODE))

    assert parse_hlc(clock.tick(NOON)) == Hlc(ms=NOON_MS + 1, counter=0, node=NODE)


def test_it_goes_on_from_the_last_reading_kept_though_the_wall_clock_went_back() -> None:
    last = HybridClock(NODE).tick(NOON)

    resumed = HybridClock(NODE, parse_hlc(last)).tick(NOON - timedelta(days=3650))

    assert resumed > last


@pytest.mark.parametrize("text", ["", "0199aa0c1f2b0003", "0199aa0c1f2b0003-5E1F00A4", "0199aa0c1f2b0003-5e1f00a4x"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(MalformedHlcError):
        parse_hlc(text)
