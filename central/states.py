"""From where a member's next sale goes on: the counters after the newest thing that was folded.

Owns those rows, and the tier that follows from them. A row is a short cut and never the truth: without it all of a
member's receipts are folded anew (`central.folding`), to the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection, delete, or_, select, true, update

from central import members as roll
from central import programs
from central.db import tables
from central.db.sets import among, insert_rows
from loyalty.canonical import Holding, Position, facts_at
from loyalty.fold import Fold
from loyalty.history import remembers, scope_of
from loyalty.member import Counters, MemberState
from loyalty.schedule import in_force_at
from loyalty.standing import reached_by_activity

AT_ONCE = 500


class Carried(Struct, frozen=True, kw_only=True):
    """What was counted up to `last`, under the program that began to hold at `period`."""

    last: Position
    period: str
    counters: Counters


class Reached(Struct, frozen=True, kw_only=True):
    """The tier that a member has now, and when time alone may change it."""

    tier: str | None
    changes_at: datetime | None


def period_of(holding: Holding) -> str:
    """When a scheduled program began to hold; '' for ever."""
    return "" if holding.valid_from is None else holding.valid_from.astimezone(UTC).isoformat()


def load(connection: Connection, members: Iterable[str]) -> dict[str, Carried]:
    """The states of those members that have one."""
    found: dict[str, Carried] = {}
    for some in _parts(members):
        rows = connection.execute(select(tables.member_states).where(among(tables.member_states.c.member, some)))
        found.update(
            {
                row.member: Carried(
                    last=(row.moment, row.key),
                    period=row.period,
                    counters=msgspec.json.decode(row.counters, type=Counters),
                )
                for row in rows
            }
        )
    return found


def save(connection: Connection, states: Mapping[str, Carried]) -> None:
    """Put these in the place of what there was."""
    forget(connection, states)
    rows: list[dict[str, Any]] = [
        {
            "member": member,
            "moment": carried.last[0],
            "key": carried.last[1],
            "period": carried.period,
            "counters": msgspec.json.encode(carried.counters),
        }
        for member, carried in states.items()
    ]
    insert_rows(connection, tables.member_states, rows)


def forget(connection: Connection, members: Iterable[str]) -> None:
    """Let all of these members' receipts be folded anew when the next one comes."""
    for some in _parts(members):
        connection.execute(delete(tables.member_states).where(among(tables.member_states.c.member, some)))


def begin_anew(connection: Connection, since: datetime, *, all_anew: bool) -> None:
    """The schedule is another from `since` on: what is counted is, too.

    Where it has tiers that are reached, or sets other things aside ahead (`all_anew`), or members have such tiers, all
    are looked at when it begins to hold.
    """
    connection.execute(delete(tables.member_states))
    columns = tables.balances.c
    if all_anew or connection.execute(select(columns.member).where(columns.tier.is_not(None)).limit(1)).first():
        later = or_(columns.matures_at.is_(None), columns.matures_at > since)
        connection.execute(update(tables.balances).where(later).values(matures_at=since))


def are_kept(schedule: Sequence[Holding]) -> bool:
    """Whether what a receipt gives may hang on the receipts before it, under any program of the schedule."""
    return any(remembers(holding.program) for holding in schedule)


def without(connection: Connection, members: Iterable[str], ignored: Collection[str] = ()) -> set[str]:
    """Of these members those that have receipts or events and no state: they are to be folded anew.

    Receipts of `ignored` keys are as none.
    """
    found: set[str] = set()
    held, receipts, events = tables.member_states.c.member, tables.receipts.c, tables.events.c
    others = ~among(receipts.key, ignored) if ignored else true()
    for some in _parts(members):
        for column, which in ((receipts.member, others), (events.member, true())):
            query = select(column).where(among(column, some), ~select(held).where(held == column).exists(), which)
            found |= set(connection.execute(query.distinct()).scalars())
    return found


def reached(connection: Connection, members: Iterable[str], now: datetime) -> dict[str, Reached]:
    """The tiers that members reached; of none where the program in force has no such tiers."""
    schedule = programs.schedule(connection)
    holding = in_force_at(schedule, now)
    if holding is None or not reached_by_activity(holding.program):
        return {}
    members, program, scope = tuple(members), holding.program, scope_of(one.program for one in schedule)
    found: dict[str, Reached] = {}
    known = roll.facts_of(connection, members)
    for member, carried in load(connection, members).items():
        fold = Fold(scope, MemberState(code=member, counters=carried.counters))
        tier = fold.tier(program, facts_at(known[member], now), now)
        changes_at = fold.tier_changes_at(program, now)
        found[member] = Reached(tier=None if tier is UNSET else tier, changes_at=changes_at)
    return found


def _parts(members: Iterable[str]) -> Iterable[list[str]]:
    every = list(members)
    for start in range(0, len(every), AT_ONCE):
        yield every[start : start + AT_ONCE]
