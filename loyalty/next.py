"""What a basket would give now, and what could be had next: a threshold, a full card, a tier, a later hour.

Owns that answer for one basket and one member, for a till to show. It promises nothing that evaluating would not give:
each thing that could be had was tried. What hangs on counters that are not told is an estimate, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from loyalty.account import facts_of
from loyalty.evaluate import earns
from loyalty.exchange import parts_of
from loyalty.fold import NEW, Fold
from loyalty.history import missing, scope_of
from loyalty.ledger import LedgerEntry
from loyalty.member import MemberState
from loyalty.money import to_major
from loyalty.periods import later
from loyalty.program import Measure, Program, Tier, TierThreshold, VisitRule
from loyalty.purchase import QUANTITY_SCALE, Purchase
from loyalty.receipt import Receipt
from loyalty.rewards import Offer, offers
from loyalty.roll import roll
from loyalty.shortfall import Basket, Room, Shortfall, Window
from loyalty.terms import Rule, terms_of

Kind = Literal[
    "bracket", "min_basis", "min_basket", "min_line", "min_line_quantity", "time", "cap", "visits", "stamps", "tier"
]
Unit = Literal["minor", "pieces", "minutes", "visits", "points"]
_UNITS: Final[dict[Measure, Unit]] = {"points_in": "points", "spend_in": "minor", "visits_in": "visits"}


class Next(Struct, frozen=True, kw_only=True):
    """Something that could be had next.

    `rule` is the id of a rule, or of a tier. `missing` is counted in `unit`; `gives` is what the rule then gives, in
    all; a tier gives no points by itself. `until` is when it can be had no more; None where time takes nothing away.
    """

    rule: str
    kind: Kind
    missing: int
    unit: Unit
    gives: int
    until: datetime | None
    why: str


class Preview(Struct, frozen=True, kw_only=True):
    """What a basket would give now, by entries, and what could be had next, in the order of the program's rules.

    `rewards` are what the member's points can buy of it, and what is missing for the others. `receipt` is the basket's
    key; `estimated_without` names counters that rules ask for and nobody told.
    """

    receipt: str
    points: int
    gives: tuple[LedgerEntry, ...]
    could: tuple[Next, ...]
    rewards: tuple[Offer, ...] = ()
    estimated_without: tuple[str, ...]


def preview(basket: Receipt, program: Program, member: MemberState = NEW) -> Preview:
    """Look at a basket, or at a receipt so far, as if it were final now. `member` is as they were before it.

    A return and what does not count give nothing, and nothing could be had; of an exchange the sale part is looked at.
    """
    nothing = Preview(
        receipt=basket.key, points=0, gives=(), could=(), estimated_without=missing(program, member.counters)
    )
    sold, _ = parts_of(replace(basket, status="final"))
    if sold is None or not earns(sold, program):
        return nothing
    fold, facts = Fold(scope_of((program,)), member), facts_of(member, program)
    entries = tuple(fold.sell(sold, program=program, facts=facts))
    if sold.key in fold.refused:
        return nothing
    looked_at = Basket(fold.purchase(sold.key), program)
    at = looked_at.purchase.at
    could = [*_of_earning(looked_at, entries, program)]
    if at is not None:
        could += _of_visits(looked_at, program, fold.streaks.visits(at), at)
    could += _of_stamps(looked_at, program, fold.streaks.stamps(), entries)
    if at is not None:
        could += _of_tiers(program, fold, fold.tier(program, facts, at), at)
    stamps = member.counters.stamps or {}
    rewards = (
        offers(looked_at.purchase, program, _spendable(member, program, at), stamps=stamps) if program.rewards else ()
    )
    return replace(
        nothing, points=sum(entry.points for entry in entries), gives=entries, could=tuple(could), rewards=rewards
    )


def _spendable(member: MemberState, program: Program, at: datetime | None) -> int:
    """What the member may spend when the basket is bought."""
    return (member if at is None else roll(member, program, at)).balance.spendable


def _of_earning(basket: Basket, entries: tuple[LedgerEntry, ...], program: Program) -> Iterator[Next]:
    given = {entry.rule: entry for entry in entries}
    for rule in basket.rules:
        if (short := basket.shortfall(rule)) is not None:
            yield _bought(rule, short, program.currency)
        if (window := basket.window(rule)) is not None:
            yield _later(rule, window, basket.purchase)
        if rule.earn.id in given and (room := basket.room(rule, given[rule.earn.id])) is not None:
            yield _left(rule, room)


def _bought(rule: Rule, short: Shortfall, currency: str) -> Next:
    amount = (
        f"{to_major(short.missing, currency)} {currency}"
        if short.unit == "minor"
        else _counted(short.missing, "pieces")
    )
    what = {
        "bracket": "reach the next bracket",
        "min_basis": "reach the least that the rule asks for",
        "min_basket": "reach the least basket that the rule asks for",
        "min_line": "of the same goods make a line that counts",
        "min_line_quantity": "of the same goods make a line that counts",
    }[short.kind]
    return Next(
        rule=rule.earn.id,
        kind=short.kind,
        missing=short.missing,
        unit=short.unit,
        gives=short.gives,
        until=None,
        why=f"{amount} more {what}: {short.gives} points",
    )


def _later(rule: Rule, window: Window, purchase: Purchase) -> Next:
    local = purchase.local or window.begins
    return Next(
        rule=rule.earn.id,
        kind="time",
        missing=-(-(window.begins - local) // timedelta(minutes=1)),
        unit="minutes",
        gives=window.gives,
        until=window.ends,
        why=f"the same from {window.begins:%H:%M} to {window.ends:%H:%M}: {window.gives} points",
    )


def _left(rule: Rule, room: Room) -> Next:
    return Next(
        rule=rule.earn.id,
        kind="cap",
        missing=room.points,
        unit="points",
        gives=room.points,
        until=room.until,
        why=f"the same again gives {room.points} points, which is what the cap of a {room.cap} leaves",
    )


def _of_visits(
    basket: Basket, program: Program, open_visits: Mapping[str, Sequence[datetime]], at: datetime
) -> Iterator[Next]:
    """Of a rule by which this basket is a visit: so many like it more."""
    for rule, goods in zip(program.visits, terms_of(program).visits, strict=True):
        if goods.basis_of(basket.purchase) > 0:
            visits = sorted(open_visits.get(rule.id, ()))
            count, until = _visits_missing(rule, visits, at, program.time_zone)
            yield Next(
                rule=rule.id,
                kind="visits",
                missing=count,
                unit="visits",
                gives=rule.give.points,
                until=until,
                why=f"{count} more of {rule.every} visits within {rule.within}: {rule.give.points} points",
            )


def _visits_missing(
    rule: VisitRule, visits: list[datetime], at: datetime, time_zone: str
) -> tuple[int, datetime | None]:
    """How many visits more, and until when: counted from the earliest visit with which there is time enough."""
    zone = ZoneInfo(time_zone)
    for place, first in enumerate(visits):
        count, until = rule.every - (len(visits) - place), later(first, rule.within, time_zone)
        days = (until.astimezone(zone).date() - at.astimezone(zone).date()).days
        if until > at and (rule.per == "receipt" or days >= count):
            return count, until
    return rule.every, None


def _of_stamps(
    basket: Basket, program: Program, has: Mapping[str, int], entries: Iterable[LedgerEntry]
) -> Iterator[Next]:
    for rule, pieces in zip(program.stamps, terms_of(program).stamps, strict=True):
        if rule.give is UNSET:
            continue  # the reward that costs its stamps says how many are missing
        count = rule.every - has.get(rule.id, 0)
        fuller = basket.with_more(pieces, count)
        full = pieces.basis_of(basket.purchase) + count * QUANTITY_SCALE
        if fuller is not None and pieces.basis_of(fuller) >= full:
            now = sum(entry.points for entry in entries if entry.rule == rule.id)
            yield Next(
                rule=rule.id,
                kind="stamps",
                missing=count,
                unit="pieces",
                gives=now + rule.give.points,
                until=None,
                why=f"{count} more of {rule.every} stamps: {rule.give.points} points more",
            )


def _of_tiers(program: Program, fold: Fold, held: str | UnsetType, at: datetime) -> Iterator[Next]:
    """How far it is to each tier above the one that is held after this basket."""
    names = [tier.id for tier in program.tiers]
    for tier in program.tiers[names.index(held) + 1 if held in names else 0 :]:
        if tier.from_ is not UNSET:
            yield _distance(tier, tier.from_, fold, at, program)


def _distance(tier: Tier, threshold: TierThreshold, fold: Fold, at: datetime, program: Program) -> Next:
    [(measure, window)] = threshold.measures()
    counted = fold.counted(threshold, program, at)
    count = threshold.at_least - sum(each for _, each in counted)
    unit = _UNITS[measure]
    until = later(counted[0][0], window, program.time_zone) if counted else None
    amount = f"{to_major(count, program.currency)} {program.currency}" if unit == "minor" else _counted(count, unit)
    return Next(
        rule=tier.id,
        kind="tier",
        missing=count,
        unit=unit,
        gives=0,
        until=until,
        why=f"{amount} more within {window} reach the tier {tier.id}",
    )


def _counted(count: int, unit: Unit) -> str:
    return f"{count} {unit.removesuffix('s') if count == 1 else unit}"
