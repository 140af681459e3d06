"""The lanes of a session: when each may go on, what is wanted on it, and what a person has to know of it.

Owns pauses and their growth. Never says which step is next (`sync.session` does).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from sync.retry import Backoff

Unusable = Literal["program_unusable", "config_unusable", "item_map_unusable"]
NotTheCentre = Literal["centre_untrusted", "centre_unreadable", "proxy_refused"]
ProblemCode = (
    Unusable | NotTheCentre | Literal["device_refused", "entry_too_large", "entry_unreadable", "request_refused"]
)


class Problem(Struct, frozen=True, kw_only=True):
    """What a person has to look at; selling and everything else go on."""

    code: ProblemCode
    detail: str


class Lane:
    """When one lane may go on, how often in a row it had to stop, and what the centre refused on it last."""

    __slots__ = ("failures", "refusal", "until")

    def __init__(self) -> None:
        self.refusal: Problem | None = None
        self.failures = 0
        self.until = float("-inf")

    def stop(self, backoff: Backoff, now: float, chance: float) -> None:
        self.failures += 1
        self.until = now + backoff.delay_s(self.failures, chance)

    def stop_for(self, floor_s: float, backoff: Backoff, now: float, chance: float) -> None:
        self.failures += 1
        self.until = now + backoff.after_s(floor_s, self.failures, chance)

    def go_on(self) -> None:
        self.failures = 0
        self.until = float("-inf")


class WantedLane(Lane):
    """The lane of something that the centre has in force: the hash that it last named, and what an unusable one is."""

    __slots__ = ("hash", "unusable")

    def __init__(self, unusable: Unusable) -> None:
        super().__init__()
        self.unusable = unusable
        self.hash: str | None = None

    def lacks(self, held: str | None) -> bool:
        return self.hash is not None and self.hash != held


class AllowanceLane(Lane):
    """The lane of points that this register may spend: the number that the centre last named, None where it names none.

    `is_poked` says that there is something new of it, whatever was named.
    """

    __slots__ = ("is_poked", "newest")

    def __init__(self) -> None:
        super().__init__()
        self.newest: int | None = None
        self.is_poked = False

    def lacks(self, through: int) -> bool:
        return self.newest is not None and (self.is_poked or self.newest > through)


class ProgramLane(Lane):
    """The lane of programs: those that the centre last announced, and which of them could not be used here.

    Those are asked for again where nothing else is wanted, and seldom; those that are `new` here do not wait for it.
    """

    __slots__ = ("announced", "new", "refused")

    def __init__(self) -> None:
        super().__init__()
        self.new = Lane()
        self.announced: tuple[str, ...] = ()
        self.refused: set[str] = set()

    def fresh(self, held: frozenset[str]) -> str | None:
        """The first that is wanted and was not refused yet."""
        return next((name for name in self.announced if name not in held and name not in self.refused), None)

    def again(self, held: frozenset[str]) -> str | None:
        """The first that was refused and is still wanted."""
        return next((name for name in self.announced if name not in held and name in self.refused), None)
