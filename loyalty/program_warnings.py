"""What a program says and probably does not mean, for people who write one.

Owns what is warned of, and its words. Nothing here is an error (`loyalty.program` has those), and nothing is asked
when a receipt is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from msgspec import UNSET, Struct

from loyalty.condition_cases import Asked, Case, bounds, cases_of, contradiction
from loyalty.conditions import about_lines, keys_in
from loyalty.money import minor_digits
from loyalty.periods import Duration, earlier, expiry, later
from loyalty.program import (
    MEASURES,
    Cap,
    EarnRule,
    EventCap,
    EventRule,
    Give,
    Program,
    StampRule,
    Tier,
    TierThreshold,
    VisitRule,
)
from loyalty.purchase import ALL_GOODS
from loyalty.rule_windows import overlapping_windows

AnyRule = EarnRule | VisitRule | StampRule | EventRule

# The shortest first: what a longer one allows, a shorter one may never let happen.
_PERIODS: Final = ("receipt", "day", "month", "member")
# Some day of each length of month, in a year with a leap day and one without.
_DAYS: Final = tuple(datetime(2027, 1, 1, 12, tzinfo=UTC) + timedelta(days=day) for day in range(0, 800, 5))
_NO_CURRENCY: Final = frozenset({"XXX", "XTS"})
_PARTS: Final = ("earn", "visits", "stamps", "events")


Code = Literal[
    "never_fires",
    "bracket_never_reached",
    "always_beaten",
    "group_without_effect",
    "windows_overlap",
    "cap_hidden",
    "give_above_cap",
    "expires_before_confirmed",
    "tier_without_grace",
    "tier_hides_another",
    "tier_gives_less",
    "discount_not_given",
    "points_per_minor_unit",
    "clock_of_utc",
    "odd_currency",
    "nothing_earns",
    "floor_unused",
    "floor_beside_allowance",
]


class ProgramWarning(Struct, frozen=True, kw_only=True):
    """`path` is where in the file, `code` names the sort, `detail` says what happens, `remedy` what to do."""

    path: str
    code: Code
    detail: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}; {self.remedy}"


def warnings_of(program: Program) -> tuple[ProgramWarning, ...]:
    """All warnings, in the order of the file's parts."""
    return tuple(
        ProgramWarning(path=path, code=code, detail=detail, remedy=remedy)
        for path, code, detail, remedy in _warnings(program)
    )


_Found = tuple[str, Code, str, str]


def _warnings(program: Program) -> Iterator[_Found]:
    yield from _of_money_and_time(program)
    for index, tier in enumerate(program.tiers):
        yield from _of_tier(f"$.tiers[{index}]", tier, program.tiers[:index])
    if not any(getattr(program, part) for part in _PARTS):
        yield "$.earn", "nothing_earns", "there is no rule, so nothing earns points", "add one"
    for part in _PARTS:
        for index, rule in enumerate(getattr(program, part)):
            yield from _of_rule(f"$.{part}[{index}]", rule, program)
    yield from _of_groups(program)
    for index, reward in enumerate(program.rewards):
        if reward.floor_points is not UNSET and reward.offline != "floor":
            yield (
                f"$.rewards[{index}].floor_points",
                "floor_unused",
                f'it counts only with "offline": "floor", and {reward.id!r} has {reward.offline!r}',
                "take it out",
            )
    yield from _of_floors(program)
    for found in overlapping_windows(program):
        yield (
            f"$.earn[{found.later}].when",
            "windows_overlap",
            f"{found.when} rule {program.earn[found.earlier].id!r} holds too, and both give for the same goods",
            'part their windows, or put both into one group with "conflict": "best_per_group"',
        )


def _of_floors(program: Program) -> Iterator[_Found]:
    """Rewards that go by the balance beside such as go by what was set aside."""
    aside = [reward.id for reward in program.rewards if reward.offline == "allowance" and reward.points]
    for index, reward in enumerate(program.rewards):
        if aside and reward.offline == "floor":
            yield (
                f"$.rewards[{index}].offline",
                "floor_beside_allowance",
                f"without a network {reward.id!r} may take points that are set aside elsewhere for {aside[0]!r}, "
                "and both be given: the balance can go below zero",
                'write "offline": "allowance" or "refuse", or allow for that',
            )


