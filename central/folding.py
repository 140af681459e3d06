"""Folding members anew: everything that bears on them, in canonical order, against what their ledger holds.

Owns that the ledger comes to what `loyalty.canonical` says, whatever order receipts came in: what is missing is
appended, what differs is corrected by further entries, and no row is ever changed. A sale that comes in its order needs
none of this (`central.fresh`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, delete, func, insert, select, union_all

from central import feed, ledger, programs, spent, stamp_cards, states, variances
from central import members as roll
from central.db import tables
from central.db.dialects import database_failed
from central.spent import Standing
from central.states import Carried
from central.variances import Compared, compared
from loyalty.canonical import Canonical, Holding, KnownFacts, Seen, Spent, canonical
from loyalty.corrections import corrections
from loyalty.entry_rules import is_spent
from loyalty.events import Happened
from loyalty.ledger import LedgerEntry
from loyalty.receipt import Receipt
from loyalty.schedule import in_force_at

# Receipts, events and redemptions of one member that are folded in one go without being asked: seconds of work for the
# one writer. A member with more is named in `unfolded`, and folded by a person (`tillside-central ledger fold`).
MAX_FOLDED = 20_000
# Members read and written together.
AT_ONCE = 100

_log = structlog.get_logger(__name__)


class _Bearing(Struct, frozen=True, kw_only=True):
    """All that bears on one member, and what the ledger holds."""

    receipts: Sequence[Row[Any]]
    returns: Sequence[Row[Any]]
    happened: Sequence[Happened]
    spent: Sequence[Standing]
    known: tuple[KnownFacts, ...]
    recorded: Sequence[Row[Any]]


class _Centre(Struct, frozen=True, kw_only=True):
    """What is the same for all members: programs, and whether states are kept and promises honoured."""

    schedule: Sequence[Holding]
    keeps_states: bool
    honours: bool
    published: frozenset[str]


class _Done(Struct, frozen=True, kw_only=True):
    """What folding one member comes to, not written yet."""

    rows: list[dict[str, Any]]
    compared: dict[str, Compared]
    carried: Carried | None


def fold_anew(
    connection: Connection, members: Iterable[str], now: datetime, *, limit: int | None = MAX_FOLDED
) -> set[str]:
    """Bring the ledgers of these members to what they should hold; returns the members whose feed row may be another.

    One that has more to fold than `limit`, or cannot be folded, is named in `unfolded` and holds up nobody else.
    """
    every = sorted(set(members))
    moved: set[str] = set()
    if not every:
        return moved
    centre = _centre(connection)
    for start in range(0, len(every), AT_ONCE):
        some = every[start : start + AT_ONCE]
        too_much = {} if limit is None else _above(connection, some, limit)
        done: dict[str, _Done] = {}
        undone = {
            member: f"{count} receipts, events and redemptions: more than {limit}" for member, count in too_much.items()
        }
        small = [member for member in some if member not in too_much]
        bearing = _bearing(connection, small)
        for member in small:
            try:
                done[member] = _folded(member, bearing[member], centre, now)
            except Exception as error:  # noqa: BLE001 - one member must not hold back the others
                undone[member] = _broken(error)
        undone |= _written(connection, done, now)
        _note_undone(connection, small, undone, now)
        moved.update(
            member for member, one in done.items() if member not in undone and (one.rows or centre.keeps_states)
        )
    return moved


def _broken(error: Exception) -> str:
    _log.error("member_not_folded", error=type(error).__name__)
    return f"could not be folded ({type(error).__name__}); report this"


def settle(
    connection: Connection, members: Iterable[str], now: datetime, *, limit: int | None = MAX_FOLDED
) -> list[str]:
    """Fold these members anew and refresh their balances; returns those that registers should hear of."""
    moved = sorted(fold_anew(connection, members, now, limit=limit))
    ledger.refresh_balances(connection, moved, now)
    return moved


def settle_and_tell(
    connection: Connection, members: Iterable[str], now: datetime, *, limit: int | None = MAX_FOLDED
) -> None:
    """Fold these members anew, and let registers hear of those whose row is another."""
    feed.note_changes(connection, settle(connection, members, now, limit=limit), now)


def _centre(connection: Connection) -> _Centre:
    schedule = programs.schedule(connection)
    return _Centre(
        schedule=schedule,
        keeps_states=states.are_kept(schedule),
        honours=any(holding.program.goodwill == "honour" for holding in schedule),
        published=programs.published_hashes(connection),
    )


def _above(connection: Connection, members: Sequence[str], limit: int) -> dict[str, int]:
    """How much there is to fold of those members that have more than `limit`."""
    receipts, events, spendings = tables.receipts.c, tables.events.c, tables.redemptions.c
    each = union_all(
        select(receipts.member.label("member")).where(receipts.member.in_(members)),
        select(events.member.label("member")).where(events.member.in_(members)),
        select(spendings.member.label("member")).where(spendings.member.in_(members)),
    ).subquery()
    query = select(each.c.member, func.count().label("pieces")).group_by(each.c.member)
    return {row.member: row.pieces for row in connection.execute(query.having(func.count() > limit))}


def _bearing(connection: Connection, members: Sequence[str]) -> dict[str, _Bearing]:
    receipts = _grouped(connection, select(tables.receipts).where(tables.receipts.c.member.in_(members)), "member")
    sales = tables.receipts.alias("sales")
    returns = select(tables.receipts, sales.c.member.label("from_member")).where(
        tables.receipts.c.original == sales.c.key, sales.c.member.in_(members)
    )
    took_from = _grouped(connection, returns, "from_member")
    events = _grouped(connection, select(tables.events).where(tables.events.c.member.in_(members)), "member")
    recorded = _recorded(connection, members)
    known = roll.facts_of(connection, members)
    spendings = spent.standing(connection, members)
    return {
        member: _Bearing(
            receipts=receipts[member],
            returns=took_from[member],
            happened=[Happened(key=row.key, on=row.what, at=row.at) for row in events[member]],
            spent=spendings.get(member, ()),
            known=known[member],
            recorded=recorded[member],
        )
        for member in members
    }


def _recorded(connection: Connection, members: Sequence[str]) -> defaultdict[str, list[Row[Any]]]:
    """What the ledger holds of each member, under any id that means them."""
    means = {alias: member for member, own in roll.aliases_of(connection, members).items() for alias in own}
    ledger_rows = tables.ledger
    query = select(ledger_rows).where(ledger_rows.c.member.in_([*members, *means])).order_by(ledger_rows.c.id)
    rows: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query):
        rows[means.get(row.member, row.member)].append(row)
    return rows


def _grouped(connection: Connection, query: Any, column: str) -> defaultdict[str, list[Row[Any]]]:
    rows: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query):
        rows[getattr(row, column)].append(row)
    return rows


def _folded(member: str, bearing: _Bearing, centre: _Centre, now: datetime) -> _Done:
    spendings = _spent(bearing, centre)
    result = canonical(_seen(bearing, centre), bearing.happened, centre.schedule, bearing.known, spendings)
    wanted = [each.entry for each in result.wanted]
    program_of = {ledger.entry_of(row).entry_id: row.program for row in bearing.recorded}
    program_of |= {each.entry.entry_id: each.program for each in result.wanted}
    appended = corrections(
        map(ledger.entry_of, bearing.recorded),
        wanted,
        because=_because(bearing, now),
        voided={row.key for row in (*bearing.receipts, *bearing.returns) if row.status == "voided"}
        | {one.spent.receipt for one in bearing.spent if one.is_void},
    )
    return _Done(
        rows=[
            ledger.row_of(entry, member, program_of.get(entry.entry_id) or program_of[entry.reverses or ""], now)
            for entry in appended
        ],
        compared=_compared(member, bearing, wanted),
        carried=_carried(result, centre.schedule) if centre.keeps_states else None,
    )


def _seen(bearing: _Bearing, centre: _Centre) -> Iterable[Seen]:
    own, returned = {row.key for row in bearing.receipts}, {row.key for row in bearing.returns}
    for row in _counting(bearing):
        receipt = msgspec.json.decode(row.body, type=Receipt)
        yield Seen(
            receipt=receipt if row.counts_at is None else replace(receipt, issued_at=row.counts_at),
            seen_at=row.received_at,
            sells=row.key in own,
            original=row.original if row.key in returned else None,
            promised=promised_by(row, centre.published) if centre.honours else (),
        )


def _spent(bearing: _Bearing, centre: _Centre) -> Iterable[Spent]:
    """What was spent, but on sales that were voided; by the program in force where the register named none."""
    for one in bearing.spent:
        if one.is_void:
            continue
        holding = in_force_at(centre.schedule, one.spent.at)
        named = one.spent.program or ("" if holding is None else holding.hash)
        yield replace(one.spent, program=named)


def _counting(bearing: _Bearing) -> Iterable[Row[Any]]:
    """Each receipt once, as long as it counts."""
    once = {row.key: row for row in (*bearing.receipts, *bearing.returns)}
    return (row for row in once.values() if row.status == "final" and row.state not in ledger.HELD_STATES)


def promised_by(row: Row[Any], published: Collection[str]) -> tuple[LedgerEntry, ...]:
    """What a till printed for a sale; nothing where it did not know the member, or named no program of ours."""
    if not row.knew_member or row.program not in published or row.kind == "return":
        return ()
    return msgspec.json.decode(row.claims, type=tuple[LedgerEntry, ...])


def _because(bearing: _Bearing, now: datetime) -> str:
    """What a correction is made for: what came in this very transaction and was not folded before."""
    folded = {row.receipt for row in bearing.recorded}
    fresh = {row.key: row for row in (*bearing.receipts, *bearing.returns) if row.key not in folded}
    came = [row for row in fresh.values() if row.received_at == now]
    match came:
        case []:
            return "evaluated again"
        case [one]:
            return f"receipt {one.number or one.key} came later"
        case _:
            return f"{len(came)} receipts came later"


def _compared(member: str, bearing: _Bearing, wanted: Iterable[LedgerEntry]) -> dict[str, Compared]:
    """Receipts whose register claimed something else. An exchange between two members is not compared."""
    given: defaultdict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in wanted:
        if not is_spent(entry.rule):  # a register claims what a sale gives, and tells what was spent by itself
            given[entry.receipt].append(entry)
    own, returned = {row.key for row in bearing.receipts}, {row.key for row in bearing.returns}
    found: dict[str, Compared] = {}
    for row in _counting(bearing):
        is_whole = row.key in own if row.kind == "sale" else row.key in returned
        if row.kind == "exchange":
            is_whole = row.key in own and (row.original is None or row.key in returned)
        if not is_whole or row.state in (ledger.WAITING, ledger.NO_PROGRAM):
            continue
        one = compared(
            row.key,
            device=row.device,
            member=member,
            claims=msgspec.json.decode(row.claims, type=tuple[LedgerEntry, ...]),
            entries=given[row.key],
            could_claim=bool(row.knew_member) and row.kind == "sale",
        )
        if one is not None:
            found[row.key] = one
    return found


def _carried(result: Canonical, schedule: Sequence[Holding]) -> Carried | None:
    """From where the member's next sale goes on."""
    holding = in_force_at(schedule, result.last[0]) if result.last is not None else None
    if result.last is None or holding is None:
        return None
    counters = result.fold.counters(holding.program, result.last[0])
    return Carried(last=result.last, period=states.period_of(holding), counters=counters)


