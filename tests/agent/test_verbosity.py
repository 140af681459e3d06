"""How much a register's log says: everything while the centre asks for it, and never for longer than an hour."""

from __future__ import annotations

import pytest
import structlog

from agent.verbosity import MAX_S, Verbosity


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def says(verbosity: Verbosity, level: str = "debug") -> bool:
    try:
        return verbosity(None, level, {"event": "exchanged"}) == {"event": "exchanged"}
    except structlog.DropEvent:
        return False


def test_it_says_what_matters_alone_until_it_is_asked_for_more() -> None:
    verbosity = Verbosity(Clock())

    assert (says(verbosity, "info"), says(verbosity)) == (True, False)


@pytest.mark.parametrize(("asked_s", "lasts_s"), [(600, 600.0), (86_400, MAX_S)])
def test_more_lasts_as_long_as_it_is_asked_for_and_an_hour_at_most(asked_s: int, lasts_s: float) -> None:
    clock = Clock()
    verbosity = Verbosity(clock)

    verbosity.more_for(asked_s)

    clock.now_s += lasts_s - 1
    assert says(verbosity)
    clock.now_s += 1
    assert not says(verbosity)
    assert says(verbosity, "error")


def test_it_is_ended_before_its_time() -> None:
    verbosity = Verbosity(Clock())
    verbosity.more_for(600)

    verbosity.more_for(None)

    assert not says(verbosity)
