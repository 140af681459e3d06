"""When a new version is kept, and when the one before it comes back.

Owns what is remembered of an update and the judgement of a version on trial. Pure: it takes what the agent said and the
time, and never touches a file, a service or a clock.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from loyalty.receipt import AwareDatetime
from sync.program_versions import newer, version_key

# A version that does not get well in this time is no better a minute later, and the till stands without a page. With
# what an agent that hangs takes to be seen and to be killed, the version before is back within a minute.
WELL_WITHIN_S: Final = 30.0
# So long may one that was well be unwell: a device that is unplugged, a disk that is slow.
UNWELL_FOR_S: Final = 30.0
# A worker that is still starting counts as failing from then on: a folder full of receipts is read before it is ready,
# and a device that neither opens nor fails never is.
STARTS_WITHIN_S: Final = 120.0
# A shorter time in which it was well does not count: one that ends again and again answers in between.
STEADY_AFTER_S: Final = 10.0
# One that was well for this long is kept.
KEPT_AFTER_S: Final = 600.0
# The machine, or the one that watches, started so often during one trial: then the new version is taken for the cause.
MAX_STARTS: Final = 3
# A till that was stopped for a version so often in a row and did not keep it is not stopped for it again.
MAX_CUTS: Final = 3
# Versions that were given up; a register meets few of them before somebody looks.
MAX_REFUSED: Final = 16
MAX_REASON_CHARACTERS: Final = 300

Verdict = Literal["wait", "keep", "revert"]


class Trial(Struct, frozen=True, kw_only=True):
    """A version that is in use until it is kept or gone back from.

    `verdict` is how the register was before, as `tillside status` says it, and `failing` names the workers that failed
    or were not up; None where nobody could say. `starts` counts who took the trial up. `failed` says why it is being
    gone back from; until then it is empty. `worse` names the workers for which that is. `relay` is true once the relay
    may run it.
    """

    version: str
    previous: str
    began: AwareDatetime
    verdict: str
    failing: tuple[str, ...] | None = None
    starts: int = 1
    failed: str = ""
    worse: tuple[str, ...] = ()
    relay: bool = False


class Refused(Struct, frozen=True, kw_only=True):
    """A version that is not tried again here, and why."""

    version: str
    at: AwareDatetime
    reason: str


class Record(Struct, frozen=True, kw_only=True):
    """All that is remembered, as `update.json` has it.

    `asked` names the last wish of a person that was taken up, `settled` the last that came to an end, `cut` the version
    that was stopped for in vain without a fault of its own, and how often in a row.
    """

    trial: Trial | None = None
    refused: tuple[Refused, ...] = ()
    asked: str = ""
    settled: str = ""
    cut: tuple[str, int] = ("", 0)

    def refuses(self, version: str) -> bool:
        return any(one.version == version for one in self.refused)

    def asked_for(self, version: str, asked: str) -> Record:
        """A person asks for it: once for each time that they ask, it is tried again."""
        if self.asked == asked:
            return self
        refused = tuple(one for one in self.refused if one.version != version)
        return replace(self, refused=refused, asked=asked, cut=("", 0))

    def was_cut(self, version: str) -> Record:
        """The trial came to nothing, and nobody can say that its version is the cause."""
        times = self.cut[1] + 1 if self.cut[0] == version else 1
        return replace(self, trial=None, cut=(version, times))

    def gone_back(self, at: AwareDatetime) -> Record:
        """The trial is over, and its version is not tried again."""
        if self.trial is None:
            return self
        return replace(self.refusing(self.trial.version, at, self.trial.failed), trial=None)

    def acquitted(self, version: str) -> Record:
        """The one before it does no better: after MAX_CUTS such trials it stays refused all the same."""
        tried = self.was_cut(version)
        if tried.cut[1] >= MAX_CUTS:
            return tried
        return replace(tried, refused=tuple(one for one in self.refused if one.version != version))

    def refusing(self, version: str, at: AwareDatetime, reason: str) -> Record:
        others = [one for one in self.refused if one.version != version]
        refused = (*others, Refused(version=version, at=at, reason=reason[:MAX_REASON_CHARACTERS]))[-MAX_REFUSED:]
        return replace(self, refused=refused)


class Probation(Struct, frozen=True, kw_only=True):
    """How a version on trial did so far. Seconds are of one monotonic clock.

    `well_since` is None while it is not well; `last_well` is when it last was for STEADY_AFTER_S and more.
    """

    since: float
    well_since: float | None = None
    last_well: float | None = None


def watched(probation: Probation, *, is_well: bool, now: float) -> Probation:
    if not is_well:
        return replace(probation, well_since=None)
    since = probation.well_since if probation.well_since is not None else now
    last_well = now if now - since >= STEADY_AFTER_S else probation.last_well
    return replace(probation, well_since=since, last_well=last_well)


def resumed(probation: Probation, stood_still_s: float) -> Probation:
    """The same after a time in which nobody looked: a virtual machine that was halted. It counts neither way."""
    return replace(
        probation,
        since=probation.since + stood_still_s,
        well_since=None if probation.well_since is None else probation.well_since + stood_still_s,
        last_well=None if probation.last_well is None else probation.last_well + stood_still_s,
    )


def judged(probation: Probation, now: float) -> Verdict:
    """`well_since` counts from its last fall: one that falls again and again is not kept, but gone back from."""
    if probation.well_since is not None:
        return "keep" if now - probation.well_since >= KEPT_AFTER_S else "wait"
    if probation.last_well is None:
        return "revert" if now - probation.since >= WELL_WITHIN_S else "wait"
    if now - probation.last_well >= UNWELL_FOR_S or now - probation.since >= 2 * KEPT_AFTER_S:
        return "revert"
    return "wait"


def is_well(verdict: str | None, before: str) -> bool:
    """Whether it answers and its verdict is no worse than that of the version before. `worse` looks at its workers."""
    return verdict is not None and (verdict in ("healthy", "degraded") or verdict == before)


def worse(failing: Collection[str], before: Collection[str] | None) -> tuple[str, ...]:
    """Workers that fail and did not before; none where nobody could say how it was."""
    return () if before is None else tuple(sorted(set(failing) - set(before)))


def ailing(failing: Collection[str], starting: Collection[str], for_s: float) -> tuple[str, ...]:
    """Workers that fail, in a version that has been looked at for so long."""
    return (*failing, *(starting if for_s >= STARTS_WITHIN_S else ()))


def superfluous(installed: Collection[str], *, current: str, updater: str | None) -> set[str]:
    """Versions whose folder can go: all but the one in use, the one that watches, and the newest before it."""
    keep = {current, *([updater] if updater else [])}
    earlier = sorted((one for one in installed if newer(current, one)), key=version_key)
    return set(installed) - keep - set(earlier[-1:])
