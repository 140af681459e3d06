"""`tillside-central allowances`: what is set aside for registers, how much ahead, and what is written off."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import Connection

from central import allowance_desk, members, planning
from central.allowance_desk import AllowanceList, Listed
from central.cli.command import USAGE, Data, Json, fail, opened, say
from central.clock import utc_now
from loyalty.allowances import MAX_PLACES, MAX_REWARDS, Policy

app = typer.Typer()


@app.command("policy")
def allowances_policy(
    *,
    data: Data,
    places: Annotated[
        int | None, typer.Option(min=0, max=MAX_PLACES, help="At how many registers, those where a member shops most.")
    ] = None,
    rewards: Annotated[
        int | None, typer.Option(min=1, max=MAX_REWARDS, help="Up to how many whole rewards at each of them.")
    ] = None,
    because: Annotated[str, typer.Option(help="Why, for whoever looks at it later.")] = "",
    as_json: Json = False,
) -> None:
    """Print how much is set aside ahead, or set that; what registers hold already stays."""
    with opened(data, as_json) as (_, database):
        if places is not None or rewards is not None:
            database.write_now(lambda connection: _set(connection, places, rewards, because))
        shown = database.read_now(planning.policy)
    since = "" if shown.set_at is None else f", since {shown.set_at:%Y-%m-%d %H:%M} UTC: {shown.because or 'no reason'}"
    say(
        as_json,
        shown,
        f"up to {shown.policy.rewards} rewards at each of {shown.policy.places} registers of a member{since}",
    )


@app.command("list")
def allowances_list(
    *,
    data: Data,
    register: Annotated[str, typer.Option(help="Of one register: STORE/REGISTER, or a device's id.")] = "",
    member: Annotated[str, typer.Option(help="Of one member, by id or code.")] = "",
    closed: Annotated[bool, typer.Option("--closed", help="Those that ended, too.")] = False,
    as_json: Json = False,
) -> None:
    """List what is set aside, the oldest first."""

    def work(connection: Connection) -> AllowanceList:
        which = members.named(connection, member) if member else None
        return allowance_desk.listed(connection, register=register or None, member=which, closed=closed)

    with opened(data, as_json) as (_, database):
        shown = database.read_now(work)
    lines = [_text(one) for one in shown.allowances]
    if shown.more:
        lines.append("… and more: name a register or a member")
    say(as_json, shown, "\n".join(lines) or "Nothing is set aside.")


@app.command("write-off")
def allowances_write_off(
    *,
    data: Data,
    ids: Annotated[list[str], typer.Argument(help="Ids that `allowances list` prints.")],
    because: Annotated[str, typer.Option(help="Why nothing more can be spent of them; kept with each.")],
    even_live: Annotated[
        bool,
        typer.Option(
            "--even-live",
            help="Also what a register in service can still spend: it may be spent twice, and a balance go below zero.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Let what is left of these be free; all of them or none."""
    if not because.strip():
        fail(as_json, "--because says why nothing more can be spent of them; write it", USAGE)
    with opened(data, as_json) as (_, database):
        try:
            done = database.write_now(
                lambda connection: allowance_desk.write_off(connection, ids, because, utc_now(), even_live=even_live)
            )
        except (allowance_desk.NotOpenError, allowance_desk.StillLiveError) as error:
            fail(as_json, str(error))
    uses = f", and {done.uses} uses of vouchers" if done.uses else ""
    say(as_json, done, f"{len(done.allowances)} written off, {done.points} points{uses} are free")


def _set(connection: Connection, places: int | None, rewards: int | None, because: str) -> None:
    before = planning.policy(connection).policy
    wanted = Policy(
        places=before.places if places is None else places, rewards=before.rewards if rewards is None else rewards
    )
    planning.set_policy(connection, wanted, because, utc_now())


def _text(one: Listed) -> str:
    state = f"{one.left} of {one.granted} left" if one.state == "open" else one.state
    notes = [state, "asked back" if one.recalled else "", "" if one.is_live else "its epoch ended", one.because or ""]
    said = ", ".join(note for note in notes if note)
    what = f"voucher {one.voucher}" if one.voucher is not None else one.member
    return f"{one.allowance}  {what}  {one.place}  {one.granted_at:%Y-%m-%d %H:%M} UTC  {said}"
