"""Tells people of registers by webhook and e-mail.

Owns when to look, the two ways out, and how often each is tried. What is news `central.alerts` decides. A message that
cannot be sent in the end is logged and given up: the fleet page has what it said.
"""

from __future__ import annotations

import asyncio
import random
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from datetime import timedelta
from email.message import EmailMessage
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from central import alerts, programs, releases
from central.alerts import Message, Watch
from central.clock import Clock
from central.db.database import Database
from central.db.dialects import Way
from central.fleet_rows import known
from central.folder import AlertSettings, DataFolder, MailSettings
from central.opening import open_since, spans_of
from central.releases import Release
from sync.retry import Backoff, CappedFullJitter

_log = structlog.get_logger(__name__)

# How often registers are looked at: they speak as often.
LOOK_EVERY_S: Final = 30.0
# A server that does not answer for this long counts as one that failed.
PATIENCE_S: Final = 15.0
ATTEMPTS: Final = 5
BACKOFF: Final = Backoff(base_s=2.0, cap_s=60.0)
# A mail server's answers from here on are no for good.
FINAL: Final = 500
# A webhook's answer is not read beyond this; it is only told to who tests it.
MAX_ANSWER_BYTES: Final = 300

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class NotSentError(RuntimeError):
    """A message did not go out by one way. The text says what to do, and holds no secret."""


class _NotNowError(NotSentError):
    """The same, of what may be over in a moment."""


class Alerting:
    """Looks at the registers again and again while a centre serves, as its settings are at that moment."""

    def __init__(self, folder: DataFolder, database: Database, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        self._folder = folder
        self._database = database
        self._clock = clock
        self._sleep = sleep
        self._watch = Watch()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the edge: registers are served whatever becomes of an alert
                _log.error("registers_not_looked_at", error=type(error).__name__)
            await self._sleep(LOOK_EVERY_S)

    async def _tell_of_releases(self, settings: AlertSettings, brand: str) -> None:
        """Those that stopped by themselves or get nowhere: once, as registers are."""
        stopped = await self._database.read(releases.untold)
        if not stopped:
            return
        await self._database.write(lambda connection: releases.keep_told(connection, stopped), Way.BESIDE)
        for failed in await send(settings, message_of_releases(stopped, brand), self._sleep):
            _log.error("alert_not_sent", releases=len(stopped), reason=str(failed))

    async def look(self) -> None:
        """Tells what is news. What was told is kept before it is sent: nobody is told twice."""
        settings = await asyncio.to_thread(self._folder.settings)
        if settings.alerts is None:
            return
        await self._tell_of_releases(settings.alerts, settings.brand)
        silent_after = timedelta(minutes=settings.alerts.silent_after_min)
        registers, told, zone = await self._database.read(
            lambda connection: (known(connection), alerts.told(connection), programs.zone(connection))
        )
        now, spans = self._clock(), spans_of(settings.alerts.open) if settings.alerts.open else ()
        since = open_since(spans, now.astimezone(zone)) if spans else alerts.ALWAYS
        news = self._watch.news(registers, told, silent_after, now, since)
        if not news:
            return
        await self._database.write(lambda connection: alerts.keep_told(connection, news), Way.BESIDE)
        for failed in await send(settings.alerts, alerts.message_of(news, settings.brand), self._sleep):
            _log.error("alert_not_sent", registers=len(news), reason=str(failed))


def message_of_releases(told: Sequence[Release], brand: str) -> Message:
    """Of releases that stopped by themselves, and of those that get nowhere."""
    heads = [f"{one.version} {'stopped' if one.stopped else 'gets nowhere'}" for one in told]
    lines = [f"{brand}, releases: {', '.join(heads)}"]
    for one in told:
        lines.append(f"- {one.version}, ring {one.ring}: {one.stopped or one.waits}")
        first = "nobody else is offered it; once it is clear why" if one.stopped else releases.REMEDY
        lines.append(f"    {first}: tillside-central release go-on {one.version}")
    return Message(text="\n".join(lines), alerts=())


async def send(
    settings: AlertSettings, message: Message, sleep: Sleep = asyncio.sleep, *, attempts: int = ATTEMPTS
) -> tuple[NotSentError, ...]:
    """Sends by each way that is set up, at the same time; returns why one failed for good."""
    retrying = AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=CappedFullJitter(BACKOFF, random.random),
        retry=retry_if_exception_type(_NotNowError),
        sleep=sleep,
        reraise=True,
    )

    async def sent(way: Callable[[T, Message], Awaitable[None]], where: T) -> NotSentError | None:
        try:
            await retrying.copy()(way, where, message)
        except NotSentError as error:
            return error
        return None

    ways = []
    if settings.webhook is not None:
        ways.append(sent(_post, settings.webhook))
    if settings.mail is not None:
        ways.append(sent(_mail, settings.mail))
    return tuple(filter(None, await asyncio.gather(*ways)))


async def _post(url: str, message: Message) -> None:
    """The address often holds a secret, so no error names it."""
    body, headers = msgspec.json.encode(message), {"Content-Type": "application/json"}
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=PATIENCE_S)) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            status, said = answer.status, await answer.content.read(MAX_ANSWER_BYTES)
    except (ClientError, TimeoutError, OSError) as error:
        raise _NotNowError(f"the webhook cannot be reached ({type(error).__name__})") from error
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return
    why = f"the webhook answered {status}: {said.decode(errors='replace')}"
    if (
        status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        raise _NotNowError(why)
    raise NotSentError(f"{why}; correct its address: tillside-central alerts set --webhook")


async def _mail(settings: MailSettings, message: Message) -> None:
    await asyncio.to_thread(_hand_in, settings, message)


def _hand_in(settings: MailSettings, message: Message) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = message.subject, settings.sender, ", ".join(settings.to)
    mail.set_content(message.text)
    try:
        with closing(smtplib.SMTP(settings.server.host, settings.server.port, timeout=PATIENCE_S)) as server:
            if settings.tls:
                server.starttls(context=ssl.create_default_context())
            if settings.user is not None:
                server.login(settings.user, settings.password)
            server.send_message(mail)
            with suppress(smtplib.SMTPException, OSError):  # it was taken: whoever says goodbye badly gets it once
                server.quit()
    except (smtplib.SMTPException, OSError) as error:
        why = f"no mail can be sent by {settings.server} ({type(error).__name__})"
        if not _is_final(error):
            raise _NotNowError(why) from error
        raise NotSentError(f"{why}; correct the account or the addresses: tillside-central alerts set") from error


def _is_final(error: Exception) -> bool:
    """Whether a server will say the same again: a 5xx, or no STARTTLS or no accounts where there should be."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            return all(code >= FINAL for code, _ in error.recipients.values())
        case smtplib.SMTPResponseException():
            return error.smtp_code >= FINAL
    return isinstance(error, smtplib.SMTPNotSupportedError)
