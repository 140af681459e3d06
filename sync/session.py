"""What a register says to its centre next: the whole protocol as a state machine without I/O.

Owns the order of steps, the reactions to every answer and error, and when to try again. Never opens a
socket, reads a clock, rolls a die or looks into the store: `Held` says what the store holds, `now` and
`chance` come with each call, and the caller carries out the step that is returned.

    step = session.next(held, now)         what to do
    session.received(step, answer, held)   True: put the answer into the store
    session.failed(step, error, held, …)   the exchange gave no answer

Every answer is treated as one that may be late, doubled or from a centre that was restored: only the
hash chain (checked by the store), positions and epochs decide, never the order in which things arrive.
"""

from __future__ import annotations

from http import HTTPStatus

from msgspec import UNSET

from sync.errors import (
    CentreAnswerError,
    CentreBusyError,
    CentreError,
    CentreProxyError,
    CentreRefusedError,
    CentreUntrustedError,
)
from sync.lanes import AllowanceLane, Lane, NotTheCentre, Problem, ProblemCode, ProgramLane, WantedLane
from sync.retry import Backoff
from sync.steps import (
    Answer,
    AskSnapshot,
    Exchange,
    FetchChunk,
    FetchConfig,
    FetchItemMap,
    FetchProgram,
    FetchWanted,
    Held,
    OpenEpoch,
    PullAllowances,
    PullChanges,
    PullErasures,
    SendBatch,
    SendHeartbeat,
    Step,
    Wait,
)
from sync.wire import (
    FIRST_ENTRIES,
    MAX_ENTRIES,
    AllowancesResponse,
    ChangesResponse,
    EpochResponse,
    ErasuresResponse,
    HeartbeatResponse,
    IngestResponse,
    SignedConfig,
    SignedItemMap,
    SignedProgram,
    SnapshotResponse,
)

# Also the poll for news where no live connection stands.
HEARTBEAT_S = 30.0
# A centre that asks for more than this has a broken clock or is no centre.
MAX_RETRY_AFTER_S = 3600.0
# An entry or device that the centre will not take: a person has to act, so ask seldom.
REFUSED_RETRY_S = 300.0
# By which part of itself a batch grows again that was halved: twofold where one had too much in it, as few do; else by
# an eighth, so that a slow line is seldom given more than it carries.
AT_ONCE, SLOWLY = 1, 8
# A granted credit of 0 is asked about again after this.
NO_CREDIT_S = 5.0
# While so much is still to be sent, what came down to where its end was when a look at it began is looked at again only
# after a pause, as where no live connection stands: most of it are the same members again, changed by what the
# registers of the store catch up with, and taking one in costs a register more than sending an entry. They may change
# faster than a register takes them in, which then would never come to the end itself.
BACKLOG_ENTRIES = 100
PULL_IN_BACKLOG_S = HEARTBEAT_S
# A network that is away comes back by itself; these want a person.
_NOT_THE_CENTRE: dict[type[CentreError], NotTheCentre] = {
    CentreUntrustedError: "centre_untrusted",
    CentreAnswerError: "centre_unreadable",
    CentreProxyError: "proxy_refused",
}


