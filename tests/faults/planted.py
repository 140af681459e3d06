"""What is planted so that a test has to find it."""

from __future__ import annotations

from sync.retry import Backoff


class Unjittered(Backoff, frozen=True):
    """Chance is added before the cap, which takes it away again."""

    def delay_s(self, failures: int, chance: float) -> float:
        return min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 40) + chance)
