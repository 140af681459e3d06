"""One receipt in several jobs: a begun receipt waits for the job that goes on with it.

Owns which job is unfinished, which next one belongs to it, and how long it may wait. A job that holds a whole receipt
never waits. No I/O and no clock: instants come with the jobs, and decoding is handed in.

A till that pauses longer than the relay's `--idle-ms`, or that prints line by line over one connection each, makes
several jobs of a receipt. They are joined by register, since connections come and go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from drivers.receipts.decode import Decoded
from drivers.receipts.spool_source import SpooledJob, SpoolPosition
from loyalty.instant import Instant
from loyalty.reconcile import TOTAL_MISMATCH

# From one part to the next: longer than a cashier looks for a price, and short enough for a person to be told.
JOIN_WITHIN_S: Final = 120.0
# A receipt printed line by line has some hundred; each is decoded with all before it.
MAX_PARTS: Final = 256
# A receipt with a logo and its codes takes some tens of kilobytes.
MAX_WAITING_BYTES: Final = 256 * 1024
# Registers that print through one spool; a further one's begun receipts do not wait.
MAX_WAITING: Final = 64

# What a receipt that goes on in the next job is a problem of.
UNFINISHED_CODES: Final = frozenset(("torn", "no_total", "no_number", "no_time"))
_NS_PER_S: Final = 1_000_000_000

Decode = Callable[[bytes], Decoded]


class Whole(Struct, frozen=True, kw_only=True):
    """What can be booked: one job, or several as one. `captured` is when the last of them was printed."""

    payload: bytes
    decoded: Decoded
    captured: Instant


class Torn(Struct, frozen=True, kw_only=True):
    """A begun receipt that nothing went on with in time."""

    payload: bytes
    captured: Instant


class Taken(Struct, frozen=True, kw_only=True):
    """What a job came to. Without `whole` it waits. `torn` waited before it and waits no more."""

    whole: Whole | None = None
    torn: tuple[Torn, ...] = ()


class _Waiting(Struct, frozen=True, kw_only=True):
    """Jobs of a begun receipt. `before` is the place in the spool before the first, `parts` those after each."""

    payload: bytes
    captured: Instant
    before: SpoolPosition
    parts: tuple[SpoolPosition, ...]

    def with_part(self, job: SpooledJob) -> _Waiting:
        return replace(
            self,
            payload=self.payload + job.payload,
            captured=job.captured,
            parts=(*self.parts, job.position),
        )

    @property
    def torn(self) -> Torn:
        return Torn(payload=self.payload, captured=self.captured)


class JobJoiner:
    """Takes jobs in the order of the spool, one call each, and gives them back whole."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}

    def take(self, job: SpooledJob, before: SpoolPosition, decode: Decode) -> Taken:
        """`job`, which stands after `before`, alone or with what waits for it. Raises what `decode` raises."""
        alone = decode(job.payload)
        held = self._waiting.get(job.register)
        torn: tuple[Torn, ...] = ()
        if held is not None:
            if _belongs_together(held, job):
                joined = held.with_part(job)
                together = decode(joined.payload)
                if _worth(together) > _worth(alone):
                    del self._waiting[job.register]
                    return Taken(whole=Whole(payload=joined.payload, decoded=together, captured=job.captured))
                if not (alone.receipts or alone.problems):
                    # A card slip or the drawer between two parts.
                    return Taken(whole=_alone(job, alone))
                if _goes_on(job, together) and not _is_unfinished(alone) and not alone.receipts:
                    self._waiting[job.register] = joined
                    return Taken()
            torn = (self._waiting.pop(job.register).torn,)
        if _goes_on(job, alone) and len(self._waiting) < MAX_WAITING:
            self.hold(job, before)
            return Taken(torn=torn)
        return Taken(whole=_alone(job, alone), torn=torn)

    def hold(self, job: SpooledJob, before: SpoolPosition) -> None:
        """Let `job`, which stands after `before`, wait; after a restart those that waited before it."""
        held = self._waiting.get(job.register)
        if held is not None:
            self._waiting[job.register] = held.with_part(job)
        else:
            self._waiting[job.register] = _Waiting(
                payload=job.payload, captured=job.captured, before=before, parts=(job.position,)
            )

    def expired(self, now: Instant) -> tuple[Torn, ...]:
        """What has waited too long; it waits no more."""
        late = [register for register, held in self._waiting.items() if _s_between(held.captured, now) > JOIN_WITHIN_S]
        return tuple(self._waiting.pop(register).torn for register in late)

    def due_in_s(self, now: Instant) -> float | None:
        """Seconds until something will have waited too long; None where nothing waits."""
        left = [JOIN_WITHIN_S - _s_between(held.captured, now) for held in self._waiting.values()]
        return max(0.0, min(left)) if left else None

    def done_until(self, through: SpoolPosition) -> SpoolPosition:
        """The place before which nothing waits, where all jobs up to `through` were taken."""
        return min([through, *(held.before for held in self._waiting.values())])

    def parts(self) -> tuple[SpoolPosition, ...]:
        """The places after the jobs that wait, in the order of the spool."""
        return tuple(sorted(part for held in self._waiting.values() for part in held.parts))


def _alone(job: SpooledJob, decoded: Decoded) -> Whole:
    return Whole(payload=job.payload, decoded=decoded, captured=job.captured)


def _belongs_together(held: _Waiting, job: SpooledJob) -> bool:
    return (
        _s_between(held.captured, job.captured) <= JOIN_WITHIN_S
        and len(held.parts) < MAX_PARTS
        and len(held.payload) + len(job.payload) <= MAX_WAITING_BYTES
    )


def _s_between(earlier: Instant, later: Instant) -> float:
    """Either way: jobs of two connections may be spooled in the other order, and clocks are set."""
    return abs(later.ns_since(earlier)) / _NS_PER_S


def _goes_on(job: SpooledJob, decoded: Decoded) -> bool:
    """Whether paper may go on after `job`: it ends within a receipt, and was not cut."""
    return job.ended_by != "cut" and len(job.payload) <= MAX_WAITING_BYTES and _is_unfinished(decoded)


def _is_unfinished(decoded: Decoded) -> bool:
    """Whether all that was read is a receipt without its end, beside what is no receipt."""
    if decoded.receipts or not decoded.problems:
        return False
    last = max(decoded.problems, key=lambda problem: problem.end)
    return last.code in UNFINISHED_CODES and last.known is UNSET


def _worth(decoded: Decoded) -> int:
    """How much was read: receipts that add up, and that have a name of their own."""
    return sum(
        2 * (not receipt.has_problem(TOTAL_MISMATCH)) + (not receipt.has_problem("weak_identity"))
        for receipt in decoded.receipts
    )
