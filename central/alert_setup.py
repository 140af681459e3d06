"""`alerts set`: what the operator gave, laid over what was set up before.

Owns which of it can be used. Never sends anything.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from central.folder import Address, AddressError, AlertSettings, MailSettings
from central.opening import OpeningError, spans_of

OFF: Final = "off"
_MAIL_ADDRESS: Final = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")


class Given(Struct, frozen=True, kw_only=True):
    """What the operator gave; empty or None keeps what was there. `webhook`, `mail` and `open` may be OFF."""

    webhook: str = ""
    mail: tuple[str, ...] = ()
    smtp: str = ""
    sender: str = ""
    user: str = ""
    password: str = ""
    plain: bool = False
    silent_after_min: int | None = None
    open: str = ""


def changed(before: AlertSettings | None, given: Given) -> AlertSettings | None:
    """What is set up then; None where nobody is told. Raises AddressError."""
    settings = before or AlertSettings()
    after = AlertSettings(
        webhook=_webhook(settings.webhook, given.webhook),
        mail=_mail(settings.mail, given),
        silent_after_min=given.silent_after_min or settings.silent_after_min,
        open=_open(settings.open, given.open),
    )
    return after if after.webhook is not None or after.mail is not None else None


def _open(before: str, given: str) -> str:
    if given in ("", OFF):
        return "" if given else before
    try:
        spans_of(given)
    except OpeningError as error:
        raise AddressError(str(error)) from error
    return given


def _webhook(before: str | None, given: str) -> str | None:
    if not given:
        return before
    if given == OFF:
        return None
    try:
        parts = urlsplit(given)
        is_one = parts.scheme in ("http", "https") and parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:  # brackets that are none of IPv6, a port beyond 65535
        is_one = False
    if not is_one or not given.isprintable() or " " in given:
        raise AddressError("that is no address of a webhook; write https://…")
    return given


def _is_host(name: str) -> bool:
    """Whether a name can be asked for at all: no label of it is empty or longer than 63 characters."""
    try:
        return bool(name.removesuffix(".").encode("idna")) and name.isprintable() and " " not in name
    except UnicodeError:
        return False


def _mail(before: MailSettings | None, given: Given) -> MailSettings | None:
    if given.mail == (OFF,):
        return None
    if not (given.mail or given.smtp or given.sender or given.user or given.plain or (before and given.password)):
        return before
    for address in (*given.mail, *filter(None, [given.sender])):
        if not _MAIL_ADDRESS.fullmatch(address) or not address.isprintable():
            raise AddressError(f"{address!r} is no address of mail; write name@shop.example")
    if not (given.user + given.password).isascii() or not (given.user + given.password).isprintable():
        raise AddressError(
            "nobody signs in to a mail server from here with letters beyond ASCII in the account or the password; set "
            "another one there"
        )
    if given.smtp and not _is_host(Address.parse(given.smtp).host):
        raise AddressError(f"{given.smtp!r} names no mail server; write HOST:PORT, such as mail.shop.example:587")
    if before is None:
        if not (given.mail and given.smtp and given.sender):
            raise AddressError("mail takes all of --mail, --smtp and --from")
        before = MailSettings(server=Address.parse(given.smtp), sender=given.sender, to=given.mail)
    return replace(
        before,
        server=Address.parse(given.smtp) if given.smtp else before.server,
        sender=given.sender or before.sender,
        to=given.mail or before.to,
        tls=not given.plain if given.smtp else before.tls and not given.plain,
        user=given.user or before.user,
        password=given.password or before.password,
    )
