"""The register's tie to its centre, from before it is enrolled to every exchange after.

Owns loading the enrolment, making client and loop from it, and what the badge says of them. Never decides
what is exchanged (`sync` does).
"""

from __future__ import annotations

import asyncio
import platform
import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from agent.verbosity import OF_THIS_PROCESS
from agent.view import BadgeView
from config.settings import CentreSettings
from loyalty.centre_config import CentreConfig
from loyalty.item_matching import ItemMatcher
from sync.client import CentreClient
from sync.configs import kept_configs
from sync.delayed_enrolment import DelayedCode, forget_all, forget_code, kept_code, note, told_of_code
from sync.enrolment import (
    Enrolment,
    EnrolmentCode,
    EnrolmentError,
    EnrolmentUnreachableError,
    NotEnrolledError,
    TokenRefusedError,
    device_key,
    load_enrolment,
    save_enrolment,
)
from sync.item_maps import kept_item_map
from sync.keys import KeyKeeper, SecretError
from sync.loop import LookedUp, SyncLoop, SyncState
from sync.network import NetworkSettingError, way_of
from sync.purging import Masked
from sync.session import HEARTBEAT_S
from sync.store.store import Store
from sync.updates import Updates
from sync.wire import UNANSWERED, Facts, NothingGranted, RegisterState, Wanted

# A machine that was imaged finds its network some time after it starts; the centre takes so many tries of a chain.
DELAYED_RETRY_S = 30.0

log = structlog.get_logger(__name__)


def facts() -> Facts:
    """What this machine says of itself to the centre."""
    return Facts(version=version("tillside"), platform=platform.platform(), hostname=platform.node())


