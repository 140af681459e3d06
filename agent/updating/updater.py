"""One update from the wish to the kept version, or back.

    fetch, prove, unpack | wait until no sale is open | remember the trial | stop the agent
    | try the new version on a copy of the store | switch | start | watch: keep, or go back

Owns the order, and that after a cut at any moment `take_up` ends in the version before or the new one, running. The
store is never put back: a version reads what its successor wrote (sync.store.schema), so what was queued meanwhile
stays queued. Its copy is for a person. Never judges (`agent.updating.trial` does).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Protocol

import structlog
from msgspec import Struct
from msgspec.structs import replace

from agent.updating.releases import ReleaseRefusedError, ReleaseUnreachableError
from agent.updating.services import ServiceError, Services
from agent.updating.trial import (
    MAX_CUTS,
    MAX_STARTS,
    WELL_WITHIN_S,
    Probation,
    Trial,
    ailing,
    is_well,
    judged,
    resumed,
    superfluous,
    watched,
    worse,
)
from agent.updating.versions import NoRoomError, UnusableArchiveError, Versions
from sync.program_versions import newer

log = structlog.get_logger(__name__)

# How often a version on trial is looked at, and how often it is asked whether a sale is open.
LOOK_EVERY_S: Final = 2.0
# A look that comes so much later than it should says that the whole machine stood still, and nothing of the version.
STOOD_STILL_S: Final = 5.0
# An agent that is busy answers late, and between two customers there is a moment: so many looks in a row say that it is
# quiet.
QUIET_LOOKS: Final = 3
# The till is used all day in some shops; after this the wish is taken up again by the next run.
WAIT_FOR_QUIET_S: Final = 2 * 3600.0
# An agent that runs and does not answer may be at a sale. After so long nobody is served by it: systemd, which its
# watchdog asks for longer than a minute, did not help it either.
HUNG_AFTER_S: Final = 600.0

Quiet = Literal["answers", "silent"]
"""No sale is open, as the agent says; or there is no agent that could have one open."""

Ended = Literal["in_use", "given_up", "not_now"]
"""What came of a wish: the version runs; it is not tried again; or the next run may do it."""


class Glance(Struct, frozen=True, kw_only=True):
    """What the running agent says of itself. `failing` names workers that fail, but not for the network, and `starting`
    those that are not up yet.
    """

    version: str
    verdict: str
    is_selling: bool
    failing: tuple[str, ...] = ()
    starting: tuple[str, ...] = ()

    @property
    def not_up(self) -> tuple[str, ...]:
        return (*self.failing, *self.starting)


class Machine(Protocol):
    """What an update does outside the folder of versions."""

    def fetch(self, version: str) -> Path:
        """The proven archive. Raises ReleaseUnreachableError, ReleaseRefusedError, NoRoomError, OSError."""

    def glance(self) -> Glance | None:
        """None where no agent answers."""

    def check(self, command: Path) -> str:
        """Has a version look at itself, without the store: why it cannot be used; empty where it can.

        Raises NoRoomError or ServiceError where that cannot be said now.
        """

    def try_store(self, command: Path) -> str:
        """The same with a copy of the store, which is kept beside it. The agent does not run meanwhile."""

    def relay_problem(self) -> str:
        """Why this version could not start a relay by the settings as they are now; empty where it could."""

    def check_relay(self, command: Path) -> str:
        """The same of another version, by itself. Raises as `check`."""


class Updater:
    """Updates one register's folder of versions."""

    def __init__(
        self,
        versions: Versions,
        machine: Machine,
        services: Services,
        *,
        now: Callable[[], datetime],
        monotonic_s: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._versions = versions
        self._machine = machine
        self._services = services
        self._now = now
        self._monotonic_s = monotonic_s
        self._sleep = sleep

    def take_up(self) -> None:
        """Ends what an earlier run began. Call it first, always. Raises ServiceError, OSError."""
        self._versions.clear()
        record, current = self._versions.record(), self._versions.current()
        trial = record.trial
        if trial is None:
            return
        if current not in (trial.version, trial.previous) or trial.previous not in self._versions.installed():
            # Somebody installed another one meanwhile: theirs counts.
            self._versions.remember(replace(record, trial=None))
        elif trial.failed:
            self._go_back(trial)
        elif current != trial.version:
            # Cut before the switch: nothing of the new version ran, and the agent may have been stopped for it.
            self._have_it_run(trial.previous)
            self._versions.remember(record.was_cut(trial.version))
            if self._versions.record().cut[1] >= MAX_CUTS:
                self._refuse(trial.version, f"the update was cut off {MAX_CUTS} times before the switch")
        elif trial.starts >= MAX_STARTS:
            self._give_up(trial, f"machine or updater started {trial.starts} times during its trial")
        else:
            again = replace(trial, starts=trial.starts + 1)
            self._versions.remember(replace(record, trial=again))
            self._have_it_run(trial.version)
            self._watch(again)

    def update_to(self, version: str, *, is_wanted: Callable[[], bool] = lambda: True) -> Ended:
        """`is_wanted` is asked again before the till is stopped. Raises ServiceError, OSError."""
        current = self._versions.current()
        if current is None or not newer(version, current):
            return "in_use"
        if self._versions.record().refuses(version):
            return "given_up"
        try:
            if version not in self._versions.installed():
                self._bring(version)
            reason = self._machine.check(self._versions.command(version))
        except (ReleaseRefusedError, ReleaseUnreachableError, UnusableArchiveError, NoRoomError, ServiceError) as error:
            # Later the same name may be a whole file, or a signed one, and there may be room: it is not remembered.
            log.error("update_not_now", version=version, reason=str(error))
            return "not_now"
        if reason:
            self._refuse(version, reason)
            return "given_up"
        quiet = self._quiet()
        if quiet is None or not is_wanted():
            return "not_now"
        return self._switch(version, current, quiet)

    # Steps

    def _bring(self, version: str) -> None:
        """Raises what `fetch` and `unpack` do; a disk that is full is never left so."""
        try:
            self._versions.unpack(self._machine.fetch(version), version)
        except OSError as error:
            self._versions.clear()
            raise NoRoomError(f"the update could not be put on the disk: {error}") from error

    def _quiet(self) -> Quiet | None:
        """Waits until no sale is open; None where that did not come."""
        until = self._monotonic_s() + WAIT_FOR_QUIET_S
        quiet, silent_since = 0, None
        while True:
            glance, now = self._machine.glance(), self._monotonic_s()
            if glance is not None:
                quiet, silent_since = (0 if glance.is_selling else quiet + 1), None
            elif not self._services.runs():
                quiet += 1
            else:
                silent_since = now if silent_since is None else silent_since
                quiet = QUIET_LOOKS if now - silent_since >= HUNG_AFTER_S else 0
            if quiet >= QUIET_LOOKS:
                return "silent" if glance is None else "answers"
            if now >= until:
                return None
            self._sleep(LOOK_EVERY_S)

    def _switch(self, version: str, current: str, quiet: Quiet) -> Ended:
        before = self._machine.glance()
        # Somebody may have come to the till since, or it is busy with them.
        if before.is_selling if before is not None else quiet == "answers":
            return "not_now"
        trial = Trial(
            version=version,
            previous=current,
            began=self._now(),
            verdict=before.verdict if before is not None else "",
            failing=before.not_up if before is not None else None,
        )
        # Before the agent is stopped: whoever takes this up after a cut starts it again.
        self._versions.remember(replace(self._versions.record(), trial=trial))
        try:
            self._services.stop()
            reason = self._machine.try_store(self._versions.command(version))
            if not reason:
                self._versions.use(version)
        except (NoRoomError, ServiceError, OSError) as error:
            self._services.start()
            self._versions.remember(replace(self._versions.record(), trial=None))
            log.error("update_not_now", version=version, reason=str(error))
            return "not_now"
        if reason:
            self._services.start()
            self._refuse(version, reason)
            return "given_up"
        log.info("update_on_trial", version=version, previous=current)
        try:
            self._services.start()
        except ServiceError as error:
            return self._give_up(trial, str(error))
        return self._watch(trial)

    def _watch(self, trial: Trial) -> Ended:
        probation = Probation(since=self._monotonic_s())
        said = ""
        while self._versions.current() == trial.version:
            glance = self._machine.glance()
            now = self._monotonic_s()
            well = glance is not None and glance.version == trial.version and is_well(glance.verdict, trial.verdict)
            fail: tuple[str, ...] = ()
            if glance is not None and well:
                fail = worse(ailing(glance.failing, glance.starting, now - probation.since), trial.failing)
            well = well and not fail
            said = said if well else _told(glance, fail)
            probation = watched(probation, is_well=well, now=now)
            verdict = judged(probation, now)
            if verdict == "keep":
                return self._keep(trial)
            if verdict == "revert":
                return self._give_up(replace(trial, worse=fail), said)
            slept_from = self._monotonic_s()
            self._sleep(LOOK_EVERY_S)
            overslept_s = self._monotonic_s() - slept_from - LOOK_EVERY_S
            if overslept_s >= STOOD_STILL_S:
                probation = resumed(probation, overslept_s)
        # Somebody installed another one over it.
        self._versions.remember(replace(self._versions.record(), trial=None))
        return "not_now"

    def _keep(self, trial: Trial) -> Ended:
        """The relay has to run it, too. Only then the version that watches becomes the new one."""
        if not self._relay_is_to_be_left():
            if reason := self._relay_refusal(trial.version):
                return self._give_up(trial, reason)
            trial = replace(trial, relay=True)
            self._versions.remember(replace(self._versions.record(), trial=trial))
            try:
                self._services.renew_relay()
            except ServiceError as error:
                return self._give_up(trial, str(error))
        self._versions.watch_with(trial.version)
        self._versions.remember(replace(self._versions.record(), trial=None, cut=("", 0)))
        log.info("update_kept", version=trial.version)
        installed = self._versions.installed()
        for version in superfluous(installed, current=trial.version, updater=self._versions.updater()):
            self._versions.remove(version)
        return "in_use"

    def _give_up(self, trial: Trial, reason: str) -> Ended:
        failed = replace(trial, failed=reason)
        self._versions.remember(replace(self._versions.record(), trial=failed))
        return self._go_back(failed)

    def _go_back(self, trial: Trial) -> Ended:
        self._versions.use(trial.previous)
        self._services.start()
        relay_is_back = self._relay_is_back() if trial.relay else True
        self._versions.remember(self._versions.record().gone_back(self._now()))
        log.error("update_gone_back", version=trial.version, to=trial.previous, reason=trial.failed)
        if not relay_is_back or self._fail_as_well(trial):
            record = self._versions.record().acquitted(trial.version)
            self._versions.remember(record)
            if not record.refuses(trial.version):
                log.info("update_not_the_cause", version=trial.version, reason=trial.failed)
                return "not_now"
        self._let_go_of(trial.version)
        return "given_up"

    def _relay_is_to_be_left(self) -> bool:
        """A relay that prints, by settings that somebody has broken since: started again, it would print no more.

        It goes on by what it has read, in the version before, until they are mended and somebody restarts it.
        """
        reason = self._machine.relay_problem() if self._services.relay_runs() else ""
        if reason:
            log.error("update_relay_left", reason=reason)
        return bool(reason)

    def _relay_refusal(self, version: str) -> str:
        """Why a version would not take settings by which the one before prints; empty where it takes them."""
        if not self._services.relay_runs():
            return ""
        try:
            return self._machine.check_relay(self._versions.command(version))
        except (NoRoomError, ServiceError) as error:
            log.warning("update_relay_unchecked", version=version, reason=str(error))
            return ""

    def _relay_is_back(self) -> bool:
        """One that comes up in neither version, such as by its settings, must not hold the agent up as well."""
        if self._relay_is_to_be_left():
            return False
        try:
            self._services.renew_relay()
        except ServiceError as error:
            log.error("update_relay_not_back", reason=str(error))
            return False
        return True

    def _fail_as_well(self, trial: Trial) -> bool:
        """Whether the workers that failed in the new version do so in the one before, too: a cable that was pulled
        meanwhile. Waits until they had the time to get well.
        """
        if not trial.worse:
            return False
        self._sleep(WELL_WITHIN_S)
        glance = self._machine.glance()
        return glance is not None and glance.version == trial.previous and set(trial.worse) <= set(glance.not_up)

    def _have_it_run(self, version: str) -> None:
        glance = self._machine.glance()
        if glance is None or glance.version != version:
            self._services.start()

    def _refuse(self, version: str, reason: str) -> None:
        record = self._versions.record().refusing(version, self._now(), reason)
        self._versions.remember(replace(record, trial=None))
        log.error("update_refused", version=version, reason=reason)
        self._let_go_of(version)

    def _let_go_of(self, version: str) -> None:
        """Its room is the next version's."""
        if version in self._versions.installed() - {self._versions.current(), self._versions.updater()}:
            self._versions.remove(version)


def _told(glance: Glance | None, fail: tuple[str, ...]) -> str:
    if glance is None:
        return "the agent did not answer"
    if fail:
        return f"in {glance.version} there fails, and did not before: {', '.join(fail)}"
    return f"the agent of {glance.version} says of itself: {glance.verdict.replace('_', ' ')}"
