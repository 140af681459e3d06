"""`tillside-central program`: check and publish the loyalty program."""

from __future__ import annotations

from pathlib import Path

import typer

from central import operations
from central.cli.command import Data, File, Json, fail, opened, read_input, say
from central.clock import utc_now
from loyalty.program import Program, ProgramError, program_from_json, program_hash, program_warnings

app = typer.Typer(no_args_is_help=True, help="Check and publish the loyalty program.")


@app.command("check")
def program_check(file: File, as_json: Json = False) -> None:
    """Say whether a program can be published, and what in it is probably not meant."""
    checked = _program(file, as_json)
    report = operations.ProgramReport(hash=program_hash(checked), warnings=program_warnings(checked))
    say(as_json, report, "\n".join([f"The program is good: {report.hash}", *report.warnings]))


@app.command("publish")
def program_publish(data: Data, file: File, as_json: Json = False) -> None:
    """Sign a program and put it in force; receipts that waited for one are evaluated."""
    checked = _program(file, as_json)
    with opened(data, as_json) as (folder, database):
        key = folder.program_key()
        try:
            hashed = database.write_now(lambda connection: operations.publish(connection, checked, key, utc_now()))
        except ProgramError as error:
            fail(as_json, str(error))
    report = operations.ProgramReport(hash=hashed, warnings=program_warnings(checked))
    say(as_json, report, "\n".join([f"In force: {hashed}", *report.warnings]))


def _program(file: Path, as_json: bool) -> Program:
    try:
        return program_from_json(read_input(file, as_json))
    except ProgramError as error:
        fail(as_json, str(error))
