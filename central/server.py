"""The serving process: its listeners, the sequencer, and what happens by itself.

Owns starting, stopping and the periodic work. Decides nothing about members or points.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from central import (
    allowances,
    devices,
    feed,
    folding,
    ledger,
    planning,
    programs,
    quarantine,
    releases,
    scopes,
    states,
    vouchers,
)
from central.admin.pages import AdminPages
from central.alerting import Alerting
from central.certificates import ensure_certificates, present_certificate, server_context
from central.clock import Clock
from central.db.database import Database
from central.db.dialects import Way
from central.device_api import DeviceApi
from central.devices import Randomness
from central.doorway import Doorway
from central.feed import Sequencer
from central.folder import Address, DataFolder, FolderError
from central.join_page.routes import JoinPage
from central.journal import Journal
from central.live import LiveConnections, tell_of_allowances, tell_registers
from central.snapshots import Snapshots
from sync.signing import public_key_text

_log = structlog.get_logger(__name__)

# How often to look for what other processes did: members imported or linked, registers revoked.
LOOK_EVERY_S = 0.5
# Points mature by the day; a minute is soon enough.
MATURE_EVERY = timedelta(minutes=1)
MATURED_AT_ONCE = 1000
# A member who bought something here comes to the next till later than this.
PLAN_EVERY = timedelta(seconds=2)
FORGET_EVERY = timedelta(minutes=1)
# Who was not seen at a store for a year may stay a day longer.
LET_GO_EVERY = timedelta(days=1)
RELEASE_EVERY = timedelta(minutes=1)
# The server's certificate is renewed a year before its end.
CERTIFICATE_EVERY = timedelta(days=1)
# Answers still under way when told to stop get this long.
SHUTDOWN_S = 5.0


class Ready(Struct, frozen=True, kw_only=True):
    """Printed once all listeners take connections. `join` is where telephones reach the join page, if there is one."""

    device_api: str
    admin: str
    open: str
    join: str | None = None


class Server:
    """A centre that serves from one data folder until it is told to stop."""

    def __init__(self, folder: DataFolder, *, clock: Clock, randomness: Randomness = secrets.token_bytes) -> None:
        self._folder = folder
        self._clock = clock
        self._randomness = randomness

    async def run(self, ready: Callable[[Ready], None], stop: asyncio.Event) -> None:
        """Raises DatabaseError or FolderError when the data folder cannot be served as it is."""
        settings = self._folder.settings()
        database = Database(self._folder.database)
        try:
            database.check_version()
            await asyncio.to_thread(database.serve_alone)
            await asyncio.to_thread(ensure_certificates, self._folder, settings.hosts, self._clock())
            await self._serve(database, ready, stop)
        finally:
            database.close()

    async def _serve(self, database: Database, ready: Callable[[Ready], None], stop: asyncio.Event) -> None:
        settings = self._folder.settings()
        join_url = settings.join.url if settings.join is not None else None
        live, journal = LiveConnections(), Journal(self._folder.journal)
        sequencer = Sequencer(database, self._clock, partial(tell_registers, database, live))
        snapshots = Snapshots(self._folder.snapshots, database)
        doorway = Doorway(database=database, journal=journal, randomness=self._randomness)
        api = DeviceApi(
            database=database,
            sequencer=sequencer,
            snapshots=snapshots,
            live=live,
            doorway=doorway,
            ca_pem=self._folder.ca_certificate.read_bytes(),
            program_key=public_key_text(self._folder.program_key()),
            join_url=join_url,
            releases_in=self._folder.releases,
            clock=self._clock,
            randomness=self._randomness,
        )
        pages = AdminPages(
            database=database,
            sequencer=sequencer,
            journal=journal,
            folder=self._folder,
            secret=self._folder.admin_secret(),
            brand=settings.brand,
            refused=doorway.refused,
            clock=self._clock,
            randomness=self._randomness,
        )
        async with contextlib.AsyncExitStack() as stack:
            tls = server_context(self._folder)
            devices_at = await _listen(stack, api.application(), settings.listen, tls)
            stack.push_async_callback(snapshots.close)
            stack.push_async_callback(live.shut_all)
            admin_at = await _listen(stack, pages.application(), settings.admin, None)
            pages.bound_to(admin_at)
            if settings.join is not None:
                joins = JoinPage(
                    settings=settings.join,
                    brand=settings.brand,
                    database=database,
                    sequencer=sequencer,
                    clock=self._clock,
                    randomness=self._randomness,
                    key=self._folder.program_key(),
                )
                await _listen(stack, joins.application(), settings.join.listen, None)
            await asyncio.to_thread(self._folder.note_serving, devices_at, admin_at)
            await self._apply_what_may(database)
            await sequencer.place()
            works = (
                self._upkeep(database, tls),
                _again_and_again(partial(_tell_news, database, sequencer, live)),
                _again_and_again(partial(_shut_revoked, database, live)),
            )
            upkeep = [asyncio.create_task(work) for work in works]
            for task in upkeep:
                stack.push_async_callback(_cancelled, task)
            alerting = asyncio.create_task(Alerting(self._folder, database, self._clock).run())
            stack.push_async_callback(_cancelled, alerting)
            link = await pages.one_time_link()
            ready(Ready(device_api=f"https://{devices_at}", admin=f"http://{admin_at}", open=link, join=join_url))
            _log.info("serving", device_api=str(devices_at), admin=str(admin_at))
            stopped = asyncio.create_task(stop.wait())
            stack.push_async_callback(_cancelled, stopped)
            await asyncio.wait({stopped, *upkeep}, return_when=asyncio.FIRST_COMPLETED)
            _log.info("stopping")
            for task in upkeep:
                if task.done():
                    task.result()

    async def _upkeep(self, database: Database, tls: ssl.SSLContext) -> None:
        """What no request asks for. A busy or full database is tried again; anything else ends `serve`."""
        mature, plan, forget, renew, let_go, release = (
            _Every(span, self._clock())
            for span in (MATURE_EVERY, PLAN_EVERY, FORGET_EVERY, CERTIFICATE_EVERY, LET_GO_EVERY, RELEASE_EVERY)
        )
        while True:
            try:
                await asyncio.to_thread(database.serve_alone)
                if mature.due(self._clock()):
                    await self._mature(database)
                    await self._apply_what_may(database)
                if plan.due(self._clock()):
                    await self._plan(database)
                if renew.due(self._clock()):
                    await self._renew_certificate(tls)
                if forget.due(self._clock()):
                    await database.write(
                        lambda connection: devices.forget_old_requests(connection, self._clock()), Way.BESIDE
                    )
                if let_go.due(self._clock()):
                    await _let_go(database, self._clock)
                if release.due(self._clock()):
                    await self._release(database)
            except OperationalError as error:
                _log.error("upkeep_failed", error=str(error.orig))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _apply_what_may(self, database: Database) -> None:
        """Apply what was set aside for a reason that is gone: an older version, two machines under one identity.

        All that waits is looked through once; what waits for something that this brings has its turn the next time.
        """
        through: int | None = 0
        while through is not None:
            found = await database.read(partial(quarantine.ripe, after=through))
            if found.items:
                retry = partial(quarantine.retry, now=self._clock(), items=found.items)
                again = await database.write(retry)
                _log.info("quarantine_applied", applied=again.applied, waiting=again.waiting)
            through = found.through

    async def _mature(self, database: Database) -> None:
        """Confirm what is no longer pending, in transactions that leave room for others between them."""
        done: list[str] = []
        while True:
            due = await database.write(lambda connection: _mature(connection, self._clock()))
            # The same members again would mean that nothing came of it: the next minute is soon enough for that.
            if not due or due == done:
                return
            done = due

    async def _plan(self, database: Database) -> None:
        """Set points aside where members shop, of a bounded number of them in a transaction."""
        while await database.read(lambda connection: planning.may_plan(connection, self._clock())):
            await database.write(lambda connection: planning.plan(connection, self._clock(), self._randomness))

    async def _release(self, database: Database) -> None:
        """Let releases go on or stop, and say anew that what was released is still the newest."""
        for moved in await database.write(lambda connection: releases.move(connection, self._clock())):
            if moved.stopped:
                _log.error("release_stopped", version=moved.version, ring=moved.ring, reason=moved.stopped)
            else:
                _log.info("release_goes_on", version=moved.version, ring=moved.ring)
        if not self._folder.releases.exists():
            return
        # Only a centre that releases pays for what this loads.
        from central.release_folder import ReleaseError, ReleaseFolder  # noqa: PLC0415

        try:
            soon = await asyncio.to_thread(ReleaseFolder(self._folder.releases).renew, self._clock())
        except (OSError, ReleaseError) as error:
            _log.error("releases_not_renewed", error=str(error))
        else:
            for kind, until in soon.items():
                _log.warning("releases_end_soon", signed=kind, until=until.isoformat())

    async def _renew_certificate(self, tls: ssl.SSLContext) -> None:
        """Registers connect on; the certificate in use is good for a year more, so a failure is only said."""
        try:
            hosts = self._folder.settings().hosts
            if await asyncio.to_thread(ensure_certificates, self._folder, hosts, self._clock()):
                present_certificate(tls, self._folder)
                _log.info("certificate_renewed")
        except (FolderError, OSError, ValueError) as error:
            _log.error("certificate_not_renewed", error=str(error))


class _Every:
    """Something that is due now, and again each time `span` has passed."""

    def __init__(self, span: timedelta, now: datetime) -> None:
        self._span = span
        self._next = now

    def due(self, now: datetime) -> bool:
        if now < self._next:
            return False
        self._next = now + self._span
        return True


def _mature(connection: Connection, now: datetime) -> list[str]:
    """Confirm what is no longer pending, and look at tiers, of MATURED_AT_ONCE members at most; returns which."""
    due = ledger.matured(connection, now, MATURED_AT_ONCE)
    # After the schedule changed what a tier is reached with has to be counted first: that is more work.
    uncounted = sorted(states.without(connection, due))[: folding.AT_ONCE]
    if uncounted and states.are_kept(programs.schedule(connection)):
        due = uncounted
        folding.fold_anew(connection, due, now)
    ledger.refresh_balances(connection, due, now)
    allowances.recall_expired(connection, due, now)
    vouchers.recall_over(connection, now)
    feed.note_changes(connection, due, now)
    return due


async def _let_go(database: Database, clock: Clock) -> None:
    """Members leave the scopes of stores that have not seen them, a bounded number in a transaction."""
    while await database.write(lambda connection: scopes.let_go(connection, clock())):
        pass


async def _again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """What must not wait for the upkeep, which may take long. A busy or full database is tried again."""
    while True:
        try:
            await work()
        except OperationalError as error:
            _log.error("upkeep_failed", error=str(error.orig))
        await asyncio.sleep(LOOK_EVERY_S)


async def _tell_news(database: Database, sequencer: Sequencer, live: LiveConnections) -> None:
    await sequencer.place_if_any()
    await tell_of_allowances(database, live)


async def _shut_revoked(database: Database, live: LiveConnections) -> None:
    connected = live.devices()
    if not connected:
        return
    revoked = connected & await database.read(devices.revoked_devices)
    for device in revoked:
        _log.info("live_connection_shut", device=device)
    await live.shut(revoked, b"this device was revoked")


async def _listen(
    stack: contextlib.AsyncExitStack, app: web.Application, address: Address, tls: ssl.SSLContext | None
) -> Address:
    """Start a listener; returns where it really is."""
    # Bodies stay as sent: a signature covers them compressed, and must hold before they are opened.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, auto_decompress=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, address.host, address.port, ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        raise FolderError(
            f"cannot listen on {address}: {error.strerror or error}; stop what listens there, "
            "or give another address to `tillside-central init`"
        ) from error
    port = runner.addresses[0][1]
    return Address(host=address.host, port=port)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
