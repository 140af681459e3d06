"""`tillside-central cards`: hand out, block and replace cards."""

from __future__ import annotations

from typing import Annotated

import typer

from central import operations
from central.cli.command import Data, File, Json, opened, read_input, say
from central.clock import utc_now

app = typer.Typer()

Number = Annotated[str, typer.Argument(help="Any number of the card, in any way of writing it.")]


@app.command("import")
def cards_import(data: Data, file: File, as_json: Json = False) -> None:
    """Take in printed cards that nobody has yet, from lines CODE[,PRINTED] or JSON; all of them or none."""
    with opened(data, as_json) as (_, database):
        document = read_input(file, as_json)
        report = database.write_now(lambda connection: operations.import_stock(connection, document, utc_now()))
    say(
        as_json,
        report,
        f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged; "
        f"{report.receipts} receipts found their member",
    )


@app.command("issue")
def cards_issue(
    data: Data,
    code: Number,
    member: Annotated[str, typer.Argument(help="The member's id.")],
    as_json: Json = False,
) -> None:
    """Hand a card out to a member; what was bought under it before earns now."""
    with opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: operations.issue(connection, code, member, utc_now()))
    say(as_json, done, _card_text(done.card, done))


@app.command("block")
def cards_block(
    *,
    data: Data,
    code: Number,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it later.")] = "",
    as_json: Json = False,
) -> None:
    """Let a card be accepted no more, from now on, by any of its numbers."""
    with opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: operations.block(connection, code, reason, utc_now()))
    say(as_json, done, _card_text(done.card))


@app.command("unblock")
def cards_unblock(data: Data, code: Number, as_json: Json = False) -> None:
    """Let a blocked card be what it was; receipts held for it are booked."""
    with opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: operations.unblock(connection, code, utc_now()))
    say(as_json, done, _card_text(done.card, done))


@app.command("replace")
def cards_replace(
    data: Data,
    old: Annotated[str, typer.Argument(help="Any number of the card the member has.")],
    new: Annotated[str, typer.Argument(help="A number of the card that takes its place.")],
    as_json: Json = False,
) -> None:
    """Give a member another card; the old one still earns, and the cashier is told to take it in."""
    with opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: operations.replace(connection, old, new, utc_now()))
    say(as_json, done, _card_text(done.card, done))


@app.command("show")
def cards_show(data: Data, code: Number, as_json: Json = False) -> None:
    """Show a card: its numbers, its state, whose it is and what was done to it."""
    with opened(data, as_json) as (_, database):
        shown = database.read_now(lambda connection: operations.card(connection, code))
    say(as_json, shown, _card_text(shown))


def _card_text(card: operations.CardShown, done: operations.CardDone | None = None) -> str:
    numbers = ", ".join(f"{number.code}{' (printed)' if number.printed else ''}" for number in card.numbers)
    lines = [f"{numbers}  {card.state}  {card.member or 'nobody has it'}"]
    if card.blocked_at is not None:
        lines.append(f"blocked {card.blocked_at:%Y-%m-%d %H:%M} UTC: {card.blocked_because or 'no reason given'}")
    if card.replaced_by is not None:
        lines.append(f"replaced by {card.replaced_by}")
    if card.held:
        lines.append(f"receipts kept for it: {card.held}")
    if done is not None and done.receipts:
        lines.append(f"{done.receipts} receipts gave {done.points} points")
    lines += [
        f"{change.changed_at:%Y-%m-%d %H:%M} UTC  {change.what}  {change.member or ''}  {change.detail or ''}".rstrip()
        for change in card.changes
    ]
    return "\n".join(lines)
