"""Which registers take a release now, and whether it goes on to more of them.

Owns the rings and what stops one. Pure: it is told how registers are, and never asks. A release goes to a few, then to
a tenth, then to all; it stops by itself where those that took it do worse than those that did not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from msgspec import Struct

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
# Of so few others nothing is usual.
MIN_OTHERS: Final = 10
# Of those that took it, so many may have gone back; of the first ring none. A machine can break by itself.
MAX_REVERTED_SHARE: Final = 0.01
# So many more of those that took it may be silent than of the others, before that is no chance any more.
MAX_MORE_SILENT: Final = 0.1
MIN_SILENT: Final = 2
# So many more of those that took it may have become worse than better, before that is no chance any more.
MAX_WORSE_SHARE: Final = 0.1
MIN_WORSE: Final = 2
# A ring is through when so many of its registers run the release.
ENOUGH_SHARE: Final = 0.9


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
    """`stop` gives the reason to offer the release to nobody else, `on` says that the next ring may begin."""

    stop: str = ""
    on: bool = False
    runs: int = 0
    of: int = 0


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
    present = _present([one for one in inside if not one.excused], now)
    runs = sum(one.version == version for one in present)
    stop = (
        _too_many_gave_up(version, ring, inside)
        or _too_many_worse(version, inside)
        or _too_many_silent(version, devices, inside, now)
    )
    is_through = bool(present) and runs >= ENOUGH_SHARE * len(present) and now - since >= soak
    return Judgement(stop=stop, on=is_through and not stop, runs=runs, of=len(present))


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


def _too_many_silent(version: str, devices: Sequence[Device], inside: Sequence[Device], now: datetime) -> str:
    """By what is usual: where a line of the carrier is cut, those that did not take it are silent as well."""
    took = [one for one in inside if one.version == version]
    silent = _silent(took, now)
    others = [one for one in _present(devices, now) if one.version != version]
    usual = len(_silent(others, now)) / len(others) if len(others) >= MIN_OTHERS else 0.0
    if not silent or len(silent) < min(MIN_SILENT, len(took)) or len(silent) / len(took) <= usual + MAX_MORE_SILENT:
        return ""
    return f"{len(silent)} of {len(took)} registers that took it are silent, such as {silent[0].id}"


def share_of(device: str) -> float:
    """Where a register stands among all, always the same: 0 to 1."""
    return int.from_bytes(hashlib.sha256(device.encode()).digest()[:8]) / 2**64


def after(ring: Ring) -> Ring | None:
    """The ring that follows; None after the last."""
    follows = RINGS.index(ring) + 1
    return RINGS[follows] if follows < len(RINGS) else None


def _present(devices: Sequence[Device], now: datetime) -> list[Device]:
    return [one for one in devices if one.last_contact is not None and now - one.last_contact < AWAY_AFTER]


def _silent(devices: Sequence[Device], now: datetime) -> list[Device]:
    """Those that spoke within the week and do not any more."""
    return [one for one in _present(devices, now) if one.last_contact and now - one.last_contact >= SILENT_AFTER]
