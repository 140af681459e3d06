"""Members as registers hold them: one row of each, with all that a till may show and reckon with.

Owns what of the centre's tables is told of a member. Rows of a batch's members are read by their places: finding a
column by its name takes SQLAlchemy as long as reading several. Changes nothing, and never decides when a row is told
(`central.feed` does).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import Connection, Select, select

from central import cards, context, members, profiles, programs, stamp_cards
from central.cards import AT_ONCE
from central.db import tables
from central.db.sets import among
from loyalty.identification import MemberKind
from loyalty.member import Balance, Counters, Identifier, Member, Progress, ending_of
from loyalty.program import Program
from loyalty.standing import progress, reached_by_activity

_counters = msgspec.json.Decoder(Counters)
_segments = msgspec.json.Decoder(tuple[str, ...])


class _Row(Struct, frozen=True):
    """What is read of a member for their row at a register."""

    id: str
    short_name: str | None
    tier: str | None
    language: str | None
    segments: str
    confirmed: int
    pending: int
    reserved: int
    reached: str | None
    counters: bytes | None


class _Number(Struct, frozen=True):
    """What of a number's row is told to registers."""

    member: str
    code: str
    kind: MemberKind
    card: str
    printed: int
    blocked_at: datetime | None
    replaced_by: str | None


def rows_of(connection: Connection, ids: Sequence[str], now: datetime) -> dict[str, Member]:
    """The rows registers may hold, as of `now`; ids that mean another member have none."""
    found: dict[str, Member] = {}
    in_force = programs.program_in_force(connection, now) if ids else None
    program = in_force.program if in_force is not None else None
    for start in range(0, len(ids), AT_ONCE):
        found.update(_rows(connection, ids[start : start + AT_ONCE], now, program))
    return found


def _rows(connection: Connection, ids: Sequence[str], now: datetime, in_force: Program | None) -> dict[str, Member]:
    program = in_force if in_force is not None and reached_by_activity(in_force) else None
    identifiers = _identifiers_of(connection, ids)
    aliases, told = members.aliases_of(connection, ids), profiles.shown(connection, ids)
    elsewhere = context.of_members(connection, ids, now)
    known, points, states = tables.members.c, tables.balances.c, tables.member_states.c
    joined = tables.members.join(tables.balances, points.member == known.id).outerjoin(
        tables.member_states, states.member == known.id
    )
    about = (known.id, known.short_name, known.tier, known.language, known.segments)
    stands = (points.confirmed, points.pending, points.reserved, points.tier, states.counters)
    query: Select[*tuple[Any, ...]] = select(*about, *stands).select_from(joined).where(among(known.id, ids))
    rows = [_Row(*row) for row in connection.execute(query)]
    counted = {row.id: _counters.decode(row.counters) for row in rows if row.counters is not None}
    spent = stamp_cards.spent(connection, list(counted), in_force) if in_force is not None and counted else {}
    return {
        row.id: Member(
            member=row.id,
            identifiers=identifiers.get(row.id, ()),
            short_name=UNSET if row.short_name is None else row.short_name,
            tier=row.reached or row.tier or UNSET,
            language=UNSET if row.language is None else row.language,
            balance=Balance(confirmed=row.confirmed, pending=row.pending, spendable=row.confirmed - row.reserved),
            as_of=now,
            counters=_counters_of(row, counted.get(row.id), spent.get(row.id, {})),
            aliases=aliases.get(row.id) or UNSET,
            note=told[row.id].note or UNSET,
            consents=told[row.id].consents or UNSET,
            stamps=told[row.id].stamps or UNSET,
            progress=_progress(row, counted.get(row.id), program, now),
            context=elsewhere.get(row.id, UNSET),
        )
        for row in rows
    }


def _counters_of(row: _Row, counted: Counters | None, spent: Mapping[str, int]) -> Counters | UnsetType:
    """What a register may hold of what was counted: the tier stands for the activity that it was reached with, and
    stamps that were spent are off.
    """
    segments = _segments.decode(row.segments)
    if counted is None:
        return Counters(segments=segments) if segments else UNSET
    stamps = {rule: max(0, count - spent.get(rule, 0)) for rule, count in (counted.stamps or {}).items()}
    return replace(counted, activity=UNSET, segments=segments, stamps=stamps if counted.stamps else counted.stamps)


def _progress(row: _Row, counted: Counters | None, program: Program | None, now: datetime) -> Progress | UnsetType:
    if program is None:
        return UNSET
    past = (counted.activity or ()) if counted is not None else ()
    return progress(program, row.reached or row.tier or UNSET, past, now)


def _identifiers_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Identifier, ...]]:
    numbers = tables.identifiers.c
    query = select(*(numbers[name] for name in _Number.__struct_fields__)).where(among(numbers.member, ids))
    of: dict[str, list[_Number]] = defaultdict(list)
    for row in connection.execute(query.order_by(numbers.code)):
        number = _Number(*row)
        of[number.member].append(number)
    return {member: _identifiers(theirs) for member, theirs in of.items()}


def _identifiers(rows: Sequence[_Number]) -> tuple[Identifier, ...]:
    """One member's numbers; those of a card with one number say nothing of a card."""
    on: dict[str, list[_Number]] = defaultdict(list)
    for row in rows:
        on[row.card].append(row)
    made = []
    for row in rows:
        state = cards.state_of(row.member, row.blocked_at, row.replaced_by)
        made.append(
            Identifier(
                kind=row.kind,
                code=row.code,
                card=row.card if len(on[row.card]) > 1 else "",
                state=state,
                replaced_by=_ending_of_newest(row.replaced_by or "", on) if state == "replaced" else "",
            )
        )
    return tuple(made)


def _ending_of_newest(card: str, on: Mapping[str, Sequence[_Number]]) -> str:
    """How the card that is in use now ends, as a person reads it; a replacement may have been replaced."""
    for _ in range(len(on)):
        numbers = on.get(card)
        if not numbers:
            return ""
        if numbers[0].replaced_by is None:
            return ending_of(max(numbers, key=lambda number: number.printed).code)
        card = numbers[0].replaced_by
    return ""
