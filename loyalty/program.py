"""The loyalty program: its JSON model, its checks and its content hash.

Owns what a program may say. Never says what a receipt is worth (`loyalty.evaluate` does) and never
ignores a field it does not know: an unread rule would give wrong points silently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from loyalty.conditions import MAX_DEPTH, ClockTime, Condition, Gtin, Text, within
from loyalty.entry_rules import is_reserved
from loyalty.periods import Duration, Expiry
from loyalty.purchase import ALL_GOODS, Basis
from loyalty.receipt import Currency
from loyalty.undecodable import UNDECODABLE

MAX_NAME_CHARS: Final = 64
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
# Shorter than the column that holds it, so that what undoes an entry has a name too.
RuleName = Annotated[str, Meta(min_length=1, max_length=48)]
PositiveInt = Annotated[int, Meta(ge=1, le=10**9)]
Ratio = tuple[PositiveInt, PositiveInt]
Threshold = Annotated[int, Meta(ge=1, le=10**14)]
Percent = Annotated[int, Meta(ge=1, le=100)]
VoucherCode = Annotated[str, Meta(pattern="^[0-9A-Z]{4,64}$")]
Day = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Bracket = tuple[Threshold, PositiveInt]
Measure = Literal["points_in", "spend_in", "visits_in"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)


# How texts are written that have to match a pattern; a person is told this in its place.
_EXAMPLES: Final[dict[Any, str]] = {
    Currency: "a currency by its ISO 4217 code, such as EUR",
    Duration: "a duration, such as P14D or P12M",
    Expiry: "a duration such as P12M or P12M/end-of-month, or a day such as 2027-12-31",
    ClockTime: "a time of day, such as 07:30 or 24:00",
    Gtin: "a GTIN of 8, 12, 13 or 14 digits",
    Day: "a day, such as 2027-12-31",
    VoucherCode: "a code of 4 to 64 capital letters and digits, such as SUMMER10",
    Text: "a text that is not empty",
}


class ProgramError(ValueError):
    """A program cannot be used. The message names the path and the remedy."""


class TierThreshold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a tier is reached: at least so many points, minor units spent on goods, or visits, within a window."""

    points_in: Duration | UnsetType = UNSET
    spend_in: Duration | UnsetType = UNSET
    visits_in: Duration | UnsetType = UNSET
    at_least: Threshold

    def measures(self) -> list[tuple[Measure, Duration]]:
        """What it measures, and in which window; a checked program has one in each threshold."""
        return [(name, window) for name in MEASURES if (window := getattr(self, name)) is not UNSET]


class Tier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tier, the lower ones first. `multiplier` is a fraction, `[3, 2]` for one and a half.

    One without `from` is given by hand. `grace` is for how long it stays when its threshold is no longer met.
    `discount_percent` is a standing discount that the till gives; it moves no points.
    """

    id: Name
    from_: TierThreshold | UnsetType = msgspec.field(name="from", default=UNSET)
    multiplier: Ratio = (1, 1)
    grace: Duration | UnsetType = UNSET
    discount_percent: Percent | UnsetType = UNSET


class Give(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`points` for every `per_minor` of the basis (of pieces, with scope `quantity`); without `per_minor`, once.

    Or `brackets` of `[threshold, points]`: the highest that the basis reaches gives its points.
    """

    points: PositiveInt | UnsetType = UNSET
    per_minor: PositiveInt | UnsetType = UNSET
    round: Literal["floor"] = "floor"
    brackets: Annotated[tuple[Bracket, ...], Meta(min_length=1, max_length=100)] | UnsetType = UNSET


