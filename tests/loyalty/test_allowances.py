"""Points that are set aside: how many go to which register, and what one may spend of them without asking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from loyalty.allowances import (
    Allowance,
    Asked,
    CannotSpendError,
    Draw,
    Lease,
    Place,
    Policy,
    Refused,
    SetAside,
    Share,
    Standing,
    Unit,
    ahead_of,
    issued_ahead,
    leased,
    misplaced,
    planned,
    units_of,
)
from loyalty.meant import Meant
from loyalty.program import Reward
from tests.loyalty.receipts import MORNING
from tests.loyalty.test_rewards import program

FIVE = Reward(id="five", cost=500, discount_minor=500, offline="allowance")
ASKED = Reward(id="asked", cost=500, discount_minor=500)
FLOOR = Reward(id="floor", cost=500, discount_minor=500, offline="floor", floor_points=200)

# What is known of the centre's word, and whether it is for the points that are set aside, or there is none.
ASKED_BEFORE: list[tuple[Asked, bool]] = [
    ("not_yet", False),
    ("refused", False),
    ("granted", True),
    ("unanswered", True),
]

# What is dealt out: one reward of 500 points, or that and a coffee, or points as money.
ONE = (Unit(points=500),)
TWO = (Unit(points=500), Unit(points=90))
MONEY = (Unit(points=1, is_money=True),)
UNITS = st.builds(Unit, points=st.integers(1, 700), is_money=st.booleans())


def standing(*allowances: Allowance, balance: int = 0, is_sure: bool = True) -> Standing:
    return Standing(epoch="now", is_sure=is_sure, balance=balance, allowances=allowances)


def held(points: int, used: int = 0, epoch: str = "now", name: str = "a") -> Allowance:
    return Allowance(id=name, epoch=epoch, points=points, used=used)


def lease(name: str, *, epoch: str = "now", left: int = 1) -> Lease:
    return Lease(allowance=name, epoch=epoch, voucher="v", reward="birthday", member="", left=left)


def refused(here: Standing, reward: Reward, points: int) -> Refused:
    with pytest.raises(CannotSpendError) as caught:
        here.drawn(reward, points)
    return caught.value.reason


class TestVouchers:
    def test_a_use_that_was_set_aside_here_is_taken(self) -> None:
        leases = (lease("used", left=0), lease("before", epoch="before"), lease("a"), lease("b"))

        assert leased(leases, epoch="now", is_sure=True).allowance == "a"

    @pytest.mark.parametrize(
        ("leases", "is_sure", "reason"),
        [(["now"], False, "register_unsure"), (["before"], True, "not_offline"), ([], True, "not_offline")],
    )
    def test_without_one_it_is_not_taken(self, leases: list[str], is_sure: bool, reason: Refused) -> None:
        with pytest.raises(CannotSpendError) as caught:
            leased([lease("a", epoch=epoch) for epoch in leases], epoch="now", is_sure=is_sure)

        assert caught.value.reason == reason

    def test_one_that_has_an_end_is_over_from_then_on(self) -> None:
        ends = replace(lease("a"), expires_at=MORNING)

        assert [ends.is_over(MORNING - timedelta(seconds=1)), ends.is_over(MORNING)] == [False, True]
        assert not lease("a").is_over(MORNING)


class TestSpending:
    def test_points_are_drawn_of_what_was_set_aside_here(self) -> None:
        here = standing(held(400, used=100), held(300, name="b"), held(0, name="empty"))

        assert here.safe == 600
        assert here.drawn(FIVE, 500) == (Draw(allowance="a", points=300), Draw(allowance="b", points=200))

    def test_a_balance_is_no_allowance(self) -> None:
        assert refused(standing(held(400), balance=5_000), FIVE, 500) == "not_enough"

    @pytest.mark.parametrize(("asked", "is_given"), ASKED_BEFORE)
    def test_what_was_set_aside_here_is_given_beyond_the_balance_after_the_centre_was_asked(
        self, asked: Asked, is_given: bool
    ) -> None:
        here = standing(held(1_000), balance=600)

        assert here.drawn(FIVE, 500, asked=asked) == (Draw(allowance="a", points=500),)
        if is_given:
            assert here.drawn(FIVE, 1_000, asked=asked) == (Draw(allowance="a", points=1_000),)
        else:
            with pytest.raises(CannotSpendError, match="400 points more"):
                here.drawn(FIVE, 1_000, asked=asked)

    @pytest.mark.parametrize("asked", [one for one, _ in ASKED_BEFORE])
    def test_where_goods_were_brought_back_nothing_is_given_beyond_the_balance(self, asked: Asked) -> None:
        here = replace(standing(held(1_000), balance=600), is_short=True)

        assert (here.safe, here.times(FIVE)) == (600, 1)
        assert here.drawn(FIVE, 500, asked=asked) == (Draw(allowance="a", points=500),)
        with pytest.raises(CannotSpendError, match="400 points more"):
            here.drawn(FIVE, 1_000, asked=asked)
        assert replace(here, balance=-1).safe == 0

    def test_what_another_epoch_was_given_is_nobodys_here(self) -> None:
        here = standing(held(500, epoch="before"))

        assert here.safe == 0
        assert refused(here, FIVE, 500) == "not_enough"

    def test_a_register_that_may_be_an_older_copy_spends_nothing(self) -> None:
        for reward in (FIVE, ASKED, FLOOR):
            here = standing(held(5_000), balance=5_000, is_sure=False)
            assert here.safe == 0
            assert refused(here, reward, 500) == "register_unsure"

    def test_a_reward_that_goes_by_the_balance_leaves_its_floor(self) -> None:
        assert standing(balance=700).drawn(FLOOR, 500) == ()
        assert refused(standing(balance=699), FLOOR, 500) == "below_floor"

    def test_what_was_set_aside_here_goes_before_the_balance_and_leaves_the_floor_too(self) -> None:
        here = standing(held(300, used=100), held(100, name="b"), balance=1_700)

        assert here.drawn(FLOOR, 1_500) == (Draw(allowance="a", points=200), Draw(allowance="b", points=100))
        assert standing(held(1_000), balance=1_000).drawn(FLOOR, 500) == (Draw(allowance="a", points=500),)
        assert refused(standing(held(1_000), balance=1_000), FLOOR, 1_000) == "below_floor"

    def test_a_centre_that_answers_is_asked_before_anything_goes_by_the_balance(self) -> None:
        here = standing(held(500), balance=2_000)

        assert here.drawn(FLOOR, 500, asked="not_yet") == (Draw(allowance="a", points=500),)
        with pytest.raises(CannotSpendError, match="500 points more"):
            here.drawn(FLOOR, 1_000, asked="not_yet")
        # and what it grants needs no floor: nobody else can spend it
        assert standing(held(500), balance=500).drawn(FLOOR, 500, asked="granted") == (Draw(allowance="a", points=500),)

    def test_what_goes_by_the_balance_is_counted_down_to_its_floor(self) -> None:
        assert standing(balance=1_699).times(FLOOR) == 2
        assert standing(balance=1_700).times(FLOOR) == 3
        # what was set aside here is no more than that
        assert standing(held(1_000), balance=1_700).times(FLOOR) == 3
        assert standing(held(1_000), balance=1_000).times(FLOOR) == 1
        assert standing(balance=100).times(FLOOR) == 0
        assert standing(held(5_000), balance=5_000, is_sure=False).times(FLOOR) == 0

    @given(st.integers(-500, 5_000), st.integers(0, 3_000), st.sampled_from([FIVE, ASKED, FLOOR]))
    def test_so_often_it_can_be_drawn_and_no_more(self, balance: int, aside: int, reward: Reward) -> None:
        here = standing(held(aside), balance=balance)
        times = here.times(reward)

        if times:
            here.drawn(reward, times * reward.points)
        assert refused(here, reward, (times + 1) * reward.points)

    def test_a_reward_that_needs_the_centre_is_refused_without_it(self) -> None:
        assert refused(standing(balance=5_000), ASKED, 500) == "not_offline"

    def test_what_was_set_aside_for_another_reward_is_none_of_one_that_needs_the_centre(self) -> None:
        here = standing(held(1_000), balance=1_000)

        assert [here.times(FIVE), here.times(ASKED)] == [2, 0]
        assert refused(here, ASKED, 500) == "not_offline"
        assert here.drawn(ASKED, 500, asked="granted") == (Draw(allowance="a", points=500),)
        with pytest.raises(CannotSpendError):
            here.drawn(ASKED, 1_500, asked="granted")

    @pytest.mark.parametrize(
        ("here", "reward", "words"),
        [
            (
                standing(is_sure=False),
                FIVE,
                "this register's database may be an older copy; it spends nothing until it is",
            ),
            (standing(held(380)), FIVE, "120 points more than may be spent here without the centre"),
            (standing(), ASKED, "this reward needs the centre, which does not answer"),
            (standing(balance=699), FLOOR, "200 points have to be left, and 199 would be"),
        ],
    )
    def test_a_refusal_says_why_in_words(self, here: Standing, reward: Reward, words: str) -> None:
        with pytest.raises(CannotSpendError, match=f"^{words}"):
            here.drawn(reward, 500)

    def test_the_last_point_of_an_allowance_can_be_spent_too(self) -> None:
        here = standing(held(500, used=1), held(501, used=500, name="b"))

        assert here.safe == 500
        assert here.drawn(FIVE, 500) == (Draw(allowance="a", points=499), Draw(allowance="b", points=1))

    @given(st.lists(st.tuples(st.integers(1, 900), st.integers(0, 900)), max_size=5), st.integers(0, 3_000))
    def test_never_more_than_is_left_of_any(self, some: list[tuple[int, int]], points: int) -> None:
        allowances = [held(size, min(size, used), name=str(place)) for place, (size, used) in enumerate(some)]
        here = standing(*allowances)
        if points > here.safe:
            assert refused(here, FIVE, points) == "not_enough"
            return

        draws = here.drawn(FIVE, points)

        assert sum(draw.points for draw in draws) == points
        left = {one.id: one.left for one in allowances}
        assert all(0 < draw.points <= left[draw.allowance] for draw in draws)
        assert len({draw.allowance for draw in draws}) == len(draws)


class TestPlanning:
    def test_what_rewards_cost_by_allowance_are_the_units_the_dearest_first(self) -> None:
        two = {"id": "two", "cost": 200, "discount_minor": 200, "offline": "allowance", "max_per_receipt": 1}
        five = {"id": "five", "cost": 500, "discount_percent": 10, "offline": "allowance"}
        other = {"id": "other", "cost": 500, "piece_minor": 0, "offline": "allowance"}
        money = {"id": "money", "cost": 1, "discount_minor": 1, "offline": "allowance"}
        asked = {"id": "asked", "cost": 100, "discount_minor": 100}
        # what a voucher brings costs no points
        gift = {"id": "v", "issued": True, "discount_minor": 1, "offline": "allowance"}

        assert units_of(program(two, five, other, money, asked, gift), MORNING) == (
            Unit(points=500),
            Unit(points=200),
            Unit(points=1, is_money=True),
        )
        assert ahead_of(program(asked, gift), MORNING) == SetAside(issued=(("v", None),))
        assert ahead_of(None, MORNING) == SetAside()

    def test_a_reward_for_others_is_no_unit_of_theirs(self) -> None:
        coffee = {"id": "coffee", "cost": 90, "piece_minor": 0, "offline": "allowance"}
        mug = {"id": "mug", "cost": 500, "piece_minor": 0, "offline": "allowance"}
        gold = mug | {"when": {"tier_in": ["gold"]}}
        terms = program(coffee, gold)

        assert units_of(terms, MORNING, Meant()) == (Unit(points=90),)
        assert units_of(terms, MORNING, Meant(tier="gold")) == TWO
        # so who publishes it for others has all dealt out anew
        assert ahead_of(terms, MORNING) != ahead_of(program(coffee, mug), MORNING)
        assert ahead_of(terms, MORNING) == ahead_of(program(gold, coffee), MORNING)

    def test_what_cannot_be_spent_somewhere_is_not_set_aside_there(self) -> None:
        dear, cheap = TWO
        often = Place(device="often", visits=9, closed_to=frozenset({dear}))
        seldom = Place(device="seldom", visits=1)

        assert planned(1_090, TWO, [often, seldom], Policy()) == (
            Share(device="often", points=90),
            Share(device="seldom", points=1_000),
        )
        assert planned(1_000, ONE, [often], Policy()) == ()
        assert planned(180, [cheap], [replace(often, closed_to=frozenset({cheap})), seldom], Policy()) == (
            Share(device="seldom", points=180),
        )
        assert misplaced(0, TWO, [replace(often, held=500), seldom], Policy()) == ()

    @pytest.mark.parametrize(
        ("days", "before", "after"),
        [({"valid_until": "2026-11-22"}, True, False), ({"valid_from": "2026-11-23"}, False, True)],
        ids=["over", "yet to come"],
    )
    def test_only_what_can_be_had_on_the_day_is_set_aside(
        self, days: dict[str, str], before: bool, after: bool
    ) -> None:
        points = {"id": "a", "cost": 500, "piece_minor": 0, "offline": "allowance"} | days
        gift = {"id": "v", "issued": True, "piece_minor": 0, "offline": "allowance"} | days
        terms = program(points, gift, time_zone="Europe/Belgrade")
        last = datetime(2026, 11, 22, 22, 59, tzinfo=UTC)  # in Belgrade a minute before midnight
        first = last + timedelta(minutes=1)

        assert [units_of(terms, at) for at in (last, first)] == [ONE if is_had else () for is_had in (before, after)]
        assert [issued_ahead(terms, at) for at in (last, first)] == [("v",) * is_had for is_had in (before, after)]
        # so the day on which it begins or ends has all dealt out anew, and no other
        assert ahead_of(terms, last) != ahead_of(terms, first)
        assert ahead_of(terms, first) == ahead_of(terms, first + timedelta(days=30))

    def test_vouchers_are_set_aside_for_whom_and_where_their_reward_is(self) -> None:
        gift = {"id": "v", "issued": True, "piece_minor": 0, "offline": "allowance"}
        gold = gift | {"when": {"all": [{"tier_in": ["gold"]}, {"store_in": ["12"]}]}}

        assert issued_ahead(program(gold), MORNING, Meant(tier="gold", store="12")) == ("v",)
        assert issued_ahead(program(gold), MORNING, Meant(tier="gold", store="13")) == ()
        assert issued_ahead(program(gold), MORNING, Meant(store="12")) == ()
        assert ahead_of(program(gold), MORNING) != ahead_of(program(gift), MORNING)

    def test_the_dearest_that_they_can_afford_comes_first_and_cheaper_ones_of_the_rest(self) -> None:
        places = [Place(device=name, visits=visits) for name, visits in (("often", 9), ("seldom", 3), ("once", 1))]

        def shares(free: int, policy: Policy | None = None) -> list[int]:
            dealt = planned(free, TWO, places, policy or Policy())
            assert [share.device for share in dealt] == ["often", "seldom", "once"][: len(dealt)]
            return [share.points for share in dealt]

        assert shares(499) == [180, 180, 90]  # five coffees: none can be had for 500
        assert shares(5_000) == [1_500, 1_500, 1_500]
        assert shares(1_000) == [500, 500]
        assert shares(1_490) == [500, 500, 270]  # one has five coffees in what is there
        assert shares(700) == [500, 90, 90]
        assert shares(700, Policy(places=1, rewards=1)) == [500]

    def test_a_register_is_filled_up_to_whole_rewards(self) -> None:
        one = [Place(device="d", visits=1, held=270)]

        assert planned(229, TWO, one, Policy()) == ()
        assert planned(230, TWO, one, Policy()) == (Share(device="d", points=230),)

    def test_of_points_as_money_the_registers_have_even_parts(self) -> None:
        one, two = Place(device="one", visits=9), Place(device="two", visits=3)

        assert planned(5_000, MONEY, [one], Policy()) == (Share(device="one", points=3_000),)
        assert planned(5_000, MONEY, [one, two], Policy()) == (
            Share(device="one", points=1_500),
            Share(device="two", points=1_500),
        )
        assert planned(2, MONEY, [one, two], Policy()) == (
            Share(device="one", points=1),
            Share(device="two", points=1),
        )
        # so it stays until they have twice as much
        had = [replace(one, held=1_500), replace(two, held=1_500)]
        assert planned(2_999, MONEY, had, Policy()) == ()
        assert sum(share.points for share in planned(3_000, MONEY, had, Policy())) == 3_000

    def test_a_dear_reward_whose_points_lie_about_in_coffees_is_gathered(self) -> None:
        often, seldom = Place(device="often", visits=9, held=270), Place(device="seldom", visits=3, held=270)

        assert misplaced(0, TWO, [seldom, often], Policy()) == ("seldom",)
        assert planned(270, TWO, [replace(seldom, held=0), often], Policy()) == (Share(device="often", points=230),)

    def test_whole_rewards_are_dealt_out_from_where_the_member_shops_most(self) -> None:
        places = [Place(device="seldom", visits=3), Place(device="often", visits=9), Place(device="once", visits=1)]

        assert planned(1_990, ONE, places, Policy(places=2)) == (
            Share(device="often", points=1_000),
            Share(device="seldom", points=500),
        )
        assert planned(450, ONE, places, Policy()) == ()
        assert planned(500, ONE, places, Policy()) == (Share(device="often", points=500),)
        assert planned(5_000, ONE, [], Policy()) == ()

    def test_a_register_gets_no_more_than_the_policy_says(self) -> None:
        assert planned(9_000, ONE, [Place(device="d", visits=1)], Policy(rewards=2)) == (
            Share(device="d", points=1_000),
        )
        assert planned(9_000, ONE, [Place(device="d", visits=1, held=500)], Policy(rewards=2)) == (
            Share(device="d", points=500),
        )

    def test_less_than_a_whole_reward_counts_as_none(self) -> None:
        places = [Place(device="often", visits=9, held=499), Place(device="seldom", visits=3)]

        assert planned(500, ONE, places, Policy()) == (Share(device="often", points=1),)
        assert planned(501, ONE, places, Policy()) == (
            Share(device="often", points=1),
            Share(device="seldom", points=500),
        )

    def test_what_a_register_holds_counts_and_is_not_taken_from_it(self) -> None:
        places = [Place(device="a", visits=1, held=2_000), Place(device="b", visits=1, held=499)]

        assert planned(1_000, ONE, places, Policy()) == (Share(device="b", points=501),)
        assert planned(0, ONE, places, Policy()) == ()
        assert planned(-300, ONE, places, Policy()) == ()
        assert planned(0, MONEY, [Place(device="a", visits=1)], Policy()) == ()

    def test_what_lies_where_they_seldom_shop_is_asked_back_for_where_they_shop_more(self) -> None:
        often, seldom = Place(device="often", visits=9), Place(device="seldom", visits=3, held=500)

        assert misplaced(0, ONE, [seldom, often], Policy()) == ("seldom",)
        # not where something is free for the first, or that has as much
        assert misplaced(500, ONE, [seldom, often], Policy()) == ()
        assert misplaced(0, ONE, [seldom, replace(often, held=500)], Policy()) == ()
        # nor between two where they shop as often, however often that changes
        assert misplaced(0, ONE, [seldom, replace(often, visits=3)], Policy()) == ()
        assert misplaced(0, ONE, [], Policy()) == ()

    def test_what_a_register_holds_besides_its_first_goes_to_one_that_has_none(self) -> None:
        often, anew = Place(device="often", visits=9, held=1_500), Place(device="anew", visits=1)

        assert misplaced(0, ONE, [often, anew], Policy()) == ("often",)
        assert planned(1_500, ONE, [replace(often, held=0), anew], Policy()) == (
            Share(device="often", points=1_000),
            Share(device="anew", points=500),
        )
        # an only one stays where it is, and who has one already gets no second one so
        assert misplaced(0, ONE, [replace(often, held=500), anew], Policy()) == ()
        assert misplaced(0, ONE, [replace(often, held=2_000), replace(anew, held=500)], Policy()) == ()
        assert misplaced(0, ONE, [often, replace(anew, takes_more=False)], Policy()) == ()

    def test_nothing_is_asked_back_for_a_register_that_takes_no_more(self) -> None:
        silent = Place(device="silent", visits=9, takes_more=False)
        seldom = Place(device="seldom", visits=3, held=1_000)

        assert misplaced(0, ONE, [silent, seldom], Policy()) == ()
        # but for one that does and comes after it
        assert misplaced(0, ONE, [silent, seldom, Place(device="next", visits=5)], Policy()) == ("seldom",)

    def test_what_is_beyond_the_policy_is_asked_back_where_it_is_lacking(self) -> None:
        places = [Place(device="a", visits=9), Place(device="b", visits=5), Place(device="c", visits=2, held=1_000)]

        assert misplaced(0, ONE, places, Policy(places=2)) == ("c",)
        assert misplaced(0, ONE, [replace(one, held=1_000) for one in places], Policy(places=2, rewards=2)) == ()

    @given(
        st.integers(-1_000, 10_000),
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3_000), st.booleans()), max_size=6),
        st.integers(1, 4),
        st.integers(1, 9),
        st.lists(UNITS, min_size=1, max_size=3),
    )
    @example(0, [(0, 0, False), (0, 0, False), (0, 0, True), (0, 1, False), (1, 14, True)], 4, 2, [Unit(points=3)])
    def test_once_it_is_dealt_out_anew_nothing_is_misplaced_any_more(
        self, free: int, some: list[tuple[int, int, bool]], at_most: int, rewards: int, units: list[Unit]
    ) -> None:
        policy = Policy(places=at_most, rewards=rewards)
        places = {
            str(n): Place(device=str(n), visits=visits, held=held, takes_more=takes_more)
            for n, (visits, held, takes_more) in enumerate(some)
        }

        # What is no whole reward may come back alone, and make one with what is left over.
        for _ in range(len(places) + 2):
            for share in planned(free, units, tuple(places.values()), policy):
                free -= share.points
                places[share.device] = replace(places[share.device], held=places[share.device].held + share.points)
            for device in misplaced(free, units, tuple(places.values()), policy):
                free += places[device].held
                places[device] = replace(places[device], held=0)

        assert planned(free, units, tuple(places.values()), policy) == ()
        assert misplaced(free, units, tuple(places.values()), policy) == ()

    @given(
        st.integers(-1_000, 10_000),
        st.lists(UNITS, min_size=1, max_size=3),
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3_000)), max_size=6),
        st.integers(0, 4),
        st.integers(1, 9),
    )
    def test_never_more_than_is_free_and_always_whole(
        self, free: int, units: list[Unit], some: list[tuple[int, int]], at_most: int, rewards: int
    ) -> None:
        places = [Place(device=str(n), visits=visits, held=held) for n, (visits, held) in enumerate(some)]

        plan = planned(free, units, places, Policy(places=at_most, rewards=rewards))

        had = {place.device: place.held for place in places}
        assert sum(share.points for share in plan) <= max(0, free)
        assert all(share.points > 0 for share in plan)
        assert len(plan) <= at_most
        if len(units) == 1 and not units[0].is_money:
            assert all((had[share.device] + share.points) % units[0].points == 0 for share in plan)
            assert all(had[share.device] + share.points <= rewards * units[0].points for share in plan)
