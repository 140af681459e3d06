"""Tells people of registers and releases by webhook and e-mail.

Owns when to look, and when to send what is kept. What is news `central.alerts` decides, how it goes out
`central.alert_ways`, what waits is kept by `central.alert_outbox`. A message that does not go out within a day is
logged and given up: the fleet page has what it said.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from central import alert_outbox, alerts, programs, releases
from central.alert_outbox import GIVEN_UP_AFTER, Waiting
from central.alert_ways import WAYS, AlertWay, NotNowError, NotSentError, send_by, set_up
from central.alerts import Message, Watch
from central.clock import Clock
from central.db.database import Database
from central.db.dialects import Way
from central.fleet_rows import known
from central.folder import AlertSettings, DataFolder
from central.opening import open_since, spans_of
from central.releases import Release
from central.texts import MAX_NAME_CHARS, one_line

_log = structlog.get_logger(__name__)

# How often registers are looked at: they speak as often. What waits to go out is looked at as often.
LOOK_EVERY_S: Final = 30.0

Sleep = Callable[[float], Awaitable[None]]


class Alerting:
    """Looks at the registers again and again while a centre serves, as its settings are at that moment.

    Each way out has a turn of its own: none holds another, nor the next look.
    """

    def __init__(
        self,
        folder: DataFolder,
        database: Database,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._folder = folder
        self._database = database
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._watch = Watch()
        self._sent_with: dict[AlertWay, AlertSettings] = {}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as turns:
            turns.create_task(self._again_and_again(self.look))
            for way in WAYS:
                turns.create_task(self._again_and_again(partial(self.send, way)))

    async def _again_and_again(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the edge: registers are served whatever becomes of an alert
                _log.error("registers_not_looked_at", error=type(error).__name__)
            await self._sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Keeps what is news to be sent. That it was told is kept by the same act: nothing is lost nor made twice."""
        settings = await asyncio.to_thread(self._folder.settings)
        if settings.alerts is None:
            return
        brand = one_line(settings.brand, MAX_NAME_CHARS)
        stopped = await self._database.read(releases.untold)
        if stopped:
            message = message_of_releases(stopped, brand)
            await self._keep(settings.alerts, message, partial(releases.keep_told, told=stopped))
        silent_after = timedelta(minutes=settings.alerts.silent_after_min)
        registers, told, zone = await self._database.read(
            lambda connection: (known(connection), alerts.told(connection), programs.zone(connection))
        )
        now, spans = self._clock(), spans_of(settings.alerts.open) if settings.alerts.open else ()
        since = open_since(spans, now.astimezone(zone)) if spans else alerts.ALWAYS
        news = self._watch.news(registers, told, silent_after, now, since)
        if news:
            message = alerts.message_of([one.alert for one in news], brand)
            await self._keep(settings.alerts, message, partial(alerts.keep_told, news=news))

    async def _keep(self, settings: AlertSettings, message: Message, told: Callable[[Connection], None]) -> None:
        now = self._clock()

        def work(connection: Connection) -> int:
            told(connection)
            return alert_outbox.put(connection, set_up(settings), message, now)

        dropped = await self._database.write(work, Way.BESIDE)
        if dropped:
            _log.error("alerts_not_sent", messages=dropped, reason="too many wait; see why they do not go out")

    async def send(self, way: AlertWay) -> None:
        """Sends what is due by one way, the oldest first; after a failure of the way itself the rest waits with it."""
        now = self._clock()
        settings = (await asyncio.to_thread(self._folder.settings)).alerts
        if settings is None or way not in set_up(settings):
            if not await self._database.read(partial(alert_outbox.is_empty, way=way)):
                # What came since then may be of a way that was set up meanwhile.
                await self._database.write(partial(alert_outbox.forget, way=way, made_before=now), Way.BESIDE)
            return
        before, self._sent_with[way] = self._sent_with.get(way), settings
        if before not in (None, settings):
            await self._database.write(partial(alert_outbox.hasten, way=way, now=self._clock()), Way.BESIDE)
        for one in await self._database.read(partial(alert_outbox.due, way=way, now=self._clock())):
            try:
                await send_by(way, settings, one.message)
            except NotSentError as error:
                await self._in_vain(way, one, error)
                if isinstance(error, NotNowError):
                    return
            else:
                await self._database.write(partial(alert_outbox.gone, one=one), Way.BESIDE)

    async def _in_vain(self, way: AlertWay, one: Waiting, error: NotSentError) -> None:
        now, is_final = self._clock(), not isinstance(error, NotNowError)
        if now - one.made_at >= GIVEN_UP_AFTER:
            _log.error("alert_not_sent", way=way, reason=str(error))
            await self._database.write(partial(alert_outbox.gone, one=one), Way.BESIDE)
            return
        if not one.tries:
            _log.warning("alert_waits", way=way, reason=str(error))
        wait = partial(alert_outbox.wait, way=way, one=one, is_final=is_final, now=now, chance=self._chance())
        await self._database.write(wait, Way.BESIDE)


def message_of_releases(told: Sequence[Release], brand: str) -> Message:
    """Of releases that stopped by themselves, and of those that get nowhere."""
    heads = [f"{one.version} {'stopped' if one.stopped else 'gets nowhere'}" for one in told]
    lines = [f"{brand}, releases: {', '.join(heads)}"]
    for one in told:
        lines.append(f"- {one.version}, ring {one.ring}: {one.stopped or one.waits}")
        first = "nobody else is offered it; once it is clear why" if one.stopped else releases.REMEDY
        lines.append(f"    {first}: tillside-central release go-on {one.version}")
    return Message(text="\n".join(lines), alerts=())
