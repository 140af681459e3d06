"""`tillside-central alerts`: who is told of registers that are silent or have a problem."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from msgspec import Struct
from msgspec.structs import replace

from central.cli.command import Data, Json, fail, failures, say

if TYPE_CHECKING:
    from central.folder import AlertSettings

app = typer.Typer()

PASSWORD_VARIABLE = "TILLSIDE_SMTP_PASSWORD"  # noqa: S105 - a name
MAX_SILENT_MIN = 7 * 24 * 60
_NOBODY = "Nobody is told: tillside-central alerts set --webhook, or --mail with --smtp and --from."


class AlertsShown(Struct, frozen=True, kw_only=True):
    """What is set up, without secrets: of the webhook its host alone. `mail` is empty where none is sent."""

    webhook: str | None
    mail: tuple[str, ...]
    smtp: str | None
    silent_after_min: int | None
    open: str = ""


class Sent(Struct, frozen=True, kw_only=True):
    """A message went out by every way that is set up."""

    sent: bool = True


@app.command("set")
def alerts_set(
    *,
    data: Data,
    webhook: Annotated[str, typer.Option(help="An address that takes a POST of JSON; `off` for none.")] = "",
    mail: Annotated[list[str] | None, typer.Option(help="Who gets mail; may be repeated; `off` for nobody.")] = None,
    smtp: Annotated[str, typer.Option(help="The mail server, HOST:PORT.")] = "",
    sender: Annotated[str, typer.Option("--from", help="Whom the mail is from.")] = "",
    user: Annotated[str, typer.Option(help=f"The account there; its password is in {PASSWORD_VARIABLE}.")] = "",
    plain: Annotated[bool, typer.Option("--plain", help="That server is spoken to without TLS.")] = False,
    silent_after: Annotated[
        int | None, typer.Option(min=2, max=MAX_SILENT_MIN, help="Minutes without a word, then it is silent.")
    ] = None,
    hours: Annotated[
        str,
        typer.Option(
            "--open", help="When silence is news, as in `mo-fr 07:00-21:00, sa 08:00-14:00`; `off` for always."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Say who is told; what is not named stays as it is. A centre that serves goes by it within a minute."""
    from central.alert_setup import Given, changed
    from central.folder import DataFolder

    given = Given(
        webhook=webhook,
        mail=tuple(mail or ()),
        smtp=smtp,
        sender=sender,
        user=user,
        password=os.environ.get(PASSWORD_VARIABLE, ""),
        plain=plain,
        silent_after_min=silent_after,
        open=hours,
    )
    with failures(as_json):
        folder = DataFolder(data)
        settings = folder.settings()
        after = changed(settings.alerts, given)
        folder.save_settings(replace(settings, alerts=after))
    _show(as_json, after)


@app.command("show")
def alerts_show(data: Data, as_json: Json = False) -> None:
    """Print who is told, without secrets."""
    from central.folder import DataFolder

    with failures(as_json):
        settings = DataFolder(data).settings().alerts
    _show(as_json, settings)


@app.command("test")
def alerts_test(data: Data, as_json: Json = False) -> None:
    """Send a message by each way now, and say what a server answers that does not take it."""
    from central.alert_ways import send
    from central.alerts import Message
    from central.folder import DataFolder
    from central.texts import MAX_NAME_CHARS, one_line

    with failures(as_json):
        settings = DataFolder(data).settings()
    if settings.alerts is None:
        fail(as_json, _NOBODY)
    text = f"{one_line(settings.brand, MAX_NAME_CHARS)}, registers: this is a test, nothing is wrong"
    failed = asyncio.run(send(settings.alerts, Message(text=text, alerts=())))
    if failed:
        fail(as_json, "\n".join(map(str, failed)))
    say(as_json, Sent(), "It went out by every way that is set up; see whether it came.")


def _show(as_json: bool, settings: AlertSettings | None) -> None:
    if settings is None:
        say(as_json, AlertsShown(webhook=None, mail=(), smtp=None, silent_after_min=None), _NOBODY)
        return
    mail = settings.mail
    shown = AlertsShown(
        webhook=urlsplit(settings.webhook).hostname if settings.webhook is not None else None,
        mail=mail.to if mail is not None else (),
        smtp=str(mail.server) if mail is not None else None,
        silent_after_min=settings.silent_after_min,
        open=settings.open,
    )
    lines = [f"Silent after {shown.silent_after_min} min{f', {settings.open}' if settings.open else ''}."]
    if shown.webhook is not None:
        lines.append(f"Webhook at {shown.webhook}.")
    if mail is not None:
        account = f" as {mail.user}" if mail.user else ""
        way = "STARTTLS" if mail.tls else "no TLS"
        lines.append(f"Mail to {', '.join(mail.to)} from {mail.sender}, by {mail.server} ({way}){account}.")
    say(as_json, shown, "\n".join(lines))
