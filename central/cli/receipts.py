"""`tillside-central receipts`: those that are held."""

from __future__ import annotations

from typing import Annotated

import typer

from central import review
from central.cli.command import Data, Json, fail, moment_in, opened, say
from central.clock import utc_now

app = typer.Typer()


@app.command("held")
def receipts_held(
    *,
    data: Data,
    store: Annotated[str, typer.Option(help="Of one store; without it, of all.")] = "",
    as_json: Json = False,
) -> None:
    """List receipts that give nothing until somebody looked at them, with the reason."""
    with opened(data, as_json) as (_, database):
        shown = database.read_now(lambda connection: review.held(connection, store))
    lines = [
        f"{one.key}  store {one.store or '-'} register {one.register or '-'} number {one.number or '-'}  {one.because}"
        for one in shown.receipts
    ]
    say(as_json, shown, "\n".join(lines or ["No receipt is held."]))


@app.command("accept")
def receipts_accept(
    *,
    data: Data,
    key: Annotated[str, typer.Argument(help="The receipt's key.")],
    issued_at: Annotated[
        str, typer.Option(help="When it was issued, as 2026-12-01T09:00+01:00; without it, its own time is right.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Let a held receipt count: at its own time, or at the one named."""
    counts_at = moment_in(issued_at, "--issued-at", as_json) if issued_at else None
    with opened(data, as_json) as (_, database):
        try:
            done = database.write_now(lambda connection: review.accept(connection, key, counts_at, utc_now()))
        except review.NotHeldError as error:
            fail(as_json, str(error))
    say(as_json, done, f"Accepted: {done.key} is {done.state}")
