"""Codes that nobody has, asked about again and again."""

from __future__ import annotations

from contextlib import suppress

from sync.guesses import MAX_MISSES, REGAINED_EVERY_S, Guesses


class Time:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_who_mistypes_is_never_held_up() -> None:
    clock = Time()
    guesses = Guesses(clock)
    for _ in range(500):
        assert guesses.wait_s() == 0
        guesses.missed()
        clock.s += REGAINED_EVERY_S


def test_ten_thousand_guesses_take_more_than_a_day() -> None:
    clock = Time()
    guesses = Guesses(clock)
    for number in range(10_000):
        waits = guesses.wait_s()
        assert (waits > 0) == (number >= MAX_MISSES)
        clock.s += waits
        assert guesses.wait_s() == 0
        guesses.missed()
    assert clock.s > 24 * 3600


def test_what_is_found_costs_nothing() -> None:
    guesses = Guesses(Time())
    for _ in range(MAX_MISSES - 1):
        guesses.missed()
    assert [guesses.wait_s() for _ in range(1000)] == [0] * 1000
    guesses.missed()
    assert guesses.wait_s() == REGAINED_EVERY_S


def test_what_was_counted_before_it_was_found_is_given_back() -> None:
    guesses = Guesses(Time())
    for _ in range(2 * MAX_MISSES):
        assert guesses.wait_s() == 0
        guesses.missed()
        guesses.found()
        with guesses.asking(KeyError):
            pass
        with suppress(ValueError), guesses.asking(KeyError):
            raise ValueError  # it was not answered at all


def test_what_is_asked_counts_while_it_is_asked_and_after_it_was_missed() -> None:
    guesses = Guesses(Time())
    for _ in range(MAX_MISSES - 1):
        with suppress(KeyError), guesses.asking(KeyError):
            raise KeyError
    assert guesses.wait_s() == 0
    with guesses.asking(KeyError):
        assert guesses.wait_s() > 0
    assert guesses.wait_s() == 0
