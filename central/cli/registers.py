"""`tillside-central enrolment` and `registers`: which registers there are, letting one in, shutting one out."""

from __future__ import annotations

import io
import re
import secrets
from datetime import timedelta
from typing import Annotated

import qrcode
import typer

from central import devices, operations
from central.certificates import ca_sha256
from central.cli.command import USAGE, Data, Json, fail, opened, say
from central.clock import utc_now
from central.db.database import Database
from central.enrolling import ANY, NobodyToReplaceError
from central.folder import DataFolder
from central.journal import Journal, Moved, Revoked

enrolment = typer.Typer()
registers = typer.Typer()

ValidFor = Annotated[str, typer.Option(help="How long it can be used: 90s, 30m, 24h; a day at most.")]
Url = Annotated[str, typer.Option(help="The address registers use, if it is not the one served.")]
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@enrolment.command("create")
def enrolment_create(
    *,
    data: Data,
    store: Annotated[str, typer.Option(help="The store's number or name.")],
    register: Annotated[str, typer.Option(help="The register's number in the store; * for any, 1* for such.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="It takes the place of the one that is there, which is refused then.")
    ] = False,
    valid_for: ValidFor = "24h",
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Print a one-time code, and its QR, that lets one register in."""
    life = _duration(valid_for, as_json)
    with opened(data, as_json) as (folder, database):
        try:
            created = _created(folder, database, store=store, register=register, life=life, url=url, replace=replace)
        except NobodyToReplaceError as error:
            fail(as_json, str(error), USAGE)
    _say_code(as_json, created, asks_which=ANY in register)


@registers.command("replace")
def registers_replace(
    *,
    data: Data,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    valid_for: ValidFor = "24h",
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Print a one-time code for the machine that takes a register's place: the old one is refused once it is used."""
    life = _duration(valid_for, as_json)
    with opened(data, as_json) as (folder, database):
        old = database.read_now(lambda connection: devices.find_device(connection, device))
        if old is None:
            fail(as_json, f"there is no device {device}; `tillside-central registers list` shows them")
        created = _created(
            folder, database, store=old.store, register=old.register, life=life, url=url, replaces=old.id
        )
    _say_code(as_json, created, asks_which=False)


def _created(
    folder: DataFolder,
    database: Database,
    *,
    store: str,
    register: str,
    life: timedelta,
    url: str,
    replace: bool = False,
    replaces: str | None = None,
) -> operations.EnrolmentCreated:
    address, pinned = url or folder.device_url(), ca_sha256(folder)
    created: operations.EnrolmentCreated = database.write_now(
        lambda connection: operations.create_enrolment(
            connection,
            store=store,
            register=register,
            valid_for=life,
            url=address,
            ca_sha256=pinned,
            now=utc_now(),
            randomness=secrets.token_bytes,
            replace=replace,
            replaces=replaces,
        )
    )
    return created


def _say_code(as_json: bool, created: operations.EnrolmentCreated, *, asks_which: bool) -> None:
    which = " --register NUMBER" if asks_which else ""
    text = (
        f"{_qr(created.code)}\n{created.code}\n\n"
        f"Store {created.store}, register {created.register}; usable once, "
        f"until {created.expires_at:%Y-%m-%d %H:%M} UTC.\n"
        f"At the register: scan it, or tillside enroll CODE{which}"
        f"{_of_the_place(created)}"
    )
    say(as_json, created, text)


def _of_the_place(created: operations.EnrolmentCreated) -> str:
    """Who is shut out by this code, or who is in its way."""
    told = ""
    for one in created.there:
        heard = f"last heard of {one.last_contact:%Y-%m-%d %H:%M} UTC" if one.last_contact else "never heard of"
        who = f"{one.device}, {heard} with {one.queued} entries unsent"
        if one.device == created.replaces:
            told += (
                f"\nOnce it is used, {who}, is refused. What it has not sent is on its disk alone: let it send"
                "\nthat first, or use the code at that machine itself, which keeps it (tillside enroll --replace)."
            )
        else:
            told += (
                f"\nThis register is {who}. Only that machine can use the code (tillside enroll --replace);\n"
                "for another one in its place make the code with --replace."
            )
    return told


@registers.command("list")
def registers_list(data: Data, as_json: Json = False) -> None:
    """List the registers with last contact and queue depth."""
    with opened(data, as_json) as (_, database):
        listed = database.read_now(operations.registers)
    lines = [
        f"{one.device}  store {one.store} register {one.register}  queued {one.queued}"
        f"  {'revoked' if one.revoked else one.last_contact or 'never seen'}{'  SHARED' if one.shared else ''}"
        for one in listed.registers
    ]
    say(as_json, listed, "\n".join(lines) or "No register is enrolled.")


@registers.command("revoke")
def registers_revoke(
    data: Data, device: Annotated[str, typer.Argument(help="The device's id.")], as_json: Json = False
) -> None:
    """Refuse a register from now on and shut its live connection; a new code lets it in again."""
    now = utc_now()
    with opened(data, as_json) as (folder, database):
        if database.read_now(lambda connection: devices.find_device(connection, device)) is None:
            fail(as_json, f"there is no device {device}; `tillside-central registers list` shows them")
        Journal(folder.journal).note(Revoked(device=device, at=now))
        database.write_now(lambda connection: devices.revoke(connection, device, now))
    say(as_json, operations.Revoked(device=device), f"{device} is refused from now on.")


@registers.command("move")
def registers_move(
    *,
    data: Data,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    store: Annotated[str, typer.Option(help="The store where it stands now.")],
    register: Annotated[str, typer.Option(help="Its number there.")],
    as_json: Json = False,
) -> None:
    """Let a register stand in another store, or under another number; what it has queued arrives as it is."""
    with opened(data, as_json) as (folder, database):
        try:
            database.write_now(lambda connection: devices.move(connection, device, store, register))
        except devices.NotMovedError as error:
            fail(as_json, str(error))
        Journal(folder.journal).note(Moved(device=device, store=store, register=register, at=utc_now()))
    text = f"{device} is register {register} of store {store}; it hears of it within half a minute of being on line."
    say(as_json, operations.Moved(device=device, store=store, register=register), text)


@registers.command("log")
def registers_log(
    *,
    data: Data,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    minutes: Annotated[int, typer.Option(min=0, max=60, help="For how long; 0 ends it.")] = 60,
    as_json: Json = False,
) -> None:
    """Have a register's log say everything for a while, an hour at most; nobody's codes and names stand in it."""
    until = utc_now() + timedelta(minutes=minutes) if minutes else None
    with opened(data, as_json) as (_, database):
        try:
            database.write_now(lambda connection: devices.log_more(connection, device, until))
        except devices.NotInServiceError as error:
            fail(as_json, str(error))
    text = f"{device} logs everything until {until:%H:%M} UTC" if until is not None else f"{device} logs what matters"
    say(as_json, operations.Logging(device=device, until=until), f"{text}; it hears of it within half a minute.")


@registers.command("release")
def registers_release(
    data: Data, device: Annotated[str, typer.Argument(help="The device's id.")], as_json: Json = False
) -> None:
    """Say that one machine is left of those that alternated under one identity; what they sent counts."""
    with opened(data, as_json) as (_, database):
        if not database.write_now(lambda connection: devices.release(connection, device, utc_now())):
            fail(as_json, f"{device} is one machine's; `tillside-central registers list` shows which are shared")
    say(
        as_json,
        operations.Released(device=device),
        f"{device} is one machine's now; what is on hold counts within a minute.",
    )


def _duration(text: str, as_json: bool) -> timedelta:
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text)
    life = int(match[1]) * _UNITS[match[2]] if match else None
    if life is None or life > operations.MAX_CODE_LIFE:
        fail(as_json, f"{text!r} is no time a code may be valid for; write 90s, 30m or 24h, a day at most", USAGE)
    return life


def _qr(text: str) -> str:
    image = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_L, border=2)
    image.add_data(text)
    drawn = io.StringIO()
    image.print_ascii(out=drawn, invert=True)
    return drawn.getvalue()
