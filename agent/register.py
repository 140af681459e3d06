"""One register, put together: store, checkout, drivers, exchange with the centre, local API.

Owns starting and stopping in the right order, and joining the parts. Never decides anything that a part
can decide.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from agent.access import TOKEN_BYTES, Access
from agent.api import LocalApi
from agent.attaching import claiming
from agent.booking import Rules, book, checkout_of
from agent.centre import CentreLink
from agent.control import Control, new_token, remove_control, write_control
from agent.counter import Counter
from agent.desk import Desk, restored
from agent.invitations import Invitations
from agent.joining import Joining
from agent.layouts import templates_of
from agent.listening import CappedSite, runner_of
from agent.phone_points import GrantScans, PhonePoints
from agent.pos_token import token_in_force
from agent.profiles import Profiles
from agent.promises import Promises
from agent.recent import recent_receipts
from agent.recognition import Recognition
from agent.relay_word import RelayWatch
from agent.sales import Sales
from agent.scanned_enrolment import ScannedEnrolment
from agent.scans import ScanIntake
from agent.setting_checks import reading_problems, way_problem
from agent.state import place_of, sources_of
from agent.store_inspection import Live, StoreInspection
from agent.supervisor import Clocks, Health, Supervisor, Worker
from agent.tokens import origin_tokens, page_tokens
from agent.updating.versions import Versions
from agent.updating.wish import CentreUpdates
from agent.view import PlaceView
from agent.voucher_scans import VoucherScans
from config.load import state_folder
from config.settings import SPOOL_OPTION, ReceiptSettings, ScannerSettings, Settings
from drivers.clock import boot_id, now
from drivers.registry import load_scanner
from drivers.scanning.driver import ScanEvent, ScannerDriver
from drivers.scanning.scan import Parse
from loyalty.centre_config import CentreConfig, LayoutTemplate
from loyalty.consent_texts import ConsentTexts
from sync.delayed_enrolment import given_code
from sync.enrolment import EnrolmentCode
from sync.guesses import Guesses
from sync.keys import KeyKeeper
from sync.network import NetworkSettingError
from sync.session import HEARTBEAT_S
from sync.store.errors import StoreUnavailableError
from sync.store.purge_rows import starred, written_anyhow
from sync.store.rows import Committed
from sync.store.store import Store
from sync.updates import NoUpdates, Updates

if TYPE_CHECKING:
    from agent.bookkeeping import Bookkeeper, Take
    from agent.central_templates import CentralTemplates
    from agent.matching import Matching
    from agent.rereading import Rereader
    from agent.webhook import Webhook
    from drivers.receipts.port import DecodeOptions
    from drivers.receipts.template import Template

# The driver that reads what the relay heard; the rules are handed to its relay.
SHARED = "shared"
# After a damaged store was set aside: sources read on once their receipts are known again, or after this. What the
# relay spools meanwhile is safe.
RECEIPTS_BACK_WITHIN_S = 30.0
# Pages that are open are told; they do not hold up the end.
STOP_WITHIN_S = 2.0
# After a commit until the queue on the page is counted anew: who waits for the commit is answered before, and commits
# that come one upon the other are counted once.
QUEUE_COUNTED_AFTER_S = 0.05

log = structlog.get_logger(__name__)


Run = Callable[[Callable[[], None]], Awaitable[None]]


class PageUnavailableError(OSError):
    """The local API cannot listen. The message names the address and the remedy."""


class Running(Struct, frozen=True, kw_only=True):
    """Where a register that runs can be found."""

    page: str
    pid: int
    enrolled: bool


class Register:
    """The running register of one settings file, which `file` names to people."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        keeper: KeyKeeper,
        *,
        file: str = "settings",
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._settings = settings
        self._file = file
        self._store = store
        self._state = state_folder(settings)
        page = settings.page
        self._control = Control(host=page.host, port=page.port, token=new_token(), pid=os.getpid())
        pages = page_tokens(self._state)
        self._access = Access(
            host=page.host,
            port=page.port,
            control_token=self._control.token,
            monotonic_s=time.monotonic,
            token=lambda: secrets.token_urlsafe(TOKEN_BYTES),
            own_role_of=pages.role_of,
            admit=lambda origin, role: pages.make(origin, role, now().wall)[1],
            pos_token=lambda: token_in_force(keeper),
            origins=page.origins,
            role_of=origin_tokens(self._state).role_of,
        )
        self._reading_changed = asyncio.Event()
        self._to_count: asyncio.TimerHandle | None = None
        self._recognition = Recognition(settings.identification)
        self._rules = Rules()
        # Until the next start, as the settings are: what cannot be read by them waits where it is.
        self._unreadable = {
            source.name: problem
            for source in settings.receipts
            if (problem := next(reading_problems(source, file), None)) is not None
        }
        self._templates = templates_of(settings, without=self._unreadable)
        self._published: tuple[LayoutTemplate, ...] = ()
        self._consents: ConsentTexts | None = None
        self._central_templates: CentralTemplates | None = None
        self._inspection = StoreInspection(store, self._live, options=self._options)
        self._link = CentreLink(
            folder=self._state,
            keeper=keeper,
            store=store,
            settings=settings.centre,
            changed=self._centre_changed,
            configured=self._configured,
            mapped=self._rules.map_items_with,
            masked=self._mask_spools,
            updates=_updates(self._state),
            told=self._inspection.told_to_centre,
            given=given_code(settings.register.register),
            heartbeat_s=heartbeat_s,
        )

    async def run(self, ready: Callable[[Running], None], stop: asyncio.Event) -> None:
        """Runs until `stop` is set. Raises PageUnavailableError."""
        loop = asyncio.get_running_loop()
        phone = PhonePoints(self._store, self._link)
        promises = Promises(self._store, lambda: now().wall, phone.reach)
        invitations = Invitations(self._store, self._store_name)
        self._desk = Desk(
            language=self._settings.register.language,
            place=self._place(),
            clock=now,
            find_member=self._store.member_by_code,
            checkout=restored(checkout_of(self._store, boot_id()), now()),
            schedule=loop.call_later,
            promise=promises.of,
            recent=lambda: recent_receipts(self._store, now()),
            invites=lambda: invitations.are_offered,
            invitation=invitations.view,
            consents=lambda: self._consents,
            phone=phone.view,
            asks=lambda scan: promises.has_by_allowance() and phone.asks_for(scan),
        )
        self._receipts_back = asyncio.Event()
        self._scans = ScanIntake(
            store=self._store,
            desk=self._desk,
            lookup=self._link.lookup,
            guesses=lambda: self._recognition.guesses,
            book_receipt=self._book_receipt,
            enrol_by=self._scanned_enrolment().take,
            grants=GrantScans(phone, self._desk).take,
        )
        self._matching = self._matching_of_sources()
        self._central_templates = self._templates_of_centre()
        self._webhook = self._webhook_source()
        guesses = Guesses(time.monotonic)
        self._sales = Sales(
            self._store,
            self._rules,
            self._link,
            parse=self._recognition.parse,
            identification=lambda: self._recognition.rules,
            now=now,
            sleep=asyncio.sleep,
            guesses=guesses,
            webhook=self._webhook,
        )
        self._supervisor = Supervisor(self._workers(), _clocks(), self._workers_changed)
        self._store.listen(self._committed)
        self._desk.set_badge(self._link.badge)
        profiles = Profiles(self._store, claiming(self._rules, self._desk))
        counter = Counter(
            self._store,
            self._desk,
            self._scans,
            self._rules,
            self._link,
            parse=self._recognition.parse,
            now=now,
            monotonic_s=time.monotonic,
            guesses=guesses,
            invitations=invitations,
            phone=phone,
        )
        self._scans.hand_vouchers_to(VoucherScans(self._store, self._desk, self._sales, counter, promises.program))
        api = LocalApi(
            self._access,
            self._desk,
            self._inspection,
            self._supervisor,
            self._link.take_up_enrolment,
            profiles=profiles,
            guesses=guesses,
            sales=self._sales,
            counter=counter,
            joining=Joining(self._store, self._desk, profiles, guesses),
            webhook=self._webhook,
            rereader=self._rereader,
        )
        runner = runner_of(api.application(), stop_within_s=STOP_WITHIN_S)
        await runner.setup()
        try:
            await self._listen(runner, api)
            write_control(self._state, self._control)
            ready(
                Running(
                    page=f"{self._access.origin}/", pid=self._control.pid, enrolled=self._link.enrolment is not None
                )
            )
            await self._work_until(stop)
        finally:
            await self._scans.close()
            remove_control(self._state, self._control)
            await runner.cleanup()
            if self._to_count is not None:
                self._to_count.cancel()

    async def _listen(self, runner: web.AppRunner, api: LocalApi) -> None:
        page = self._settings.page
        try:
            await CappedSite(runner, page.host, page.port, known=api.known).start()
        except OSError as error:
            raise PageUnavailableError(
                f"cannot listen on {page.host}:{page.port} ({error.strerror}): another agent may run there; stop it, "
                "or set another [page] port"
            ) from error

    async def _work_until(self, stop: asyncio.Event) -> None:
        working = asyncio.create_task(self._supervisor.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        log.info("register_stopping")
        for task in (working, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # The workers

    def _workers(self) -> list[Worker]:
        scanners = [Worker(name=each.name, kind="scanner", run=self._scanner(each)) for each in self._settings.scanners]
        receipts = [Worker(name=each.name, kind="receipts", run=self._source(each)) for each in self._settings.receipts]
        relays = [
            Worker(name=name, kind="relay", run=RelayWatch(spool).run) for name, spool in self._spools_of_relays()
        ]
        rules = [
            Worker(name=each.name, kind="rules", run=self._rules_for(spool))
            for each in self._settings.scanners
            if (spool := spool_of_shared(each)) is not None
        ]
        if self._matching is not None:
            receipts.append(Worker(name="matching", kind="matching", run=self._matching.run))
        if self._central_templates is not None:
            rules.append(Worker(name="templates", kind="rules", run=self._central_templates.run))
        quarantine = [Worker(name="quarantine", kind="quarantine", run=self._read_again)] if receipts else []
        centre = Worker(name="centre", kind="sync", run=self._exchange)
        sales = Worker(name="sales", kind="sales", run=self._sales.run)
        return [centre, *self._salvages(), *scanners, *rules, *receipts, *relays, *quarantine, sales]

    def _spools_of_relays(self) -> list[tuple[str, Path]]:
        of_printers = [(each.name, each.spool) for each in self._settings.receipts if each.spool is not None]
        shared = ((each.name, spool_of_shared(each)) for each in self._settings.scanners)
        return of_printers + [(name, spool) for name, spool in shared if spool is not None]

    def _salvages(self) -> list[Worker]:
        """What brings back a store that was damaged, where there is one."""
        recovered = self._store.status().recovered
        if recovered is None or recovered.salvaged.done:
            self._receipts_back.set()
            return []
        return [Worker(name="salvage", kind="store", run=self._salvage)]

    async def _salvage(self, ready: Callable[[], None]) -> None:
        from sync.store.salvage import salvage  # noqa: PLC0415 - a damaged store is rare

        ready()
        await salvage(self._store, receipts_back=self._receipts_back.set)
        self._link.take_up_kept()
        await asyncio.Event().wait()  # a worker that ends is started again

    def _scanner(self, scanner: ScannerSettings) -> Run:
        async def run(ready: Callable[[], None]) -> None:
            await scanner_driver(scanner, self._recognition.parse).run(self._scans.take, ready)

        return run

    async def _book_receipt(self, event: ScanEvent) -> None:
        """The receipt whose code was scanned."""
        # Decoders are loaded where there is something to decode.
        from agent.scanned_receipts import ScannedReceipts  # noqa: PLC0415
        from drivers.receipts.port import DecodeOptions  # noqa: PLC0415

        scanned = ScannedReceipts(
            store=self._store,
            page=self._desk,
            options=DecodeOptions(store=self._place().store, register=self._place().register),
            boot=boot_id(),
            rules=self._rules,
        )
        await scanned.take(event)

    def _scanned_enrolment(self) -> ScannedEnrolment:
        return ScannedEnrolment(
            enrol=self._enrol_by,
            is_enrolled=lambda: self._link.enrolment is not None,
            enrolled=self._link.take_up_enrolment,
            page=self._desk,
            now=now,
        )

    async def _enrol_by(self, code: EnrolmentCode) -> None:
        await self._link.enrol_by(code, self._settings.register.register if code.asks_register else None)

    def _rules_for(self, spool: Path) -> Run:
        async def run(ready: Callable[[], None]) -> None:
            await self._recognition.hand_over(spool, ready)

        return run

    async def _exchange(self, ready: Callable[[], None]) -> None:
        try:
            await self._link.run(ready)
        except NetworkSettingError as error:
            raise way_problem(error, self._file) from error

    def _source(self, receipts: ReceiptSettings) -> Run:
        if receipts.webhook and self._webhook is not None:
            return self._webhook.run
        intake = self._intake(receipts)

        async def run(ready: Callable[[], None]) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(RECEIPTS_BACK_WITHIN_S):
                    await self._receipts_back.wait()
            if receipts.name in self._unreadable:
                raise self._unreadable[receipts.name]
            await intake(ready)

        return run

    def _matching_of_sources(self) -> Matching | None:
        if len(self._settings.receipts) < 2:
            return None
        from agent.matching import Matching  # noqa: PLC0415 - as below

        return Matching(store=self._store, rules=self._rules, boot=boot_id())

    def _webhook_source(self) -> Webhook | None:
        """What takes the POS's calls, where a source does."""
        source = next((each for each in self._settings.receipts if each.webhook), None)
        if source is None:
            return None
        from agent.webhook import Webhook  # noqa: PLC0415 - as below

        return Webhook(
            books=self._books(source.name),
            store=self._store,
            options=lambda: self._options(source.name),
            scans_taken=self._shared_scans_taken,
        )

    def _intake(self, receipts: ReceiptSettings) -> Run:
        async def run(ready: Callable[[], None]) -> None:
            # Decoders are loaded where there is something to decode.
            from agent.sources import intake_of  # noqa: PLC0415

            intake = intake_of(
                receipts,
                books=self._books(receipts.name),
                store=self._store,
                options=lambda: self._options(receipts.name),
                scans_taken=self._shared_scans_taken,
            )
            await intake.run(ready)

        return run

    async def _read_again(self, ready: Callable[[], None]) -> None:
        """What is in quarantine, once with what this start brought, and with the centre's templates as they change."""
        ready()
        while True:
            self._reading_changed.clear()
            if self._store.quarantined(1):
                await self._rereader().reread_stale()
            await self._reading_changed.wait()

    def _templates_changed(self) -> None:
        self._reading_changed.set()
        self._workers_changed()

    def _rereader(self) -> Rereader:
        from agent.reading_options import reading_in_force  # noqa: PLC0415 - as above
        from agent.rereading import Rereader  # noqa: PLC0415

        receipts = self._settings.receipts
        return Rereader(
            store=self._store,
            books=self._books,
            options=self._options,
            rules=self._rules,
            read_with=reading_in_force(self._options(name) for name in ("", *(each.name for each in receipts))),
        )

    def _books(self, source: str) -> Bookkeeper:
        from agent.bookkeeping import Bookkeeper  # noqa: PLC0415 - as above

        return Bookkeeper(
            name=source,
            store=self._store,
            take=self._take_of(source),
            settled=self._desk.settled,
            identification=lambda: self._recognition.rules,
        )

    def _take_of(self, source: str) -> Take:
        """Where a register has one source, nothing is matched to anything."""
        receipts = next((each for each in self._settings.receipts if each.name == source), None)
        if self._matching is None or receipts is None:
            return partial(book, boot=boot_id(), rules=self._rules)
        if receipts.authoritative:
            return self._matching.take_authoritative
        return partial(self._matching.take_further, source)

    def _options(self, source: str) -> DecodeOptions:
        own = self._own_options(source)
        return replace(own, templates=(*own.templates, *self._central_in_force()))

    def _central_in_force(self) -> tuple[Template, ...]:
        return self._central_templates.in_force if self._central_templates is not None else ()

    def _own_options(self, source: str) -> DecodeOptions:
        from agent.reading_options import options_of  # noqa: PLC0415 - as above

        return options_of(self._settings, self._place(), source, self._templates)

    def _templates_of_centre(self) -> CentralTemplates | None:
        """What tries the centre's templates, where there are receipts to read."""
        if not self._settings.receipts:
            return None
        from agent.central_templates import CentralTemplates  # noqa: PLC0415 - as above

        central = CentralTemplates(
            store=self._store,
            state=self._state,
            options=lambda: {source.name: self._own_options(source.name) for source in self._settings.receipts},
            changed=self._templates_changed,
        )
        central.publish(self._published)
        return central

    async def _mask_spools(self, texts: frozenset[str]) -> None:
        spools = [Path(each.spool) for each in self._settings.receipts if each.spool]
        spools += [spool for each in self._settings.scanners if (spool := spool_of_shared(each)) is not None]
        await mask_spools(spools, texts)

    async def _shared_scans_taken(self) -> None:
        from drivers.scanning.shared_scanner import scans_taken  # noqa: PLC0415 - where there is one

        shared = [spool for each in self._settings.scanners if (spool := spool_of_shared(each)) is not None]
        await asyncio.gather(*map(scans_taken, shared))

    # What the page and the command line are told

    def _committed(self, _committed: Committed) -> None:
        self._link.committed()
        if self._to_count is None:
            self._to_count = asyncio.get_running_loop().call_later(QUEUE_COUNTED_AFTER_S, self._count_queue)

    def _count_queue(self) -> None:
        self._to_count = None
        self._desk.set_badge(self._link.badge)
        self._desk.set_disk(self._store.disk_full)

    def _centre_changed(self) -> None:
        self._desk.set_place(self._place())
        self._desk.set_badge(self._link.badge)
        self._desk.set_health(self._health())

    def _configured(self, config: CentreConfig | None) -> None:
        self._recognition.use_central(config.identification if config is not None else ())
        self._published = config.templates if config is not None else ()
        self._consents = config.consents if config is not None else None
        if self._central_templates is not None:
            self._central_templates.publish(self._published)

    def _workers_changed(self) -> None:
        self._desk.set_disk(self._store.disk_full)
        self._desk.set_health(self._health())

    def _health(self) -> tuple[Health, ...]:
        refused = self._central_templates.problem if self._central_templates is not None else None
        problems = (*self._link.problems, *filter(None, [self._recognition.problem, refused]))
        return (*self._supervisor.health, *map(_of_centre, problems))

    def _place(self) -> PlaceView:
        return place_of(self._settings, self._link.enrolment)

    def _store_name(self) -> str | None:
        """The store by the centre's word: codes of any other name would be none of ours."""
        return self._link.enrolment.store if self._link.enrolment is not None else None

    def _live(self) -> Live:
        return Live(
            running=True,
            place=self._place(),
            badge=self._link.badge,
            page=f"{self._access.origin}/",
            device=self._link.enrolment.device if self._link.enrolment is not None else None,
            last_contact=self._link.last_contact,
            silence=self._link.silence,
            code_given=self._link.code_given,
            workers=self._health(),
            rules=self._recognition.in_force,
            templates=tuple(template.name for template in self._central_in_force()),
            sources=sources_of(self._settings),
            item_map=self._link.item_map,
            serving=self._desk.serving() is not None,
        )


def _updates(state: Path) -> Updates:
    versions = Versions.around(Path(__file__))
    return CentreUpdates(state, versions) if versions is not None else NoUpdates()


def _of_centre(problem: str) -> Health:
    """What the centre will not do, told like a worker that fails."""
    return Health(name="centre", kind="sync", condition="failing", problem=problem)


async def mask_spools(spools: Iterable[Path], texts: frozenset[str]) -> None:
    """An erased member was known by these: they go from print jobs and scans that were read already.

    Raises StoreUnavailableError where a spool cannot be written: the erasure waits for that.
    """
    if not texts:
        return
    from drivers.relay.spool import change_acknowledged  # noqa: PLC0415 - seldom

    masks = [written_anyhow(text) for text in texts]
    for spool in spools:
        try:
            await asyncio.to_thread(change_acknowledged, spool, lambda raw: starred(raw, masks))
        except OSError as error:
            raise StoreUnavailableError(
                f"an erased member may stand in the spool {spool}, which cannot be written ({error.strerror}): let the "
                "agent's user read and write the files in it; until then nothing is exchanged with the centre"
            ) from error


def scanner_driver(scanner: ScannerSettings, parse: Parse) -> ScannerDriver:
    """A driver for one start. Raises RegistryError and DriverOptionsError."""
    return load_scanner(scanner.driver)({"name": scanner.name, **scanner.options}, now, parse)


def spool_of_shared(scanner: ScannerSettings) -> Path | None:
    """Where the relay keeps the scans of a scanner that it shares with the POS; None for a scanner of our own."""
    spool = scanner.options.get(SPOOL_OPTION) if scanner.driver == SHARED else None
    return Path(spool) if isinstance(spool, str) else None


def _clocks() -> Clocks:
    return Clocks(
        monotonic_s=time.monotonic,
        now=lambda: datetime.now(UTC),
        sleep=asyncio.sleep,
        chance=random.SystemRandom().random,
    )