class CentreLink:
    """Exchanges with the centre as long as the register is enrolled; waits for that until then.

    `configured` and `mapped` are told at once what the centre last said to do and what goods are, and again whenever
    it says something else. `masked` takes what named an erased member out of the spools. `told` says with each
    heartbeat how this register is. `given` is a code that somebody gave with the service: it is tried as one is that
    waits here, until the centre refuses it.
    """

    def __init__(
        self,
        *,
        folder: Path,
        keeper: KeyKeeper,
        store: Store,
        settings: CentreSettings,
        changed: Callable[[], None],
        configured: Callable[[CentreConfig | None], None],
        mapped: Callable[[ItemMatcher | None], None],
        masked: Masked,
        updates: Updates,
        told: Callable[[], RegisterState] | None = None,
        given: DelayedCode | None = None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._folder = folder
        self._keeper = keeper
        self._store = store
        self._settings = settings
        self._changed = changed
        self._configured = configured
        self._mapped = mapped
        self._masked = masked
        self._updates = updates
        self._told_of_itself = told
        self._given = given
        self._heartbeat_s = heartbeat_s
        # The item map in force, and the key of the centre that it is by: a large one is made ready once.
        self._item_map: ItemMatcher | None = None
        self._item_map_by: str | None = None
        self._rolled_back = ""
        self._enrolment_changed = asyncio.Event()
        self._loop: SyncLoop | None = None
        self._state: SyncState | None = None
        self.enrolment: Enrolment | None = None
        # A damaged one is told by `run`, again and again, where it can be seen.
        with suppress(EnrolmentError):
            self.enrolment = load_enrolment(folder)
        self._tell_config()

    @property
    def badge(self) -> BadgeView:
        state = self._state
        return BadgeView(
            enrolled=self.enrolment is not None,
            online=state.online if state is not None else False,
            since=state.since if state is not None else None,
            queued=self._store.queued(),
        )

    @property
    def last_contact(self) -> datetime | None:
        return self._state.last_contact if self._state is not None else None

    @property
    def silence(self) -> str:
        """Why the centre cannot be reached, in the operator's words; empty where it can."""
        return self._state.silence if self._state is not None else ""

    @property
    def code_given(self) -> str:
        """What became of the code that this register is to be enrolled by; empty where none was given."""
        return told_of_code(self._folder) if self.enrolment is None else ""

    @property
    def problems(self) -> tuple[str, ...]:
        """What of the exchange needs a person, in the operator's words."""
        told = tuple(problem.detail for problem in self._state.problems) if self._state is not None else ()
        return (*told, self._rolled_back) if self._rolled_back else told

    @property
    def item_map(self) -> str | None:
        """The hash of the item map in force."""
        return self._item_map.hash if self._item_map is not None else None

    def committed(self) -> None:
        """The store has something new."""
        if self._loop is not None:
            self._loop.wake()

    def take_up_enrolment(self) -> None:
        """The enrolment on the disk has changed: go on with that."""
        self._enrolment_changed.set()

    async def enrol_by(self, code: EnrolmentCode, register: str | None) -> None:
        """Spends a code; `register` is which of its store this is, which another code than that refuses.

        Raises EnrolmentError, NetworkSettingError, SecretError and OSError.
        """
        from sync.enrolling import enrol  # noqa: PLC0415 - once in a register's life

        way = way_of(self._settings.proxy, self._settings.ca_file)
        await enrol(code, self._folder, self._keeper, facts(), now=_now(), register=register, way=way)

    def take_up_kept(self) -> None:
        """What the centre said last came back from a damaged store: it is in force until the centre says more."""
        self._item_map_by = None
        self._tell_config()

    @property
    def is_online(self) -> bool:
        return self._state is not None and self._state.online

    def device_key(self) -> Ed25519PrivateKey:
        """The key by which this register proves itself. Raises EnrolmentError and SecretError."""
        return device_key(self.enrolment or load_enrolment(self._folder), self._keeper)

    async def want(self, wanted: Wanted) -> NothingGranted | None:
        """Asks the centre for points or a voucher; why it grants none (`sync.loop.SyncLoop.want`)."""
        return await self._loop.want(wanted) if self._loop is not None else UNANSWERED

    async def lookup(self, code: str) -> LookedUp:
        """What the centre knows of `code`, if it says so in time; a member is then also in the store."""
        return await self._loop.lookup(code) if self._loop is not None else LookedUp()

    async def run(self, ready: Callable[[], None]) -> None:
        """Exchanges until cancelled. Raises EnrolmentError, NetworkSettingError, SecretError and StoreError."""
        while True:
            self._enrolment_changed.clear()
            self._load()
            if self.enrolment is None:
                ready()
                await self._until_enrolled()
                continue
            try:
                await self._exchange(self.enrolment, ready)
            except Exception:
                self._changed()  # the badge goes offline with the exchange; a cancelled one tells nobody
                raise

    async def _until_enrolled(self) -> None:
        """Until somebody enrols this register, or a code that waits here can be spent."""
        while not self._enrolment_changed.is_set():
            wait_s = await self._spend_delayed()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._enrolment_changed.wait()

    async def _spend_delayed(self) -> float | None:
        """After how long to try again; None where nothing waits, or it is done."""
        kept = kept_code(self._folder)
        delayed = kept or self._given
        if delayed is None:
            return None
        try:
            await self.enrol_by(delayed.code, delayed.register)
        except TokenRefusedError as error:
            log.error("delayed_enrolment_refused", problem=str(error))
            self._note(delayed, str(error), refused=True)
            if kept is None:
                self._given = None
            elif kept_code(self._folder) == kept:  # no other was given meanwhile
                forget_code(self._folder)
            return None if self._given is None else 0.0
        except (EnrolmentError, NetworkSettingError, SecretError, OSError) as error:
            log.warning("delayed_enrolment_waits", problem=str(error))
            why = error.why if isinstance(error, EnrolmentUnreachableError) else str(error)
            self._note(delayed, why, refused=False)
            return DELAYED_RETRY_S
        self._enrolment_changed.set()
        return None

    def _note(self, delayed: DelayedCode, problem: str, *, refused: bool) -> None:
        with suppress(OSError):  # then the log alone tells it
            note(self._folder, delayed, problem, _now(), refused=refused)

    def _load(self) -> None:
        try:
            self.enrolment = load_enrolment(self._folder)
        except NotEnrolledError:
            self.enrolment = None
        if self.enrolment is not None:
            forget_all(self._folder)
        self._tell_config()
        self._changed()

    def _put_in_force(self, config: CentreConfig) -> None:
        """A config that has come. Raises what the register cannot run with; what was in force is so again."""
        try:
            self._configured(config)
        except Exception:
            self._tell_config()
            raise
        self._rolled_back = ""

    def _tell_config(self) -> None:
        """What this centre said last, network or not; None where it never said anything.

        One that this register cannot run with, though it could when it came, gives way to the one before.
        """
        self._rolled_back = ""
        kept = kept_configs(self._store, self.enrolment.program_key) if self.enrolment is not None else ()
        for hashed, config in kept:
            try:
                self._configured(config)
                break
            except Exception as error:  # noqa: BLE001 - whatever it is: the register starts without this config
                log.error("config_not_in_force", config=hashed, error=type(error).__name__)
                self._rolled_back = (
                    f"this version cannot run with the centre's config ({type(error).__name__}) and does without: "
                    "update the register, or publish another config at the centre"
                )
        else:
            self._configured(None)
        key = self.enrolment.program_key if self.enrolment is not None else None
        if key != self._item_map_by:
            self._item_map_by = key
            self._use_item_map(kept_item_map(self._store, key) if key is not None else None)

    def _use_item_map(self, matcher: ItemMatcher | None) -> None:
        self._item_map = matcher
        self._mapped(matcher)

    async def _exchange(self, enrolment: Enrolment, ready: Callable[[], None]) -> None:
        """Until the enrolment changes."""
        client = CentreClient(
            url=enrolment.url,
            ca_pem=enrolment.ca_pem,
            device=enrolment.device,
            key=device_key(enrolment, self._keeper),
            clock=_now,
            request_id=lambda: str(uuid.uuid4()),
            chance=random.SystemRandom().random,
            lookup_s=self._settings.lookup_deadline_ms / 1000,
            way=way_of(self._settings.proxy, self._settings.ca_file),
            last_contact=lambda: self._store.feed().as_of,
        )
        tasks: list[asyncio.Task[Any]] = []
        try:
            self._loop = SyncLoop(
                store=self._store,
                client=client,
                device=enrolment.device,
                program_key=enrolment.program_key,
                facts=facts(),
                clock=_now,
                chance=random.SystemRandom().random,
                changed=self._told,
                configured=self._put_in_force,
                mapped=self._use_item_map,
                item_map=self.item_map,
                masked=self._masked,
                updates=self._updates,
                told=self._told_of_itself,
                logs=OF_THIS_PROCESS.more_for,
                placed=partial(self._stands_at, enrolment.device),
                heartbeat_s=self._heartbeat_s,
            )
            exchanging = asyncio.create_task(self._loop.run(ready))
            tasks += (exchanging, asyncio.create_task(self._enrolment_changed.wait()))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if exchanging.done():
                exchanging.result()
        finally:
            self._loop = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._state = _ended(self._state)
            await client.close()

    def _stands_at(self, device: str, store: str, register: str) -> None:
        """The centre says where this register is. What cannot be kept now is told again with the next heartbeat."""
        known = self.enrolment
        if known is None or known.device != device or (known.store, known.register) == (store, register):
            return
        moved = replace(known, store=store, register=register)
        try:
            if load_enrolment(self._folder) == known:  # not enrolled anew this moment
                save_enrolment(self._folder, moved)
                self.enrolment = moved
        except (EnrolmentError, OSError) as error:
            log.warning("move_not_kept", error=type(error).__name__)
            return
        log.info("moved", store=store, register=register)
        self._changed()

    def _told(self, state: SyncState) -> None:
        self._state = state
        self._changed()


def _ended(state: SyncState | None) -> SyncState | None:
    """Nothing is exchanged any more, whatever the last exchange came to."""
    return replace(state, online=False, since=_now()) if state is not None and state.online else state


def _now() -> datetime:
    return datetime.now(UTC)
