"""Which registers take a release now, and whether it goes on to more of them.

Owns the rings and what stops one. Pure: it is told how registers are, and never asks. A release goes to a few, then to
a tenth, then to all; it stops by itself where those that took it do worse than those that did not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from math import sqrt
from typing import Final, Literal, get_args

from msgspec import Struct

from sync.program_versions import newer

Ring = Literal["canary", "tenth", "all"]
RINGS: Final[tuple[Ring, ...]] = get_args(Ring)

# Registers of the first ring, of 10,000, where no stores were named for it.
CANARY_SHARE: Final = 0.01
TENTH_SHARE: Final = 0.1
# A register that did not speak for this long is silent: longer than from one evening to the next, so that when a shop
# closes tells nothing.
SILENT_AFTER: Final = timedelta(hours=26)
# A register that was off for this long was off for something else, and is not waited for.
AWAY_AFTER: Final = timedelta(days=7)
# Of fewer others nothing is usual.
MIN_OTHERS: Final = 5
# So many of any registers are silent at least: a machine breaks by itself, a till is put away.
USUALLY_SILENT: Final = 0.02
# So far beyond what is usual, in standard deviations of it, silence is no chance any more; and so many at least.
CHANCE: Final = 3.0
MIN_SILENT: Final = 2
# Where there is nothing to compare with, silence that begins later than this after the release is of something else.
LAID_TO_IT: Final = timedelta(days=14)
# Of those that took it, so many may have gone back; of the first ring none. A machine can break by itself.
MAX_REVERTED_SHARE: Final = 0.01
# So many more of those that took it may have become worse than better, before that is no chance any more.
MAX_WORSE_SHARE: Final = 0.1
MIN_WORSE: Final = 2
# A ring is through when so many of its registers run the release.
ENOUGH_SHARE: Final = 0.9
# A ring that is not through after so many times as long as it lasts at least is one that people have to look at.
PATIENT_SOAKS: Final = 3
SHORTEST_SOAK: Final = timedelta(days=1)


class Device(Struct, frozen=True, kw_only=True):
    """A register in service. `gave_up` says why it went back from the release, or would not take it; else empty.

    `worse` is 1 where one of its workers fails that did not before this version, -1 where it is the other way round.
    `excused` where somebody had the release go on all the same.
    """

    id: str
    store: str
    version: str
    last_contact: datetime | None
    gave_up: str = ""
    worse: int = 0
    excused: bool = False


class Judgement(Struct, frozen=True, kw_only=True):
    """`stop` gives the reason to offer the release to nobody else, `on` says that the next ring may begin.

    `lost` are the registers by whose silence it stops. `waits` says for what the ring waits, where that may never come;
    `is_long` that it has for so long that somebody should look.
    """

    stop: str = ""
    on: bool = False
    runs: int = 0
    of: int = 0
    lost: tuple[str, ...] = ()
    waits: str = ""
    is_long: bool = False


class _Silence(Struct, frozen=True, kw_only=True):
    """More of those that were offered it are silent than is usual; `stops` where that can be nothing else."""

    said: str = ""
    stops: bool = False
    lost: tuple[str, ...] = ()


def takes(device: str, store: str, ring: Ring, canaries: Collection[str]) -> bool:
    """Whether a register is in the ring, or one before it. `canaries` are stores; without any a hundredth begins."""
    if ring == "all":
        return True
    if canaries:
        if store in canaries:
            return True
        return ring == "tenth" and share_of(device) < TENTH_SHARE
    return share_of(device) < (CANARY_SHARE if ring == "canary" else TENTH_SHARE)


def judged(
    version: str, ring: Ring, canaries: Collection[str], devices: Sequence[Device], *, since: datetime, soak: timedelta,
    now: datetime,
) -> Judgement:  # fmt: skip
    """How the ring does, in which the release is `since`; it lasts as long as `soak` at least."""
    inside = [one for one in devices if takes(one.id, one.store, ring, canaries)]
    present = [one for one in inside if _was_here(one, now) and (not one.excused or one.version == version)]
    runs, of = sum(_has_taken(one, version) for one in present), len(present)
    spent, is_last = now - since, after(ring) is None
    silence = _silence(version, devices, inside, is_last=is_last, since=since, now=now)
    stop = (
        _too_many_gave_up(version, ring, inside)
        or _too_many_worse(version, inside)
        or (silence.said if silence.stops else "")
    )
    if stop:
        return Judgement(stop=stop, runs=runs, of=of, lost=silence.lost if stop == silence.said else ())
    is_enough = bool(present) and runs >= ENOUGH_SHARE * of
    is_long = spent >= PATIENT_SOAKS * max(soak, SHORTEST_SOAK)
    waits = silence.said
    if not present and not is_last:
        waits = "no register is left in this ring to try it"
    elif is_long and present and not is_enough:
        waits = waits or f"{of - runs} of {of} registers have not taken it for {spent.days} d"
    on = is_enough and spent >= soak and not waits
    return Judgement(on=on, runs=runs, of=of, waits=waits, is_long=bool(waits) and is_long)


def _too_many_gave_up(version: str, ring: Ring, inside: Sequence[Device]) -> str:
    took = sum(one.version == version or bool(one.gave_up) for one in inside)
    gave_up = [one for one in inside if one.gave_up and not one.excused]
    allowed = 0 if ring == "canary" else int(MAX_REVERTED_SHARE * took)
    if len(gave_up) <= allowed:
        return ""
    return f"{len(gave_up)} of {took} registers gave it up, such as {gave_up[0].id}: {gave_up[0].gave_up}"


def _too_many_worse(version: str, inside: Sequence[Device]) -> str:
    """By how they were before: scanners fail that are off for the night, and are well in the morning."""
    took = [one for one in inside if one.version == version and not one.excused]
    more, worse = sum(one.worse for one in took), [one for one in took if one.worse > 0]
    if not worse or more < min(MIN_WORSE, len(took)) or more <= MAX_WORSE_SHARE * len(took):
        return ""
    return (
        f"in {len(worse)} of {len(took)} registers that took it something fails that did not before, such as "
        f"{worse[0].id}"
    )


def _silence(
    version: str, devices: Sequence[Device], inside: Sequence[Device], *, is_last: bool, since: datetime, now: datetime
) -> _Silence:
    """By what is usual among those to which it is not offered: shops close, and the line of a carrier is cut.

    Whoever was heard since it is offered may have taken it, whichever version it told last: one that ends a machine
    leaves no word. Where there is nobody to compare with, as in the last ring, only who is away for longer than any
    weekend stops it; sooner, that holds it.
    """
    took = [one for one in inside if not one.excused and _may_have_taken(one, version, since)]
    ids = {one.id for one in inside}
    others = [one for one in devices if one.id not in ids and one.last_contact and one.last_contact >= since]
    is_compared, usual = len(others) >= MIN_OTHERS, USUALLY_SILENT
    if is_compared:
        usual = max(usual, len(_silent(others, SILENT_AFTER, now)) / len(others))
    most = usual * len(took) + CHANCE * sqrt(len(took) * usual * (1 - usual))
    silent = _silent(took, SILENT_AFTER, now)

    def are_too_many(some: Sequence[Device]) -> bool:
        return len(some) > most and len(some) >= min(MIN_SILENT, len(took))

    if not are_too_many(silent):
        return _Silence()
    lost = silent
    if not is_compared:
        away = _silent(took, AWAY_AFTER, now)
        lost = [one for one in away if one.last_contact and one.last_contact < since + LAID_TO_IT]
    said = f"{len(silent)} of {len(took)} registers that it was offered to are silent, such as {silent[0].id}"
    if not are_too_many(lost):
        # in the last ring nobody waits for it
        return _Silence(said="" if is_last else said)
    return _Silence(said=said, stops=True, lost=tuple(one.id for one in lost))


def share_of(device: str) -> float:
    """Where a register stands among all, always the same: 0 to 1."""
    return int.from_bytes(hashlib.sha256(device.encode()).digest()[:8]) / 2**64


def after(ring: Ring) -> Ring | None:
    """The ring that follows; None after the last."""
    follows = RINGS.index(ring) + 1
    return RINGS[follows] if follows < len(RINGS) else None


def _has_taken(one: Device, version: str) -> bool:
    """Whether it runs the release, or one after it."""
    try:
        return one.version == version or newer(one.version, version)
    except ValueError:
        return False


def _may_have_taken(one: Device, version: str, since: datetime) -> bool:
    """One that ran it when this ring began may have ended right before."""
    if one.last_contact is None:
        return False
    return one.last_contact >= since - (SILENT_AFTER if one.version == version else timedelta(0))


def _was_here(one: Device, now: datetime) -> bool:
    return one.last_contact is not None and now - one.last_contact < AWAY_AFTER


def _silent(devices: Sequence[Device], span: timedelta, now: datetime) -> list[Device]:
    return [one for one in devices if one.last_contact is not None and now - one.last_contact >= span]
