"""Backlogs take turns, fresh sales go past them, and credit follows how long an entry takes."""

from __future__ import annotations

import asyncio

import pytest

from central.pace import (
    ANSWER_S,
    BACKLOGS_AT_MOST,
    BACKLOGS_AT_ONCE,
    BACKLOGS_WAITING,
    FRESH_ENTRIES,
    MAX_CREDIT,
    MIN_CREDIT,
    Pace,
)
from central.problems import BusyError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def _full(pace: Pace, count: int) -> tuple[asyncio.Event, list[asyncio.Task[None]]]:
    """So many backlogs that end when the event is set."""
    end = asyncio.Event()

    async def backlog() -> None:
        async with pace.turn(MAX_CREDIT):
            await end.wait()

    tasks = [asyncio.create_task(backlog()) for _ in range(count)]
    await asyncio.sleep(0)
    return end, tasks


async def test_fresh_sales_go_past_however_many_backlogs() -> None:
    pace = Pace(Clock())
    end, tasks = await _full(pace, BACKLOGS_AT_ONCE + 5)

    async with asyncio.timeout(5), pace.turn(FRESH_ENTRIES):
        pass

    # And a backlog more waits for its turn
    waiting = asyncio.create_task(_full(pace, 1))
    assert not any(task.done() for task in tasks)
    end.set()
    await asyncio.gather(*tasks, waiting)


async def test_an_entry_that_takes_long_gets_less_credit() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.credit(MAX_CREDIT) == MAX_CREDIT

    for _ in range(50):
        async with pace.turn(100):
            clock.now += 0.5  # 5 ms an entry

    assert abs(pace.credit(100) - ANSWER_S / 0.005) < 2
    for _ in range(50):
        async with pace.turn(100):
            clock.now += 50.0
    assert pace.credit(100) == MIN_CREDIT


async def test_a_crowd_is_told_to_pause_but_not_who_has_a_sale_or_two() -> None:
    pace = Pace(Clock())
    end, tasks = await _full(pace, BACKLOGS_AT_ONCE + BACKLOGS_WAITING + 1)

    assert pace.credit(MAX_CREDIT) == 0
    assert pace.credit(1) >= MIN_CREDIT

    end.set()
    await asyncio.gather(*tasks)
    assert pace.credit(MAX_CREDIT) == MAX_CREDIT


async def test_no_more_backlogs_wait_than_can_be_held() -> None:
    pace = Pace(Clock())
    end, tasks = await _full(pace, BACKLOGS_AT_ONCE + BACKLOGS_AT_MOST)

    with pytest.raises(BusyError, match="send this again later"):
        async with pace.turn(MAX_CREDIT):
            pass
    async with asyncio.timeout(5), pace.turn(FRESH_ENTRIES):
        pass

    end.set()
    await asyncio.gather(*tasks)
    async with asyncio.timeout(5), pace.turn(MAX_CREDIT):
        pass