def _of_money_and_time(program: Program) -> Iterator[_Found]:
    if program.currency in _NO_CURRENCY:
        yield "$.currency", "odd_currency", f"{program.currency} is no money of any country", "name the shop's"
    if program.time_zone in ("UTC", "Etc/UTC", "GMT", "Etc/GMT") and _asks_the_clock(program):
        yield (
            "$.time_zone",
            "clock_of_utc",
            f"weekdays, times and caps of a day or month are counted in {program.time_zone}",
            "name the shop's zone, such as Europe/Belgrade",
        )
    whole = 10 ** minor_digits(program.currency)
    for index, rule in enumerate(program.earn):
        give, money = rule.give, rule.basis.scope != "quantity"
        if money and whole > 1 and give.per_minor is not UNSET and (give.points or 0) >= give.per_minor:
            points = (give.points or 0) * whole // give.per_minor
            yield (
                f"$.earn[{index}].give.per_minor",
                "points_per_minor_unit",
                f"it gives {points} points for {program.currency} 1, since per_minor counts minor units",
                f"write {give.per_minor * whole} if points per {program.currency} {give.per_minor} were meant",
            )


def _asks_the_clock(program: Program) -> bool:
    clocked = {"weekday_in", "time_in", "birthday_month"}
    for part in ("earn", "visits", "stamps"):
        for rule in getattr(program, part):
            if rule.when is not UNSET and clocked & keys_in(rule.when):
                return True
    caps: list[Cap | EventCap] = [*(rule.cap for rule in program.earn), *(rule.cap for rule in program.events)]
    return any(cap.day is not UNSET or cap.month is not UNSET for cap in caps)


# ---- tiers


def _of_tier(path: str, tier: Tier, below: tuple[Tier, ...]) -> Iterator[_Found]:
    if tier.discount_percent is not UNSET:
        yield (
            f"{path}.discount_percent",
            "discount_not_given",
            "it is carried, and no till gives the discount by itself yet",
            "let the till give it for this tier",
        )
    if tier.from_ is not UNSET and tier.grace is UNSET:
        yield (
            f"{path}.grace",
            "tier_without_grace",
            "without it a member falls on the day on which old receipts leave the window",
            "give a grace, such as P1M, if that is too soon",
        )
    for lower in below:
        if tier.multiplier[0] * lower.multiplier[1] < lower.multiplier[0] * tier.multiplier[1]:
            yield (
                f"{path}.multiplier",
                "tier_gives_less",
                f"it multiplies by less than {lower.id!r}, a tier before it",
                "list tiers from the lowest up, or correct the multiplier",
            )
        if lower.from_ is not UNSET and tier.from_ is not UNSET and _is_reached_first(tier.from_, lower.from_):
            yield (
                f"{path}.from",
                "tier_hides_another",
                f"whoever reaches {lower.id!r} has reached this one too, so nobody is ever {lower.id!r}",
                "raise at_least, or shorten the window",
            )


def _is_reached_first(higher: TierThreshold, lower: TierThreshold) -> bool:
    """Whether the higher tier asks for no more, within no less time."""
    for measure in MEASURES:
        mine, other = getattr(higher, measure), getattr(lower, measure)
        if mine is not UNSET and other is not UNSET:
            return higher.at_least <= lower.at_least and _is_never_longer(other, mine)
    return False


def _is_never_longer(one: Duration, other: Duration) -> bool:
    return all(earlier(day, one, "UTC") >= earlier(day, other, "UTC") for day in _DAYS)


# ---- rules


def _of_rule(path: str, rule: AnyRule, program: Program) -> Iterator[_Found]:
    yield from _of_expiry(path, rule)
    if isinstance(rule, EarnRule | EventRule):
        yield from _of_caps(f"{path}.cap", rule.cap)
    if isinstance(rule, EventRule):
        return
    cases = possible_cases(rule, program)
    if isinstance(cases, str):
        yield (
            f"{path}.when",
            "never_fires",
            f"the rule can never give anything: {cases}",
            "correct the condition, or take the rule out",
        )
        return
    if isinstance(rule, EarnRule):
        yield from _of_give(path, rule, cases)
    if isinstance(rule, VisitRule):
        yield from _of_visits(path, rule, cases)


