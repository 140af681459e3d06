"""`tillside-central backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from central.cli.command import Data, Json, failures, opened, say
from central.clock import utc_now


def backup(
    data: Data, to: Annotated[Path, typer.Argument(help="A folder that is not there yet.")], as_json: Json = False
) -> None:
    """Copy the database and the keys as they are at one moment; the centre may go on serving."""
    from central import backups

    with opened(data, as_json) as (folder, _):
        done = backups.back_up(folder, to, utc_now())
    say(as_json, done, f"{to} holds the centre as of {done.made_at:%Y-%m-%d %H:%M:%S} UTC, keys included.")


def restore(
    data: Data,
    backup: Annotated[
        Path | None, typer.Argument(help="What `backup` made; none where PostgreSQL restored it.")
    ] = None,
    database: Annotated[str, typer.Option(help="An empty PostgreSQL database, where it is to be another one.")] = "",
    as_json: Json = False,
) -> None:
    """Bring a backup in and begin a new life of the centre: registers take a snapshot and send again what they keep."""
    from central import backups
    from central.folder import DataFolder

    with failures(as_json):
        done = backups.restore(DataFolder(data), backup, database or None, utc_now())
    say(as_json, done, f"The centre in {data} is restored.\nStart it: tillside-central serve --data {data}")
