"""`tillside-central members`: import, link and show members."""

from __future__ import annotations

from typing import Annotated

import typer

from central import operations
from central.cli.command import Data, File, Json, opened, read_input, say
from central.clock import utc_now

app = typer.Typer(no_args_is_help=True, help="Import, link and show members.")


@app.command("import")
def members_import(data: Data, file: File, as_json: Json = False) -> None:
    """Add or change members from a JSON file; all of them or none."""
    with opened(data, as_json) as (_, database):
        document = read_input(file, as_json)
        report = database.write_now(lambda connection: operations.import_file(connection, document, utc_now()))
    say(
        as_json,
        report,
        f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged; "
        f"{report.receipts} receipts found their member",
    )


@app.command("link")
def members_link(
    *,
    data: Data,
    member: Annotated[str, typer.Argument(help="The member's id.")],
    code: Annotated[str, typer.Argument(help="The card code, in any way of writing it.")],
    printed: Annotated[str, typer.Option(help="The number printed on the same card.")] = "",
    alias_of: Annotated[str, typer.Option(help="A number of the card that CODE is another number of.")] = "",
    as_json: Json = False,
) -> None:
    """Let a code name a member; what was bought under it before earns now."""
    with opened(data, as_json) as (_, database):
        linked = database.write_now(
            lambda connection: operations.link(connection, member, code, utc_now(), printed=printed, alias_of=alias_of)
        )
    say(as_json, linked, f"Linked. {linked.receipts} receipts gave {linked.points} points.")


@app.command("show")
def members_show(
    data: Data,
    which: Annotated[str, typer.Argument(help="A code or a member's id.")],
    as_json: Json = False,
) -> None:
    """Show a member with cards, balance and ledger."""
    with opened(data, as_json) as (_, database):
        shown = database.read_now(lambda connection: operations.show(connection, which, utc_now()))
    balance = shown.member.balance
    codes = [f"{one.kind} {one.code}  {one.state}" for one in shown.member.identifiers]
    lines = [f"{entry.points:>8}  {entry.rule}  {entry.why}" for entry in shown.entries]
    head = f"{shown.member.member}  {shown.member.tier or 'no tier'}  confirmed {balance.confirmed}"
    say(as_json, shown, "\n".join([f"{head}  pending {balance.pending}", *codes, *lines]))