def _written(connection: Connection, done: Mapping[str, _Done], now: datetime) -> dict[str, str]:
    """Write what was folded: all together, or each alone to find those that cannot be; returns these."""
    try:
        with connection.begin_nested():
            _write(connection, done, now)
    except Exception as error:  # found out one by one
        if database_failed(error):
            raise
        if len(done) == 1:
            return dict.fromkeys(done, _broken(error))
        undone: dict[str, str] = {}
        for member, one in done.items():
            undone |= _written(connection, {member: one}, now)
        return undone
    return {}


def _write(connection: Connection, done: Mapping[str, _Done], now: datetime) -> None:
    rows = [row for one in done.values() for row in one.rows]
    if rows:
        connection.execute(insert(tables.ledger), rows)
    found = {key: each for one in done.values() for key, each in one.compared.items()}
    variances.renew(connection, list(done), found, now)
    # One whose last receipt went has nothing to go on from any more.
    states.forget(connection, [member for member, one in done.items() if one.carried is None])
    carried = {member: one.carried for member, one in done.items() if one.carried is not None}
    states.save(connection, carried)
    stamp_cards.fill(connection, {member: one.counters for member, one in carried.items()}, now)


def _note_undone(connection: Connection, tried: Iterable[str], undone: Mapping[str, str], now: datetime) -> None:
    """Name the members whose ledger is not what it should be, and no others any more; they have no state."""
    table = tables.unfolded
    connection.execute(delete(table).where(table.c.member.in_([*tried, *undone])))
    states.forget(connection, undone)
    if undone:
        rows = [{"member": member, "because": why, "since": now} for member, why in undone.items()]
        connection.execute(insert(table), rows)
