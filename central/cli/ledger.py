"""`tillside-central ledger`: check and export the ledger, see what registers showed otherwise, fold a member anew."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from central import audit, operations, variances
from central.cli.command import PROBLEM, Data, Json, opened, say
from central.clock import utc_now
from loyalty.ledger import LedgerEntry

app = typer.Typer()


@app.command("check")
def ledger_check(data: Data, as_json: Json = False) -> None:
    """Count receipts, entries and points, and fold every balance anew; 1 where one differs or a member is unfolded."""
    with opened(data, as_json) as (_, database):
        found = database.read_now(lambda connection: audit.check(connection, utc_now()))
    text = f"{found.receipts} receipts, {found.entries} entries, {found.points} points"
    wrong = [f"{one.member}: kept {one.held}, folded {one.folded}" for one in found.balance_mismatch]
    wrong += [f"{one.member}: not folded: {one.because}" for one in found.unfolded]
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


@app.command("variances")
def ledger_variances(data: Data, as_json: Json = False) -> None:
    """Print where registers claimed something else than the ledger says, with the arithmetic of both."""
    with opened(data, as_json) as (_, database):
        shown = database.read_now(variances.explained)
    lines = []
    for one in shown.variances:
        state = "open" if one.resolved_at is None else f"resolved {one.resolved_at.isoformat(timespec='minutes')}"
        lines.append(f"{one.receipt}  {one.member}  claimed {one.claimed}, given {one.given}  {state}")
        lines += [_told("register", entry) for entry in one.claims]
        lines += [_told("centre", entry) for entry in one.entries]
    say(as_json, shown, "\n".join(lines or ["No register ever claimed anything else than the ledger says."]))


@app.command("fold")
def ledger_fold(
    data: Data,
    member: Annotated[str, typer.Argument(help="The member's id.")],
    as_json: Json = False,
) -> None:
    """Fold a member anew, however much there is; what differs is corrected. For members that `check` names."""
    with opened(data, as_json) as (_, database):
        done = database.write_now(lambda connection: operations.fold_member(connection, member, utc_now()))
    say(as_json, done, f"{done.member}: {done.entries} entries appended, {done.points} points in all")


def _told(who: str, entry: LedgerEntry) -> str:
    return f"  {who:>8}  {entry.points:>8}  {entry.rule}  {entry.why}"
