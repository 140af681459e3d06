"""What every command of the centre shares: its options, what it prints, and errors as a line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec
import typer
from msgspec import Struct

from loyalty.program import Program, ProgramError, program_from_json, unknown_tiers

if TYPE_CHECKING:
    from central.db.database import Database
    from central.folder import DataFolder

PROBLEM, USAGE = 1, 2

Data = Annotated[Path, typer.Option("--data", help="The centre's data folder.", envvar="TILLSIDE_CENTRE_DATA")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
File = Annotated[Path, typer.Argument(help="A file, or - for standard input.", allow_dash=True)]
Files = Annotated[
    list[Path],
    typer.Argument(help="Files, or - for standard input; their entries count in this order.", allow_dash=True),
]


def say(as_json: bool, document: Struct, text: str) -> None:
    typer.echo(msgspec.json.encode(document).decode() if as_json else text)


def fail(as_json: bool, message: str, code: int = PROBLEM) -> NoReturn:
    if as_json:
        typer.echo(msgspec.json.encode({"error": message}).decode())
    else:
        typer.echo(message, err=True)
    raise typer.Exit(code)


@contextmanager
def failures(as_json: bool) -> Iterator[None]:
    """Named errors become one line and an exit code."""
    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - the edge
        message, code = _told(error)
        fail(as_json, message, code)


def _told(error: Exception) -> tuple[str, int]:
    """What a person is told of an error, and the exit code. The message of one without a name may hold a code."""
    from sqlalchemy.exc import OperationalError

    from central.cards import CardError
    from central.context import ContextFileError
    from central.db.errors import DatabaseError
    from central.folder import FolderError
    from central.members import MembersFileError, UnknownMemberError
    from central.stock import StockFileError
    from central.texts import NameRefusedError
    from loyalty.centre_config import ConfigError
    from loyalty.item_map import ItemMapError
    from sync.enrolment import AddressRefusedError

    match error:
        case (
            ConfigError()
            | ItemMapError()
            | FolderError()
            | DatabaseError()
            | CardError()
            | MembersFileError()
            | ContextFileError()
            | StockFileError()
            | UnknownMemberError()
        ):
            return str(error), getattr(error, "exit_code", PROBLEM)
        case AddressRefusedError() | NameRefusedError():
            return str(error), USAGE
        case OperationalError():
            return f"the database cannot be used now ({error.orig}); nothing was changed, try again", PROBLEM
        case OSError():
            return f"{error}; nothing was changed, correct that and try again", PROBLEM
    return f"the centre failed ({type(error).__name__}); what was under way was undone, report this", PROBLEM


@contextmanager
def opened(data: Path, as_json: bool) -> Iterator[tuple[DataFolder, Database]]:
    """The data folder and its database, both checked."""
    from central.db.database import Database
    from central.folder import DataFolder

    folder = DataFolder(data)
    with failures(as_json):
        folder.settings()
        database = Database(folder.database)
        try:
            database.check_version()
            yield folder, database
        finally:
            database.close()


def read_input(file: Path, as_json: bool) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        fail(as_json, f"{file} cannot be read: {error.strerror}", USAGE)


def program_of(file: Path, as_json: bool) -> Program:
    """The checked program of a file; what is wrong with it is said, and the command ends."""
    try:
        program = program_from_json(read_input(file, as_json))
    except ProgramError as error:
        fail(as_json, f"{file}: {error}")
    if wrong := unknown_tiers(program):
        fail(as_json, "\n".join(f"{file}: {each}" for each in wrong))
    return program


def moment_in(text: str, option: str, as_json: bool) -> datetime:
    """The time that an option names."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        fail(as_json, f"{option} {text!r} is no time with its offset; write it as 2026-12-01T00:00+01:00", USAGE)
    return moment