class Session:
    """The state of one register's conversation with its centre.

    Eight lanes run through one connection, one exchange at a time: erasures, up (epochs, entries), down
    (snapshot, changes), config, item map, program, allowances, heartbeat. A lane that stops does not stop the others,
    but for erasures, without which nothing goes up; an unreachable centre stops all. Each step that `next` returns is
    answered by exactly one `received` or `failed`.
    """

    def __init__(self, backoff: Backoff | None = None, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._backoff = backoff or Backoff()
        self._heartbeat_s = heartbeat_s
        self._refusals = Backoff(base_s=self._backoff.cap_s, cap_s=REFUSED_RETRY_S)
        self._all, self._up, self._down = Lane(), Lane(), Lane()
        self._heartbeat = Lane()
        self._config, self._item_map = WantedLane("config_unusable"), WantedLane("item_map_unusable")
        self._program = ProgramLane()
        self._allowances = AllowanceLane()
        self._online = False
        self._silence = ""
        self._problems: dict[ProblemCode, Problem] = {}
        self._centre_epoch: str | None = None
        self._epoch_due = self._all_kept = False
        self._credit, self._batch_cap = FIRST_ENTRIES, MAX_ENTRIES
        self._grows_by_part = AT_ONCE
        self._resend_from: int | None = None
        self._digest_of: int | None = None  # the entry whose body is not taken
        self._up_last = False
        self._pull_due = True
        self._goal = 0  # the furthest feed position heard of
        self._look_through: int | None = None  # where that was when this look at the feed began
        self._snapshot_due = False
        self._snapshot: FetchChunk | None = None
        self._erasures = Lane()
        self._erased_through: int | None = None  # by the centre's word; None while it has not been asked

    @property
    def online(self) -> bool:
        """Whether the last exchange reached a centre that takes this register."""
        return self._online

    @property
    def silence(self) -> str:
        """Why the centre cannot be reached, in words; empty where it can, or was not tried."""
        return self._silence

    @property
    def problems(self) -> tuple[Problem, ...]:
        lanes = (
            *(self._heartbeat, self._erasures, self._config, self._item_map, self._program),
            *(self._allowances, self._up, self._down),
        )
        refusals = {lane.refusal: None for lane in lanes if lane.refusal is not None}
        return (*self._problems.values(), *refusals)

    # -- what to do ------------------------------------------------------------------------------

    def next(self, held: Held, now: float) -> Step:
        """The step to take at `now` (monotonic seconds)."""
        if now < self._all.until:
            return Wait(until=self._all.until)
        # After an outage something small goes first: a centre that is hardly back is not hit by every backlog.
        if now >= self._heartbeat.until or self._all.failures:
            return SendHeartbeat()
        wakes = [self._heartbeat.until]
        up, down = (self._up, self._up_step), (self._down, self._down_step)
        turns = (down, up) if self._up_last else (up, down)
        in_force = (
            (self._config, self._config_step),
            (self._item_map, self._item_map_step),
            (self._program.new, self._program_step),
            (self._program, self._refused_program_step),
            (self._allowances, self._allowance_step),
        )
        for pause, step_of in ((self._erasures, self._erasure_step), *in_force, *turns):
            step = step_of(held)
            if step is not None and now >= pause.until:
                return step
            if step is not None:
                wakes.append(pause.until)
        return Wait(until=min(wakes))

    def _config_step(self, held: Held) -> Exchange | None:
        return FetchConfig() if self._config.lacks(held.config) else None

    def _item_map_step(self, held: Held) -> Exchange | None:
        wanted = self._item_map
        return FetchItemMap(hash=wanted.hash) if wanted.hash is not None and wanted.lacks(held.item_map) else None

    def _program_step(self, held: Held) -> Exchange | None:
        name = self._program.fresh(held.programs)
        return FetchProgram(hash=name) if name is not None else None

    def _refused_program_step(self, held: Held) -> Exchange | None:
        name = self._program.again(held.programs)
        return FetchProgram(hash=name) if name is not None else None

    def _erasure_step(self, held: Held) -> Exchange | None:
        if held.erasures is None or (self._erased_through or 0) <= held.erasures:
            return None  # what still comes back of a damaged store would come behind them
        return PullErasures(after=held.erasures)

    def _allowance_step(self, held: Held) -> Exchange | None:
        """Only in an epoch that stands: the allowances of another are of no use."""
        if held.epoch is None or self._epoch_due or self._restored(held.epoch_centre):
            return None
        if self._restored(held.allowances_centre):
            # Whatever it counts, it counts anew; and it may have forgotten what it granted.
            return PullAllowances(after=0, tells_held=True) if self._allowances.newest is not None else None
        return PullAllowances(after=held.allowances) if self._allowances.lacks(held.allowances) else None

    def _up_step(self, held: Held) -> Exchange | None:
        if self._erased_through is None or self._erased_through > (held.erasures or 0):
            return None  # what may not be kept any more may not be sent either
        if held.epoch is None or self._epoch_due or self._restored(held.epoch_centre):
            return OpenEpoch(all_kept=self._all_kept)
        first = self._resend_from or held.next_seq
        waiting = held.last_seq - first + 1
        if waiting <= 0:
            return None
        if first == self._digest_of:
            return SendBatch(first_seq=first, max_entries=1, digests=True)
        return SendBatch(first_seq=first, max_entries=max(1, min(waiting, self._credit, self._batch_cap)))

    def _down_step(self, held: Held) -> Exchange | None:
        # A store of before scopes cannot say what its rows are of.
        if held.feed is None or held.scope is None or self._snapshot_due or self._restored(held.feed_centre):
            if self._snapshot is not None and self._snapshot.snapshot.centre_epoch == self._centre_epoch:
                return self._snapshot
            begun = held.snapshot
            return AskSnapshot() if begun is None else AskSnapshot(last=begun.last, as_of=begun.as_of)
        return PullChanges(after=held.feed, scope=held.scope) if self._pull_due or self._goal > held.feed else None

    def _restored(self, known: str | None) -> bool:
        """Whether the centre that answers is no longer the one that `known` was got from."""
        return self._centre_epoch is not None and known is not None and self._centre_epoch != known

    # -- what came of it -------------------------------------------------------------------------

    def received(self, step: Exchange, answer: Answer, held: Held, now: float, chance: float) -> bool:
        """Take an answer in; True where the caller has to put it into the store before the next step."""
        self._up_last = isinstance(step, OpenEpoch | SendBatch)
        self._reached()
        # Another lane's answer says nothing of what was refused on this one.
        self._lane_of(step).refusal = None
        match answer:
            case HeartbeatResponse():
                return self._heard_of(answer, held, now)
            case SignedProgram() | SignedConfig() | SignedItemMap():
                return self._fetched(answer)
            case EpochResponse():
                return self._opened(answer)
            case IngestResponse() if isinstance(step, SendBatch):
                return self._acknowledged(step, answer, held, now, chance)
            case ErasuresResponse():
                return self._told_of_erasures(answer, held, now, chance)
            case ChangesResponse() | AllowancesResponse() if isinstance(step, PullChanges | PullAllowances):
                return self._came(step, answer, held, now, chance)
            case SnapshotResponse():
                return self._snapshot_named(answer, held)
            case bytes() if isinstance(step, FetchChunk):
                return self._chunk_fetched(step)
            case _:
                raise TypeError(f"{type(answer).__name__} is no answer to {type(step).__name__}")

    def _heard_of(self, answer: HeartbeatResponse, held: Held, now: float) -> bool:
        """Where there is no news, the store may say that what it holds is true as of now."""
        self._centre_epoch = answer.centre_epoch
        self._heartbeat.failures = 0
        self._heartbeat.until = now + self._heartbeat_s
        self._erased_through = answer.erasures or 0
        self._allowances.newest = None if answer.allowances is UNSET else answer.allowances
        self._heard_of_epoch(answer, held)
        self._heard_of_programs(answer, held)
        named = (
            (self._config, answer.config, held.config),
            (self._item_map, answer.item_map, held.item_map),
        )
        for lane, in_force, kept in named:
            lane.hash = in_force or None
            if not lane.lacks(kept):
                lane.refusal = None
                self._usable(lane)
        if held.scope is not None and answer.scope not in (UNSET, held.scope):
            self._snapshot_due = True
        self.hinted(answer.feed)
        return held.feed == answer.feed and not self._restored(held.feed_centre)

    def _heard_of_epoch(self, answer: HeartbeatResponse, held: Held) -> None:
        """Another machine went on where this one stands, or began anew: one with nothing to send has to hear of it too.

        It may spend points, and shows nothing of that before it has sold.
        """
        if answer.epoch is UNSET or answer.epoch != held.epoch or self._restored(held.epoch_centre):
            return
        if answer.acked_through is None or (answer.acked_through or 0) > held.last_seq:
            self.fenced()

    def _heard_of_programs(self, answer: HeartbeatResponse, held: Held) -> None:
        """What is in force now comes first, then what is newest."""
        lane = self._program
        in_force = [answer.program] if answer.program else []
        newest_first = [one.program for one in reversed(answer.announced)]
        lane.announced = tuple(dict.fromkeys((*in_force, *newest_first)))
        lane.refused.intersection_update(lane.announced)
        if held.programs.issuperset(lane.announced):
            lane.refusal = None
            self._programs_usable()

    def _programs_usable(self) -> None:
        self._program.refused.clear()
        self._program.go_on()
        self._program.new.go_on()
        self._problems.pop("program_unusable", None)

    def _fetched(self, answer: SignedProgram | SignedConfig | SignedItemMap) -> bool:
        match answer:
            case SignedProgram():
                self._program.refused.discard(answer.hash)
                self._program.new.go_on()
            case SignedItemMap():
                self._usable(self._item_map)
            case SignedConfig():
                # The one in force now, which may be a newer one than the heartbeat named.
                self._config.hash = answer.hash
                self._usable(self._config)
        return True

    def _usable(self, lane: WantedLane) -> None:
        lane.go_on()
        self._problems.pop(lane.unusable, None)

    def _opened(self, answer: EpochResponse) -> bool:
        self._centre_epoch = answer.centre_epoch
        self._epoch_due = self._all_kept = False
        self._allowances.go_on()
        self._resend_from = self._digest_of = None
        self._credit = FIRST_ENTRIES
        return True

    def _acknowledged(self, step: SendBatch, answer: IngestResponse, held: Held, now: float, chance: float) -> bool:
        self._centre_epoch = answer.centre_epoch
        if self._restored(held.epoch_centre):
            return False
        if answer.acked_through > held.last_seq:
            self._epoch_due = True
            self._up.stop(self._backoff, now, chance)
            return False
        if answer.acked_through < step.first_seq:
            # An answer to an earlier batch, doubled or late; the same batch goes again.
            self._up.stop(self._backoff, now, chance)
            return False
        self._up.go_on()
        self._drop_entry_problems()
        self._digest_of = None
        self._batch_cap = min(self._batch_cap + max(1, self._batch_cap // self._grows_by_part), MAX_ENTRIES)
        self._credit = answer.credit
        if answer.credit <= 0:
            self._up.until = now + NO_CREDIT_S * (1 + chance)
        rewound = self._resend_from is not None and answer.acked_through + 1 < held.next_seq
        self._resend_from = answer.acked_through + 1 if rewound else None
        self.hinted(max((outcome.pos or 0 for outcome in answer.outcomes), default=0))
        return answer.acked_through >= held.next_seq

    def _came(
        self,
        step: PullChanges | PullAllowances,
        answer: ChangesResponse | AllowancesResponse,
        held: Held,
        now: float,
        chance: float,
    ) -> bool:
        match step, answer:
            case PullChanges(), ChangesResponse():
                return self._pulled(step, answer, held, now, chance)
            case PullAllowances(), AllowancesResponse():
                return self._granted(step, answer, held, now, chance)
            case _:
                raise TypeError(f"{type(answer).__name__} is no answer to {type(step).__name__}")

    def _pulled(self, step: PullChanges, answer: ChangesResponse, held: Held, now: float, chance: float) -> bool:
        self._centre_epoch = answer.centre_epoch
        if self._restored(held.feed_centre):
            return False
        if answer.next < step.after:
            self._down.stop(self._backoff, now, chance)
            return False
        if any(change.op == "erase" for change in answer.changes):
            self._ask_of_erasures()
        self._pull_due = answer.more
        if self._look_through is None:
            self._look_through = self._goal
        seen = not answer.more or answer.next >= self._look_through
        if seen:
            self._look_through = None
        if answer.next == step.after and (answer.more or self._goal > answer.next):
            # News is promised and does not come: ask on, less and less.
            self._down.stop(self._backoff, now, chance)
        else:
            self._down.go_on()
            if held.queued >= BACKLOG_ENTRIES and seen:
                self._down.until = now + PULL_IN_BACKLOG_S
        return True

    def _told_of_erasures(self, answer: ErasuresResponse, held: Held, now: float, chance: float) -> bool:
        new = any(erasure.number > (held.erasures or 0) for erasure in answer.erasures)
        if new:
            self._erasures.go_on()
        else:
            # Promised, and not there: nothing is sent until the centre says what it means.
            self._erasures.stop(self._backoff, now, chance)
        return new

    def _granted(self, step: PullAllowances, answer: AllowancesResponse, held: Held, now: float, chance: float) -> bool:
        self._centre_epoch = answer.centre_epoch
        if self._restored(held.epoch_centre):
            return False
        if answer.next < step.after or (answer.next == step.after and answer.more):
            self._allowances.stop(self._backoff, now, chance)
            return False
        self._allowances.is_poked = answer.more
        if not answer.more:
            # What was named and does not come is asked for again once it is named again.
            self._allowances.newest = min(self._allowances.newest or 0, answer.next)
        self._allowances.go_on()
        return True

    def _snapshot_named(self, answer: SnapshotResponse, held: Held) -> bool:
        """An empty snapshot is put into the store at once, else its chunks are, those it lacks.

        That a snapshot is there, or a chunk, is no progress: only what could be kept is (`chunk_kept`).
        """
        self._centre_epoch = answer.centre_epoch
        if answer.chunks:
            had = [FetchChunk(snapshot=answer, index=index).progress for index in range(len(answer.chunks) - 1)]
            index = had.index(held.snapshot) + 1 if held.snapshot in had else 0
            self._snapshot = FetchChunk(snapshot=answer, index=index)
            return False
        self._down.go_on()
        self._snapshot_finished()
        return True

    def _chunk_fetched(self, step: FetchChunk) -> bool:
        if step.last:
            self._snapshot_finished()
        else:
            self._snapshot = FetchChunk(snapshot=step.snapshot, index=step.index + 1)
        return True

    def _snapshot_finished(self) -> None:
        self._snapshot = None
        self._snapshot_due = False
        self._pull_due = True
        self._goal = 0

    # -- what went wrong -------------------------------------------------------------------------

    def failed(self, step: Exchange, error: CentreError, now: float, chance: float) -> None:
        """Take in that an exchange gave no usable answer."""
        self._up_last = isinstance(step, OpenEpoch | SendBatch)
        match error:
            case CentreRefusedError():
                self._refused(step, error, now, chance)
            case CentreBusyError():
                self._send_less(step)
                floor_s = min(error.retry_after_s, MAX_RETRY_AFTER_S)
                self._pause_of(step).stop_for(floor_s, self._backoff, now, chance)
                # A snapshot that is being made is no reason to keep entries back.
                if not isinstance(step, AskSnapshot):
                    self._all.stop_for(floor_s, self._backoff, now, chance)
            case _:
                self._send_less(step)
                # The heartbeat that goes first may be answered: only its own success ends the pause of what failed.
                self._pause_of(step).stop(self._backoff, now, chance)
                self._online = False
                self._ask_of_erasures()
                self._silence = str(error)
                self._drop_impostor()
                code = _NOT_THE_CENTRE.get(type(error))
                if code is not None:
                    self._say(code, str(error))
                self._all.stop(self._backoff, now, chance)

    def _send_less(self, step: Exchange) -> None:
        """A slow line may carry half of what it did not carry; and others come back who were promised as much."""
        self._credit = min(self._credit, FIRST_ENTRIES)
        if isinstance(step, SendBatch):
            self._batch_cap, self._grows_by_part = max(1, step.max_entries // 2), SLOWLY

    def _reached(self) -> None:
        """The centre itself answered."""
        self._online = True
        self._silence = ""
        self._all.go_on()
        self._drop_impostor()

    def _drop_impostor(self) -> None:
        for code in _NOT_THE_CENTRE.values():
            self._problems.pop(code, None)

    def _refused(self, step: Exchange, error: CentreRefusedError, now: float, chance: float) -> None:
        if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._online = False
            detail = f"{error.detail}; enrol this register anew if it should be in service"
            self._lane_of(step).refusal = Problem(code="device_refused", detail=detail)
            self._all.stop(self._refusals, now, chance)
            return
        self._reached()
        match step, error.status:
            case SendBatch(), HTTPStatus.CONFLICT | HTTPStatus.GONE:
                self._disagreed(step, error, now, chance)
            case SendBatch(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE | HTTPStatus.UNPROCESSABLE_ENTITY:
                self._split(step, error, now, chance)
            case PullChanges(), HTTPStatus.GONE:
                self._snapshot_due = True
            case FetchChunk(), HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
                self._snapshot = None
                self._down.stop(self._backoff, now, chance)
            case PullAllowances(), HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
                self._not_granted(error, now, chance)
            case SendHeartbeat(), _:
                # It will not say; who was erased is told by the feed then.
                self._erased_through = self._erased_through or 0
                self._heartbeat.refusal = Problem(code="request_refused", detail=str(error))
                self._heartbeat.stop(self._refusals, now, chance)
            case FetchProgram() | FetchConfig() | FetchItemMap(), _:
                self._not_fetched(step, str(error), now, chance)
            case _:
                lane = self._lane_of(step)
                lane.refusal = Problem(code="request_refused", detail=str(error))
                lane.stop(self._refusals, now, chance)

    def _not_granted(self, error: CentreRefusedError, now: float, chance: float) -> None:
        if error.status == HTTPStatus.GONE:
            self.fenced()
        else:
            self._allowances.newest = None  # a centre of before there were any
        self._allowances.stop(self._refusals, now, chance)

    def _not_fetched(self, step: FetchWanted, detail: str, now: float, chance: float) -> None:
        match step:
            case FetchProgram():
                self.program_unusable(step.hash, detail, now, chance)
            case FetchConfig():
                self.config_unusable(detail, now, chance)
            case FetchItemMap():
                self.item_map_unusable(detail, now, chance)

    def _disagreed(self, step: SendBatch, error: CentreRefusedError, now: float, chance: float) -> None:
        """409 or 410: go back to where the centre stands, or begin a new epoch where that makes no sense."""
        expected = error.expected_seq
        if error.status == HTTPStatus.CONFLICT and expected is not None and 1 <= expected < step.first_seq:
            self._resend_from = expected
        else:
            self._epoch_due = True
        self._up.stop(self._backoff, now, chance)

    def _split(self, step: SendBatch, error: CentreRefusedError, now: float, chance: float) -> None:
        if step.max_entries > 1:
            self._batch_cap, self._grows_by_part = step.max_entries // 2, AT_ONCE
            return
        if not step.digests:
            self._digest_of = step.first_seq
            return
        too_large = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        self._say(
            "entry_too_large" if too_large else "entry_unreadable",
            f"entry {step.first_seq} is not taken, not even without its body, and holds up those after it: "
            f"{error.detail}; it is kept, see `tillside queue`, and it is offered again from time to time",
        )
        self._up.stop(self._refusals, now, chance)

    def _pause_of(self, step: Exchange) -> Lane:
        """What `step` is not taken again before the end of."""
        if isinstance(step, FetchProgram) and step.hash not in self._program.refused:
            return self._program.new
        return self._lane_of(step)

    def _lane_of(self, step: Exchange) -> Lane:
        match step:
            case SendHeartbeat():
                return self._heartbeat
            case FetchProgram():
                return self._program
            case FetchConfig():
                return self._config
            case FetchItemMap():
                return self._item_map
            case OpenEpoch() | SendBatch():
                return self._up
            case PullErasures():
                return self._erasures
            case PullAllowances():
                return self._allowances
            case _:
                return self._down

    # -- what the caller found out itself --------------------------------------------------------

    def ack_refused(self, now: float, chance: float) -> None:
        """The store found an acknowledgement whose chain is not its own: someone else wrote here."""
        self._epoch_due = True
        self._up.stop(self._backoff, now, chance)

    def fenced(self) -> None:
        """The centre said that this register's epoch is not the live one."""
        self._epoch_due = True

    def no_room(self, step: Exchange, now: float, chance: float) -> None:
        """The disk is too full for what `step` brought: it is asked for again, seldom, and holds up nothing else."""
        match step:
            case PullChanges():
                self._pull_due = True
            case AskSnapshot() | FetchChunk():
                self._snapshot = None
                self._snapshot_due = True
        self._pause_of(step).stop(self._refusals, now, chance)

    def cannot_resend(self) -> None:
        """The store no longer keeps all that the centre asked for again; it numbers what it has anew."""
        self._epoch_due = self._all_kept = True

    def chunk_kept(self) -> None:
        """A chunk was whole and is in the store."""
        self._down.go_on()

    def chunk_broken(self, now: float, chance: float) -> None:
        """A chunk did not have its digest or could not be read; the snapshot is asked for again."""
        self._snapshot = None
        self._snapshot_due = True
        self._down.stop(self._backoff, now, chance)

    def program_unusable(self, name: str, detail: str, now: float, chance: float) -> None:
        """An announced program cannot be used here; the one before stays in force for its time too."""
        self._program.refused.add(name)
        self._say("program_unusable", detail)
        self._program.stop(self._refusals, now, chance)

    def config_unusable(self, detail: str, now: float, chance: float) -> None:
        """The config in force at the centre cannot be used here; the one before stays in force."""
        self._unusable(self._config, detail, now, chance)

    def item_map_unusable(self, detail: str, now: float, chance: float) -> None:
        """The item map in force at the centre cannot be used here; the one before stays in force."""
        self._unusable(self._item_map, detail, now, chance)

    def hinted(self, feed: int) -> None:
        """Something says that the feed has reached `feed`."""
        self._goal = max(self._goal, feed)

    def poked_of_allowances(self) -> None:
        """Something says that there are new ones, or that some are asked back."""
        self._allowances.is_poked = True

    def reachable(self) -> None:
        """A live connection stands: no need to sit out a pause that was for an unreachable centre."""
        if not self._online:
            self._all.until = float("-inf")

    def _ask_of_erasures(self) -> None:
        """Nothing more is sent before the centre was asked who was erased."""
        self._erased_through = None
        self._heartbeat.until = float("-inf")

    def doubted(self) -> None:
        """A live connection broke: find out now whether the centre is there, not at the next heartbeat."""
        self._heartbeat.until = float("-inf")

    def _unusable(self, lane: WantedLane, detail: str, now: float, chance: float) -> None:
        self._say(lane.unusable, detail)
        lane.stop(self._refusals, now, chance)

    def _say(self, code: ProblemCode, detail: str) -> None:
        self._problems[code] = Problem(code=code, detail=detail)

    def _drop_entry_problems(self) -> None:
        self._problems.pop("entry_too_large", None)
        self._problems.pop("entry_unreadable", None)
