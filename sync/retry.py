"""When to try again: one policy for everything that talks to the centre.

Owns the arithmetic: exponential growth, the cap first, then full jitter over the capped span, so that
thousands of registers that lost the same network do not come back in step. Never sleeps and never rolls:
randomness is passed in.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from tenacity import RetryCallState
from tenacity.wait import wait_base

BASE_S = 0.5
CAP_S = 30.0
# 2**40 times any base is beyond any cap; larger exponents only make larger numbers.
_LARGEST_EXPONENT = 40


class Backoff(Struct, frozen=True, kw_only=True):
    """Delays before attempt after attempt: uniform in [0, min(cap, base × 2ⁿ⁻¹))."""

    base_s: float = BASE_S
    cap_s: float = CAP_S

    def ceiling_s(self, failures: int) -> float:
        """The longest delay after `failures` failures in a row."""
        return min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, _LARGEST_EXPONENT))

    def delay_s(self, failures: int, chance: float) -> float:
        """The delay after `failures` failures in a row; `chance` is uniform in [0, 1)."""
        return self.ceiling_s(failures) * chance

    def after_s(self, floor_s: float, failures: int, chance: float) -> float:
        """The delay where the other side asked for `floor_s`: never less, and as spread as either of the two.

        What a busy centre turned away at one moment must not come back at one.
        """
        return floor_s + max(floor_s, self.ceiling_s(failures)) * chance


class CappedFullJitter(wait_base):
    """`Backoff` as tenacity's wait, with randomness that can be replayed."""

    def __init__(self, backoff: Backoff, chance: Callable[[], float]) -> None:
        self._backoff = backoff
        self._chance = chance

    def __call__(self, retry_state: RetryCallState) -> float:
        return self._backoff.delay_s(retry_state.attempt_number, self._chance())
