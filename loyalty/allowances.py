"""What a register may give without asking: points and vouchers, how much is granted where, and what it may give now.

Owns that arithmetic, the centre's half and the register's. An allowance is so many points of one member that the centre
sets aside for one register in one of its epochs; nobody else can spend them until that register itself says that it
will not, or a person writes them off. So what is spent in any partition was set aside
before, and that never was more than the balance. A voucher that was issued goes by the same rule: what is set aside is
one of its uses, and a register takes no voucher of which it holds none. Never asks a clock: no allowance ends by time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import UNSET, Meta, Struct

from loyalty.conditions import Condition
from loyalty.meant import Meant, is_meant_for
from loyalty.program import Program, Reward
from loyalty.receipt import AwareDatetime

# Registers to which the centre grants points of one member ahead.
MAX_PLACES: Final = 32
# Whole rewards of one member at one register.
MAX_REWARDS: Final = 100

Refused = Literal["not_enough", "not_offline", "register_unsure", "below_floor"]

Asked = Literal["not_yet", "granted", "refused", "unanswered"]
"""Whether the centre was asked for what is wanted: it can be; it was just now, and granted it or not; it is silent."""

_UNSURE: Final = "this register's database may be an older copy; it spends nothing until it is online"


class Allowance(Struct, frozen=True, kw_only=True):
    """What a register holds of one member. `left` is what it may still spend or set aside for a sale."""

    id: str
    epoch: str
    points: int
    used: int = 0

    @property
    def left(self) -> int:
        return self.points - self.used


class Draw(Struct, frozen=True, kw_only=True):
    """So many points of one allowance."""

    allowance: str
    points: int


class Lease(Struct, frozen=True, kw_only=True):
    """Uses of a voucher that this register holds: the voucher by its id, and the reward that it brings.

    `member` is whose it is, empty where it is for whoever shows it; `left` are uses that no sale took yet. From
    `expires_at` on it brings nothing.
    """

    allowance: str
    epoch: str
    voucher: str
    reward: str
    member: str
    left: int
    expires_at: AwareDatetime | None = None

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class CannotSpendError(ValueError):
    """Neither points nor a voucher can be taken here and now. `reason` is for programs, the message for people."""

    def __init__(self, reason: Refused, message: str) -> None:
        super().__init__(message)
        self.reason: Refused = reason


class Standing(Struct, frozen=True, kw_only=True):
    """What a register knows when a member wants a reward.

    `balance` is what is shown of the member's points, what was spent here and not told yet taken off. `is_sure` says
    that the register's word outside its database agrees with it: one that was put back from an older copy has forgotten
    what it spent. `is_short` says that goods were brought back, and points with them that were set aside: as this
    register saw itself, or as the centre told. A balance that is only low may be older than what was set aside.
    """

    epoch: str
    is_sure: bool
    balance: int
    is_short: bool = False
    allowances: tuple[Allowance, ...] = ()

    @property
    def safe(self) -> int:
        """Points that can be spent without asking anybody."""
        if not self.is_sure:
            return 0
        left = sum(one.left for one in self._usable())
        return min(left, max(0, self.balance)) if self.is_short else left

    def _usable(self) -> list[Allowance]:
        return [one for one in self.allowances if one.epoch == self.epoch and one.left > 0]

    def times(self, reward: Reward) -> int:
        """How often a reward that costs points can be given without asking anybody."""
        if reward.offline == "refuse" or not self.is_sure:
            return 0
        if reward.offline != "floor":
            return self.safe // reward.points
        return max(0, self.balance - (reward.floor_points or 0)) // reward.points

    def drawn(self, reward: Reward, points: int, *, asked: Asked = "unanswered") -> tuple[Draw, ...]:
        """What is drawn of which allowance for `points` of this reward.

        Of a reward that goes by the balance (`floor`) less is drawn than it costs where less was set aside here, and
        the centre does not answer: the rest goes by the balance. Unless the centre granted it, its floor is left.
        What was set aside here is given beyond the balance where the centre granted that, or does not answer: the
        balance may be an older one. Raises CannotSpendError.
        """
        if not self.is_sure:
            raise CannotSpendError("register_unsure", _UNSURE)
        if reward.offline == "floor" and asked != "granted":
            self._check_floor(reward, points)
        is_known = points <= self.balance or asked in ("granted", "unanswered")
        if points <= self.safe and is_known and (asked == "granted" or reward.offline != "refuse"):
            return _drawn(self._usable(), points)
        match reward.offline:
            case "floor" if asked == "unanswered":
                return _drawn(self._usable(), self.safe)
            case "refuse":
                raise CannotSpendError("not_offline", "this reward needs the centre, which does not answer")
            case _:
                lacking = points - (self.safe if points > self.safe else self.balance)
                raise CannotSpendError("not_enough", f"{lacking} points more than may be spent here without the centre")

    def _check_floor(self, reward: Reward, points: int) -> None:
        left = self.balance - points
        if left < (reward.floor_points or 0):
            raise CannotSpendError("below_floor", f"{reward.floor_points} points have to be left, and {left} would be")


def _drawn(allowances: Iterable[Allowance], points: int) -> tuple[Draw, ...]:
    draws = []
    for one in allowances:
        if points == 0:
            break
        draws.append(Draw(allowance=one.id, points=min(points, one.left)))
        points -= draws[-1].points
    return tuple(draws)


def leased(leases: Iterable[Lease], *, epoch: str, is_sure: bool) -> Lease:
    """Which of a voucher's leases one use is drawn of, before the centre is asked for one. Raises CannotSpendError."""
    if not is_sure:
        raise CannotSpendError("register_unsure", _UNSURE)
    for one in leases:
        if one.epoch == epoch and one.left > 0:
            return one
    raise CannotSpendError(
        "not_offline",
        "this register has to ask the centre for this voucher, and that does not answer: try again once it is online, "
        "or take the voucher to the register where its member mostly shops",
    )


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far ahead the centre goes: it sets aside up to so many `rewards` of a member at each of the `places`
    registers where they shop most, or so many parts where points are money. What is beyond that stays for who asks.
    """

    places: Annotated[int, Meta(ge=0, le=MAX_PLACES)] = 16
    rewards: Annotated[int, Meta(ge=1, le=MAX_REWARDS)] = 3


class Unit(Struct, frozen=True, kw_only=True, order=True):
    """What is dealt out at once: the `points` of one reward; `is_money` where a basket takes as many as it is worth."""

    points: int
    is_money: bool = False


class Place(Struct, frozen=True, kw_only=True):
    """A register where a member shops: how often of late, and what it holds of theirs already.

    `closed_to` is what cannot be spent there. `takes_more` where it is in contact and has room: what is set aside for
    it now can be spent there soon.
    """

    device: str
    visits: int
    held: int = 0
    closed_to: frozenset[Unit] = frozenset()
    takes_more: bool = True


class Share(Struct, frozen=True, kw_only=True):
    """So many points more for a register."""

    device: str
    points: int


def units_of(program: Program, now: datetime, meant: Meant | None = None) -> tuple[Unit, ...]:
    """What rewards cost that can be had by allowance on this day, the dearest first.

    With `meant`, those that are for them and there; whether the goods are bought, or the weekday comes, is not known.
    """
    return tuple(sorted({_unit(one) for one in by_allowance(program, now, meant) if one.points}, reverse=True))


def issued_ahead(program: Program, now: datetime, meant: Meant | None = None) -> tuple[str, ...]:
    """The rewards whose vouchers, or full cards of stamps, are set aside ahead on this day, as `units_of`."""
    return tuple(one.id for one in by_allowance(program, now, meant) if one.is_leased)


def by_allowance(program: Program, now: datetime, meant: Meant | None = None) -> Iterator[Reward]:
    """The rewards that can be had by allowance on this day; with `meant`, those that are for them and there."""
    today = now.astimezone(ZoneInfo(program.time_zone)).date().isoformat()
    for reward in program.rewards:
        is_of_today = (reward.valid_from or today) <= today <= (reward.valid_until or today)
        if reward.offline == "allowance" and is_of_today and (meant is None or is_meant_for(reward.when, meant)):
            yield reward


def _unit(reward: Reward) -> Unit:
    return Unit(points=reward.points, is_money=reward.discount_minor is not UNSET and reward.max_per_receipt is UNSET)


class SetAside(Struct, frozen=True, kw_only=True):
    """What a program has set aside ahead, and for whom: points by these units, and the vouchers of these rewards."""

    units: tuple[tuple[Unit, Condition | None], ...] = ()
    issued: tuple[tuple[str, Condition | None], ...] = ()


def ahead_of(program: Program | None, now: datetime) -> SetAside:
    """By which it is told whether another program, or another day, sets other things aside."""
    if program is None:
        return SetAside()
    rewards = tuple(by_allowance(program, now))
    units = {(_unit(one), one.when or None): None for one in sorted(rewards, key=_unit) if one.points}
    return SetAside(units=tuple(units), issued=tuple((one.id, one.when or None) for one in rewards if one.is_leased))


def planned(free: int, units: Sequence[Unit], places: Sequence[Place], policy: Policy) -> tuple[Share, ...]:
    """What to set aside besides what is held already, so that a register holds whole rewards.

    `free` is what the member may spend, and nobody holds. The dearest reward that they can afford is dealt out first,
    one by one, to the register where they shop most and each time to one that has fewest: who wants a reward wants one,
    and may be anywhere. Cheaper ones come of the rest, for registers that have not as many of these. Nothing is taken
    from a register that holds more: only that register can give it back.
    """
    best = _ranked(places)[: policy.places]
    held = [place.held for place in best]
    for place, points in _dealt(free + sum(one.held for one in places), units, best, policy.rewards):
        if 0 < points - held[place] <= free:
            free -= points - held[place]
            held[place] = points
    return tuple(
        Share(device=place.device, points=points - place.held)
        for place, points in zip(best, held, strict=True)
        if points > place.held
    )


def misplaced(free: int, units: Sequence[Unit], places: Sequence[Place], policy: Policy) -> tuple[str, ...]:
    """The registers that hold what another one lacks, once `free` was dealt out.

    A member who spends where they mostly shop is left with what lies elsewhere, and one who comes to a shop anew has
    all in those that knew them. What lies where they seldom shop goes to where they shop more often, and what a
    register holds besides its first reward to one that has none at all. Asked back, it is dealt out anew. For a
    register that does not take more nothing is asked back: who has a reward would lose it to one that cannot give it.
    """
    ranked = _ranked(places)
    due = [0] * len(ranked)
    best = ranked[: policy.places]
    for place, points in _dealt(free + sum(one.held for one in places), units, best, policy.rewards):
        due[place] = points
    least = min((unit.points for unit in units), default=0)
    lacking = [place for place, points in zip(ranked, due, strict=True) if place.held < points and place.takes_more]
    has_none = any(place.held < least for place in lacking)
    return tuple(
        place.device
        for place, points in zip(ranked, due, strict=True)
        if place.held > points and lacking and (place.visits < lacking[0].visits or (has_none and points >= least))
    )


def _ranked(places: Sequence[Place]) -> list[Place]:
    return sorted(places, key=lambda place: (-place.visits, place.device))


def _dealt(points: int, units: Sequence[Unit], places: Sequence[Place], most: int) -> Iterator[tuple[int, int]]:
    """All these points anew: which place gets a reward next, and what it has then; none beyond `most` of a unit."""
    has = [0] * len(places)
    left = points
    open_to: defaultdict[int, set[int]] = defaultdict(set)
    for unit in units:
        able = {number for number, place in enumerate(places) if unit not in place.closed_to}
        if able:
            open_to[_size(unit, points, len(able) * most)] |= able
    for size in sorted(open_to, reverse=True):
        while left >= size:
            fewest = min(sorted(open_to[size]), key=lambda place: has[place] // size)
            if has[fewest] // size >= most:
                break
            has[fewest] += size
            left -= size
            yield fewest, has[fewest]


def _size(unit: Unit, points: int, parts: int) -> int:
    """What is dealt out at once: of money 1, 2, 5, 10, … rewards, so many that all parts together come to the points.

    By such steps a part stays as it is until a member has twice as much, or half: not each sale is dealt out anew.
    """
    if not unit.is_money:
        return unit.points
    times, tens = points // (unit.points * parts), 1
    while tens * 10 <= times:
        tens *= 10
    return unit.points * max((step * tens for step in (1, 2, 5) if step * tens <= times), default=1)
