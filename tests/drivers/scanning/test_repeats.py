"""Which scans are true repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from drivers.scanning.repeats import REPEAT_WITHIN_MS, RepeatFilter
from loyalty.instant import Instant

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def at(ms: int, boot: str = "b") -> Instant:
    return Instant(wall=START + timedelta(milliseconds=ms), boot=boot, monotonic_ns=ms * 1_000_000)


def test_the_same_code_at_once_is_a_repeat_and_later_is_not() -> None:
    repeats = RepeatFilter()

    assert not repeats.is_repeat("A", "counter", at(0))
    assert repeats.is_repeat("A", "counter", at(REPEAT_WITHIN_MS - 1))
    assert not repeats.is_repeat("A", "counter", at(2 * REPEAT_WITHIN_MS))


def test_a_card_left_in_the_beam_is_one_scan() -> None:
    repeats = RepeatFilter()

    assert [repeats.is_repeat("A", "counter", at(ms)) for ms in range(0, 5000, 300)].count(False) == 1


def test_another_code_or_another_reader_is_no_repeat() -> None:
    repeats = RepeatFilter()
    repeats.is_repeat("A", "counter", at(0))

    assert not repeats.is_repeat("B", "counter", at(10))
    assert not repeats.is_repeat("A", "counter", at(20))
    assert not repeats.is_repeat("A", "self-checkout", at(30))


def test_a_time_of_zero_suppresses_nothing() -> None:
    repeats = RepeatFilter(within_ms=0)
    repeats.is_repeat("A", "counter", at(0))

    assert not repeats.is_repeat("A", "counter", at(0))


def test_a_clock_that_went_back_hides_no_scan() -> None:
    repeats = RepeatFilter()
    repeats.is_repeat("A", "counter", at(60_000, boot="first"))

    assert not repeats.is_repeat("A", "counter", at(0, boot="second"))


def test_five_scans_in_a_second_are_five() -> None:
    repeats = RepeatFilter()

    assert not any(repeats.is_repeat(f"M{n}", "counter", at(200 * n)) for n in range(5))


def test_of_each_reader_only_the_last_code_is_remembered() -> None:
    repeats = RepeatFilter()

    for n in range(1000):
        repeats.is_repeat(f"M{n}", f"reader {n % 3}", at(n))
        repeats.is_repeat("LOT", f"reader {n % 3}", at(n), component=True)

    assert len(repeats._codes) == len(repeats._components) == 3