def possible_cases(rule: EarnRule | VisitRule | StampRule, program: Program) -> tuple[Case, ...] | str:
    """The cases in which a rule can hold; why there is none; one without anything asked where there are too many."""
    cases = cases_of(rule.when)
    if cases is None:
        return ((),)
    if isinstance(rule, EarnRule) and rule.basis.exclude_tags and rule.when is not UNSET and about_lines(rule.when):
        cases = tuple((*case, Asked("line_tag_in", rule.basis.exclude_tags, holds=False)) for case in cases)
    tiers = frozenset(tier.id for tier in program.tiers)
    whys = [contradiction(case, tiers) or _newcomer(case, program) for case in cases]
    possible = tuple(case for case, why in zip(cases, whys, strict=True) if not why)
    return possible or whys[0]


def _newcomer(case: Case, program: Program) -> str:
    """Why nobody's first purchase is this one: a tier is asked for that takes purchases to reach."""
    first = any(asked.key == "first_purchase" and asked.value is asked.holds for asked in case)
    asked_for = [set(asked.value) for asked in case if asked.key == "tier_in" and asked.holds]  # type: ignore[call-overload]
    earned = {
        tier.id
        for tier in program.tiers
        if tier.from_ is not UNSET and (not tier.from_.points_in or not program.events)
    }
    if first and any(wanted <= earned for wanted in asked_for):
        return "before the first purchase nobody has reached the tier that is asked for"
    return ""


def _of_visits(path: str, rule: VisitRule, cases: tuple[Case, ...]) -> Iterator[_Found]:
    if rule.every > 1 and all(Asked("first_purchase", True) in case for case in cases):
        yield (
            f"{path}.every",
            "never_fires",
            "only a first purchase counts, and it takes more of them to give anything",
            "take first_purchase out",
        )
    most = max((day - earlier(day, rule.within, "UTC")).days for day in _DAYS) + 1
    if rule.per == "day" and rule.every > most:
        yield (
            f"{path}.every",
            "never_fires",
            f"{rule.within} has {most} days at most, and the rule takes {rule.every}",
            "lengthen within, or ask for fewer",
        )


def _of_expiry(path: str, rule: AnyRule) -> Iterator[_Found]:
    expires, pending = rule.expires, rule.pending
    if expires is UNSET or pending is UNSET or not expires.startswith("P"):
        return
    gone = sum(expiry(day, expires, "UTC") <= later(day, pending, "UTC") for day in _DAYS)
    if gone:
        often = "always" if gone == len(_DAYS) else "for what is bought on some days"
        yield (
            f"{path}.expires",
            "expires_before_confirmed",
            f"points are gone before they are confirmed, {often}",
            "shorten pending, or lengthen expires",
        )


# ---- what a rule gives, and its caps


def _of_caps(path: str, cap: Cap | EventCap) -> Iterator[_Found]:
    told = [(name, most) for name in _PERIODS if (most := getattr(cap, name, UNSET)) is not UNSET]
    for place, (name, most) in enumerate(told):
        for longer, least in told[place + 1 :]:
            if least <= most:
                yield (
                    f"{path}.{name}",
                    "cap_hidden",
                    f"the cap of a {longer} is {least}, so that of a {name}, {most}, never cuts anything",
                    f"take it out, or lower it below {least}",
                )
                break


def _of_give(path: str, rule: EarnRule, cases: tuple[Case, ...]) -> Iterator[_Found]:
    least, below = _reach(rule, cases)
    if below is not None and _most_below(rule, below) == 0:
        yield (
            f"{path}.give",
            "never_fires",
            f"the basis is always below {below}, which gives no point",
            "correct the thresholds",
        )
        return
    yield from _of_brackets(f"{path}.give.brackets", rule.give, least, below)
    smallest = [most for name in _PERIODS if (most := getattr(rule.cap, name)) is not UNSET]
    if smallest:
        yield from _above_cap(path, rule, least, min(smallest))


def _reach(rule: EarnRule, cases: tuple[Case, ...]) -> tuple[int, int | None]:
    """Between what the basis lies whenever the rule gives, as far as its conditions say."""
    least = rule.min_basis_minor or 1
    if rule.basis != ALL_GOODS or (rule.when is not UNSET and about_lines(rule.when)):
        return least, None
    between = [bounds(case, "min_basket_minor") for case in cases]
    ceilings = [below for _, below in between if below is not None]
    return max(least, min(floor for floor, _ in between)), max(ceilings) if len(ceilings) == len(between) else None


