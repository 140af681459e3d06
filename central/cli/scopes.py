"""`tillside-central scopes`: which members the registers of a store hold."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer
from msgspec import Struct
from sqlalchemy import Connection

from central import scopes
from central.cli.command import Data, Json, opened, say
from central.clock import utc_now
from central.scopes import ALL_STORES, DEFAULT, DEFAULT_MONTHS, MAX_MONTHS, Policy, StorePolicy

app = typer.Typer()

Store = Annotated[
    str, typer.Option("--store", help="The store's number; without it, all stores that have no policy of their own.")
]


class Held(Enum):
    """What a register may be told to hold."""

    everything = "everything"
    seen = "seen"


class Policies(Struct, frozen=True, kw_only=True):
    """`policy` is for all stores but those of `stores`."""

    policy: Policy
    stores: tuple[StorePolicy, ...]


@app.command("show")
def scopes_show(data: Data, as_json: Json = False) -> None:
    """Print what registers hold, by store."""
    _say(data, as_json)


@app.command("set")
def scopes_set(
    *,
    data: Data,
    hold: Annotated[Held, typer.Argument(help="All members, or those that were seen at the store.")],
    months: Annotated[
        int, typer.Option(min=1, max=MAX_MONTHS, help="`seen`: how long ago they may have been there last.")
    ] = DEFAULT_MONTHS,
    store: Store = ALL_STORES,
    as_json: Json = False,
) -> None:
    """Let registers hold other members from now on; each takes a snapshot within half a minute."""
    policy = Policy(hold=hold.value, months=months if hold is Held.seen else None)
    with opened(data, as_json) as (_, database):
        database.write_now(lambda connection: scopes.set_policy(connection, store, policy, utc_now()))
    _say(data, as_json)


@app.command("unset")
def scopes_unset(data: Data, store: Store = ALL_STORES, as_json: Json = False) -> None:
    """Take a policy back: the store's registers hold what all stores' do, and those what they do by default."""
    with opened(data, as_json) as (_, database):
        database.write_now(lambda connection: scopes.set_policy(connection, store, None, utc_now()))
    _say(data, as_json)


def _say(data: Data, as_json: bool) -> None:
    with opened(data, as_json) as (_, database):
        shown = database.read_now(_policies)
    lines = [f"All stores: {_text(shown.policy)}", *(f"{one.store}: {_text(one.policy)}" for one in shown.stores)]
    say(as_json, shown, "\n".join(lines))


def _policies(connection: Connection) -> Policies:
    were_set = {one.store: one for one in scopes.policies(connection)}
    for_all = were_set.pop(ALL_STORES, None)
    return Policies(policy=DEFAULT if for_all is None else for_all.policy, stores=tuple(were_set.values()))


def _text(policy: Policy) -> str:
    if policy.hold == "everything":
        return "everything"
    return f"members seen there in {policy.months or DEFAULT_MONTHS} months"
