"""The one retry policy: it grows, it is capped, and the cap leaves the jitter alone."""

from __future__ import annotations

import random

import pytest
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from sync.retry import Backoff, CappedFullJitter

BACKOFF = Backoff(base_s=0.5, cap_s=30.0)


@pytest.mark.parametrize(("failures", "ceiling_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (10_000, 30.0)])
def test_the_ceiling_doubles_up_to_the_cap(failures: int, ceiling_s: float) -> None:
    assert BACKOFF.ceiling_s(failures) == ceiling_s


def test_the_cap_does_not_remove_the_jitter() -> None:
    # Given a thousand registers that have long been at the cap
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)

    delays = [BACKOFF.delay_s(50, dice.random()) for _ in range(1000)]

    # Then they come back all over the capped span, and never beyond it
    assert max(delays) < BACKOFF.cap_s
    tenths = {int(delay / BACKOFF.cap_s * 10) for delay in delays}
    assert tenths == set(range(10))


@pytest.mark.parametrize(
    ("floor_s", "failures", "least_s", "most_s"),
    [(0.0, 1, 0.0, 0.5), (5.0, 1, 5.0, 10.0), (5.0, 10, 5.0, 35.0), (600.0, 3, 600.0, 1200.0)],
)
def test_what_the_other_side_asks_for_is_the_least_and_spreads_as_much(
    floor_s: float, failures: int, least_s: float, most_s: float
) -> None:
    assert BACKOFF.after_s(floor_s, failures, 0.0) == least_s
    assert BACKOFF.after_s(floor_s, failures, 1.0) == most_s


async def test_tenacity_waits_as_the_policy_says() -> None:
    chances = iter([0.5, 0.25, 0.75])
    slept: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    attempts = 0
    async for attempt in AsyncRetrying(
        wait=CappedFullJitter(BACKOFF, lambda: next(chances)),
        stop=stop_after_attempt(4),
        retry=retry_if_exception_type(ConnectionError),
        sleep=sleep,
    ):
        with attempt:
            attempts += 1
            if attempts < 4:
                raise ConnectionError

    assert slept == [0.25, 0.25, 1.5]