def _most_below(rule: EarnRule, below: int) -> int | None:
    """What the rule gives at most for a basis below that, without regard to tiers; None where that is not known."""
    give = rule.give
    if (rule.min_basis_minor or 1) >= below:
        return 0
    if give.brackets is not UNSET:
        return max((points for threshold, points in give.brackets if threshold < below), default=0)
    return None


def _of_brackets(path: str, give: Give, least: int, below: int | None) -> Iterator[_Found]:
    brackets = give.brackets or ()
    for place, (threshold, _) in enumerate(brackets):
        next_one = brackets[place + 1][0] if place + 1 < len(brackets) else None
        if next_one is not None and next_one <= least:
            why = f"the basis is at least {least} where the rule gives, and reaches the next bracket"
        elif below is not None and threshold >= below:
            why = f"the basis is always below {below} where the rule gives"
        else:
            continue
        yield f"{path}[{place}]", "bracket_never_reached", f"{why}, so this one never counts", "take it out"


def _above_cap(path: str, rule: EarnRule, least: int, smallest: int) -> Iterator[_Found]:
    give = rule.give
    if give.brackets is not UNSET:
        for place, (_, points) in enumerate(give.brackets):
            if points > smallest:
                yield _cut(f"{path}.give.brackets[{place}]", points, smallest)
    elif give.per_minor is UNSET:
        if (give.points or 0) > smallest:
            yield _cut(f"{path}.give.points", give.points or 0, smallest)
    elif (points := least * (give.points or 0) // give.per_minor) > smallest:
        yield _cut(f"{path}.cap", points, smallest)


def _cut(path: str, points: int, smallest: int) -> _Found:
    return (
        path,
        "give_above_cap",
        f"it gives {points} points at least, and the smallest cap always cuts them to {smallest}",
        "raise the cap, or give less",
    )


# ---- groups


def _of_groups(program: Program) -> Iterator[_Found]:
    if program.conflict == "sum":
        for index, rule in enumerate(program.earn):
            if rule.group is not UNSET:
                yield (
                    f"$.earn[{index}].group",
                    "group_without_effect",
                    'a group has no effect where "conflict" is "sum": all rules give',
                    'write "conflict": "best_per_group", or take the group out',
                )
        return
    places = {rule.id: index for index, rule in enumerate(program.earn)}
    ordered = program.ordered_rules()
    for place, rule in enumerate(ordered):
        for rank, other in enumerate(ordered):
            if rank != place and rule.group is not UNSET and _always_beats(other, rule, goes_first=rank < place):
                yield (
                    f"$.earn[{places[rule.id]}]",
                    "always_beaten",
                    f"rule {other.id!r} of the same group gives at least as much whenever this one does",
                    "take it out, or let it give more",
                )
                break


def _always_beats(one: EarnRule, other: EarnRule, *, goes_first: bool) -> bool:
    """Whether `one` wins wherever `other` gives; of equals the one that goes first does."""
    if one.group != other.group or one.basis != other.basis or one.cap != Cap():
        return False
    if one.when is not UNSET and one.when != other.when:
        return False
    # A condition about lines alone narrows the basis of the one that has it; without one all goods count.
    if (one.min_basis_minor or 1) > (other.min_basis_minor or 1):
        return False
    return _gives_as_much(one.give, other.give, strictly=not goes_first)


def _gives_as_much(one: Give, other: Give, *, strictly: bool) -> bool:
    if one.brackets is not UNSET or other.brackets is not UNSET:
        return _brackets_give_as_much(one, other, strictly=strictly)
    mine, its = one.points or 0, other.points or 0
    if one.per_minor is UNSET and other.per_minor is UNSET:
        return mine > its if strictly else mine >= its
    if one.per_minor is UNSET or other.per_minor is UNSET:
        return False
    return not strictly and mine * other.per_minor >= its * one.per_minor


def _brackets_give_as_much(one: Give, other: Give, *, strictly: bool) -> bool:
    """Brackets against brackets: at each threshold of the other."""
    if one.brackets is UNSET or other.brackets is UNSET:
        return False
    for threshold, points in other.brackets:
        mine = max((given for reached, given in one.brackets if reached <= threshold), default=0)
        if mine < points or (strictly and mine == points):
            return False
    return True
