"""`tillside-central events`: what members did that is no purchase."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from central import events
from central.cli.command import USAGE, Data, Json, fail, moment_in, opened, say
from central.clock import utc_now
from loyalty.program import MAX_NAME_CHARS

app = typer.Typer()


@app.command("record")
def events_record(
    *,
    data: Data,
    which: Annotated[str, typer.Argument(metavar="MEMBER", help="A code or a member's id.")],
    what: Annotated[str, typer.Argument(help="The event's name in the program, such as member.referred.")],
    key: Annotated[str, typer.Option(help="Names it for ever: told again with the same key, it counts once.")] = "",
    at: Annotated[str, typer.Option(help="When it happened, as 2026-12-01T09:00+01:00; without it, now.")] = "",
    as_json: Json = False,
) -> None:
    """Record an event of a member: a referral, a review, an app installed. It gives what the program says."""
    if len(key) > events.MAX_KEY_CHARS or not 0 < len(what) <= MAX_NAME_CHARS:
        fail(as_json, f"a key has at most {events.MAX_KEY_CHARS} characters, a name at most {MAX_NAME_CHARS}", USAGE)
    now = utc_now()
    happened = moment_in(at, "--at", as_json) if at else now
    with opened(data, as_json) as (_, database):
        done = database.write_now(
            lambda connection: events.record_by_hand(
                connection, key=key or secrets.token_hex(16), what=what, which=which, at=happened, now=now
            )
        )
    told = "" if done.is_new else " (known already)"
    say(as_json, done, f"{done.what} of {done.member}{told}: {done.points} points, under {done.key}")
