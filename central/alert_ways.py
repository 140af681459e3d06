"""The ways by which people are told: a webhook and mail, and one message by one of them, once.

Owns how each is spoken to, and how long that may take in all. Whatever fails here is a `NotSentError` that holds no
secret. Never tries again: `central.alerting` does.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from email.message import EmailMessage
from http import HTTPStatus
from threading import Thread
from typing import Final, Literal, get_args

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from central.alerts import Message
from central.folder import Address, AlertSettings, MailSettings

AlertWay = Literal["webhook", "mail"]
WAYS: Final[tuple[AlertWay, ...]] = get_args(AlertWay)

# A server that says nothing for this long counts as one that failed, and so does a message that is not through by then.
PATIENCE_S: Final = 15.0
DEADLINE_S: Final = 30.0
# A mail server's answers from here on are no for good.
FINAL: Final = 500


class NotSentError(RuntimeError):
    """A message did not go out by one way. The text says what to do, and holds no secret."""


class NotNowError(NotSentError):
    """The same, of what may be over in a moment, for every message."""


def set_up(settings: AlertSettings | None) -> tuple[AlertWay, ...]:
    """The ways that there are with these settings."""
    return tuple(way for way in WAYS if settings is not None and getattr(settings, way) is not None)


async def send(settings: AlertSettings, message: Message) -> tuple[NotSentError, ...]:
    """Sends once by each way that is set up, at the same time; returns why one failed."""

    async def sent(way: AlertWay) -> NotSentError | None:
        try:
            await send_by(way, settings, message)
        except NotSentError as error:
            return error
        return None

    return tuple(filter(None, await asyncio.gather(*map(sent, set_up(settings)))))


async def send_by(way: AlertWay, settings: AlertSettings, message: Message, deadline_s: float = DEADLINE_S) -> None:
    """Sends once by this way, which must be set up. Raises NotSentError, whatever is wrong."""
    try:
        async with asyncio.timeout(deadline_s):
            if way == "webhook" and settings.webhook is not None:
                await _post(settings.webhook, message)
            elif way == "mail" and settings.mail is not None:
                await _mail(settings.mail, message)
    except NotSentError:
        raise
    except TimeoutError as error:
        raise NotNowError(f"the {way} was not through within {deadline_s:g} s") from error
    except Exception as error:  # an address or a text of which a library makes nothing: it says so in its own way
        raise NotSentError(
            f"the {way} cannot be sent so ({type(error).__name__}); correct it: tillside-central alerts set"
        ) from error


async def _post(url: str, message: Message) -> None:
    """The address often holds a secret, and what is answered may repeat it: no error has either."""
    body, headers = msgspec.json.encode(message), {"Content-Type": "application/json"}
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=PATIENCE_S)) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            status = answer.status
    except (ClientError, TimeoutError, OSError) as error:
        raise NotNowError(f"the webhook cannot be reached ({type(error).__name__})") from error
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return
    why = f"the webhook answered {status}"
    if (
        status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        raise NotNowError(why)
    raise NotSentError(f"{why}; correct its address: tillside-central alerts set --webhook")


class _MailServer(smtplib.SMTP):
    """A mail server that is connected to later, so that somebody else has it by then, to cut it off."""

    def __init__(self, at: Address) -> None:
        super().__init__(timeout=PATIENCE_S)
        self._host = at.host  # whose certificate it shows
        self._at = at

    def open(self) -> None:
        self.connect(self._at.host, self._at.port)

    def cut(self) -> None:
        """Whoever waits for it in another thread waits no more."""
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


async def _mail(settings: MailSettings, message: Message) -> None:
    """By a thread that neither outlives the wait for it nor holds a process that ends.

    A server that goes on saying little, byte by byte, is patient with every timeout of a socket.
    """
    server, outcome = _MailServer(settings.server), Future[None]()

    def work() -> None:
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                _hand_in(server, settings, message)
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                outcome.set_exception(error)
            else:
                outcome.set_result(None)

    Thread(target=work, name="alert-mail", daemon=True).start()
    try:
        await asyncio.wrap_future(outcome)
    finally:
        server.cut()


def _hand_in(server: _MailServer, settings: MailSettings, message: Message) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = message.subject, settings.sender, ", ".join(settings.to)
    mail.set_content(message.text)
    try:
        server.open()
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
            raise NotNowError(why) from error
        raise NotSentError(f"{why}; correct the account or the addresses: tillside-central alerts set") from error
    finally:
        server.close()


def _is_final(error: Exception) -> bool:
    """Whether a server will say the same again: a 5xx, or no STARTTLS or no accounts where there should be."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            return all(code >= FINAL for code, _ in error.recipients.values())
        case smtplib.SMTPResponseException():
            return error.smtp_code >= FINAL
    return isinstance(error, smtplib.SMTPNotSupportedError)
