"""`tillside-central members`: import, link, show, merge and erase members, and clean files of them."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import Struct

from central import erasing, operations
from central.cli.command import Data, File, Json, fail, opened, read_input, say
from central.clock import utc_now
from central.joining import MergeError
from central.journal import Journal, erased
from central.snapshots import forget_snapshots

app = typer.Typer()


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


@app.command("context")
def members_context(data: Data, file: File, as_json: Json = False) -> None:
    """Take in what another channel knows of members (cart, order to collect, appointment), for who serves them."""
    with opened(data, as_json) as (_, database):
        document = read_input(file, as_json)
        report = database.write_now(lambda connection: operations.import_context(connection, document, utc_now()))
    say(
        as_json,
        report,
        f"{report.changed} changed, {report.unchanged} unchanged; {len(report.unknown)} are nobody here",
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
    said = [
        f"{one.channel} {one.state}  text {one.text_version or '-'}  {one.store}/{one.register}  {one.told_at}"
        for one in shown.consents
    ]
    say(as_json, shown, "\n".join([f"{head}  pending {balance.pending}", *codes, *lines, *said]))


@app.command("merge")
def members_merge(
    *,
    data: Data,
    source: Annotated[str, typer.Argument(help="The id that will mean the other member.")],
    target: Annotated[str, typer.Argument(help="The member who stays.")],
    because: Annotated[str, typer.Option(help="Why, for who asks later.")] = "merged by an operator",
    as_json: Json = False,
) -> None:
    """Let two members be one: cards, receipts, profile and points of both. It cannot be undone."""
    with opened(data, as_json) as (_, database):
        try:
            merged = database.write_now(
                lambda connection: operations.merge_members(connection, source, target, because, utc_now())
            )
        except MergeError as error:
            fail(as_json, str(error))
    say(as_json, merged, f"{merged.merged} means {merged.member} now, who has {merged.points} points.")


@app.command("erase")
def members_erase(
    data: Data,
    which: Annotated[str, typer.Argument(help="A code, a telephone number or a member's id.")],
    as_json: Json = False,
) -> None:
    """Keep nothing that tells who a member is, here and at every register. It cannot be undone."""
    with opened(data, as_json) as (folder, database):
        erasure = database.write_now(lambda connection: operations.erase_member(connection, which, utc_now()))
        Journal(folder.journal).note(erased(erasure))
        forget_snapshots(folder.snapshots)
        if database.overwrites_beside_others:
            database.overwrite_deleted()
            done = "is erased here"
        else:
            done = "is erased here; run `members purge` at a quiet time, until then files of the database hold more"
    say(as_json, erasure, f"{erasure.member} {done}; `members erasures` tells which registers are, too.")


class Purged(Struct, frozen=True, kw_only=True):
    purged: str


@app.command("purge")
def members_purge(data: Data, as_json: Json = False) -> None:
    """Let no file of the database hold who was erased. On PostgreSQL every table is locked while it is written anew."""
    with opened(data, as_json) as (_, database):
        database.overwrite_deleted()
        done = Purged(purged=str(database))
    say(as_json, done, f"{done.purged} holds nothing any more of what was deleted before.")


@app.command("erasures")
def members_erasures(data: Data, as_json: Json = False) -> None:
    """List erasures, and the registers that have not confirmed them."""
    with opened(data, as_json) as (_, database):
        found = operations.ErasureList(erasures=database.read_now(erasing.listed))
    lines = [
        f"{one.number:>6}  {one.member}  {one.erased_at:%Y-%m-%d %H:%M}  "
        + (f"waits for {', '.join(one.waiting_for)}" if one.waiting_for else "confirmed by all")
        for one in found.erasures
    ]
    say(as_json, found, "\n".join(lines) or "Nobody was erased.")
