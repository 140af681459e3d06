"""`tillside-central limits`: how often a member's card may be used before a person looks, and who uses which."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from msgspec.structs import replace
from sqlalchemy import Connection

from central import cashiers, limits
from central.cashiers import CashierRow
from central.cli.command import USAGE, Data, Json, fail, opened, say
from central.clock import utc_now
from central.limits import LimitsSet
from loyalty.limits import MAX_LATE_MINUTES, MAX_SALES, Limits, Of

app = typer.Typer()

_NONE = "; 0 for any number"
MAX_DAYS = 366
Rewards = Annotated[bool, typer.Option("--rewards", help="The limits on rewards, in place of those on sales.")]


@app.command("set")
def limits_set(
    *,
    data: Data,
    cashier: Annotated[
        int | None, typer.Option(min=0, max=MAX_SALES, help=f"Sales for one member by one cashier{_NONE}.")
    ] = None,
    register: Annotated[
        int | None, typer.Option(min=0, max=MAX_SALES, help=f"Sales for one member at one register{_NONE}.")
    ] = None,
    card: Annotated[int | None, typer.Option(min=0, max=MAX_SALES, help=f"Sales with one card{_NONE}.")] = None,
    member: Annotated[int | None, typer.Option(min=0, max=MAX_SALES, help=f"Sales for one member{_NONE}.")] = None,
    late: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MAX_LATE_MINUTES,
            help=f"Minutes after which a sale that was nobody's is given to a member{_NONE}.",
        ),
    ] = None,
    rewards: Rewards = False,
    because: Annotated[str, typer.Option(help="Why, for whoever looks at it later.")] = "",
    as_json: Json = False,
) -> None:
    """Say how many sales, or rewards, within 24 hours count without a look; what is not named stays as it is."""
    of: Of = "reward" if rewards else "sale"
    if rewards and late is not None:
        fail(as_json, "--late is a limit on sales: say it without --rewards", USAGE)
    given = {"cashier": cashier, "register": register, "card": card, "member": member, "late_minutes": late}
    wanted = {name: allowed or None for name, allowed in given.items() if allowed is not None}

    def work(connection: Connection) -> LimitsSet:
        before = limits.in_force(connection, of).limits
        limits.set_limits(connection, replace(before, **wanted), because, utc_now(), of)
        return limits.in_force(connection, of)

    with opened(data, as_json) as (_, database):
        shown = database.write_now(work)
    say(as_json, shown, _text(shown, of))


@app.command("show")
def limits_show(*, data: Data, rewards: Rewards = False, as_json: Json = False) -> None:
    """Print the limits that hold, since when and why."""
    of: Of = "reward" if rewards else "sale"
    with opened(data, as_json) as (_, database):
        shown = database.read_now(lambda connection: limits.in_force(connection, of))
    say(as_json, shown, _text(shown, of))


@app.command("flagged")
def limits_flagged(
    *,
    data: Data,
    store: Annotated[str, typer.Option(help="Of one store; without it, of all.")] = "",
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="Rewards of so many days until now.")] = 7,
    as_json: Json = False,
) -> None:
    """Print the rewards that were given and somebody should look at, with what is wrong with each."""
    since = utc_now() - timedelta(days=days)
    with opened(data, as_json) as (_, database):
        shown = database.read_now(lambda connection: cashiers.flagged(connection, since, store))
    lines = [
        f"{one.at:%Y-%m-%d %H:%M} UTC  register {one.store}/{one.register}  cashier {one.cashier or '-'}  "
        f"{one.member}  {one.times} × {one.reward}, {one.points} points: {', '.join(one.problems)}"
        for one in shown.rewards
    ]
    if shown.more:
        lines.append("… and more: name a store, or fewer days")
    say(as_json, shown, "\n".join(lines) or f"No reward since {since:%Y-%m-%d %H:%M} UTC that anybody should look at.")


@app.command("report")
def limits_report(
    *,
    data: Data,
    store: Annotated[str, typer.Option(help="Of one store; without it, of all.")] = "",
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="Sales of so many days until now.")] = 7,
    as_json: Json = False,
) -> None:
    """Print, by cashier, whose cards were used how often, numbers that nobody has, and what is held."""
    since = utc_now() - timedelta(days=days)
    with opened(data, as_json) as (_, database):
        shown = database.read_now(lambda connection: cashiers.report(connection, since, store))
    lines = [_line(one) for one in shown.cashiers]
    if shown.more:
        lines.append("… and more: name a store")
    say(as_json, shown, "\n".join(lines) or f"No sale since {since:%Y-%m-%d %H:%M} UTC.")


def _text(shown: LimitsSet, of: Of) -> str:
    held: Limits = shown.limits
    parts = [
        f"{name} {'any number' if allowed is None else allowed}"
        for name, allowed in (
            ("for one member by one cashier", held.cashier),
            ("for one member at one register", held.register),
            ("with one card", held.card),
            ("for one member", held.member),
        )
    ]
    if of == "sale":
        late = "at any time" if held.late_minutes is None else f"within {held.late_minutes} minutes"
        parts.append(f"given to a member later {late}")
    since = "" if shown.set_at is None else f"; since {shown.set_at:%Y-%m-%d %H:%M} UTC: {shown.because or 'no reason'}"
    return f"{of.capitalize()}s within 24 hours that count without a look: {', '.join(parts)}{since}"


def _line(one: CashierRow) -> str:
    most = f", {one.most_for_one} of them for {one.member}" if one.member else ""
    return (
        f"store {one.store or '-'} cashier {one.cashier or '-'}: {one.sales} sales, {one.with_member} for "
        f"{one.members} members{most}; {one.unknown_codes} numbers nobody has; {one.given_late} given late; "
        f"{one.rewards} rewards, {one.flagged} flagged; {one.held} held"
    )
