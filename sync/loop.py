"""Joins store, session and client: the register's exchange with its centre, for as long as it runs.

Owns when to wake (a commit, a hint, a timer), putting answers into the store, and the state behind the
badge. Decides nothing about the protocol: `sync.session` does. Never raises what the centre or the
network did; an error of the store ends it, and whoever supervises starts it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from http import HTTPStatus

import msgspec
import structlog
from msgspec import UNSET, Struct
from msgspec.structs import replace

from loyalty.centre_config import CentreConfig
from loyalty.item_matching import ItemMatcher
from loyalty.member import CardState, Member
from loyalty.receipt import AwareDatetime
from sync.client import CentreClient
from sync.configs import ConfigUnusableError, keep_config, kept_config, verified_config
from sync.errors import CentreError, CentreRefusedError
from sync.item_maps import ItemMapUnusableError, keep_item_map, verified_item_map
from sync.lanes import Problem
from sync.listening import Listening
from sync.programs import (
    ProgramUnusableError,
    follow_schedule,
    keep_program,
    kept_programs,
    refuse_program,
    told_of,
    verified_program,
)
from sync.purging import Masked, all_but_erased, carry_out, nothing_else
from sync.retry import Backoff
from sync.sent import Sent, sent_of
from sync.session import HEARTBEAT_S, Session
from sync.snapshots import SNAPSHOT, SnapshotIntake
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
    SnapshotProgress,
    Wait,
)
from sync.store.errors import AckRefusedError, StoreError, StoreFullError
from sync.store.fed import parts_of
from sync.store.purge_rows import ERASURES_THROUGH
from sync.store.reading import CODE_KEY, EPOCH_VOID, JOIN_URL, PHONE_URL
from sync.store.rows import EpochState
from sync.store.store import AT_ONCE, Store
from sync.store.writing import Writing
from sync.updates import NoUpdates, Updates
from sync.wire import (
    UNANSWERED,
    AllowancesRequest,
    AllowancesResponse,
    Change,
    ChangesResponse,
    EpochRequest,
    EpochResponse,
    ErasuresResponse,
    Facts,
    HeartbeatRequest,
    HeartbeatResponse,
    IngestResponse,
    MemberResponse,
    NothingGranted,
    RegisterState,
    SignedConfig,
    SignedItemMap,
    SignedProgram,
    SnapshotResponse,
    Wanted,
)

_EPOCH_CENTRE = "epoch_centre"
# Why the templates that the centre published are not in force here; empty where they are. The agent tries them.
TEMPLATES_REFUSED = "templates-refused"

_log = structlog.get_logger(__name__)


class SyncState(Struct, frozen=True, kw_only=True):
    """What the badge shows. `since` is when `online` last changed, `last_contact` the last answer.

    `silence` says why the centre cannot be reached.
    """

    online: bool
    since: AwareDatetime
    queued: int
    last_contact: AwareDatetime | None = None
    problems: tuple[Problem, ...] = ()
    silence: str = ""


class LookedUp(Struct, frozen=True, kw_only=True):
    """What the centre says of a code: its member, else the state of a card that nobody has, else nothing."""

    member: Member | None = None
    card: CardState | None = None


class SyncLoop:
    """One register's exchange. Call `wake` after every commit of the store.

    `configured` raises where this register cannot run with a config; the one before is then in force again.
    `configured` and `mapped` are told each config and item map that comes and is kept; those kept before are for
    `kept_config` and `kept_item_map` to tell. `item_map` is the hash of the kept map. `masked` takes what named an
    erased member out of files that are not the store's. `placed` is told store and register
    with each heartbeat, `logs` for how many seconds the log should say everything; `told` is asked with each how this
    register is.
    """

    def __init__(
        self,
        *,
        store: Store,
        client: CentreClient,
        device: str,
        program_key: str,
        facts: Facts,
        clock: Callable[[], datetime],
        chance: Callable[[], float],
        changed: Callable[[SyncState], None],
        configured: Callable[[CentreConfig], None],
        mapped: Callable[[ItemMatcher], None],
        item_map: str | None,
        backoff: Backoff | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        masked: Masked = nothing_else,
        updates: Updates | None = None,
        told: Callable[[], RegisterState] | None = None,
        placed: Callable[[str, str], None] | None = None,
        logs: Callable[[int | None], None] | None = None,
    ) -> None:
        self._store = store
        self._client = client
        self._device = device
        self._program_key = program_key
        self._facts = facts
        self._clock = clock
        self._chance = chance
        self._changed = changed
        self._configured = configured
        self._mapped = mapped
        self._item_map_hash = item_map
        self._backoff = backoff or Backoff()
        self._heartbeat_s = heartbeat_s
        self._masked = masked
        self._updates = updates or NoUpdates()
        self._told = told
        self._placed = placed
        self._logs = logs
        self._session = Session(self._backoff, heartbeat_s)
        self._snapshots = SnapshotIntake(store, client.chunk)
        self._woken = asyncio.Event()
        self._sent: Sent | None = None
        self._last_contact: datetime | None = None
        self._names_erasures = False
        kept = kept_config(store, program_key)
        self._config_hash = kept[0] if kept is not None else None
        self._state = SyncState(online=False, since=clock(), queued=store.queued())

    @property
    def state(self) -> SyncState:
        return self._state

    def wake(self) -> None:
        """Something is new in the store."""
        self._woken.set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Runs until cancelled. Raises StoreError when the store does; then it may be run again."""
        self._session = Session(self._backoff, self._heartbeat_s)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listening().run(), name="live hints")
                tasks.create_task(self._converse(ready), name="exchange")
        except BaseExceptionGroup as errors:
            # One of the two failed and the other was cancelled for it; the operator reads its own words.
            raise errors.exceptions[0] from errors
        finally:
            self._snapshots.drop()

    def _listening(self) -> Listening:
        return Listening(
            client=self._client,
            session=self._session,
            backoff=self._backoff,
            chance=self._chance,
            position=lambda: self._store.feed().position,
            wake=self.wake,
        )

    async def lookup(self, code: str) -> LookedUp:
        """Asks the centre about a code that this register does not know; a member is then in the store.

        Empty where the centre knows nothing or does not answer in time. Never raises: what failed is logged.
        """
        if not self._state.online:
            return LookedUp()
        try:
            answer = await self._client.member(code)
        except CentreError as error:
            _log.info("lookup_failed", error=type(error).__name__)
            return LookedUp()
        if not isinstance(answer, MemberResponse):
            return LookedUp(card=answer.card or None) if answer is not None else LookedUp()
        try:
            await self._store.write(lambda writing: writing.keep_member(answer.pos, answer.row))
        except StoreError as error:
            _log.warning("member_not_kept", error=type(error).__name__)
            return LookedUp(member=answer.row)
        return LookedUp(member=self._store.member(answer.row.member))

    async def want(self, wanted: Wanted) -> NothingGranted | None:
        """Asks the centre for points of a member who stands at the till, or for a voucher that is shown there; what it
        grants is then in the store.

        Returns None where it granted that; else why not, or UNANSWERED where it said nothing in time. Never raises:
        what failed is logged.
        """
        epoch, cursor = self._store.live_epoch_id(), self._store.allowance_cursor()
        if not (self._state.online and epoch):
            return UNANSWERED
        try:
            answer = await self._client.allowances(AllowancesRequest(epoch=epoch, after=cursor.number, want=wanted))
            if cursor.centre_epoch not in (None, answer.centre_epoch):
                return UNANSWERED  # it was restored, and wants to be told first what is held here
            await self._store.write(partial(_keep_allowances, answer=answer))
        except (CentreError, StoreError) as error:
            gone = isinstance(error, CentreRefusedError) and error.status == HTTPStatus.GONE
            if gone and self._store.live_epoch_id() == epoch:  # else another was opened since it was asked
                self._session.fenced()
                self.wake()
            _log.info("points_not_granted", error=type(error).__name__)
            return UNANSWERED
        return NothingGranted(detail=answer.refused, reason=answer.refused_because or "") if answer.refused else None

    # -- the conversation ------------------------------------------------------------------------

    async def _converse(self, ready: Callable[[], None]) -> None:
        self._changed(self._state)
        ready()
        while True:
            self._woken.clear()
            step = self._session.next(self._held(), _now())
            self._publish()
            if isinstance(step, Wait):
                await self._sleep_until(step.until)
            else:
                await self._take(step)

    async def _sleep_until(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _take(self, step: Exchange) -> None:
        """One exchange, and what came of it into session and store."""
        try:
            answer = await self._ask(step)
        except CentreError as error:
            self._session.failed(step, error, _now(), self._chance())
            _log.info("exchange_failed", step=type(step).__name__, error=type(error).__name__, status=_status(error))
            return
        if answer is None:
            self._session.cannot_resend()
            return
        self._last_contact = self._clock()
        _log.debug("exchanged", step=type(step).__name__)
        if isinstance(answer, HeartbeatResponse):
            self._names_erasures = answer.erasures is not UNSET
            await self._follow_schedule(answer)
            await self._keep_joining(answer)
            if self._placed is not None and answer.store and answer.register:
                self._placed(answer.store, answer.register)
            self._updates.wanted(answer.release or None)
            if self._logs is not None:
                self._logs(answer.log_s or None)
            for shed in (Writing.shed, Writing.drop_used_scans):
                while await self._store.write(shed, drains=True):
                    pass
        if self._session.received(step, answer, self._held(), _now(), self._chance()):
            await self._apply_or_pause(step, answer)

    async def _apply_or_pause(self, step: Exchange, answer: Answer) -> None:
        """On a full disk what drains it still goes on."""
        try:
            await self._apply(step, answer)
        except StoreFullError as error:
            _log.warning("no_room_for_answer", step=type(step).__name__, reason=str(error))
            self._session.no_room(step, _now(), self._chance())

    async def _ask(self, step: Exchange) -> Answer | None:
        """The centre's answer; None where the store no longer numbers what was to be sent."""
        client = self._client
        match step:
            case SendBatch():
                return await self._send(step)
            case OpenEpoch():
                return await client.open_epoch(self._epoch_request())
            case PullChanges() | PullErasures() | PullAllowances():
                return await self._pull(step)
            case AskSnapshot():
                return await client.snapshot(step.last, step.as_of)
            case FetchChunk():
                return await self._snapshots.fetch(step)
            case FetchProgram() | FetchConfig() | FetchItemMap():
                return await self._fetch(step)
            case SendHeartbeat():
                return await client.heartbeat(self._heartbeat_request())

    async def _pull(self, step: PullChanges | PullErasures | PullAllowances) -> Answer:
        match step:
            case PullChanges():
                return await self._client.changes(step.after, step.limit, step.scope)
            case PullErasures():
                return await self._client.erasures(step.after)
            case PullAllowances():
                return await self._client.allowances(self._allowances_request(step))

    async def _fetch(self, step: FetchWanted) -> Answer:
        match step:
            case FetchProgram():
                return await self._client.program(step.hash)
            case FetchItemMap():
                return await self._client.item_map(step.hash)
            case FetchConfig():
                return await self._client.config()

    async def _send(self, step: SendBatch) -> IngestResponse | None:
        batch = await self._store.batch(step.first_seq, step.max_entries)
        if batch is None or batch.first_seq != step.first_seq:
            return None
        if step.digests:
            _log.warning("entry_sent_without_body", seq=step.first_seq)
            batch = replace(batch, entries=tuple(entry.without_body() for entry in batch.entries[:1]))
        self._sent = await asyncio.to_thread(sent_of, batch) if len(batch.entries) > AT_ONCE else sent_of(batch)
        return await self._client.ingest(batch)

    def _epoch_request(self) -> EpochRequest:
        live = self._live_epoch()
        if live is None:
            return EpochRequest(facts=self._facts)
        return EpochRequest(previous=live.epoch, through=live.acked_through, hash=live.chain_hash, facts=self._facts)

    def _heartbeat_request(self) -> HeartbeatRequest:
        oldest = self._store.oldest_queued_at()
        return HeartbeatRequest(
            version=self._facts.version,
            queued=self._store.queued(),
            quarantined=self._store.count_quarantined(),
            oldest_queued_at=oldest if oldest is not None else UNSET,
            reasons=self._store.quarantine_reasons() or UNSET,
            programs=told_of(self._store),
            templates_refused=self._store.meta(TEMPLATES_REFUSED) or UNSET,
            given_up=self._updates.given_up() or UNSET,
            epoch=self._store.live_epoch_id() or UNSET,
            sent_at=self._clock(),
            state=self._told() if self._told is not None else UNSET,
        )

    def _allowances_request(self, step: PullAllowances) -> AllowancesRequest:
        return AllowancesRequest(
            epoch=self._store.live_epoch_id(),
            after=step.after,
            held=self._store.held_allowances() if step.tells_held else UNSET,
        )

    def _live_epoch(self) -> EpochState | None:
        """None also where it was another device's: this register was enrolled anew since."""
        live = self._store.epoch()
        return live if live is not None and live.device == self._device else None

    def _held(self) -> Held:
        store, epoch = self._store, self._live_epoch()
        feed, snapshot = store.feed(), store.meta(SNAPSHOT)
        allowances = store.allowance_cursor()
        return Held(
            epoch=epoch.epoch if epoch and epoch.epoch != store.meta(EPOCH_VOID) else None,
            epoch_centre=store.meta(_EPOCH_CENTRE),
            next_seq=epoch.acked_through + 1 if epoch else 1,
            queued=epoch.last_seq - epoch.acked_through if epoch else 0,
            feed=feed.position if feed.centre_epoch is not None else None,
            feed_centre=feed.centre_epoch,
            scope=feed.scope,
            programs=store.held_programs(),
            config=self._config_hash,
            item_map=self._item_map_hash,
            snapshot=msgspec.json.decode(snapshot, type=SnapshotProgress) if snapshot else None,
            allowances=allowances.number,
            allowances_centre=allowances.centre_epoch,
            erasures=None if store.salvaging() else int(store.meta(ERASURES_THROUGH) or 0),
        )

    # -- into the store --------------------------------------------------------------------------

    async def _apply(self, step: Exchange, answer: Answer) -> None:
        match answer:
            case EpochResponse():
                all_kept = isinstance(step, OpenEpoch) and step.all_kept
                await self._store.write(lambda writing: self._open_epoch(writing, answer, all_kept), drains=True)
            case IngestResponse():
                await self._acknowledge(answer)
            case ChangesResponse() | AllowancesResponse():
                await self._apply_page(answer)
            case ErasuresResponse():
                for erasure in answer.erasures:
                    await carry_out(self._store, erasure, self._masked)
                    _log.info("erasure_carried_out", number=erasure.number)
            case HeartbeatResponse():
                as_of = answer.server_time
                await self._store.write(lambda writing: writing.apply_changes((), answer.feed, as_of), drains=True)
            case SnapshotResponse():
                await self._snapshots.finish(answer)
            case SignedProgram() | SignedConfig() | SignedItemMap():
                await self._put_in_force(step, answer)
            case bytes() if isinstance(step, FetchChunk):
                await self._apply_chunk(step)

    async def _apply_page(self, answer: ChangesResponse | AllowancesResponse) -> None:
        """Changes in small transactions: a receipt may be waiting behind each."""
        if isinstance(answer, AllowancesResponse):
            await self._store.write(partial(_keep_allowances, answer=answer))
            return
        for part in parts_of(answer):
            changes = all_but_erased(part.changes) if self._names_erasures else part.changes
            as_of = None if part.more else part.as_of
            await self._store.write(partial(_apply_changes, changes=changes, through=part.next, as_of=as_of))

    async def _put_in_force(self, step: Exchange, answer: SignedProgram | SignedConfig | SignedItemMap) -> None:
        match answer:
            case SignedProgram() if isinstance(step, FetchProgram):
                await self._keep_program(step, answer)
            case SignedConfig():
                await self._put_config_in_force(answer)
            case SignedItemMap() if isinstance(step, FetchItemMap):
                await self._put_item_map_in_force(step, answer)

    def _open_epoch(self, writing: Writing, answer: EpochResponse, all_kept: bool) -> None:
        """A centre that was restored lost what it acknowledged since its backup; keys make the rest count once."""
        known = writing.meta(_EPOCH_CENTRE)
        live = self._live_epoch()
        restored = known is not None and known != answer.centre_epoch
        writing.open_epoch(answer.epoch, self._device, all_kept=all_kept or restored)
        writing.set_meta(_EPOCH_CENTRE, answer.centre_epoch)
        if live is None or live.epoch != answer.epoch:
            writing.leave_epoch()

    async def _acknowledge(self, answer: IngestResponse) -> None:
        """In small transactions: a receipt may be waiting behind each."""
        sent, self._sent = self._sent, None
        parts = sent.parts(answer) if sent is not None else [(answer, None)]
        try:
            for part, reached in parts:
                acknowledge = partial(Writing.acknowledge, response=part, reached=reached)
                await self._store.write(acknowledge, drains=True)
        except AckRefusedError as error:
            _log.warning("acknowledgement_refused", acked_through=answer.acked_through, reason=str(error))
            self._session.ack_refused(_now(), self._chance())

    async def _keep_joining(self, answer: HeartbeatResponse) -> None:
        """The key of codes, which a centre tells once it has one, and the pages on which people join with one, and
        have points granted.
        """
        store, key = self._store, answer.code_key or self._store.code_key()
        pages = {JOIN_URL: answer.join_url or "", PHONE_URL: answer.phone_url or ""}
        if (key, *pages.values()) == (store.code_key(), store.join_url(), store.phone_url()):
            return

        def keep(writing: Writing) -> None:
            if key is not None:
                writing.set_meta(CODE_KEY, key)
            for name, url in pages.items():
                writing.set_meta(name, url)

        await self._store.write(keep, drains=True)

    async def _follow_schedule(self, answer: HeartbeatResponse) -> None:
        if answer.announced:
            follow = partial(follow_schedule, announced=answer.announced, now=answer.server_time)
            await self._store.write(follow, drains=True)

    async def _keep_program(self, step: FetchProgram, answer: SignedProgram) -> None:
        try:
            verified_program(answer, step.hash, self._program_key)
        except ProgramUnusableError as error:
            why = str(error)
            _log.warning("program_unusable", program=step.hash, reason=why)
            await self._store.write(lambda writing: refuse_program(writing, step.hash, why))
            self._session.program_unusable(step.hash, why, _now(), self._chance())
            return
        await self._store.write(lambda writing: keep_program(writing, answer))
        _log.info("program_kept", program=step.hash)

    async def _put_config_in_force(self, answer: SignedConfig) -> None:
        try:
            config = verified_config(answer, self._program_key)
            self._try(config)
        except ConfigUnusableError as error:
            _log.warning("config_unusable", config=answer.hash, reason=str(error))
            self._session.config_unusable(str(error), _now(), self._chance())
            return
        await self._store.write(lambda writing: keep_config(writing, answer))
        self._config_hash = answer.hash
        _log.info("config_in_force", config=answer.hash)

    def _try(self, config: CentreConfig) -> None:
        """Puts it in force before it is kept: what a register cannot run with is gone at its next start."""
        try:
            self._configured(config)
        except Exception as error:
            raise ConfigUnusableError(
                f"this register cannot run with the config of the centre ({type(error).__name__}) and goes on with the "
                "one before; publish that again there, and report this one"
            ) from error

    async def _put_item_map_in_force(self, step: FetchItemMap, answer: SignedItemMap) -> None:
        try:
            matcher = await asyncio.to_thread(verified_item_map, answer, step.hash, self._program_key)
        except ItemMapUnusableError as error:
            _log.warning("item_map_unusable", item_map=step.hash, reason=str(error))
            self._session.item_map_unusable(str(error), _now(), self._chance())
            return
        await self._store.write(lambda writing: keep_item_map(writing, answer))
        self._item_map_hash = matcher.hash
        _log.info("item_map_in_force", item_map=matcher.hash)
        self._mapped(matcher)

    async def _apply_chunk(self, step: FetchChunk) -> None:
        if await self._snapshots.apply(step):
            self._session.chunk_kept()
        else:
            _log.warning("snapshot_chunk_broken", index=step.index)
            self._session.chunk_broken(_now(), self._chance())

    # -- state -----------------------------------------------------------------------------------

    def _publish(self) -> None:
        online = self._session.online
        state = SyncState(
            online=online,
            since=self._state.since if online == self._state.online else self._clock(),
            queued=self._store.queued(),
            last_contact=self._last_contact,
            problems=self._problems(),
            silence=self._session.silence,
        )
        if state != self._state:
            self._state = state
            self._changed(state)

    def _problems(self) -> tuple[Problem, ...]:
        """What the session says, and what the store keeps of programs that cannot be used, network or not."""
        refused = kept_programs(self._store).refused.values()
        unusable = (Problem(code="program_unusable", detail=why) for why in refused)
        return tuple(dict.fromkeys((*self._session.problems, *unusable)))


def _apply_changes(writing: Writing, changes: tuple[Change, ...], through: int, as_of: datetime | None) -> None:
    writing.apply_changes(changes, through, as_of)


def _keep_allowances(writing: Writing, answer: AllowancesResponse) -> None:
    writing.keep_allowances(answer.allowances, answer.next, answer.centre_epoch)


def _status(error: CentreError) -> int | None:
    return error.status if isinstance(error, CentreRefusedError) else None


def _now() -> float:
    return asyncio.get_running_loop().time()
