"""Full cards of stamps: how many stamps each member spent, and how often the voucher for their cards may be used.

Owns what a card cost that was spent: as many stamps, of the rule, as the program said by which it was given. A reward
under another name, or a card of another size, gives no stamp back that was spent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct
from sqlalchemy import Connection, Row, insert, select, update

from central import allowances, members, programs, uses, vouchers
from central.db import tables
from central.db.sets import among
from loyalty.member import Counters
from loyalty.program import Program
from loyalty.voucher_codes import stamp_card_id


class Cost(Struct, frozen=True, kw_only=True):
    """So many stamps of a rule fill a card."""

    rule: str
    every: int


def costs_of(program: Program) -> dict[str, Cost]:
    """What each reward costs that costs a full card."""
    every = {rule.id: rule.every for rule in program.stamps}
    return {
        reward.id: Cost(rule=reward.stamps, every=every[reward.stamps])
        for reward in program.rewards
        if reward.stamps is not UNSET
    }


class _Terms:
    """What cards cost by programs that were published; each is read when it is asked for."""

    def __init__(self, connection: Connection, in_force: Program) -> None:
        self._connection = connection
        self._now = costs_of(in_force)
        self._by_hash: dict[str, dict[str, Cost]] = {}
        self._newest: dict[str, Cost | None] = {}

    def then(self, program: str | None, reward: str) -> Cost | None:
        """By this program; where it is not known or has no such reward, by that in force, else by the newest that has.

        None for what costs no stamps.
        """
        if program is not None:
            if program not in self._by_hash:
                known = programs.published(self._connection, program)
                self._by_hash[program] = {} if known is None else costs_of(known.program)
            if reward in self._by_hash[program]:
                return self._by_hash[program][reward]
        return self._now.get(reward) or self.newest(reward)

    def newest(self, reward: str) -> Cost | None:
        """By the program that was published last of those that have the reward as one for stamps."""
        if reward not in self._newest:
            every = (costs_of(one).get(reward) for one in programs.newest_first(self._connection))
            self._newest[reward] = next((cost for cost in every if cost is not None), None)
        return self._newest[reward]


def spent(connection: Connection, some: Sequence[str], in_force: Program) -> dict[str, Counter[str]]:
    """Stamps of each rule that these members spent on full cards; none where no reward costs any now."""
    if not costs_of(in_force):
        return {}
    return _spent(connection, _cards(connection, some), _Terms(connection, in_force))


def _spent(connection: Connection, cards: Sequence[Row[Any]], terms: _Terms) -> dict[str, Counter[str]]:
    whose = {row.id: row.member for row in cards}
    found = defaultdict[str, Counter[str]](Counter)
    for row in uses.standing_by_program(connection, list(whose)):
        cost = terms.then(row.program, row.reward)
        if cost is not None:
            found[whose[row.voucher]][cost.rule] += row.times * cost.every
    return dict(found)


def fill(connection: Connection, counted: Mapping[str, Counters], now: datetime) -> None:
    """These members have so many stamps: a full card is one use of the voucher that stands for their cards.

    What members brought with them who were merged into these stands for the cards of then, and goes off; so does what
    registers hold of a reward that the stamps brought before, which is asked back.
    """
    found = programs.program_in_force(connection, now) if any(one.stamps for one in counted.values()) else None
    costs = costs_of(found.program) if found is not None else {}
    if found is None or not costs:
        return
    rows = _cards(connection, sorted(counted))
    terms = _Terms(connection, found.program)
    gone = _spent(connection, rows, terms)
    given = uses.standing(connection, [row.id for row in rows])
    for member, held in _before(connection, rows, costs, given, terms).items():
        gone.setdefault(member, Counter()).update(held)
    by_member = defaultdict[str, list[Row[Any]]](list)
    for row in rows:
        by_member[row.member].append(row)
    for member, counters in counted.items():
        for reward, cost in costs.items():
            left = (counters.stamps or {}).get(cost.rule, 0) - gone.get(member, Counter())[cost.rule]
            own = [row for row in by_member[member] if row.reward == reward]
            _set_uses(connection, member, reward, free=left // cost.every, rows=own, given=given, now=now)


def _set_uses(
    connection: Connection,
    member: str,
    reward: str,
    *,
    free: int,
    rows: Sequence[Row[Any]],
    given: Mapping[str, int],
    now: datetime,
) -> None:
    """So many cards are full that were not spent: those that lie under ids of before are some of them."""
    card, table = stamp_card_id(member, reward), tables.vouchers
    elsewhere = sum(row.uses - given.get(row.id, 0) for row in rows if row.id != card)
    wanted = max(0, given.get(card, 0) + free - elsewhere)
    known = next((row for row in rows if row.id == card), None)
    if known is None and wanted:
        row = {"id": card, "reward": reward, "member": member, "uses": wanted, "issued_at": now}
        connection.execute(insert(table).values(row))
    elif known is not None and known.uses != wanted:
        connection.execute(update(table).where(table.c.id == card).values(uses=wanted))
    else:
        return
    vouchers.to_be_planned(connection, member)


def _before(
    connection: Connection,
    rows: Iterable[Row[Any]],
    costs: Mapping[str, Cost],
    given: Mapping[str, int],
    terms: _Terms,
) -> dict[str, Counter[str]]:
    """Stamps, by rule, that registers hold in cards for rewards that cost none now; nothing else is left on these."""
    others = [row for row in rows if row.reward not in costs]
    also = members.aliases_of(connection, sorted({row.member for row in others})) if others else {}
    old = {
        row.id: row
        for row in others
        if row.id in {stamp_card_id(one, row.reward) for one in (row.member, *also.get(row.member, ()))}
    }
    leases = allowances.open_of_vouchers(connection, list(old))
    allowances.recall(connection, leases)
    left = Counter[str]()
    for lease in leases:
        left[lease.voucher] += allowances.left_of(lease)
    table, found = tables.vouchers, defaultdict[str, Counter[str]](Counter)
    for row in old.values():
        cost = terms.newest(row.reward)
        if cost is not None:
            found[row.member][cost.rule] += left[row.id] * cost.every
        stays = given.get(row.id, 0) + left[row.id]
        if row.uses != stays:
            connection.execute(update(table).where(table.c.id == row.id).values(uses=stays))
    return dict(found)


def _cards(connection: Connection, some: Sequence[str]) -> Sequence[Row[Any]]:
    """The vouchers of these members, among which their cards are."""
    table = tables.vouchers
    return connection.execute(select(table).where(among(table.c.member, some))).all() if some else ()