class Points(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many points each time."""

    points: PositiveInt


class Cap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most points that a rule gives a member: by one receipt, on a day, in a month, ever."""

    receipt: PositiveInt | UnsetType = UNSET
    day: PositiveInt | UnsetType = UNSET
    month: PositiveInt | UnsetType = UNSET
    member: PositiveInt | UnsetType = UNSET


NO_CAP: Final = Cap()


class EarnRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule that gives points for what was bought.

    `min_basis_minor` is the least basis that gives anything. `pending` holds the points back for that long after
    the receipt. Where the program's `conflict` is `best_per_group`, only the best of a `group` gives; a rule without
    one always does.
    """

    id: RuleName
    priority: int = 0
    group: Name | UnsetType = UNSET
    when: Condition | UnsetType = UNSET
    basis: Basis = ALL_GOODS
    min_basis_minor: Threshold | UnsetType = UNSET
    give: Give
    cap: Cap = NO_CAP
    pending: Duration | UnsetType = UNSET
    expires: Expiry | UnsetType = UNSET


class VisitRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points for every so many visits within a window. A visit is a receipt with goods that `when` names, or a day
    with one (`per`)."""

    id: RuleName
    every: Annotated[int, Meta(ge=1, le=1_000)]
    within: Duration
    per: Literal["receipt", "day"] = "receipt"
    when: Condition | UnsetType = UNSET
    give: Points
    pending: Duration | UnsetType = UNSET
    expires: Expiry | UnsetType = UNSET


class StampRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stamp for each whole piece that `when` names; points for every so many stamps.

    One that gives nothing fills cards of so many stamps, and a reward costs a full one (`Reward.stamps`).
    """

    id: RuleName
    every: Annotated[int, Meta(ge=1, le=1_000)]
    when: Condition | UnsetType = UNSET
    give: Points | UnsetType = UNSET
    pending: Duration | UnsetType = UNSET
    expires: Expiry | UnsetType = UNSET


class EventCap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often an event rule gives a member points: on a day, in a month, ever."""

    day: PositiveInt | UnsetType = UNSET
    month: PositiveInt | UnsetType = UNSET
    member: PositiveInt | UnsetType = UNSET


class EventRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points for something else than a purchase: `on` is the event's name, such as `member.referred`."""

    id: RuleName
    on: Name
    give: Points
    cap: EventCap = EventCap()
    pending: Duration | UnsetType = UNSET
    expires: Expiry | UnsetType = UNSET


class Reward(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What points buy, or a voucher: a discount on a basket. Which there are for a basket, `loyalty.rewards` says.

    It has a `cost` in points, or costs a full card of `stamps`, of the stamp rule that is named. Or a `code`: whoever
    shows it may use as often as they like: nothing is spent then, so it can be had without the centre. Or it is
    `issued`: the centre makes vouchers that bring it, each with a code of its own, and a register takes one only where
    that was set aside for it. A voucher is good until what `expires` says of the moment at which it was issued, unless
    who issues it says otherwise. What a voucher brings comes once on a receipt where nothing else is said.

    One of three: `discount_minor` off the goods that `when` names (off all goods without it), `discount_percent` of
    them, or one piece of them at `piece_minor` (0: for nothing), the dearest or the cheapest as `piece` says.

    It can be had from `valid_from` to `valid_until`, both included, on the program's clock, `max_per_receipt` times at
    most, and each time needs `min_basket_minor` of the goods' money of its own. Rewards of one `stack_group` do not
    come together on one receipt; the others do. They are shown in the order of `(priority, id)`.
    """

    id: RuleName
    title: Name | UnsetType = UNSET
    priority: int = 0
    cost: PositiveInt | UnsetType = UNSET
    stamps: RuleName | UnsetType = UNSET
    code: VoucherCode | UnsetType = UNSET
    issued: bool | UnsetType = UNSET
    expires: Expiry | UnsetType = UNSET
    discount_minor: Threshold | UnsetType = UNSET
    discount_percent: Percent | UnsetType = UNSET
    piece_minor: Annotated[int, Meta(ge=0, le=10**14)] | UnsetType = UNSET
    piece: Literal["dearest", "cheapest"] = "dearest"
    when: Condition | UnsetType = UNSET
    min_basket_minor: Threshold | UnsetType = UNSET
    valid_from: Day | UnsetType = UNSET
    valid_until: Day | UnsetType = UNSET
    stack_group: Name | UnsetType = UNSET
    max_per_receipt: PositiveInt | UnsetType = UNSET
    offline: Literal["allowance", "refuse", "floor"] = "refuse"
    floor_points: PositiveInt | UnsetType = UNSET

    @property
    def points(self) -> int:
        """What one of it costs; 0 where a voucher or a full card brings it."""
        return self.cost or 0

    @property
    def is_brought(self) -> bool:
        """Whether it takes a voucher, which is not shown before: points and stamps are the member's own."""
        return self.cost is UNSET and self.stamps is UNSET

    @property
    def is_leased(self) -> bool:
        """Whether it is taken only where a use of a voucher, or of a full card, was set aside."""
        return bool(self.issued) or self.stamps is not UNSET


class Returns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a return does to points.

    `reverse` takes back what the original gave, below zero where it was spent; `within_balance` at most what the
    member has; `pending_only` what is still pending.
    """

    policy: Literal["reverse", "within_balance", "pending_only"] = "reverse"


class Program(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True):
    """A whole program. Rules run in the order of `(priority, id)`."""

    program: Name
    currency: Currency
    time_zone: str = "UTC"
    tiers: tuple[Tier, ...] = ()
    earn: Annotated[tuple[EarnRule, ...], Meta(max_length=1_000)]
    visits: Annotated[tuple[VisitRule, ...], Meta(max_length=100)] = ()
    stamps: Annotated[tuple[StampRule, ...], Meta(max_length=100)] = ()
    events: Annotated[tuple[EventRule, ...], Meta(max_length=100)] = ()
    rewards: Annotated[tuple[Reward, ...], Meta(max_length=100)] = ()
    returns: Returns = Returns()
    conflict: Literal["sum", "best_per_group"] = "sum"
    goodwill: Literal["honour", "none"] = "none"

    def ordered_rules(self) -> tuple[EarnRule, ...]:
        return tuple(sorted(self.earn, key=lambda rule: (rule.priority, rule.id)))


def program_from_json(document: bytes) -> Program:
    """A checked program. Raises ProgramError with path and remedy."""
    try:
        program = msgspec.json.decode(document, type=Program)
        # Of a key that is written twice one would be read and the other passed over, whatever it says.
        json.loads(document, object_pairs_hook=_once)
    except msgspec.ValidationError as error:
        wrong = _in_words(str(error))
        raise ProgramError(f"{wrong}: correct it, or take out what this version does not read yet") from error
    except UNDECODABLE as error:
        raise ProgramError(f"not JSON: {error}") from error
    for wrong in _wrong(program):
        raise ProgramError(wrong)
    return program


def _once(pairs: list[tuple[str, object]]) -> None:
    """Raises ProgramError where an object has a key twice."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ProgramError(f"the key {key!r} is written twice in one object; keep one of the two")
        seen.add(key)


def _in_words(error: str) -> str:
    """What is wrong with a text, with an example in place of the pattern that it has to match."""
    for written, example in _EXAMPLES.items():
        error = error.replace(
            f"Expected `str` matching regex {written.__metadata__[0].pattern!r}", f"Expected {example}"
        )
    return error


def _wrong(program: Program) -> Iterator[str]:
    """What the shapes cannot say, each with path and remedy."""
    try:
        ZoneInfo(program.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last of a folder of zones, such as `Europe`
        yield f"$.time_zone: {program.time_zone!r} is no IANA time zone, such as Europe/Belgrade"
    yield from _repeated(
        (f"$.{part}[{index}].id", rule.id)
        for part in ("earn", "visits", "stamps", "events")
        for index, rule in enumerate(getattr(program, part))
    )
    yield from _repeated((f"$.tiers[{index}].id", tier.id) for index, tier in enumerate(program.tiers))
    yield from _repeated((f"$.rewards[{index}].id", reward.id) for index, reward in enumerate(program.rewards))
    codes = [reward.code for reward in program.rewards]
    for index, code in enumerate(codes):
        if code is not UNSET and code in codes[:index]:
            yield f"$.rewards[{index}].code: {code!r} is another reward's code; a voucher brings one reward"
    yield from _wrong_tiers(program)
    yield from _wrong_cards(program)
    for index, rule in enumerate(program.earn):
        yield from _wrong_give(f"$.earn[{index}].give", rule.give)
    for part in ("earn", "visits", "stamps", "events"):
        for index, rule in enumerate(getattr(program, part)):
            yield from _wrong_rule(f"$.{part}[{index}]", rule)
    for index, reward in enumerate(program.rewards):
        yield from _wrong_reward(f"$.rewards[{index}]", reward)


def _repeated(ids: Iterator[tuple[str, str]]) -> Iterator[str]:
    seen: set[str] = set()
    for path, name in ids:
        if name in seen:
            yield f"{path}: {name!r} is used twice; ids name ledger entries, so each is used once"
        seen.add(name)


def _wrong_tiers(program: Program) -> Iterator[str]:
    least: dict[tuple[Measure, Duration], int] = {}
    for index, tier in enumerate(program.tiers):
        if tier.from_ is UNSET:
            continue
        path = f"$.tiers[{index}].from"
        measures = tier.from_.measures()
        if len(measures) != 1:
            yield f"{path}: give one of points_in, spend_in and visits_in, with its window"
        elif tier.from_.at_least <= least.get(measures[0], 0):
            yield f"{path}.at_least: not above a tier before it by the same measure; list tiers from the lowest up"
        else:
            least[measures[0]] = tier.from_.at_least


def _wrong_cards(program: Program) -> Iterator[str]:
    """Full cards are spent once: for points, or for one reward."""
    fills = {rule.id for rule in program.stamps if rule.give is UNSET}
    spends = [reward.stamps for reward in program.rewards if reward.stamps is not UNSET]
    for index, reward in enumerate(program.rewards):
        if reward.stamps is not UNSET and reward.stamps not in fills:
            yield f"$.rewards[{index}].stamps: {reward.stamps!r} is no stamp rule without give; name one"
        elif reward.stamps is not UNSET and spends.count(reward.stamps) > 1:
            yield f"$.rewards[{index}].stamps: {reward.stamps!r} is spent on another, too; write a rule for each"
    for index, rule in enumerate(program.stamps):
        if rule.id in fills and rule.id not in spends:
            yield f"$.stamps[{index}]: it gives nothing; say give, or have a reward cost its stamps"


def _wrong_give(path: str, give: Give) -> Iterator[str]:
    if (give.points is UNSET) is (give.brackets is UNSET):
        yield f"{path}: give either points (with per_minor, or once without it) or brackets"
    elif give.brackets is not UNSET:
        if give.per_minor is not UNSET:
            yield f"{path}.per_minor: brackets give their points once; take it out"
        thresholds = [threshold for threshold, _ in give.brackets]
        if sorted(set(thresholds)) != thresholds:
            yield f"{path}.brackets: list each threshold once, from the lowest to the highest"


def _wrong_rule(path: str, rule: EarnRule | VisitRule | StampRule | EventRule) -> Iterator[str]:
    if is_reserved(rule.id):
        yield f"{path}.id: {rule.id!r} names what the ledger itself gives or corrects; call the rule something else"
    yield from _wrong_expiry(path, rule.expires)
    if isinstance(rule, EventRule) or rule.when is UNSET:
        return
    yield from _wrong_condition(f"{path}.when", rule.when, 1)


def _wrong_reward(path: str, reward: Reward) -> Iterator[str]:
    kinds = ("discount_minor", "discount_percent", "piece_minor")
    if sum(getattr(reward, kind) is not UNSET for kind in kinds) != 1:
        yield f"{path}: give one of {', '.join(kinds)}"
    if reward.offline == "floor" and reward.floor_points is UNSET:
        yield f'{path}.floor_points: with "offline": "floor" say how many points must be left'
    days = [(key, day) for key in ("valid_from", "valid_until") if (day := getattr(reward, key)) is not UNSET]
    for key, day in days:
        if not _is_day(day):
            yield f"{path}.{key}: {day!r} is no day of the calendar; write it as 2027-12-31"
    yield from _wrong_source(path, reward)
    if [day for _, day in days] != sorted(day for _, day in days):
        yield f"{path}.valid_until: {reward.valid_until} is before valid_from; it could never be had"
    if reward.when is not UNSET:
        yield from _wrong_condition(f"{path}.when", reward.when, 1)


def _wrong_source(path: str, reward: Reward) -> Iterator[str]:
    """What brings a reward: points, a code, or vouchers that are issued."""
    ways = (reward.cost, reward.code, reward.issued or UNSET, reward.stamps)
    if sum(way is not UNSET for way in ways) != 1:
        yield f'{path}: give one of cost, in points, stamps, the code of a voucher, and "issued": true for issued ones'
    if reward.expires is not UNSET:
        if not reward.issued:
            yield f"{path}.expires: only vouchers that are issued have an end of their own; say valid_until"
        yield from _wrong_expiry(path, reward.expires)
    if reward.is_leased and reward.offline == "floor":
        yield f"{path}.offline: an issued voucher, and a card of stamps, goes by no balance; say allowance or refuse"
    if reward.code is not UNSET and reward.offline != "refuse":
        yield f"{path}.offline: nothing is spent where a voucher is shown, so it needs no centre; take it out"


def _wrong_expiry(path: str, expires: Expiry | UnsetType) -> Iterator[str]:
    if expires is not UNSET and not expires.startswith("P") and not _is_day(expires):
        yield f"{path}.expires: {expires!r} is no day of the calendar; write it as 2027-12-31"


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _wrong_condition(path: str, condition: Condition, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        yield f"{path}: more than {MAX_DEPTH} conditions within one another; write it flatter"
    if not any(getattr(condition, name) is not UNSET for name in condition.__struct_fields__):
        yield f"{path}: a condition that asks nothing; take it out or say what has to hold"
    for span in condition.time_in or ():
        if span[0] == span[1] or span[0] == "24:00":
            yield f"{path}.time_in: {span[0]} to {span[1]} is no span of the day"
    for name, inner in (("all", condition.all_), ("any", condition.any_)):
        for index, each in enumerate(inner or ()):
            yield from _wrong_condition(f"{path}.{name}[{index}]", each, depth + 1)
    if condition.not_:
        yield from _wrong_condition(f"{path}.not", condition.not_, depth + 1)


def unknown_tiers(program: Program) -> tuple[str, ...]:
    """What asks for a tier that the program does not have, each with path and remedy.

    No such program is published. It is read all the same: one that was published may ask for a tier given by hand.
    """
    known = {tier.id for tier in program.tiers}
    return tuple(
        f"$.{part}[{index}].when: no tier of the program is called {', '.join(unknown)}; add it to tiers, or correct it"
        for part in ("earn", "visits", "stamps", "rewards")
        for index, rule in enumerate(getattr(program, part))
        if (unknown := sorted(_tiers_asked(rule.when) - known))
    )


def _tiers_asked(condition: Condition | UnsetType) -> set[str]:
    return set() if condition is UNSET else {tier for part in within(condition) for tier in part.tier_in or ()}


def program_json(program: Program) -> bytes:
    """The one byte form of a program: sorted keys, no spaces, defaults written out."""
    return msgspec.json.encode(program, order="sorted")


def program_hash(program: Program) -> str:
    """SHA-256 (hexadecimal) of `program_json`; stored with every entry."""
    return hashlib.sha256(program_json(program)).hexdigest()


def program_schema() -> bytes:
    """The JSON Schema published as `docs/program.schema.json`."""
    schema = msgspec.json.schema(Program)
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2) + b"\n"
