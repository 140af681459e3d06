"""`tillside-central ledger`: check and export the ledger."""

from __future__ import annotations

import msgspec
import typer

from central import audit
from central.cli.command import PROBLEM, Data, Json, opened, say
from central.clock import utc_now

app = typer.Typer(no_args_is_help=True, help="Check and export the ledger.")


@app.command("check")
def ledger_check(data: Data, as_json: Json = False) -> None:
    """Count receipts, entries and points, and fold every balance anew; 1 where one differs."""
    with opened(data, as_json) as (_, database):
        found = database.read_now(lambda connection: audit.check(connection, utc_now()))
    text = f"{found.receipts} receipts, {found.entries} entries, {found.points} points"
    wrong = [f"{one.member}: kept {one.held}, folded {one.folded}" for one in found.balance_mismatch]
    say(as_json, found, "\n".join([text, *wrong]))
    if wrong:
        raise typer.Exit(PROBLEM)


@app.command("export")
def ledger_export(data: Data, as_json: Json = False) -> None:
    """Print every receipt, entry and balance, one JSON object a line."""
    with opened(data, as_json) as (_, database):
        lines = database.read_now(lambda connection: list(audit.lines(connection)))
    for line in lines:
        typer.echo(msgspec.json.encode(line).decode())
