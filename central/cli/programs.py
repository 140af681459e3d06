"""`tillside-central program`: check, publish, withdraw and show the loyalty program."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer
from msgspec import Struct

from central.cli import simulation
from central.cli.command import Data, File, Json, fail, moment_in, opened, program_of, say
from central.clock import utc_now
from loyalty.program import ProgramError, program_hash
from loyalty.program_warnings import ProgramWarning, warnings_of
from loyalty.receipt import AwareDatetime

if TYPE_CHECKING:
    from central.program_versions import ProgramVersions

app = typer.Typer()


class ProgramReport(Struct, frozen=True, kw_only=True):
    hash: str
    warnings: tuple[ProgramWarning, ...]


class ProgramWithdrawn(Struct, frozen=True, kw_only=True):
    """A program that will not begin, and when it would have."""

    hash: str
    valid_from: tuple[AwareDatetime | None, ...]


@app.command("check")
def program_check(file: File, as_json: Json = False) -> None:
    """Say whether a program can be published, and what in it is probably not meant."""
    checked = program_of(file, as_json)
    report = ProgramReport(hash=program_hash(checked), warnings=warnings_of(checked))
    say(as_json, report, "\n".join([f"The program is good: {report.hash}", *_warned(report)]))


@app.command("publish")
def program_publish(
    *,
    data: Data,
    file: File,
    valid_from: Annotated[
        str, typer.Option("--from", help="When it begins, as 2026-12-01T00:00+01:00; without it, now.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Sign a program and put it in force, now or at a named time; receipts that waited for one are evaluated."""
    from central import operations

    checked = program_of(file, as_json)
    begins = moment_in(valid_from, "--from", as_json) if valid_from else None
    with opened(data, as_json) as (folder, database):
        key = folder.program_key()
        try:
            hashed = database.write_now(
                lambda connection: operations.publish(connection, checked, key, utc_now(), begins)
            )
        except ProgramError as error:
            fail(as_json, str(error))
    report = ProgramReport(hash=hashed, warnings=warnings_of(checked))
    head = f"In force: {hashed}" if begins is None else f"Planned from {_text(begins)}: {hashed}"
    say(as_json, report, "\n".join([head, *_warned(report)]))


@app.command("withdraw")
def program_withdraw(
    data: Data,
    named: Annotated[str, typer.Argument(metavar="HASH", help="Its hash, or how that begins.")],
    as_json: Json = False,
) -> None:
    """Take back a program that waits for its time; one that is in force ends when another is published."""
    from central import operations

    with opened(data, as_json) as (_, database):
        try:
            taken = database.write_now(lambda connection: operations.withdraw(connection, named, utc_now()))
        except ProgramError as error:
            fail(as_json, str(error))
    report = ProgramWithdrawn(hash=taken[0].hash, valid_from=tuple(one.valid_from for one in taken))
    times = ", ".join(_text(one.valid_from) for one in taken)
    say(as_json, report, f"Withdrawn, it will not begin on {times}: {report.hash}")


@app.command("show")
def program_show(data: Data, as_json: Json = False) -> None:
    """List the versions of the program: from when each is in force, and how many registers hold it."""
    from central.program_versions import program_versions

    with opened(data, as_json) as (_, database):
        shown = database.read_now(lambda connection: program_versions(connection, utc_now()))
    say(as_json, shown, "\n".join(_lines(shown)))


app.command("simulate")(simulation.program_simulate)


def _warned(report: ProgramReport) -> list[str]:
    return [f"! {warning}" for warning in report.warnings]


def _lines(shown: ProgramVersions) -> list[str]:
    from central.program_versions import IN_WORDS

    if not shown.versions:
        return ["No program is published: `tillside-central program publish FILE` does it."]
    lines = []
    for one in shown.versions:
        refused = f", {one.refused} refused it" if one.refused else ""
        lines.append(
            f"{one.hash[:12]}  {IN_WORDS[one.state]:<12}  {_text(one.valid_from, one.time_zone):<22}  "
            f"to {_text(one.until, one.time_zone):<22}  "
            f"{one.held} of {shown.registers} registers hold it{refused}  {one.program}"
        )
    lines += [f"! store {one.store} register {one.register}: {one.hash[:12]}: {one.why}" for one in shown.refusals]
    return lines


def _text(moment: datetime | None, time_zone: str = "") -> str:
    """As it was written, or on the clock of a zone."""
    if moment is None:
        return "-"
    return (moment.astimezone(ZoneInfo(time_zone)) if time_zone else moment).isoformat(timespec="minutes")
